"""Keys: born here, readable by their owner only, never overwritten."""

from __future__ import annotations

import argparse
import os
import stat
import subprocess
from pathlib import Path

from provnode.cli.main import RefusalError, print_json
from provnode.crypto import CryptoError, PrivateKey, Provider, get_provider


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


def _make(path: Path, provider: Provider) -> PrivateKey:
    key = provider.generate()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as sink:
            sink.write(provider.save_private(key))
            sink.flush()
            os.fsync(sink.fileno())
        # a link, unlike a rename, refuses to replace a key that came meanwhile
        os.link(new, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError:
        raise RefusalError(f"{path}: exists; a key is never overwritten") from None
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
    return key


def keygen(given: argparse.Namespace) -> int:
    """Make a key, or look at one; print its public key as JSON."""
    provider = get_provider("openssl")
    path = given.out or given.ensure or given.show
    created = given.out is not None or (given.ensure is not None and not given.ensure.exists())
    key = _make(path, provider) if created else load_key(path, provider)
    print_json({"path": str(path), "created": created, "public_key": provider.public_key(key).hex()})
    return 0


def csr(given: argparse.Namespace) -> int:
    """Print a certificate request for a key."""
    load_key(given.key, get_provider("openssl"))
    for text in (given.name, given.organisation):
        if not text.replace("-", "").isalnum():
            raise RefusalError(f"{text!r}: allowed are letters, digits and hyphens")
    subject = f"/CN={given.name}/O={given.organisation}"
    command = ["openssl", "req", "-new", "-key", str(given.key), "-sm3", "-subj", subject]
    done = subprocess.run(
        [*command, "-sigopt", "distid:1234567812345678"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RefusalError(f"openssl made no request: {done.stderr.strip()}")
    print(done.stdout, end="")
    return 0
