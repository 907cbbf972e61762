"""Networks and hosts as code: the Pulumi engine, its environment, and the stack of a network."""

from provchain.provision.engine import ensure_engine
from provchain.provision.events import Changes
from provchain.provision.stack import HostAccess, Outputs, destroy, outputs, preview, refresh, up

__all__ = [
    "Changes",
    "HostAccess",
    "Outputs",
    "destroy",
    "ensure_engine",
    "outputs",
    "preview",
    "refresh",
    "up",
]
