"""Rules about the chain itself: names, validators, power, RPC nodes, production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from provchain.document import Finding, KeyPath, key_text
from provchain.spec.model import ChainSpec

MIN_VALIDATORS = 4
MIN_RPC_HOSTS = 2
MIN_ARCHIVES = 2
MIN_KEPT_BLOCKS = 1_000
SNAPSHOTS_COVERED = 3
RESERVED_HOSTS = frozenset(
    {"all", "clients", "localhost", "nodes", "op", "probe", "router", "signers", "ungrouped", "validators"}
)
"""Names of the operator station, of the lab's own parts and of groups in the inventory."""

PRODUCTION_MINIMUM_MS = {
    "block_interval_ms": 500,
    "propose_timeout_ms": 1000,
    "vote_timeout_ms": 500,
    "timeout_delta_ms": 100,
}
"""Between machine rooms of one province a round trip takes tens of milliseconds and now and then a
retransmission of 200 ms or more; shorter waits suit the lab's bridges only."""


def repeated(values: Iterable[tuple[KeyPath, Hashable]]) -> Iterator[Finding]:
    """Yield a finding for each value that another one before it has already."""
    first: dict[Hashable, KeyPath] = {}
    for path, value in values:
        if value in first:
            yield Finding(path, str(value), f"another value than that of {key_text(first[value])}")
        else:
            first[value] = path


def organisation_names(spec: ChainSpec) -> Iterator[Finding]:
    """Organisations have names and credit codes of their own."""
    listed = list(enumerate(spec.organisations))
    yield from repeated((("organisations", i, "name"), org.name) for i, org in listed)
    yield from repeated((("organisations", i, "uscc"), org.uscc) for i, org in listed)


def host_names(spec: ChainSpec) -> Iterator[Finding]:
    """Hosts have names of their own, none of which means something else."""
    yield from repeated((("hosts", i, "name"), host.name) for i, host in enumerate(spec.hosts))
    for i, host in enumerate(spec.hosts):
        if host.name in RESERVED_HOSTS:
            yield Finding(
                ("hosts", i, "name"), host.name, "a name other than " + ", ".join(sorted(RESERVED_HOSTS))
            )


def host_owners(spec: ChainSpec) -> Iterator[Finding]:
    """Every host belongs to a listed organisation."""
    known = [org.name for org in spec.organisations]
    for i, host in enumerate(spec.hosts):
        if host.organisation not in known:
            yield Finding(("hosts", i, "organisation"), host.organisation, "one of " + ", ".join(known))


def host_roles(spec: ChainSpec) -> Iterator[Finding]:
    """Roles fit together, and at least one host gives the time."""
    for i, host in enumerate(spec.hosts):
        path, roles = ("hosts", i, "roles"), set(host.roles)
        shown = ", ".join(host.roles)
        if {"validator", "full"} <= roles:
            yield Finding(path, shown, "validator or full, not both")
        if "rpc" in roles and not host.is_node:
            yield Finding(path, shown, "rpc together with validator or full")
        if "bastion" in roles and host.is_node:
            yield Finding(path, shown, "bastion on a host that is no node")
    if not any("time" in host.roles for host in spec.hosts):
        yield Finding(
            ("hosts",), "no host with the role time", "at least 1, as the others have no other clock"
        )


def archives(spec: ChainSpec) -> Iterator[Finding]:
    """Two nodes or more keep all blocks, the others enough for peers that were away for a while.

    A validator keeps those since the older of its two snapshots, and as many again.
    """
    covered = SNAPSHOTS_COVERED * spec.consensus.snapshot_interval
    for i, host in enumerate(spec.hosts):
        path, found = ("hosts", i, "keep_blocks"), host.keep_blocks
        if found and not host.is_node:
            yield Finding(path, str(found), "none on a host that is no node")
        elif 0 < found < (least := max(MIN_KEPT_BLOCKS, covered if "validator" in host.roles else 0)):
            yield Finding(path, str(found), f"0 (all), or at least {least}")
    count = sum(host.keep_blocks == 0 for host in spec.nodes)
    if spec.nodes and count < MIN_ARCHIVES:
        yield Finding(("hosts",), f"{count} nodes that keep all blocks", f"at least {MIN_ARCHIVES}")


def validator_count(spec: ChainSpec) -> Iterator[Finding]:
    """Four validators or more (A7)."""
    count = len(spec.validators)
    if count < MIN_VALIDATORS:
        yield Finding(("hosts",), f"{count} validators", f"at least {MIN_VALIDATORS}")


def validators_for_faults(spec: ChainSpec) -> Iterator[Finding]:
    """n ≥ 3f + 1, without which f faulty validators can fork or halt the chain (arXiv 1807.04938, 2)."""
    count, faults = len(spec.validators), spec.consensus.faults
    if count >= MIN_VALIDATORS and count < 3 * faults + 1:
        yield Finding(
            ("consensus", "faults"),
            f"{faults} with {count} validators",
            f"at most {(count - 1) // 3}, or at least {3 * faults + 1} validators",
        )


def power_of_organisations(spec: ChainSpec) -> Iterator[Finding]:
    """No organisation alone reaches the quorum of more than two thirds (A16); every validator has power 1."""
    total = len(spec.validators)
    owned = Counter(host.organisation for host in spec.validators)
    for i, org in enumerate(spec.organisations):
        if total and 3 * owned[org.name] > 2 * total:
            yield Finding(
                ("organisations", i),
                f"{org.name} with {owned[org.name]} of {total} validators",
                f"at most {2 * total // 3}, so that no organisation finalises blocks alone",
            )


def signers_of_organisations(spec: ChainSpec) -> Iterator[Finding]:
    """Whoever has a vote can approve: a change takes a quorum of the organisations with a validator (A16)."""
    signing = {host.organisation for host in spec.signers}
    voting = {host.organisation for host in spec.validators}
    for i, org in enumerate(spec.organisations):
        if org.name in voting - signing:
            found = f"{org.name} with a validator and no host with the role signer"
            yield Finding(("organisations", i), found, "one, which approves changes for it")


def rpc_hosts(spec: ChainSpec) -> Iterator[Finding]:
    """Two RPC nodes or more (A10, JR/T 0314-2024 clause 7) that do not fail together."""
    hosts = [host for host in spec.hosts if "rpc" in host.roles]
    domains = {host.failure_domain for host in hosts}
    if len(hosts) < MIN_RPC_HOSTS:
        yield Finding(("hosts",), f"{len(hosts)} with the role rpc", f"at least {MIN_RPC_HOSTS}")
    elif len(domains) < MIN_RPC_HOSTS:
        yield Finding(
            ("hosts",), f"all rpc hosts in the failure domain {domains.pop()}", "two or more domains"
        )


def block_holds_transaction(spec: ChainSpec) -> Iterator[Finding]:
    """A block has room for a transaction of the largest size beside its header and certificate."""
    half = spec.consensus.max_block_bytes // 2
    if spec.consensus.max_tx_bytes > half:
        yield Finding(
            ("consensus", "max_tx_bytes"), str(spec.consensus.max_tx_bytes), f"at most {half}, half a block"
        )


def renewal(spec: ChainSpec) -> Iterator[Finding]:
    """Certificates are renewed within their life."""
    limit = spec.certificates.valid_days
    if spec.certificates.renew_before_days >= limit:
        yield Finding(
            ("certificates", "renew_before_days"),
            str(spec.certificates.renew_before_days),
            f"fewer than valid_days, {limit}",
        )


def production_filing(spec: ChainSpec) -> Iterator[Finding]:
    """Production has a filing number (A15) and no made-up hosts."""
    if spec.environment == "production":
        if spec.backend == "lab":
            yield Finding(("backend",), "lab", "existing, in production")
        if spec.filing_number is None:
            yield Finding(("filing_number",), "nothing", "the number of the service filing, in production")


def production_times(spec: ChainSpec) -> Iterator[Finding]:
    """Production waits long enough for a network between machine rooms."""
    if spec.environment == "production":
        for key, least in PRODUCTION_MINIMUM_MS.items():
            value = getattr(spec.consensus, key)
            if value < least:
                yield Finding(("consensus", key), str(value), f"at least {least}, in production")


def production_domains(spec: ChainSpec) -> Iterator[Finding]:
    """Production does not keep all validators where they fail together."""
    domains = {host.failure_domain for host in spec.validators}
    if spec.environment == "production" and len(domains) == 1:
        yield Finding(
            ("hosts",), f"all validators in the failure domain {domains.pop()}", "two or more, in production"
        )


RULES = (
    (("organisations",), organisation_names),
    (("hosts",), host_names),
    (("hosts", "organisations"), host_owners),
    (("hosts",), host_roles),
    (("hosts",), archives),
    (("hosts",), validator_count),
    (("hosts", "consensus"), validators_for_faults),
    (("hosts", "organisations"), power_of_organisations),
    (("hosts", "organisations"), signers_of_organisations),
    (("hosts",), rpc_hosts),
    (("consensus",), block_holds_transaction),
    (("certificates",), renewal),
    (("environment", "backend", "filing_number"), production_filing),
    (("environment", "consensus"), production_times),
    (("environment", "hosts"), production_domains),
)
