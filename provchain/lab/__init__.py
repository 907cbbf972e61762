"""The lab: a closed network of real Debian hosts on this machine, made of namespaces, bridges and nspawn."""

from __future__ import annotations

from provchain.lab.sweep import leftovers, remove

__all__ = ["leftovers", "remove"]
