"""The node's state as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter

from provnode.ops.node import Status


def render(status: Status) -> str:
    """Return the metrics of a status."""
    lines: list[str] = []

    def gauge(name: str, text: str, value: float, labels: str = "") -> None:
        if not any(line.startswith(f"# HELP provnode_{name} ") for line in lines):
            lines.extend([f"# HELP provnode_{name} {text}", f"# TYPE provnode_{name} gauge"])
        lines.append(f"provnode_{name}{labels} {value}")

    gauge("info", "What runs here.", 1, f'{{version="{status.version}",chain="{status.chain_id}"}}')
    gauge("height", "The newest committed height.", status.height)
    gauge("round", "The consensus round of the next height.", status.round)
    gauge("block_time_seconds", "When the newest block was made, Unix time.", status.block_time_ms / 1000)
    gauge("syncing", "1 while blocks come by sync.", int(status.syncing))
    gauge("validator", "1 if this node votes.", int(status.validator))
    by_organisation = Counter(peer.organisation for peer in status.peers)
    gauge("peers", "Connected peers.", len(status.peers))
    for organisation, count in sorted(by_organisation.items()):
        gauge("peers_by_organisation", "Connected peers.", count, f'{{organisation="{organisation}"}}')
    gauge("mempool_transactions", "Transactions that wait for a block.", status.mempool_count)
    gauge("mempool_bytes", "Their size.", status.mempool_bytes)
    gauge("double_votes", "Conflicting votes of one validator seen since the start.", status.double_votes)
    expires = status.certificate_expires.timestamp()
    gauge("certificate_expires_seconds", "When the node's certificate runs out, Unix time.", expires)
    gauge("disk_problem", "1 while the disk refuses to store.", int(status.problem is not None))
    return "\n".join(lines) + "\n"
