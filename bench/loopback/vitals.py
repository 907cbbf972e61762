"""What a process of this machine holds: memory, files, threads, its folder on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Vitals:
    """Sizes in bytes. `anonymous` is memory of the process's own; `file` are pages of files that it maps."""

    anonymous: int
    file: int
    descriptors: int
    threads: int
    disk: int


def look(pid: int, folder: Path) -> Vitals:
    """Look at a process (proc(5), `status`) and at all that lies in its folder. Raises OSError."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    kib = {name: int(status[name][0]) for name in ("RssAnon", "RssFile", "RssShmem")}
    return Vitals(
        kib["RssAnon"] * 1024,
        (kib["RssFile"] + kib["RssShmem"]) * 1024,
        sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        int(status["Threads"][0]),
        sum(_blocks(path) for path in folder.rglob("*")),
    )


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0  # it was replaced meanwhile
