"""chain.yml → ChainSpec: parse, refuse, freeze, digest. Pure: reads one file, starts nothing."""

from provchain.document import DocumentError, Problem
from provchain.spec.flows import Listener, Permit, inbound, listeners, outbound, permits
from provchain.spec.loading import digest, json_schema, load, loads
from provchain.spec.model import ChainSpec, Endpoint, Flow, Host, Organisation, Zone

__all__ = [
    "ChainSpec",
    "DocumentError",
    "Endpoint",
    "Flow",
    "Host",
    "Listener",
    "Organisation",
    "Permit",
    "Problem",
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
