"""Up, preview, refresh and destroy of a network's stack, by the engine's Automation API.

The program in ``pulumi/`` is a native one; this module only gives it its environment, reports progress
and clears what a killed engine left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provchain import lab, paths
from provchain.errors import ProvchainError
from provchain.provision import recovery
from provchain.provision.engine import ensure_engine
from provchain.provision.env import PROGRAM, environment
from provchain.provision.events import Changes, Recorder
from provchain.spec import load
from pulumi import automation

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class HostAccess:
    """How to reach a host by SSH for the first time."""

    address: str
    port: int
    user: str
    host_key: str


@dataclass(frozen=True)
class Outputs:
    """What the network's stack says of itself: its hosts by name, and the digest of its description."""

    hosts: dict[str, HostAccess]
    digest: str


def up(spec_path: Path, on_event: Progress = _quiet) -> Outputs:
    """Make the network as described: look at what is there, repair it, make what is missing.

    ``on_event`` gets a line for each thing that changes. Raises DocumentError for a bad description and
    ProvchainError with the engine's words if something can't be made; calling it again continues.
    """
    stack = _open(_described(spec_path), on_event)
    with _engine_errors("provisioned"):
        done = stack.up(refresh=True, color="never", on_event=Recorder(on_event), suppress_progress=True)
    return _outputs(done.outputs)


def preview(spec_path: Path, on_event: Progress = _quiet) -> Changes:
    """Look at what is there and say what ``up`` would change; changes nothing."""
    recorder = Recorder(_quiet)  # nothing is done, so nothing is told as done
    stack = _open(_described(spec_path), on_event)
    with _engine_errors("previewed"):
        stack.preview(refresh=True, color="never", on_event=recorder, suppress_progress=True)
    return recorder.changes()


def refresh(spec_path: Path, on_event: Progress = _quiet) -> Changes:
    """Write what is really there into the state, and return what differed from it."""
    recorder = Recorder(_quiet)  # nothing is done, so nothing is told as done
    stack = _open(_described(spec_path), on_event)
    with _engine_errors("looked at"):
        stack.refresh(color="never", on_event=recorder, suppress_progress=True)
    return recorder.changes()


def destroy(spec_path: Path, on_event: Progress = _quiet) -> None:
    """Remove everything that was made for the network, also what no state knows of any more.

    The description itself is not read: a network can be removed whatever has become of it.
    """
    network = spec_path.resolve().parent.name
    if recovery.has_state(network):
        stack = _open(network, on_event)
        with _engine_errors("removed"):
            stack.destroy(color="never", on_event=Recorder(on_event), suppress_progress=True, remove=True)
    lab.remove(network)


def outputs(spec_path: Path) -> Outputs:
    """Return the outputs of the last ``up``; raises ProvchainError if there was none."""
    network = _described(spec_path)
    if not recovery.has_state(network):
        raise ProvchainError(f"network {network} is not provisioned", remedy="provchain up")
    stack = _open(network, _quiet)
    with _engine_errors("read"):
        return _outputs(stack.outputs())


def _open(network: str, progress: Progress) -> automation.Stack:
    """Return the network's stack, ready for work: engine there, no stale lock, no operation half done."""
    variables = environment(network, progress)
    with _engine_errors("opened"):
        recovery.clear_lock(network, progress)
        command = automation.PulumiCommand(root=str(ensure_engine().parent.parent))
        options = automation.LocalWorkspaceOptions(env_vars=variables, pulumi_command=command)
        stack = automation.create_or_select_stack(network, work_dir=str(PROGRAM), opts=options)
        recovery.clear_pending(stack, network, progress)
    return stack


def _described(spec_path: Path) -> str:
    """Return the network of a description that is valid and where the program will look for it."""
    spec = load(spec_path)
    expected = paths.spec_file(spec.network)
    if spec_path.resolve() != expected.resolve():
        raise ProvchainError(
            f"the description of network {spec.network} must be {expected}",
            cause=f"it is {spec_path}",
            remedy="move it there, or give the network the name of its folder",
        )
    return spec.network


def _outputs(found: automation.OutputMap) -> Outputs:
    values = {name: output.value for name, output in found.items()}
    if "digest" not in values:
        raise ProvchainError("the network is not provisioned completely", remedy="provchain up")
    hosts = {
        name: HostAccess(host["address"], int(host["port"]), host["user"], host["host_key"])
        for name, host in values["hosts"].items()
    }
    return Outputs(hosts, values["digest"])


@contextlib.contextmanager
def _engine_errors(verb: str) -> Iterator[None]:
    try:
        yield
    except automation.CommandError as problem:
        words = [line for line in str(problem).splitlines() if line.strip()]
        raise ProvchainError(
            f"the network could not be {verb}",
            cause="\n".join(words[-25:]),
            remedy="the same command again continues where this one stopped",
        ) from problem
