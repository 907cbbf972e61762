"""Run the playbooks of a running network and read what they tell; ask the chain who decides."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from provchain.conductor import engine
from provchain.conductor.up import run_playbook
from provchain.errors import ProvchainError
from provchain.paths import network_dir
from provchain.spec import ChainSpec


def play(
    spec: ChainSpec,
    playbook: str,
    wanted: Mapping[str, Any],
    *,
    check: bool,
    detail: Callable[[str], None],
) -> tuple[dict[str, Any], str]:
    """Run a playbook with these variables; return what it tells, and how many settings changed.

    ``check`` makes it a dry run. Raises ProvchainError with the end of what Ansible said if it fails.
    """
    told = network_dir(spec.network) / f".told-{os.getpid()}.json"
    variables = json.dumps({**wanted, "provchain_report": str(told)}, ensure_ascii=False)
    options = ("--check", "--diff") if check else ()
    try:
        summary = run_playbook(spec, playbook, detail, "-e", variables, *options)
        found = json.loads(told.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProvchainError(f"playbook {playbook} told nothing", remedy="see its log") from None
    finally:
        told.unlink(missing_ok=True)
    assert isinstance(found, dict)  # noqa: S101 - the playbook writes a mapping
    return found, summary


def membership(spec: ChainSpec) -> dict[str, Any]:
    """Return who decides by the word of the first node that answers; raises ProvchainError."""
    failures: list[ProvchainError] = []
    for node in spec.nodes:
        try:
            found = json.loads(engine.call(spec.network, node.name, "members", timeout=30))
        except ProvchainError as error:
            failures.append(error)
        else:
            assert isinstance(found, dict)  # noqa: S101 - the verb's contract
            return found
    raise failures[0]
