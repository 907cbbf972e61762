"""One run of the simulator: what the schedule says for a while, then calm, in which the chain must go on."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from provnode.ledger.errors import TxError
from provnode.ledger.membership import Limits
from provnode.ledger.transactions import decode_transaction
from tests.simulation.byzantine import Liar
from tests.simulation.chain import make_change, make_genesis, make_note, plan_change
from tests.simulation.disk import installed
from tests.simulation.equivocator import Coalition, Equivocator
from tests.simulation.invariants import InvariantError, Witness
from tests.simulation.network import Cut, Network
from tests.simulation.replica import STORE, Replica
from tests.simulation.schedule import (
    STORM_MS,
    TWINS,
    Byzantine,
    Crash,
    Fault,
    Forgetful,
    Late,
    Partition,
    Reform,
    Refusal,
    Schedule,
    Skew,
    Slow,
    Storm,
    Submit,
)
from tests.simulation.world import World

# timers grow by a tenth of a second a round, who was shut out is heard again after half a minute; nothing
# honest takes this long in a calm network
PATIENCE_MS = 120_000
BLOCKS_AFTER = 2
_LOOK_MS = 50
# of each pair of nodes: a run that takes more goes round in circles
MOST_STEPS = 5_000
_LAST = 1_000_000


@dataclass
class Report:
    """What a run saw: for the reader, and for the test that the faults really happen."""

    heights: int = 0
    rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class Run:
    """One run of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.world = World(schedule.seed)
        self.network = Network(self.world)
        self.genesis = make_genesis(schedule.powers)
        self.counts: Counter[str] = Counter()
        kinds = {fault.who: fault for fault in schedule.faults if isinstance(fault, Byzantine | Forgetful)}
        # a validator without memory may go against its lock, so it counts among the f; but its guard keeps it
        # from contradicting itself, and it must come along
        self._among_f = frozenset(kinds)
        byzantine = frozenset(name for name, kind in kinds.items() if isinstance(kind, Byzantine))
        self.witness = Witness(self.genesis, self.world, byzantine)
        self.coalition = Coalition(self.world.chance("coalition"))
        self._late = {fault.who for fault in schedule.faults if isinstance(fault, Late)}
        for name in schedule.names:
            self._add(name, kinds.get(name))
        self.honest = [
            node
            for node in self.network.members.values()
            if isinstance(node, Replica) and node.name not in byzantine
        ]
        self._everybody = [node for node in self.network.members.values() if isinstance(node, Replica)]

    def _add(self, name: str, kind: Byzantine | Forgetful | None) -> None:
        make: Callable[..., Replica] = Replica
        addresses = [name]
        if isinstance(kind, Byzantine) and "equivocate" in kind.habits:
            make = Equivocator
        elif isinstance(kind, Byzantine) and TWINS in kind.habits:
            addresses.append(f"{name}'")
        elif isinstance(kind, Byzantine):
            make = Liar
        for address in addresses:
            node = make(address, name, self.genesis, self.world, self.network, self.witness)
            node.forgetful = isinstance(kind, Forgetful)
            if isinstance(node, Liar) and isinstance(kind, Byzantine):
                node.habits = frozenset(kind.habits)
            if isinstance(node, Equivocator):
                node.coalition = self.coalition
                self.coalition.members.append(node)

    def run(self) -> Report:
        """From the first block to the calm after the storm. Raises InvariantError."""
        world = self.world
        for node in self._everybody:
            if node.name not in self._late:
                world.after(0, node.boot, owner=node)
        for fault in self.schedule.faults:
            self._plan(fault)
        self._until(STORM_MS, lambda: False)
        self._calm()
        self.world.run(STORM_MS + _LOOK_MS, _LAST)
        goal = self.witness.height + BLOCKS_AFTER
        note = self._submit_note(_LAST)
        if not self._until(STORM_MS + PATIENCE_MS, lambda: self._arrived(goal, note)):
            raise InvariantError(f"no progress to height {goal}: {self._standing(note)}")
        for node in self.honest:
            self.witness.compare(node)
        return self._report()

    def _until(self, time: int, done: Callable[[], bool]) -> bool:
        most = MOST_STEPS * len(self._everybody) ** 2
        while self.world.now < time:
            if done():
                return True
            if self.world.steps >= most:
                return False
            self.world.run(min(time, self.world.now + _LOOK_MS), most)
        return done()

    def _arrived(self, goal: int, note: bytes) -> bool:
        at = self.witness.places.get(note, _LAST)
        return all(node.up and node.height >= max(goal, at) for node in self.honest)

    def _standing(self, note: bytes) -> str:
        """Where everybody is: height and round, and whether the last transaction was committed."""
        rounds = {node.address: node.up and node.consensus.machine.round for node in self._everybody}
        heights = {node.address: (node.height, rounds[node.address]) for node in self._everybody}
        return f"{heights}, the transaction at {self.witness.places.get(note)}"

    def _calm(self) -> None:
        """All faults but the Byzantine ones are over; who was down comes back."""
        self.network.calm()
        for node in self._everybody:
            node.calm()
            self.world.after(0, node.boot, owner=node)

    def _report(self) -> Report:
        counts, witness = self.counts, self.witness
        for node in self._everybody:
            counts["crashes"] += node.crashes
            counts["torn writes"] += node.disk.torn
            counts["refused writes"] += node.disk.refused + node.store.refused
        counts["evidence"] += witness.evidence
        counts["handovers"] += witness.handovers
        counts["bans"] += witness.bans
        counts["transactions"] += len(witness.places)
        counts["steps"] += self.world.steps
        counts[f"networks of {len(self.schedule.powers)}"] += 1
        counts["unequal powers"] += len(set(self.schedule.powers)) > 1
        return Report(witness.height, witness.rounds, counts)

    # --- what goes wrong

    def _plan(self, fault: Fault) -> None:
        after, network = self.world.after, self.network
        match fault:
            case Storm(at, until, weather):
                after(at, partial(network.change, begins=weather))
                after(until, partial(network.change, ends=weather))
                self.counts["storms"] += 1
            case Partition(at, until, cut):
                cut = self._with_twins(cut)
                after(at, network.cuts.append, cut)
                after(until, network.heal, cut)
                self.counts["partitions" if cut.both else "one-way partitions"] += 1
            case Reform(at):
                after(at, self._reform, fault)
            case Submit(at, who, number):
                after(at, self._submit, who, number)
            case Byzantine(_, habits):
                self.counts.update(habits)
            case Forgetful():
                self.counts["lost logs"] += 1
            case Late(at, who):
                self.counts["late joins"] += 1
                after(at, self._nodes(who)[0].boot, owner=self._nodes(who)[0])
            case Crash() | Skew() | Slow() | Refusal():
                for node in self._nodes(fault.who):
                    self._plan_on(node, fault)

    def _with_twins(self, cut: Cut) -> Cut:
        """Of two copies of one identity, one is on either side."""
        twins = {node.address: node.name for node in self._everybody if node.address != node.name}
        here = frozenset(address for address, name in twins.items() if name in cut.targets)
        there = frozenset(address for address, name in twins.items() if name in cut.sources)
        return replace(cut, sources=cut.sources | here, targets=cut.targets | there)

    def _plan_on(self, node: Replica, fault: Crash | Skew | Slow | Refusal) -> None:
        after = self.world.after
        match fault:
            case Crash(at, _, boundaries, down_ms, once_signed):
                after(at, partial(node.end_soon, boundaries, down_ms, once_signed=once_signed))
            case Skew(at, until, _, offset, rate):
                after(at, self._skew, node, offset, rate)
                after(until, node.clock.set, 0, 1.0)
                self.counts["wrong clocks"] += 1
            case Slow(at, until, _, by_ms):
                after(at, setattr, node, "slow_ms", by_ms)
                after(until, setattr, node, "slow_ms", 0)
                self.counts["slow hosts"] += 1
            case Refusal(at, until, _, file):
                after(at, self._refuse, node, file)
                after(until, self._refuse, node, "")

    def _nodes(self, name: str) -> list[Replica]:
        return [node for node in self._everybody if node.name == name]

    def _skew(self, node: Replica, offset: int, rate: float) -> None:
        node.clock.set(offset, rate)
        if node.name not in self.witness.faulty:
            self.witness.most_ahead_ms = max(self.witness.most_ahead_ms, offset)

    def _refuse(self, node: Replica, file: str) -> None:
        node.store.refuses = file == STORE
        node.disk.refuses = frozenset({file} if file else ())

    # --- what clients do

    def _submit(self, who: str, number: int) -> None:
        raw = make_note(self.genesis, number)
        self._give(self._nodes(who)[0], raw)

    def _submit_note(self, number: int) -> bytes:
        """A transaction that must be committed, since an honest node takes it in."""
        raw = make_note(self.genesis, number)
        node = next(one for one in reversed(self.honest) if one.up)
        return self._give(node, raw)

    def _give(self, node: Replica, raw: bytes) -> bytes:
        txid = decode_transaction(raw, self.genesis.hash, len(raw)).txid
        self.witness.submitted.add(txid)
        node.submit(raw)
        return txid

    def _reform(self, fault: Reform) -> None:
        """What the organisations agree on: never so much that the faulty would be more than f."""
        able = [node for node in self.honest if node.up]
        if not able:
            return
        node = max(able, key=lambda one: one.height)
        change = plan_change(node.ledger, fault.action, fault.who, fault.later)
        if change is None or node.ledger.membership.pending:
            return
        try:
            limits = Limits(self.genesis.organisations, self.genesis.most_validators)
            after = node.ledger.membership.accept(change, node.height + 1, limits).at(change.effective_height)
        except TxError:
            return
        faulty = sum(one.power for one in after.active if one.name in self._among_f)
        if faulty * 3 >= sum(one.power for one in after.active):
            return
        raw = make_change(self.genesis, change)
        for one in self.honest:
            if one.up:
                self._give(one, raw)
        self.counts["changes submitted"] += 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The nodes' logs would take longer than the nodes."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def simulate(schedule: Schedule) -> Report:
    """Run one schedule. Raises InvariantError for whatever must not be."""
    with installed(), _silence():
        try:
            return Run(schedule).run()
        except InvariantError:
            raise
        except Exception as error:
            raise InvariantError(f"a node died: {type(error).__name__}: {error}") from error
