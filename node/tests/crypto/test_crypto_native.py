"""libprovsm within a Python process: missing or wrong, its keys, its lengths, and the process's signals."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from provnode.crypto import CryptoError
from provnode.crypto.native import LIBRARY_VARIABLE, Native
from provnode.crypto.provider import get_provider

PROVIDER = Native()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
REFUSED = 1


@pytest.fixture
def library() -> ctypes.CDLL:
    """The calls without the lengths that the provider always gets right."""
    return ctypes.CDLL(os.environ[LIBRARY_VARIABLE])


def test_a_missing_library_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CryptoError, match=r"none\.so: .*or choose the provider openssl"):
        Native(tmp_path / "none.so")


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_damaged_library_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.so").write_bytes(content)
    with pytest.raises(CryptoError, match=r"bad\.so"):
        Native(tmp_path / "bad.so")


def test_another_library_is_refused() -> None:
    with pytest.raises(CryptoError, match="provsm_abi"):
        Native(Path("libcrypto.so.3"))


def test_the_calls_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provnode.crypto.native._ABI", 99)
    with pytest.raises(CryptoError, match="found version 4 of its calls, allowed: 99"):
        Native()


def test_a_key_ends_with_its_handle(library: ctypes.CDLL) -> None:
    key = PROVIDER.generate()
    number = ctypes.c_uint64(key.number)  # type: ignore[attr-defined]  # of this provider's handles only
    out, length = ctypes.create_string_buffer(4096), ctypes.c_uint64(4096)
    assert library.provsm_save(number, out, ctypes.byref(length)) == 0
    del key
    gc.collect()
    assert library.provsm_save(number, out, ctypes.byref(length)) == REFUSED
    assert library.provsm_sign(number, b"m", ctypes.c_uint64(1), out, ctypes.byref(length)) == REFUSED
    assert library.provsm_free(number) == REFUSED


def test_a_handle_that_never_was_is_refused(library: ctypes.CDLL) -> None:
    for number in (0, 2**63, 2**64 - 1):
        assert library.provsm_free(ctypes.c_uint64(number)) == REFUSED


def test_lengths_beyond_the_buffer_are_refused(library: ctypes.CDLL) -> None:
    out, one = ctypes.create_string_buffer(64), ctypes.c_uint64(1)
    for length in (2, 2**32, 2**63, 2**64 - 1):
        lengths = (ctypes.c_uint64 * 1)(length)
        assert library.provsm_hash_batch(b"", ctypes.c_uint64(0), b"x", lengths, one, one, out) == REFUSED
    room = ctypes.c_uint64(8)
    key = PROVIDER.generate()
    number = ctypes.c_uint64(key.number)  # type: ignore[attr-defined]  # of this provider's handles only
    assert library.provsm_sign(number, b"m", one, out, ctypes.byref(room)) == REFUSED
    assert out.raw == bytes(64)


def test_a_fault_within_the_library_is_an_error_not_the_end(library: ctypes.CDLL) -> None:
    """A length that no memory has makes Go panic; the process and the next call go on."""
    handle, public = ctypes.c_uint64(), ctypes.create_string_buffer(65)
    text = ctypes.c_char_p(b"x")
    failed = library.provsm_load(text, ctypes.c_uint64(2**64 - 1), ctypes.byref(handle), public)
    assert failed == 2
    assert PROVIDER.hash_batch([b"abc"]) == [PROVIDER.hash(b"abc")]


def test_more_keys_than_are_kept_verify_all_the_same() -> None:
    """The parsed public keys are bounded; what fell out is parsed again."""
    key = PROVIDER.generate()
    signature = PROVIDER.sign(key, b"m")
    item = (key.public, b"m", signature)
    assert PROVIDER.verify(*item)
    others = [(PROVIDER.generate().public, b"m", signature) for _ in range(9000)]
    assert not any(PROVIDER.verify_batch(others))
    assert PROVIDER.verify_batch([item, others[0], item]) == [True, False, True]


# Verifies on all processors while signals arrive; says how many did.
BUSY = """
import asyncio, signal, sys
from provnode.crypto import get_provider

async def main():
    provider = get_provider("native")
    key = provider.generate()
    items = [(key.public, b"m", provider.sign(key, b"m"))] * 64
    came = {signal.SIGINT: 0, signal.SIGTERM: 0}
    loop = asyncio.get_running_loop()
    def count(number):
        came[number] += 1
    for number in came:
        loop.add_signal_handler(number, count, number)
    print("ready", flush=True)
    while min(came.values()) < 20:
        assert all(await asyncio.to_thread(provider.verify_batch, items))
    print("done", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def start(script: str) -> subprocess.Popen[str]:
    """A Python of its own, which says that it is ready."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script], env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def test_signals_reach_the_event_loop_while_the_library_works() -> None:
    with start(BUSY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while not select.select([process.stdout], [], [], 0.005)[0]:
            process.send_signal(2)
            process.send_signal(15)
        assert process.communicate(timeout=60)[0] == "done\n"
    assert process.returncode == 0


@pytest.mark.parametrize(("number", "code"), [(2, -2), (15, -15)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_without_a_handler_still_ends_the_process(number: int, code: int) -> None:
    """Go takes neither away: an interrupt is KeyboardInterrupt, SIGTERM ends."""
    script = """from provnode.crypto import get_provider
provider = get_provider("native")
print("ready", flush=True)
while True:
    provider.hash_batch([b"x" * 100_000] * 8)
"""
    with start(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("KeyboardInterrupt" in errors) == (number == 2)


def test_children_start_beside_the_library() -> None:
    get_provider("native").hash_batch([b"x" * 1000] * 1000)
    done = subprocess.run(
        [sys.executable, "-c", "print('child')"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "child\n"
