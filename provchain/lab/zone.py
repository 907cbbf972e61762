"""A zone of a network: a bridge in the network's namespace that carries the router's address."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from provchain.lab import names, netns
from provchain.lab.shell import run


@dataclass(frozen=True)
class Zone:
    """A zone as the lab needs it: its range, the router's address, and the station's if it is here."""

    network: str
    name: str
    cidr: str
    router: str
    station: str | None = None

    def interface(self, address: str) -> IPv4Interface:
        """Return an address with the zone's prefix length."""
        return IPv4Interface(f"{IPv4Address(address)}/{IPv4Network(self.cidr).prefixlen}")


_STATION_PORT = "station"


def ensure(zone: Zone) -> None:
    """Make the bridge and give it the router's address, and the station if it is asked for; repeatable."""
    lab, bridge = names.lab_namespace(zone.network), names.bridge(zone.name)
    router = zone.interface(zone.router)
    with netns.plumbing(zone.network):
        if netns.link(lab, bridge) is None:
            run(
                "ip",
                "-n",
                lab,
                "link",
                "add",
                bridge,
                "type",
                "bridge",
                "stp_state",
                "0",
                "forward_delay",
                "0",
            )
        run(
            "ip", "-n", lab, "-batch", "-",
            # a bridge without an address of its own takes a port's, and changes it as ports come and go
            stdin=f"link set {bridge} address {names.mac(router.ip)}\naddress flush dev {bridge}\n"
            f"address add {router} dev {bridge}\nlink set {bridge} up\n",
        )  # fmt: skip
        # The router answers for neighbours, whose ports are isolated from one another (RFC 3069).
        run(
            "nsenter", f"--net=/run/netns/{lab}", "sysctl", "-q", "-w",
            f"net.ipv4.conf.{bridge}.proxy_arp_pvlan=1",
            f"net.ipv4.neigh.{bridge}.proxy_delay=0",
        )  # fmt: skip
    if zone.station and _station_problems(zone):
        station = names.station_namespace(zone.network)
        netns.add(station)
        netns.attach(zone.network, zone.name, _STATION_PORT, station, zone.interface(zone.station), router.ip)


def exists(zone: Zone) -> bool:
    """Return whether the zone's bridge is there."""
    return netns.link(names.lab_namespace(zone.network), names.bridge(zone.name)) is not None


def problems(zone: Zone) -> list[str]:
    """Say what differs from ``ensure`` on a bridge that exists."""
    lab, bridge = names.lab_namespace(zone.network), names.bridge(zone.name)
    found = []
    state = netns.link(lab, bridge) or {}
    if "UP" not in state.get("flags", []):
        found.append(f"bridge {bridge} is down")
    router = zone.interface(zone.router)
    if state.get("address") != names.mac(router.ip):
        found.append(f"bridge {bridge} does not have the hardware address {names.mac(router.ip)}")
    wanted = str(router)
    if netns.addresses(lab, bridge) != [wanted]:
        found.append(f"bridge {bridge} does not have {wanted} alone")
    return found + _station_problems(zone)


def remove(zone: Zone) -> None:
    """Remove the bridge, and the station that was on it."""
    lab, bridge = names.lab_namespace(zone.network), names.bridge(zone.name)
    if zone.station:
        netns.delete(names.station_namespace(zone.network))
    if netns.link(lab, bridge) is not None:
        run("ip", "-n", lab, "link", "delete", bridge)


def _station_problems(zone: Zone) -> list[str]:
    if zone.station is None:
        return []
    station, address = names.station_namespace(zone.network), zone.interface(zone.station)
    return netns.problems(zone.network, zone.name, _STATION_PORT, station, address)
