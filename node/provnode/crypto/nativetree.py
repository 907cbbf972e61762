"""A state tree's newest nodes in the native library, which updates whole batches: see `ledger.tree`."""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provnode.crypto.provider import CryptoError

HASH_BYTES = 32
NODE_BYTES = 65
_RECORD = HASH_BYTES + NODE_BYTES
# a place with its length before it, in a record of a node that was made, and of one that is missing
_PLACE_BYTES = 35
_MADE = _RECORD + _PLACE_BYTES
_MISSING = HASH_BYTES + _PLACE_BYTES
# room for what one item makes and replaces in a tree of some millions; more is asked for when it is needed
_ROOM = 12 * _MADE
_MOST_KEPT = 16 * 1024 * 1024
CALLS = """
int32_t provsm_tree(const char *, uint64_t *, uint64_t, uint64_t, uint64_t *);
int32_t provsm_tree_free(uint64_t);
int32_t provsm_tree_update(uint64_t, const char *, const char *, uint64_t, const char *, uint64_t, char *,
                           uint64_t *, char *);
int32_t provsm_tree_settle(uint64_t, const char *, uint64_t, const char *, uint64_t);
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a batch: nodes that are `missing`; or else the new root, and what changed.

    Of what is missing these are hash and place. `made` are records of the new nodes, `gone` the hashes of
    those that the tree no longer has.
    """

    missing: tuple[tuple[bytes, bytes], ...]
    root: bytes
    made: bytes
    gone: bytes

    @property
    def nodes(self) -> dict[bytes, bytes]:
        """The new nodes by their places."""
        made = self.made
        return {
            _place(made, at + _RECORD): made[at + HASH_BYTES : at + _RECORD]
            for at in range(0, len(made), _MADE)
        }


class NativeTree:
    """One tree of which about `most` nodes are kept; for one thread at a time."""

    def __init__(self, ffi: Any, lib: Any, leaf: bytes, inner: bytes, most: int) -> None:  # noqa: ANN401 - cffi
        self._ffi, self._lib = ffi, lib
        handle = ffi.new("uint64_t *")
        lengths = ffi.from_buffer("uint64_t[]", array("Q", (len(leaf), len(inner))))
        _check(lib.provsm_tree(leaf + inner, lengths, len(leaf) + len(inner), most, handle))
        self._handle = handle[0]
        # used anew each time: fresh pages cost more than what is written there
        self._out = bytearray()
        weakref.finalize(self, lib.provsm_tree_free, self._handle).atexit = False

    def update(self, root: bytes, items: Sequence[tuple[bytes, bytes]], given: dict[bytes, bytes]) -> Step:
        """Set each key to its value, all of 32 bytes, keys distinct; `given` are nodes that were missing."""
        flat = b"".join([key + value for key, value in items])
        known = b"".join([name + node for name, node in given.items()])
        if len(flat) != 2 * HASH_BYTES * len(items) or len(known) != _RECORD * len(given):
            raise CryptoError("state tree: a key, value or node of another length")
        room = _ROOM * len(items) + _MADE
        while True:
            if len(self._out) < room:
                self._out = bytearray(room)
            counts, new = array("Q", (0, 0, 0, room)), bytearray(HASH_BYTES)
            done = self._lib.provsm_tree_update(
                self._handle,
                root,
                flat,
                len(items),
                known,
                len(known),
                self._ffi.from_buffer("char[]", new),
                self._ffi.from_buffer("uint64_t[]", counts),
                self._ffi.from_buffer("char[]", self._out),
            )
            _check(done)
            if counts[3] <= room:
                found = bytes(memoryview(self._out)[: counts[3]])
                if room > _MOST_KEPT:
                    self._out = bytearray()
                return _step(bytes(new), counts, found)
            room = counts[3]

    def settle(self, step: Step) -> None:
        """Keep what a step made and forget what has gone: it is committed."""
        made, gone = step.made, step.gone
        _check(self._lib.provsm_tree_settle(self._handle, made, len(made), gone, len(gone)))


def _step(root: bytes, counts: Sequence[int], out: bytes) -> Step:
    _, made, gone, _ = counts
    end, last = made * _MADE, made * _MADE + gone * HASH_BYTES
    missing = tuple(
        (out[at : at + HASH_BYTES], _place(out, at + HASH_BYTES)) for at in range(last, len(out), _MISSING)
    )
    return Step(missing, root, out[:end], out[end:last])


def _place(flat: bytes, at: int) -> bytes:
    return flat[at + 1 : at + 1 + flat[at]]


def _check(code: int) -> None:
    if code != 0:
        raise CryptoError("state tree: not what the library takes" if code == 1 else "libprovsm failed")
