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

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def load_key(path: Path, provider: Provider) -> PrivateKey:
    """Read a private key. Raises RefusalError if others can read it too, or it is none."""
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RefusalError(f"{path}: mode {stat.S_IMODE(mode):04o}, allowed: 0600; chmod 0600 {path}")
        return provider.load_private(path.read_bytes())
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None
    except CryptoError as error:
        raise RefusalError(f"{path}: {error}") from None


def _make(path: Path, provider: Provider, *, force: bool) -> PrivateKey:
    key = provider.generate()
    new: Path | None = None
    try:
        # a file of its own, mode 0600, made by O_EXCL
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        new = Path(name)
        with os.fdopen(handle, "wb") as sink:
            sink.write(provider.save_private(key))
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
    return key


def keygen(given: argparse.Namespace) -> int:
    """Make a key, or look at one; print its public key as JSON."""
    provider = get_provider("openssl")
    path: Path = given.out or given.ensure or given.show
    created = given.out is not None or (given.ensure is not None and not given.ensure.exists())
    key = _make(path, provider, force=given.force) if created else load_key(path, provider)
    print_json({"path": str(path), "created": created, "public_key": provider.public_key(key).hex()})
    return 0


def csr(given: argparse.Namespace) -> int:
    """Print a certificate request for a key."""
    load_key(given.key, get_provider("openssl"))
    for text in (given.name, given.organisation):
        if not _NAME.fullmatch(text):
            raise RefusalError(f"name: found {text!r}, allowed: {_NAME.pattern}")
    subject = f"/CN={given.name}/O={given.organisation}"
    command = ["openssl", "req", "-new", "-key", str(given.key), "-sm3", "-subj", subject]
    # signed under the signer id of GB/T 35276, without which authorities can't verify the request
    command += ["-sigopt", "distid:1234567812345678"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RefusalError(f"openssl: {error.strerror}; install the package openssl") from None
    if done.returncode != 0:
        raise RefusalError(f"openssl made no request: {done.stderr.strip()}")
    print(done.stdout, end="")
    return 0
