"""What a bench ran on, so that figures are compared with their like."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROVCHAIN = str(Path(sys.executable).parent / "provchain")


def environment() -> dict[str, object]:
    """Return the machine, the versions and the command line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    return {
        "command": " ".join(sys.orig_argv),
        "cpus": os.cpu_count(),
        "load_1min_before": round(os.getloadavg()[0], 2),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": _output("openssl", "version"),
        "systemd": _output("systemctl", "--version").partition("\n")[0],
        "provchain": _version(),
        "commit": commit + ("+changes" if _output("git", "status", "--porcelain", "-uno") else ""),
    }


def _version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as source:
        declared: str = tomllib.load(source)["project"]["version"]
    return declared


def _output(*argv: str) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def provchain(verb: str, network: str, *options: str, home: str | None = None) -> str:
    """Run a command of provchain and return what it said; CalledProcessError with its words if it fails."""
    environment = dict(os.environ) | ({"PROVCHAIN_HOME": home} if home else {})
    argv = [PROVCHAIN, verb, "--network", network, *options]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, argv)
    return done.stderr
