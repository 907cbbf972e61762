"""Faults that a proof suite causes in a lab: a host without power, a cut network, a reboot.

All are undone by their opposite here, and by ``provchain up``, which sees each as a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from provchain.lab import host, router
from provchain.lab.shell import LabError
from provchain.spec import ChainSpec


def kill_host(network: str, name: str) -> None:
    """End a host as if its power was cut; raises LabError if it was not running."""
    _must_run(network, name)
    host.kill(network, name)


def stop_host(network: str, name: str) -> None:
    """Shut a host down in order."""
    _must_run(network, name)
    host.stop(network, name)


def start_host(spec: ChainSpec, name: str) -> None:
    """Start a host that was killed or stopped; returns when its sshd answers, LabError after 30 s."""
    if not host.running(spec.network, name):
        host.kill(spec.network, name)  # whatever an unlucky end has left of it
        host.start(spec.network, name)
    _wait(spec, name)


def reboot_host(spec: ChainSpec, name: str) -> None:
    """Reboot a host from within; returns when its sshd answers again."""
    _must_run(spec.network, name)
    host.reboot(spec.network, name)
    _wait(spec, name)


def partition(spec: ChainSpec, names: Sequence[str]) -> None:
    """Cut the named nodes off from all other nodes; they still reach each other, and operators reach all.

    Replaces an earlier partition.
    """
    nodes = {node.name: str(node.address) for node in spec.nodes}
    router.cut(
        spec.network,
        [nodes[name] for name in names],
        [address for name, address in nodes.items() if name not in names],
    )


def heal(spec: ChainSpec) -> None:
    """End the partition, if there is one."""
    router.heal(spec.network)


@contextmanager
def partitioned(spec: ChainSpec, names: Sequence[str]) -> Iterator[None]:
    """Hold a partition for the length of a block."""
    partition(spec, names)
    try:
        yield
    finally:
        heal(spec)


def _must_run(network: str, name: str) -> None:
    if not host.running(network, name):
        raise LabError(f"host {name} of network {network} is not running", remedy="provchain up")


def _wait(spec: ChainSpec, name: str) -> None:
    host.wait(spec.network, name, str(spec.host(name).address), spec.services.endpoint("ssh").port)
