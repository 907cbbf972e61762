"""The things a network consists of, one component each, whatever backend makes them."""

from topology.host import Host
from topology.router import Router
from topology.zone import Zone

__all__ = ["Host", "Router", "Zone"]
