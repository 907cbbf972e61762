"""The command's first step: what it does not load, and that it looks for no garbage at its end."""

from __future__ import annotations

import json
import subprocess
import sys

from provchain.paths import REPOSITORY

# what an audit does on this machine, from the first step to the last, and what is in memory then
CODE = """
import atexit, gc, json, sys
ran = []
gc.callbacks.append(lambda phase, about: ran.append(phase))
from provchain.cli.start import main
def told():
    from pydantic.plugin import _loader
    said = {
        "rich": "rich" in sys.modules,
        "looked for plugins": _loader._plugins is not None,
        "collections": ran.count("start"),
        "frozen": gc.get_freeze_count(),
        "tracked": len(gc.get_objects()),
    }
    print(json.dumps(said), file=sys.stderr)
atexit.register(told)
sys.argv[1:] = ["audit", "list", "rules"]
main()
"""


def test_nothing_is_loaded_or_looked_for_in_vain() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert "ssh-root-login" in done.stdout
    found = json.loads(done.stderr)
    assert not found["rich"], "it is for terminals"
    assert not found["looked for plugins"]
    assert found["collections"] <= 1, "what was counted while loading is due at once, and finds nothing"
    assert found["frozen"] > 100 * found["tracked"], "what is in memory goes with the process"
