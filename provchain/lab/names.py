"""Names that the lab derives from a network's description; pure.

Network names hold no hyphen, so the prefix ``pc-<network>-`` belongs to one network only. A tilde never
occurs in a host's name, so the lab's own helpers can't meet a host. Names of zones and hosts have at most
12 characters, so an interface's name with its prefix fits into the kernel's 15.
"""

from __future__ import annotations

from ipaddress import IPv4Address

_STATION = "op"  # a description may give no host this name


def lab_namespace(network: str) -> str:
    """Return the network namespace that holds a network's bridges and its router."""
    return f"pc-{network}"


def host_namespace(network: str, host: str) -> str:
    """Return the network namespace of one host."""
    return f"pc-{network}-{host}"


def station_namespace(network: str) -> str:
    """Return the network namespace of the operator's station."""
    return host_namespace(network, _STATION)


def probe_namespace(network: str, zone: str) -> str:
    """Return the short-lived network namespace from which a zone is probed."""
    return host_namespace(network, f"~{zone}")


def owned_namespace(network: str, name: str) -> bool:
    """Return whether a network namespace of this name belongs to the network."""
    return name == lab_namespace(network) or name.startswith(f"pc-{network}-")


def bridge(zone: str) -> str:
    """Return the bridge of a zone, within the network's own namespace."""
    return f"z-{zone}"


def port(host: str) -> str:
    """Return the bridge's port that leads to a host."""
    return f"h-{host}"


def probe_port(zone: str) -> str:
    """Return the bridge's port that leads to a zone's probe."""
    return f"p-{zone}"


def mac(address: IPv4Address) -> str:
    """Return the hardware address of whoever has this address: the same each time, so no cache is stale.

    02 marks it as locally administered (IEEE 802, section 8.4).
    """
    return ":".join(f"{octet:02x}" for octet in (2, 0, *address.packed))
