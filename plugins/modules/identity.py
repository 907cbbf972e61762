#!/usr/bin/python
"""Keep a host's key, born here, and say whether a new certificate is due."""

from __future__ import annotations

DOCUMENTATION = """
module: identity
short_description: A key born on the host, and the request for its certificate
description:
  - Has the engine, or another program, make the key where there is none. It never leaves the host, and how it
    lies there is that program's affair.
  - If the certificate is missing, runs out soon, says another name or address, belongs to another key or to
    another authority, returns a signing request. The action of the same name has it signed.
options:
  directory: {description: The folder of tls.key and cert.pem., type: path, required: true}
  owner: {description: The user that reads the key., type: str, required: true}
  commands:
    description:
      - The commands C(make) (puts a new key where there is none), C(public) (prints the public
        key as PEM) and C(request) (prints a signing request as PEM); {key}, {name}, {organisation} are
        filled in.
    type: dict
    required: true
  name: {description: The host's name., type: str, required: true}
  organisation: {description: The host's organisation., type: str, required: true}
  dns: {description: The DNS name that the certificate must say., type: str, required: true}
  address: {description: The IP address that the certificate must say., type: str, required: true}
  authority: {description: The organisation's authority as PEM., type: str, required: true}
  algorithm: {description: What it signs by., type: str, choices: [sm2, p256], default: sm2}
  renew_before_days: {description: Days left at which renewal is due., type: int, required: true}
  rotate: {description: Make a new key in any case., type: bool, default: false}
  certificate: {description: A certificate to install as PEM., type: str, default: ""}
  before:
    description: Settings as those of M(converge) that come first.
    type: list
    elements: dict
    default: []
  after:
    description: Settings that come once the certificate is in place, such as the service that shows it.
    type: list
    elements: dict
    default: []
author: provchain
"""
EXAMPLES = """
- name: Keep the key
  identity:
    directory: /etc/provchain/identity
    owner: node
    commands:
      make: [engine, make-key, "{key}"]
      public: [engine, show-key, "{key}"]
      request: [engine, request, "{key}", --name, "{name}", --organisation, "{organisation}"]
    name: v1
    organisation: zjex
    dns: v1.lab.provchain.internal
    address: "{{ address }}"
    authority: "{{ authority }}"
    renew_before_days: 30
    authorities: "{{ folder }}"
    days: 397
"""
RETURN = """
request:
  description: The signing request as PEM, empty if none is due.
  returned: always
  type: str
reason:
  description: Why a certificate is due, empty if none is.
  returned: always
  type: str
settings:
  description: What the settings before and after did, as that of M(converge).
  returned: always
  type: dict
"""

import subprocess  # noqa: E402 - Ansible wants its documentation first
import tempfile  # noqa: E402
from collections.abc import Mapping, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.settings import SettingError, converge, report  # noqa: E402
from ansible.module_utils.settings.files import write  # noqa: E402

# SM2 signatures are made under an identity (GM/T 0009)
VERIFY = {"sm2": ("-vfyopt", "distid:1234567812345678"), "p256": ()}


def _run(what: str, argv: Sequence[str], stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingError(f"{what}: {done.stderr.strip()[-400:]}")
    return done.stdout


def _openssl(*argv: str, stdin: str = "") -> str:
    return _run(f"openssl {argv[0]}", ("openssl", *argv), stdin)


def _holds(*argv: str) -> bool:
    try:
        _openssl(*argv)
    except SettingError:
        return False
    return True


class Files:
    """The key and certificate of a host, and the next key while its certificate is being made."""

    def __init__(self, directory: str, owner: str, commands: Mapping[str, Sequence[str]]) -> None:
        folder = Path(directory)
        self.key, self.certificate = folder / "tls.key", folder / "cert.pem"
        self.following, self.owner = folder / "next.key", owner
        self.commands = commands

    def due(self, wanted: dict[str, str]) -> str:
        """Return why a new certificate is due, or nothing."""
        if not self.certificate.exists():
            return "there is none"
        x509 = ("x509", "-in", str(self.certificate), "-noout")
        if not _holds(*x509, "-checkend", str(int(wanted["renew_before_days"]) * 86_400)):
            return "it runs out soon"
        subject = _openssl(*x509, "-subject", "-nameopt", "RFC2253").strip()
        if subject != f"subject=O={wanted['organisation']},CN={wanted['name']}":
            return f"it says another name: {subject}"
        # the extension's name, then its one line of values
        names = _openssl(*x509, "-ext", "subjectAltName").strip().split("\n")[-1].strip()
        if names != f"DNS:{wanted['dns']}, IP Address:{wanted['address']}":
            return f"it says another address: {names}"
        if _openssl(*x509, "-pubkey") != self.public(self.key):
            return "it belongs to another key"
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as trusted:
            trusted.write(wanted["authority"])
            trusted.flush()
            by = VERIFY[wanted["algorithm"]]
            if not _holds("verify", *by, "-CAfile", trusted.name, str(self.certificate)):
                return "it is from another authority"
        return ""

    def public(self, key: Path) -> str:
        """Return the public half of a key."""
        return self.engine("public", key)

    def put(self, pem: str) -> None:
        """Replace the certificate."""
        write(self.certificate, pem.encode(), "0644", self.owner, self.owner, lambda name: None)

    def engine(self, command: str, key: Path, **given: str) -> str:
        """Run one of the engine's commands on a key."""
        return _run(command, [word.format(key=key, **given) for word in self.commands[command]])

    def request(self, key: Path, wanted: dict[str, str]) -> str:
        """Return a signing request of a key for the wanted subject."""
        return self.engine("request", key, name=wanted["name"], organisation=wanted["organisation"])

    def ask(self, wanted: dict[str, str]) -> str:
        """Return a request by the key that is or will be the host's, which is made if it is missing.

        A running service keeps its key until the certificate of the next one is there.
        """
        key = self.key
        if wanted["rotate"]:
            self.engine("make", self.following)
            key = self.following
        elif not key.exists():
            self.engine("make", key)
        return self.request(key, wanted)

    def install(self, pem: str) -> None:
        """Put a certificate in place, and with it the key that it belongs to.

        Should this end between the two, the next run finds that they don't fit and asks anew.
        """
        public = _openssl("x509", "-noout", "-pubkey", stdin=pem)
        if self.following.exists() and self.public(self.following) == public:
            self.following.replace(self.key)
        if self.public(self.key) != public:
            raise SettingError("the certificate belongs to no key of this host")
        self.put(pem)

    def tidy(self) -> bool:
        """Remove the next key of a rotation that was interrupted; return whether there was one."""
        left = self.following.exists()
        self.following.unlink(missing_ok=True)
        return left


def keep(files: Files, given: dict[str, Any], dry: bool) -> tuple[bool, str, str]:
    """Return whether key or certificate changed or would, the request if one is due, and why."""
    if given["certificate"]:
        files.install(given["certificate"])
        return True, "", "installed"
    reason = "a new key" if given["rotate"] or not files.key.exists() else files.due(given)
    if dry:
        return bool(reason) or files.following.exists(), "", reason
    left = files.tidy()
    return bool(reason) or left, files.ask(given) if reason else "", reason


def main() -> None:
    """Run as an Ansible module."""
    text = {"type": "str", "required": True}
    settings = {"type": "list", "elements": "dict", "default": []}
    options = {
        "directory": {"type": "path", "required": True},
        "owner": text,
        "commands": {"type": "dict", "required": True},
        "name": text,
        "organisation": text,
        "dns": text,
        "address": text,
        "authority": text,
        "algorithm": {"type": "str", "choices": [*VERIFY], "default": "sm2"},
        "renew_before_days": {"type": "int", "required": True},
        "rotate": {"type": "bool", "default": False},
        "certificate": {"type": "str", "default": ""},
        "before": settings,
        "after": settings,
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    given, dry = module.params, module.check_mode
    try:
        done = converge(given["before"], dry)
        files = Files(given["directory"], given["owner"], given["commands"])
        changed, request, reason = keep(files, given, dry)
        if not request:
            done += converge(given["after"], dry)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))
    changed |= any(result.changed for _, result in done)
    module.exit_json(changed=changed, request=request, reason=reason, **report(done))


if __name__ == "__main__":
    main()
