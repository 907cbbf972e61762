"""Where hosts come from: one module a backend, all behind ``backends.protocol.Backend``."""

from __future__ import annotations

from backends.existing import ExistingBackend
from backends.lab import LabBackend
from backends.protocol import Backend
from provchain.spec import ChainSpec


def choose(spec: ChainSpec) -> Backend:
    """Return the backend that the network's description names."""
    return LabBackend(spec) if spec.backend == "lab" else ExistingBackend(spec)
