"""The node's state as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from provnode.ops.status import Status
from provnode.ops.timing import Histogram
from provnode.ops.usage import Usage, usage


class _Page:
    """The lines of one answer."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def metric(self, name: str, text: str, samples: Mapping[tuple[tuple[str, str], ...], float]) -> None:
        """Add a metric and its samples by labels; a name that ends in _total is a counter."""
        kind = "counter" if name.endswith("_total") else "gauge"
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in samples.items():
            inner = ",".join(f'{key}="{_escape(found)}"' for key, found in labels)
            self._lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")

    def histogram(self, name: str, text: str, label: str, found: Mapping[str, Histogram]) -> None:
        """Add one histogram a label's value."""
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        for value, one in sorted(found.items()):
            labels = f'{label}="{_escape(value)}"'
            bounds = [*((str(bound), count) for bound, count in one.cumulative()), ("+Inf", one.count)]
            self._lines += [f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in bounds]
            self._lines += [f"{name}_sum{{{labels}}} {one.sum}", f"{name}_count{{{labels}}} {one.count}"]

    def value(self, name: str, text: str, value: float) -> None:
        """Add a metric without labels."""
        self.metric(name, text, {(): value})

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def render(
    status: Status,
    steps: Mapping[str, Histogram],
    rpc: Mapping[tuple[str, int], int],
    refused: Mapping[str, int],
) -> str:
    """Return the page: status, durations by step, RPC requests by (method, error code), refused TLS."""
    page = _Page()
    about = (("version", status.version), ("network", status.network), ("chain_id", status.chain_id))
    page.metric("provnode_info", "What runs here.", {about: 1})
    _chain(page, status)
    page.histogram("provnode_step_seconds", "How long a step of the consensus takes.", "step", steps)
    # also those with none, so that it can be told that nobody of theirs is left
    organisations = Counter(dict.fromkeys(status.deciding, 0))
    organisations.update(peer.organisation for peer in status.peers)
    page.value("provnode_peers", "Connected peers.", len(status.peers))
    page.metric(
        "provnode_peers_by_organisation",
        "Connected peers of an organisation; each whose validators decide is there.",
        {(("organisation", name),): count for name, count in sorted(organisations.items())},
    )
    page.metric(
        "provnode_rpc_requests_total",
        "Answered requests by method (empty: no known one) and JSON-RPC error code (0: a result).",
        {(("method", name), ("code", str(code))): count for (name, code), count in sorted(rpc.items())},
    )
    page.metric(
        "provnode_rpc_refused_total",
        "TLS clients that were refused.",
        {(("reason", reason),): count for reason, count in sorted(refused.items())},
    )
    _process(page, usage())
    return str(page)


def _process(page: _Page, used: Usage) -> None:
    page.value("process_cpu_seconds_total", "Processor time since the start.", used.cpu_seconds)
    page.value("process_resident_memory_bytes", "Memory in use, pages of files included.", used.resident)
    page.value("provnode_anonymous_memory_bytes", "Memory of the process's own.", used.anonymous)
    page.value("provnode_peak_memory_bytes", "The most memory held since the start.", used.peak)
    page.value("process_open_fds", "Open files and sockets.", used.open_files)
    page.value("process_max_fds", "How many may be open.", used.most_files)
    page.value("provnode_threads", "Threads of Python.", used.threads)


def _chain(page: _Page, status: Status) -> None:
    page.value("provnode_height", "The newest committed height.", status.height)
    page.value("provnode_oldest_height", "The height of the oldest block that is kept.", status.oldest_height)
    page.value("provnode_round", "The consensus round of the next height.", status.round)
    made = "When the newest block was made, Unix time."
    page.value("provnode_block_time_seconds", made, status.block_time_ms / 1000)
    page.value("provnode_syncing", "1 while blocks come by sync.", int(status.syncing))
    page.value("provnode_validator", "1 if this node votes.", int(status.validator))
    page.value("provnode_mempool_transactions", "Transactions waiting for a block.", status.mempool_count)
    page.value("provnode_mempool_bytes", "Their size.", status.mempool_bytes)
    page.value("provnode_verify_queue", "Submissions waiting to be verified.", status.verify_queue)
    page.value("provnode_store_bytes", "What the ledger takes on the disk.", status.store_bytes)
    waiting = "Pieces of evidence of misbehaviour that are not in the chain yet."
    page.value("provnode_evidence_pending", waiting, status.evidence_pending)
    page.metric(
        "provnode_evidence_total",
        "Misbehaviour that the chain records of an organisation's validators.",
        {(("organisation", name),): count for name, count in sorted(status.evidence_committed.items())},
    )
    done, rows = status.rekey or (0, 0)
    page.value("provnode_rekey_running", "1 while the data key is being changed.", int(bool(status.rekey)))
    page.value("provnode_rekey_rows", "Rows to look at in that change.", rows)
    page.value("provnode_rekey_rows_done", "Rows of them that were.", done)
    ends = "When the node's certificate runs out, Unix time."
    page.value("provnode_certificate_expires_seconds", ends, status.certificate_expires.timestamp())
    stands = "1 while the disk refuses to store, or no peer keeps the blocks that are needed."
    page.value("provnode_problem", stands, int(status.problem is not None))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
