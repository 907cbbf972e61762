"""The description of one network, frozen: what a chain.yml may say.

Shapes and single values are checked here; what must hold between values is in ``rules_chain`` and
``rules_network``. The docstrings under the fields are also the descriptions in the JSON Schema.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from provchain.spec.codes import USCC_PATTERN, Region, valid_uscc
from provchain.spec.keys import host_key, person_key, sm2_public

NodeRole = Literal["validator", "full", "rpc", "bastion", "time", "logs", "signer"]
ServiceName = Literal["ssh", "ntp", "logs", "p2p", "rpc"]
OrganisationRole = Literal[
    "operator", "provincial_regulator", "government", "custodian", "vendor", "csrc_bureau"
]
AdministratorRole = Literal["system", "security", "audit", "auditor"]
ZoneKind = Literal["consensus", "access", "regulator", "management", "data"]

NETWORK = "^[a-z][a-z0-9]{1,7}$"
WORD = "^[a-z][a-z0-9]{0,11}$"
LABEL = "^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$"
USER = "^[a-z_][a-z0-9_-]{0,31}$"
_UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069"
"""Controls, line separators, and marks that reverse the direction of what is shown."""
TITLE = f"^[^{_UNSEEN}]*[^ {_UNSEEN}][^{_UNSEEN}]*$"
ENGINE = "^[a-z][a-z0-9-]{0,31}$"
VERSION = "^(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})(-[0-9A-Za-z.-]{1,32})?$"
TCP = "^[1-9][0-9]{0,4}/tcp$"
UDP = "^[1-9][0-9]{0,4}/udp$"

MEANINGS = {
    NETWORK: "2 to 8 lower-case letters and digits, a letter first",
    WORD: "1 to 12 lower-case letters and digits, a letter first",
    LABEL: "1 to 12 lower-case letters, digits and inner hyphens, a letter first",
    USER: "a Linux user name of lower-case letters, digits, - and _",
    TITLE: "one line of text that is not blank",
    ENGINE: "lower-case letters, digits and hyphens, a letter first",
    VERSION: "a version such as 1.2.3",
    TCP: "a port from 1 to 65535 and its protocol, such as 22/tcp",
    UDP: "a port from 1 to 65535 and its protocol, such as 123/udp",
    USCC_PATTERN: "18 characters of the GB 32100-2015 alphabet, the 3rd to the 8th digits",
}
"""What each pattern means, for people; used in refusals."""


def _port(text: str) -> str:
    if int(text.partition("/")[0]) > 65535:
        raise ValueError("a port from 1 to 65535")
    return text


def _not_root(user: str) -> str:
    if user == "root":
        raise ValueError("a user other than root, who may use sudo")
    return user


def _distinct(roles: tuple[NodeRole, ...]) -> tuple[NodeRole, ...]:
    if len(set(roles)) != len(roles):
        raise ValueError("each role once")
    return roles


Word = Annotated[str, Field(pattern=WORD)]
Label = Annotated[str, Field(pattern=LABEL)]
Title = Annotated[str, Field(pattern=TITLE, max_length=100)]
User = Annotated[str, Field(pattern=USER), AfterValidator(_not_root)]
TcpPort = Annotated[str, Field(pattern=TCP), AfterValidator(_port)]
UdpPort = Annotated[str, Field(pattern=UDP), AfterValidator(_port)]
HostKey = Annotated[str, Field(max_length=1000), AfterValidator(host_key)]
PersonKey = Annotated[str, Field(max_length=1000), AfterValidator(person_key)]


class Endpoint(NamedTuple):
    """Where a service listens: ``tcp`` or ``udp``, and the port."""

    protocol: str
    port: int


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        serialize_by_alias=True,
        defer_build=True,
    )


class Organisation(_Model):
    """A body that takes part in the chain; its role decides its rights (A4, A5)."""

    name: Label
    """Short name; the O of its certificates."""
    title: Title
    """Full name."""
    uscc: Annotated[str, Field(pattern=USCC_PATTERN), AfterValidator(valid_uscc)]
    """Unified social credit code with its check digit (GB 32100-2015)."""
    role: OrganisationRole
    """What the organisation is to the market."""


class Zone(_Model):
    """An isolated network; only the flow matrix leads from zone to zone (A18)."""

    name: Word
    kind: ZoneKind
    """What the zone is for."""
    cidr: IPv4Network
    """Its network, /28 or larger. The first usable address is the router's, the last the probe's, the
    last but one the operator station's (in the management zone)."""

    @property
    def router(self) -> IPv4Address:
        """Return the router's address in this zone."""
        return self.cidr.network_address + 1

    @property
    def probe(self) -> IPv4Address:
        """Return the address from which the proof suite probes this zone's view."""
        return self.cidr.broadcast_address - 1

    @property
    def operator(self) -> IPv4Address:
        """Return the operator station's address; in use in the management zone only."""
        return self.cidr.broadcast_address - 2


class HostSsh(_Model):
    """How to reach a host that is there already."""

    address: IPv4Address
    """Where its SSH server answers."""
    port: int = Field(default=22, ge=1, le=65535)
    user: User
    """First login; may use sudo."""
    host_key: HostKey
    """The server's public key, so that the first connection is verified too."""


class Host(_Model):
    """A machine."""

    name: Label
    zone: Word
    organisation: Label
    """Whose machine it is."""
    failure_domain: Annotated[str, Field(pattern=TITLE, max_length=40)]
    """What it shares with others that fail together: rack, room, site."""
    address: IPv4Address
    """Its address in its zone."""
    roles: Annotated[tuple[NodeRole, ...], Field(min_length=1), AfterValidator(_distinct)]
    """validator: votes; full: follows without a vote; rpc: serves clients (needs one of these two);
    bastion: the way in for SSH; time: NTP source of the others; logs: collects the logs of the others;
    signer: keeps a founding key of its organisation, which submits objects and approves changes of the
    membership."""
    keep_blocks: int = Field(default=0, ge=0, le=1_000_000_000)
    """How many of the newest blocks a node keeps: 0 for an archive, which keeps all, else 1,000 or more."""
    join: Literal["blocks", "snapshot"] = "blocks"
    """How a node without a store comes by one: by all blocks from the first on, or by a state snapshot of its
    peers and the blocks since. The latter for a host that is added to a chain that has run for long."""
    ssh: HostSsh | None = None
    """Required with the backend existing, refused with others."""

    @property
    def is_node(self) -> bool:
        """Return whether the host runs the engine."""
        return "validator" in self.roles or "full" in self.roles


class Flow(_Model):
    """What may pass from one zone to another, or within one. All else is dropped."""

    source: Word = Field(alias="from")
    """The zone that opens the connection."""
    target: Word = Field(alias="to")
    """The zone of the hosts that accept it."""
    service: ServiceName
    to_role: NodeRole | None = None
    """Only to hosts with this role; otherwise to every host of the zone that offers the service."""
    purpose: Title | None = None
    """Why, for those who review the matrix."""


class Services(_Model):
    """Where each service listens, on every host that offers it."""

    ssh: TcpPort = "22/tcp"
    """Every host."""
    ntp: UdpPort = "123/udp"
    """Hosts with the role time."""
    logs: TcpPort = "2514/tcp"
    """Hosts with the role logs: RELP over TLS, from all others."""
    p2p: TcpPort = "26656/tcp"
    """Nodes, to one another."""
    rpc: TcpPort = "26657/tcp"
    """Nodes, to clients, the supervisory chain and monitoring."""

    def endpoint(self, service: ServiceName) -> Endpoint:
        """Return the protocol and port of a service."""
        port, protocol = str(getattr(self, service)).split("/")
        return Endpoint(protocol, int(port))


class Consensus(_Model):
    """Limits and times of the Byzantine fault tolerant consensus (A7)."""

    faults: int = Field(default=1, ge=1, le=33)
    """How many validators may be down or lie: n must be at least 3 times this, plus 1."""
    block_interval_ms: int = Field(default=1000, ge=50, le=600_000)
    """Pause between blocks, milliseconds."""
    propose_timeout_ms: int = Field(default=1500, ge=50, le=600_000)
    """Wait for a proposal in round 0, milliseconds."""
    vote_timeout_ms: int = Field(default=800, ge=50, le=600_000)
    """Wait for more votes in round 0, milliseconds."""
    timeout_delta_ms: int = Field(default=500, ge=10, le=60_000)
    """Added to the waits with each round, milliseconds."""
    max_block_bytes: int = Field(default=4_194_304, ge=65_536, le=16_777_216)
    """Largest block; JR/T 0314-2024 clause 7 allows 16 MB."""
    max_tx_bytes: int = Field(default=262_144, ge=4_096)
    """Largest transaction."""
    snapshot_interval: int = Field(default=10_000, ge=0, le=1_000_000_000)
    """Blocks between two state snapshots, which validators make for nodes that join by one; 0: none."""


class Engine(_Model):
    """The software that runs the chain."""

    name: Annotated[str, Field(pattern=ENGINE)]
    """Also the name of the Ansible role that installs it."""
    version: Annotated[str, Field(pattern=VERSION)]


class Crypto(_Model):
    """Who computes SM2, SM3 and SM4 (A9)."""

    provider: Literal["native", "openssl"] = "native"
    """`native`: the library in the engine's package, for speed; `openssl`: the host's own."""


class Certificates(_Model):
    """Life of the hosts' certificates."""

    valid_days: int = Field(default=397, ge=1, le=397)
    renew_before_days: int = Field(default=30, ge=1, le=396)
    """Renew when fewer days are left."""


class Ssh(_Model):
    """How operators come in."""

    user: User
    """The account that Ansible uses."""
    bastion: Label
    """The host through which every other one is reached."""


class Administrator(_Model):
    """A person with an account on every host, and with one part in running them (GB/T 22239 8.1.5)."""

    name: User
    """The account's name."""
    person: Title
    """Whose it is."""
    role: AdministratorRole
    """system: runs and updates; security: policies and rights; audit: reads the records; auditor: looks at
    the hosts with `provchain audit`. Nobody has two, and none changes what another answers for."""
    keys: Annotated[tuple[PersonKey, ...], Field(min_length=1, max_length=8)]
    """The SSH public keys that the person comes in by."""


class Backups(_Model):
    """What each node backs up by itself, to its own disk, three times a day (GB/T 22239 8.1.4.9)."""

    keep: int = Field(default=3, ge=2, le=1000)
    """How many of the newest stay; each takes as much room as the store."""
    seal_for: Annotated[str, Field(max_length=400), AfterValidator(sm2_public)] | None = None
    """The recovery key's public half (PEM, SM2): only its holder opens them, on any host. Without it, a
    backup opens on its own host alone. `provnode keygen --out recovery.pem --pem` makes one, to be kept
    offline."""


class Baseline(_Model):
    """Which profile the hosts are hardened to (A15)."""

    profile: Literal["mlps3", "mlps3-chain"] = "mlps3"


class ChainSpec(_Model):
    """One provincial business chain (地方业务链): everything that provchain needs to know."""

    format: int = Field(ge=1, le=1)
    """Version of this format."""
    network: Annotated[str, Field(pattern=NETWORK)]
    """Name of the network, of its folder in inventories/ and of its Pulumi stack."""
    title: Title
    chain_id: Region
    """Region name of JR/T 0325-2024."""
    environment: Literal["lab", "production"]
    backend: Literal["lab", "existing"]
    """lab: hosts made on this machine; existing: hosts that are there already."""
    filing_number: Annotated[str, Field(pattern=TITLE, max_length=64)] | None = None
    """Number of the service filing (备案, A15); required in production."""
    organisations: Annotated[tuple[Organisation, ...], Field(min_length=1, max_length=100)]
    zones: Annotated[tuple[Zone, ...], Field(min_length=1, max_length=32)]
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=200)]
    flows: Annotated[tuple[Flow, ...], Field(max_length=500)]
    """The flow matrix: what is not in it does not pass."""
    services: Services = Services()
    consensus: Consensus = Consensus()
    engine: Engine
    crypto: Crypto = Crypto()
    certificates: Certificates = Certificates()
    ssh: Ssh
    administrators: Annotated[tuple[Administrator, ...], Field(max_length=100)] = ()
    """The people with accounts of their own; whoever is not here has none."""
    backups: Backups = Backups()
    baseline: Baseline = Baseline()

    @property
    def nodes(self) -> tuple[Host, ...]:
        """Return the hosts that run the engine, in the spec's order."""
        return tuple(host for host in self.hosts if host.is_node)

    @property
    def validators(self) -> tuple[Host, ...]:
        """Return the hosts that vote, in the spec's order."""
        return tuple(host for host in self.hosts if "validator" in host.roles)

    @property
    def signers(self) -> tuple[Host, ...]:
        """Return the hosts that keep a founding key of their organisation, in the spec's order."""
        return tuple(host for host in self.hosts if "signer" in host.roles)

    def host(self, name: str) -> Host:
        """Return a host by name; raises KeyError."""
        return {host.name: host for host in self.hosts}[name]

    def zone(self, name: str) -> Zone:
        """Return a zone by name; raises KeyError."""
        return {zone.name: zone for zone in self.zones}[name]
