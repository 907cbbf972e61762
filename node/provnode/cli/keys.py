"""Keys: born here, readable by their owner only, never overwritten by accident."""

from __future__ import annotations

import argparse
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from provnode.cli.main import RefusalError, print_json
from provnode.crypto import CryptoError, PrivateKey, Provider, get_provider
from provnode.crypto.sealed import Kek, Purpose, load_kek, open_key, public_of, seal_key
from provnode.crypto.spki import public_pem

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def read_pem(path: Path, purpose: Purpose, kek: Kek | None) -> bytes:
    """The PEM in a key file. Raises RefusalError if others can read the file, or it does not open."""
    try:
        return open_key(read_file(path), purpose, kek)
    except CryptoError as error:
        raise RefusalError(f"{path}: {error}") from None


def load_key(path: Path, provider: Provider, purpose: Purpose, kek: Kek | None) -> PrivateKey:
    """Read a private key. Raises RefusalError if others can read it too, or it is none."""
    try:
        return provider.load_private(read_pem(path, purpose, kek))
    except CryptoError as error:
        raise RefusalError(f"{path}: {error}") from None


def find_kek(name: str, provider: Provider, older: str = "") -> Kek | None:
    """The key-encryption key that the credential `name` holds, and `older`. Raises RefusalError."""
    try:
        return load_kek(name, provider, older)
    except CryptoError as error:
        raise RefusalError(str(error)) from None


def read_file(path: Path) -> bytes:
    """A key file as it is. Raises RefusalError if others can read it too."""
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RefusalError(f"{path}: mode {stat.S_IMODE(mode):04o}, allowed: 0600; chmod 0600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None


def _write(path: Path, raw: bytes, *, force: bool) -> None:
    """Put a key file in place, its owner's alone from the first byte on."""
    new: Path | None = None
    try:
        # a file of its own, mode 0600, made by O_EXCL
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        new = Path(name)
        with os.fdopen(handle, "wb") as sink:
            sink.write(raw)
            sink.flush()
            os.fsync(sink.fileno())
        if force:
            new.replace(path)
        else:
            # a link, unlike a rename, refuses to replace a key that came meanwhile
            os.link(new, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError:
        raise RefusalError(f"{path}: exists and is kept; --force replaces it by a new key") from None
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None
    finally:
        if new is not None:
            new.unlink(missing_ok=True)


def keygen(given: argparse.Namespace) -> int:
    """Make a key, seal one, or look at one; print its public key as JSON, or as PEM."""
    provider = get_provider("openssl")
    kek = find_kek(given.kek, provider)
    path: Path = given.out or given.ensure or given.seal or given.show
    created = given.out is not None or (given.ensure is not None and not given.ensure.exists())
    if created or given.seal is not None:
        key = provider.generate() if created else load_key(path, provider, given.purpose, None)
        public, pem = provider.public_key(key), provider.save_private(key)
        raw = pem if kek is None else seal_key(kek, given.purpose, public, pem)
        _write(path, raw, force=given.force or given.seal is not None)
    elif given.show is not None and (told := _told(path)) is not None:
        public = told
    else:
        public = provider.public_key(load_key(path, provider, given.purpose, kek))
    if given.pem:
        print(public_pem(public), end="")
    else:
        print_json({"path": str(path), "created": created, "public_key": public.hex()})
    return 0


def _told(path: Path) -> bytes | None:
    """The public key that a sealed key's file tells to who can't open it."""
    try:
        return public_of(read_file(path))
    except CryptoError as error:
        raise RefusalError(f"{path}: {error}") from None


def csr(given: argparse.Namespace) -> int:
    """Print a certificate request for a key."""
    provider = get_provider("openssl")
    kek = find_kek(given.kek, provider)
    load_key(given.key, provider, given.purpose, kek)
    for text in (given.name, given.organisation):
        if not _NAME.fullmatch(text):
            raise RefusalError(f"name: found {text!r}, allowed: {_NAME.pattern}")
    subject = f"/CN={given.name}/O={given.organisation}"
    command = ["openssl", "req", "-new", "-key", "/dev/stdin", "-sm3", "-subj", subject]
    # signed under the signer id of GB/T 35276, without which authorities can't verify the request
    command += ["-sigopt", "distid:1234567812345678"]
    try:
        # through a pipe: an opened key touches no disk
        pem = read_pem(given.key, given.purpose, kek).decode("ascii")
        done = subprocess.run(command, input=pem, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RefusalError(f"openssl: {error.strerror}; install the package openssl") from None
    if done.returncode != 0:
        raise RefusalError(f"openssl made no request: {done.stderr.strip()}")
    print(done.stdout, end="")
    return 0
