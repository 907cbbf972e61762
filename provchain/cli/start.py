"""The command's first step: load the program without looking for garbage, of which loading makes none."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line."""
    gc.disable()
    from provchain.cli.main import main as run

    gc.freeze()
    gc.enable()
    run()
