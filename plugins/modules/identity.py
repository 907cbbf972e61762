#!/usr/bin/python
"""Keep a host's SM2 key, born here, and say whether a new certificate is due."""

from __future__ import annotations

DOCUMENTATION = """
module: identity
short_description: An SM2 key born on the host, and the request for its certificate
description:
  - Makes the key where there is none. It never leaves the host.
  - If the certificate is missing, runs out soon, says another name, belongs to another key or to another
    authority, returns a signing request.
options:
  directory: {description: The folder of key.pem and cert.pem., type: path, required: true}
  owner: {description: The user that reads the key., type: str, required: true}
  name: {description: The host's name., type: str, required: true}
  organisation: {description: The host's organisation., type: str, required: true}
  authority: {description: The organisation's authority as PEM., type: str, required: true}
  renew_before_days: {description: Days left at which renewal is due., type: int, required: true}
  rotate: {description: Make a new key in any case., type: bool, default: false}
  certificate: {description: A certificate to install as PEM., type: str, default: ""}
author: provchain
"""
EXAMPLES = """
- name: Keep the key
  identity: {directory: /etc/provchain/identity, owner: node, name: v1, organisation: zjex, authority: "...",
             renew_before_days: 30}
"""
RETURN = """
request:
  description: The signing request as PEM, empty if none is due.
  returned: always
  type: str
"""

import os  # noqa: E402 - Ansible wants its documentation first
import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

DISTID = "distid:1234567812345678"
NEXT = "next.pem"


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _due(key: Path, certificate: Path, wanted: dict[str, object]) -> str:
    """Return why a new certificate is due, or nothing."""
    if not certificate.exists():
        return "no certificate"
    seconds = int(str(wanted["renew_before_days"])) * 86_400
    if _run("openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(seconds)).returncode != 0:
        return "it runs out soon"
    subject = _run(
        "openssl", "x509", "-in", str(certificate), "-noout", "-subject", "-nameopt", "RFC2253"
    ).stdout
    if subject.strip() != f"subject=O={wanted['organisation']},CN={wanted['name']}":
        return "it says another name"
    mine = _run("openssl", "pkey", "-in", str(key), "-pubout").stdout
    if _run("openssl", "x509", "-in", str(certificate), "-noout", "-pubkey").stdout != mine:
        return "it belongs to another key"
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as trusted:
        trusted.write(str(wanted["authority"]))
        trusted.flush()
        options = ("-vfyopt", DISTID, "-CAfile", trusted.name, str(certificate))
        if _run("openssl", "verify", *options).returncode != 0:
            return "it is from another authority"
    return ""


def _install(key: Path, certificate: Path, pem: str, owner: str) -> None:
    """Put the certificate in place, and with it the key that it belongs to."""
    new = certificate.with_name(".cert.pem.new")
    new.write_text(pem)
    new.chmod(0o644)
    shutil.chown(new, owner, owner)
    public = _run("openssl", "x509", "-in", str(new), "-noout", "-pubkey").stdout
    following = key.with_name(NEXT)
    if following.exists():
        if _run("openssl", "pkey", "-in", str(following), "-pubout").stdout == public:
            following.replace(key)
        else:
            following.unlink()
    new.replace(certificate)


def _make_key(key: Path, owner: str) -> None:
    """Make the key in a file that only its user can read, from the first byte on."""
    new = key.with_name(f".{key.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    done = _run(
        "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", str(new)
    )
    if done.returncode != 0:
        raise OSError(f"openssl made no SM2 key: {done.stderr.strip()}")
    new.chmod(0o600)
    shutil.chown(new, owner, owner)
    handle = os.open(new, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    new.replace(key)


def main() -> None:
    """Run as an Ansible module."""
    text = {"type": "str", "required": True}
    options = {
        "directory": {"type": "path", "required": True},
        "owner": text,
        "name": text,
        "organisation": text,
        "authority": text,
        "renew_before_days": {"type": "int", "required": True},
        "rotate": {"type": "bool", "default": False},
        "certificate": {"type": "str", "default": ""},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    given = module.params
    key, certificate = Path(given["directory"]) / "key.pem", Path(given["directory"]) / "cert.pem"
    if given["certificate"]:
        _install(key, certificate, given["certificate"], given["owner"])
        module.exit_json(changed=True, request="", reason="installed")
    born = given["rotate"] or not key.exists()
    reason = "a new key" if born else _due(key, certificate, given)
    if module.check_mode or not reason:
        module.exit_json(changed=bool(reason), request="", reason=reason)
    # a running service keeps its key until the certificate of the next one is there
    source = key if not born or not certificate.exists() else key.with_name(NEXT)
    try:
        if born:
            _make_key(source, given["owner"])
    except OSError as error:
        module.fail_json(msg=str(error))
    subject = f"/CN={given['name']}/O={given['organisation']}"
    done = _run("openssl", "req", "-new", "-key", str(source), "-sm3", "-sigopt", DISTID, "-subj", subject)
    if done.returncode != 0:
        module.fail_json(msg=f"openssl made no request: {done.stderr.strip()}")
    module.exit_json(changed=True, request=done.stdout, reason=reason)


if __name__ == "__main__":
    main()
