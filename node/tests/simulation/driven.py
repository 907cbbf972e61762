"""Faults planted around the core: in what drives it, the logs, the ledger, block sync and gossip."""

from __future__ import annotations

from tests.simulation.planting import Mutant

# all found by the simulator
DRIVEN = (
    Mutant(
        "the log is not synced before a vote",
        "ops.consensus",
        "            journal.sync()\n            return signer.vote(unsigned)\n",
        "            return signer.vote(unsigned)\n",
    ),
    Mutant(
        "a restart forgets what it was about to do",
        "ops.consensus",
        "        await self._carry_on(pending)\n",
        "",
    ),
    Mutant(
        "a block is acknowledged before it is durable",
        "ops.consensus",
        "        committed = await self._threads.durably(lambda: self._ledger.commit(raw, certificate))\n",
        "        self._outlet.on_committed(Committed(certificate.height, certificate.block_id, ()))\n"
        "        committed = await self._threads.durably(lambda: self._ledger.commit(raw, certificate))\n",
    ),
    Mutant(
        "a refused write is taken for a good one",
        "ops.threads",
        "                await self.rest(_AGAIN_SECONDS)\n",
        "                return None\n",
    ),
    Mutant(
        "what was signed last is not kept",
        "ops.signer",
        "        self._store.save(signed)\n",
        "",
    ),
    Mutant(
        "the old key goes on signing after a change of keys",
        "ops.signer",
        "self._keys.get(own.public_key)",
        "next(iter(self._keys.values()))",
    ),
    Mutant(
        "a file is renamed before its content is synced",
        "storage.files",
        "            write_all(handle, data)\n            os.fsync(handle)\n",
        "            write_all(handle, data)\n",
    ),
    Mutant(
        "a rename is not synced",
        "storage.files",
        "        temporary.replace(path)\n        sync_directory(path.parent)\n",
        "        temporary.replace(path)\n",
    ),
    Mutant(
        "the log leaves it to the system when to write",
        "storage.wal",
        "                os.fdatasync(self._handle)\n",
        "                pass\n",
    ),
    Mutant(
        "a torn tail of the log stays",
        "storage.wal",
        "            os.truncate(path, end)\n",
        "            pass\n",
        first=145,
    ),
    Mutant(
        "a record that was refused half-way leaves a hole in the log",
        "storage.wal",
        "            os.lseek(self._handle, self._end, os.SEEK_SET)\n            raise",
        "            raise",
    ),
    Mutant(
        "a tail of zeros is damage",
        "storage.wal",
        'len(raw.rstrip(b"\\0"))',
        "len(raw)",
    ),
    Mutant(
        "valid rounds are lost in the log",
        "ops.journal",
        "return [_PROPOSAL, wire.encode_proposal(proposal), int(valid)]",
        "return [_PROPOSAL, wire.encode_proposal(proposal), 0]",
    ),
    Mutant(
        "timers are not logged",
        "ops.journal",
        "            return [_TIMEOUT, int(step), height, round_]\n",
        "            return [_MARK]\n",
        first=198,
    ),
    Mutant(
        "blocks are not logged",
        "ops.journal",
        "            self._waiting.append(pack([_BLOCK,",
        "            (pack([_BLOCK,",
    ),
    Mutant(
        "a block from the future is taken",
        "ledger.app",
        "        if ahead > MAX_AHEAD_MS:\n",
        "        if False:\n",
    ),
    Mutant(
        "a proposer whose clock is behind does not wait for its parent's time",
        "ledger.app",
        "        time_ms = max(time_ms, self._tip.time_ms + 1)\n",
        "",
    ),
    Mutant(
        "time may stand still",
        "ledger.app",
        "        if header.time_ms <= tip.time_ms:\n",
        "        if False:\n",
        first=158,
    ),
    Mutant(
        "a header announces the validators of the height after the next",
        "ledger.app",
        "tip.membership.at(tip.height + 2)",
        "tip.membership.at(tip.height + 3)",
    ),
    Mutant(
        "the handover comes a height late",
        "ledger.execution",
        "membership = (self.changed or before).at(self.height + 1)",
        "membership = (self.changed or before).at(self.height)",
    ),
    Mutant(
        "validators of before the handover judge after it",
        "ledger.app",
        "            membership.validators,\n        )\n",
        "            self.validators if header.height > 1 else membership.validators,\n        )\n",
    ),
    Mutant(
        "a suspended validator keeps its vote",
        "ledger.membership",
        "found, active=_without(found.active, name), suspended=_with(found.suspended, wanted)",
        "found, suspended=_with(found.suspended, wanted)",
    ),
    Mutant(
        "a certificate needs no quorum",
        "ledger.certificates",
        "    if power < validators.quorum:\n",
        "    if not power:\n",
        first=190,
    ),
    Mutant(
        "signatures of a certificate are not verified",
        "ledger.certificates",
        "        if not held:\n",
        "        if False:\n",
        first=71,
    ),
    Mutant(
        "signatures of votes are not verified",
        "ops.intake",
        "        return [vote for vote, good in zip(chosen, verdicts, strict=True) if good]\n",
        "        return list(chosen)\n",
    ),
    Mutant(
        "evidence is believed",
        "wire.evidence",
        "        if not held:\n",
        "        if False:\n",
    ),
    Mutant(
        "one peer's boast stops the vote",
        "net.sync",
        "validator.power for validator in ahead if validator) >= validators.minority",
        "validator.power for validator in ahead if validator) > 0",
    ),
    Mutant(
        "no block is asked for",
        "net.sync",
        "        if lag <= 0 or",
        "        if lag <= 64 or",
    ),
    Mutant(
        "votes that got lost are not sent again",
        "net.resend",
        "        out += _votes(machine, number, VoteType.PREVOTE, peer.prevotes if same else ())\n",
        "",
    ),
    Mutant(
        "the prevotes behind a valid round are not sent again",
        "net.resend",
        "            if proposal.valid_round >= 0:\n",
        "            if False:\n",
        first=107,
    ),
    Mutant(
        "votes of any round are kept",
        "core.votes",
        "        if vote.round > current_round + MAX_ROUNDS_AHEAD:\n            return None\n",
        "",
    ),
    Mutant(
        "transactions are not passed on",
        "net.gossip",
        "self._peers.broadcast(body, urgent=False, but=source)",
        "pass",
        first=26,
    ),
)

# found in storms of its own: a proposer that comes back to an earlier round than it has spoken in never votes
# there again, since its guard refuses, rightly; with a silent fourth the others wait for ever
FORGOTTEN_ROUND = Mutant(
    "the log is not synced before a proposal",
    "ops.consensus",
    "            journal.sync()\n            return signer.proposal(unsigned)\n",
    "            return signer.proposal(unsigned)\n",
)
