"""chain.yml → ChainSpec: parse, refuse, freeze, digest. Pure: reads one file, starts nothing."""

from provchain.spec.flows import Listener, Permit, inbound, listeners, outbound, permits
from provchain.spec.loading import digest, json_schema, load, loads
from provchain.spec.model import ChainSpec, Endpoint, Flow, Host, Organisation, Zone
from provchain.spec.problems import Problem, SpecError

__all__ = [
    "ChainSpec",
    "Endpoint",
    "Flow",
    "Host",
    "Listener",
    "Organisation",
    "Permit",
    "Problem",
    "SpecError",
    "Zone",
    "digest",
    "inbound",
    "json_schema",
    "listeners",
    "load",
    "loads",
    "outbound",
    "permits",
]
