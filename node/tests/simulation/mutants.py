"""Faults planted in the node: each must be found, or the tests prove little."""

from __future__ import annotations

from tests.simulation.planting import Mutant

# found by the simulator, which knows nothing of the rules but what must never happen
SIMULATED = (
    Mutant(
        "a new block is prevoted in spite of the lock (line 23)",
        "core.machine",
        "        free = self.locked is None or self.locked[1] == proposal.block_id\n",
        "        free = True\n",
        first=132,
    ),
    Mutant(
        "the lock is not kept (line 38)",
        "core.machine",
        "            self.locked = (self.round, block_id)\n",
        "",
        first=132,
    ),
    Mutant(
        "the valid value is not kept (line 42)",
        "core.machine",
        "        self.valid = (self.round, block_id)\n",
        "",
    ),
    Mutant(
        "the valid value is not proposed (line 16)",
        "core.machine",
        "            if self.valid is not None:\n",
        "            if False:\n",
    ),
    Mutant(
        "one prevote makes a lock (line 36)",
        "core.machine",
        "block_id = self._votes.quorum_block(self.round, VoteType.PREVOTE)",
        "block_id = next((v.block_id for v in self.votes(self.round, VoteType.PREVOTE) if v.block_id), None)",
    ),
    Mutant(
        "prevotes decide (line 49)",
        "core.machine",
        "block_id = self._votes.quorum_block(round_, VoteType.PRECOMMIT)",
        "block_id = self._votes.quorum_block(round_, VoteType.PREVOTE)",
    ),
    Mutant(
        "no timeout of the proposal (line 57)",
        "core.machine",
        "if step == Step.PROPOSE and self.step == Step.PROPOSE:",
        "if False:",
    ),
    Mutant(
        "no timeout of prevotes (line 61)",
        "core.machine",
        "elif step == Step.PREVOTE and self.step == Step.PREVOTE:",
        "elif False:",
    ),
    Mutant(
        "no timeout of precommits (line 65)",
        "core.machine",
        "            self._start_round(self.round + 1)",
        "            pass",
    ),
    Mutant(
        "the prevote timer never starts (line 34)",
        "core.machine",
        "        self._schedule(Step.PREVOTE)\n",
        "",
    ),
    Mutant(
        "two thirds are a quorum",
        "core.types",
        "self.total_power * 2 // 3 + 1",
        "self.total_power * 2 // 3",
    ),
    Mutant("all are needed for a quorum", "core.types", "self.total_power * 2 // 3 + 1", "self.total_power"),
    Mutant("the turn does not pass on", "core.types", "(height + round_) * stride", "height * stride"),
    Mutant(
        "a vote counts each time that it comes",
        "core.votes",
        "        elif not tally.holds(vote):\n",
        "        else:\n            tally.first(vote, validator.power)\n        if False:\n",
    ),
    Mutant(
        "an equivocator's second vote never counts (line 28)",
        "core.votes",
        "                tally.another(vote, validator.power)\n",
        "                pass\n",
        first=154,
    ),
    Mutant(
        "a certificate holds votes for other blocks",
        "core.votes",
        "for v in held if v.block_id == block_id)\n        return Certificate",
        "for v in held)\n        return Certificate",
    ),
    Mutant(
        "any quorum is a quorum for nil (line 44)",
        "core.votes",
        "tally.power.get(block_id, 0) >= self._validators.quorum",
        "tally.voted >= self._validators.quorum",
        first=40,
    ),
    Mutant(
        "the guard lets everything pass", "core.guard", "if last is None or place > last.place:", "if True:"
    ),
    Mutant(
        "the guard does not look at the step",
        "core.guard",
        "place > last.place:",
        "place[:2] >= last.place[:2]:",
    ),
)

# found by the stories: too rare, or too harmless for one run, to be met by chance
TOLD = (
    Mutant(
        "a valid round never opens the lock (line 29)",
        "core.machine",
        "locked is None or locked[0] <= proposal.valid_round or",
        "locked is None or",
    ),
    Mutant(
        "any valid round opens the lock (line 29)",
        "core.machine",
        "locked[0] <= proposal.valid_round or",
        "locked[0] >= 0 or",
    ),
    Mutant(
        "a valid round is believed without its prevotes (line 28)",
        "core.machine",
        "        if not self._votes.quorum_for(proposal.valid_round, VoteType.PREVOTE, proposal.block_id):\n"
        "            return False\n",
        "",
    ),
    Mutant(
        "the valid round is not told (line 19)",
        "core.machine",
        "self._propose(self.valid[1], self.valid[0])",
        "self._propose(self.valid[1], -1)",
    ),
    Mutant(
        "an unsound block is decided (line 50)",
        "core.machine",
        "if block_id is not None and block_id in self._valid_blocks:",
        "if block_id is not None:",
    ),
    Mutant(
        "earlier rounds decide nothing (line 49)",
        "core.machine",
        "for round_ in self._votes.rounds():",
        "for round_ in (self.round,):",
    ),
    Mutant(
        "a late timer votes again (line 62)",
        "core.machine",
        "elif step == Step.PREVOTE and self.step == Step.PREVOTE:",
        "elif step == Step.PREVOTE:",
    ),
    Mutant(
        "a timer of another round counts (line 58)",
        "core.machine",
        "        if (height, round_) != (self.height, self.round):\n            return\n        if step",
        "        if step",
    ),
    Mutant(
        "the precommit timer never starts (line 47)",
        "core.machine",
        "        self._schedule(Step.PRECOMMIT)\n",
        "",
    ),
    Mutant(
        "timers do not grow",
        "core.machine",
        "ms = base + self.round * self._params.delta_ms",
        "ms = base",
    ),
    Mutant(
        "anyone may propose (line 22)",
        "core.machine",
        "if proposal.proposer != self.validators.proposer(self.height, round_):",
        "if False:",
    ),
    Mutant(
        "the last proposal of a round counts",
        "core.machine",
        "first, found = self._proposals.setdefault(round_, (proposal, valid))",
        "self._proposals[round_] = first, found = (proposal, valid)",
    ),
    Mutant("one alone leads to another round (line 55)", "core.types", "(self.total_power + 2) // 3", "1"),
    Mutant(
        "no round is skipped (line 55)",
        "core.votes",
        "            if power >= self._validators.minority:\n                return round_",
        "            if False:\n                return round_",
    ),
    Mutant(
        "each vote of an equivocator counts",
        "core.votes",
        "            if tally.support.get(vote.block_id, 0) >= self._validators.minority:\n"
        "                tally.another",
        "            if True:\n                tally.another",
    ),
    Mutant(
        "equivocation goes unreported",
        "core.votes",
        "                return Conflict(first, vote)\n",
        "                return None\n",
    ),
    Mutant(
        "two proposals of a round go unreported",
        "core.machine",
        "            self._out.append(DoubleProposal(first, proposal))\n",
        "            pass\n",
    ),
    Mutant(
        "each proposal beyond the first is reported",
        "core.machine",
        'proposal.block_id and self._once("double proposal", round_):',
        "proposal.block_id:",
    ),
    Mutant(
        "strangers vote",
        "core.votes",
        "        if validator is None or vote.round < 0:\n            return None",
        "        if validator is None:\n            validator = self._validators.validators[0]",
    ),
)
