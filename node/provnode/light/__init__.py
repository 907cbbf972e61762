"""Check what the chain says, trusting nothing but the genesis or a later point that was checked before.

This package stands alone: it shares no code with the node, so that an auditor can read all of it and a fault
of the ledger can't hide itself. It needs a provider of SM2 and SM3.

A `Trust` is a height, its block and the validators of the heights after it. `follow` leads from one to a
later one along the handovers: at each change of the validators, the last header of the old set, which names
the next set, and the old set's certificate for it. Since more than two thirds of the old power must have
signed, no third party can lead a client astray, as long as less than a third of each set on the way is
dishonest **until the client has passed it**. That is the limit of every such client: who has got hold of two
thirds of a set's keys years later, when they are worthless to the chain, can sign another history from that
set's time on, and a client whose trusted point is that old can't tell the two apart. So keep a trusted point
recent (`provnode verify --trust FILE` moves it on), destroy keys that are out of use, and compare an old
point with what several organisations' nodes say before use; the period for which a point may be left alone
is the one for which retired keys are known to be under control.
"""

from provnode.light.forms import ProofError, Verifier
from provnode.light.proofs import (
    Origin,
    VerifiedAbsence,
    VerifiedObject,
    VerifiedState,
    verify_absence,
    verify_proof,
    verify_state,
)
from provnode.light.trust import MOST_HANDOVERS, Trust, follow

__all__ = [
    "MOST_HANDOVERS",
    "Origin",
    "ProofError",
    "Trust",
    "VerifiedAbsence",
    "VerifiedObject",
    "VerifiedState",
    "Verifier",
    "follow",
    "verify_absence",
    "verify_proof",
    "verify_state",
]
