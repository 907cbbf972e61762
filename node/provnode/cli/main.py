"""``provnode``: run a node, ask it, make its keys, sign and submit, verify proofs.

Exit codes: 0 done, 1 a finding or refusal, 2 wrong use. Every subcommand is imported when it is used, so that
a status costs no more than it must.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

CONFIG = Path("/etc/provnode/config.toml")
SOCKET = Path("/run/provnode/admin.sock")
_SHORTEST_WATCH = 0.1


class RefusalError(Exception):
    """A command that can't do what it was asked; the message says why and what to do."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    if (getattr(given, "watch", None) or 1.0) < _SHORTEST_WATCH:
        parser.error(f"--watch: allowed are {_SHORTEST_WATCH:g} seconds and more")
    if getattr(given, "force", False) and given.out is None:
        parser.error("--force goes with --out")
    if getattr(given, "seal", None) is not None and not given.kek:
        parser.error("--seal needs --kek")
    module, function = given.run.split(":")
    try:
        code: int = getattr(importlib.import_module(f"provnode.cli.{module}"), function)(given)
    except RefusalError as error:
        print(f"provnode: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output went away: nothing is left to say
        return 1
    return code


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="provnode",
        description="A BFT node with national cryptography (SM2, SM3, SM4).",
        epilog="Example: provnode status --json",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: str, text: str, example: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text, epilog=f"Example: provnode {example}")
        found.set_defaults(run=run)
        return found

    for name, text in (
        ("init", "check configuration, genesis, keys and certificate, and make the data folder"),
        ("run", "run the node until it is told to stop"),
    ):
        _config(add(name, f"node:{name}", text, f"{name} --config /etc/provnode/config.toml"))

    status = add("status", "local:status", "ask the node on this host how it is", "status --json")
    status.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument(
        "--watch", type=float, metavar="SECONDS", help="ask again after so many seconds, until interrupted"
    )
    wait = add("wait", "local:wait", "wait until the node here follows the chain again", "wait --seconds 60")
    wait.add_argument("--seconds", type=float, default=60.0, help="how long at most")
    wait.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")
    level = add("log-level", "local:log_level", "show or set what is logged", "log-level debug")
    level.add_argument(
        "level",
        nargs="?",
        choices=("debug", "info", "warning", "error"),
        help="from now until the next start",
    )
    level.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")
    evidence = add(
        "evidence", "local:evidence", "list recorded misbehaviour of validators", "evidence --json"
    )
    evidence.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")
    evidence.add_argument("--json", action="store_true", help="print JSON, one a line")
    rekey = add(
        "rekey", "local:rekey", "change the key that the ledger on this host is sealed under", "rekey"
    )
    rekey.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")
    block = add("block", "local:block", "show a committed block", "block 12")
    block.add_argument("height", type=int)
    block.add_argument("--socket", type=Path, default=SOCKET, help="the node's unix socket")

    _add_store_commands(add)
    _add_key_commands(add)
    _add_client_commands(add)
    _add_membership_commands(add)
    _add_verify(add)
    version = add("version", "local:version", "print the version", "version --json")
    version.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_store_commands(add: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    backup = add(
        "backup", "store:backup", "back up the store, also while the node runs", "backup /backup/v1.tar"
    )
    backup.add_argument("file", type=Path, help="a new file")
    backup.add_argument(
        "--seal-for",
        type=Path,
        metavar="PUBLIC",
        help="encrypt it for the holder of this SM2 public key (PEM), so that it can leave the host",
    )
    restore = add(
        "restore", "store:restore", "restore a backup into an empty data folder", "restore /backup/v1.tar"
    )
    restore.add_argument("file", type=Path, help="what `provnode backup` wrote")
    restore.add_argument(
        "--open-with", type=Path, metavar="PRIVATE", help="the SM2 private key (PEM) that it was sealed for"
    )
    restore.add_argument(
        "--last-signed-height",
        type=int,
        help="the last height that this validator can have signed; without it, it signs nothing until its "
        "peers have shown which heights that may be",
    )
    fsck = add("fsck", "store:fsck", "verify the whole store of a stopped node", "fsck --json")
    fsck.add_argument("--json", action="store_true", help="print JSON")
    for parser in (backup, restore, fsck):
        _config(parser)


def _add_key_commands(add: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    keygen = add("keygen", "keys:keygen", "make an SM2 key and print its public key", "keygen --out key.pem")
    which = keygen.add_mutually_exclusive_group(required=True)
    which.add_argument("--out", type=Path, help="write a new private key here, mode 0600")
    which.add_argument("--ensure", type=Path, help="like --out, but keep a key that is there")
    which.add_argument("--seal", type=Path, help="seal the plain key in this file, in place")
    which.add_argument("--show", type=Path, help="only print the public key of this private key")
    keygen.add_argument("--force", action="store_true", help="--out: replace a key that is there")
    keygen.add_argument("--pem", action="store_true", help="print the public key as PEM")
    _sealing(keygen, "consensus")
    csr = add(
        "csr", "keys:csr", "print a certificate request", "csr --key key.pem --name v1 --organisation zjex"
    )
    csr.add_argument("--key", type=Path, required=True)
    csr.add_argument("--name", required=True)
    csr.add_argument("--organisation", required=True)
    _sealing(csr, "tls")
    text = "seal all keys of this host anew, under kek_credential instead of old_kek_credential"
    _config(add("rewrap", "rewrap:rewrap", text, "rewrap --config /etc/provnode/config.toml"))


def _add_verify(add: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    verify = add(
        "verify", "verify:verify", "verify a proof from a genesis or a trusted point", "verify proof.json"
    )
    verify.add_argument("bundle", type=Path, help="a file as `provnode tx prove` prints it")
    verify.add_argument("--genesis", type=Path, default=Path("/etc/provnode/genesis.json"))
    verify.add_argument(
        "--trust", type=Path, help="start from this point instead, and move it on; made where there is none"
    )


def _add_client_commands(add: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    tx = add("tx", "client:tx", "submit an object, get it, or get its proof", "tx get OBJECT_ID --node v2")
    tx.add_argument("verb", choices=("put", "get", "prove"))
    tx.add_argument("what", help="put: a file with one object as JSON; get, prove: an object id")
    tx.add_argument("--version", type=int, help="get, prove: the object's version (the latest if left out)")
    for parser in (
        tx,
        add(
            "submit",
            "client:submit",
            "submit objects from standard input, one a line",
            "submit < objects.ndjson",
        ),
        add(
            "read",
            "client:read",
            "read objects with verified proofs; ids from standard input",
            "read --node v2",
        ),
    ):
        _config(parser)
        parser.add_argument(
            "--node", help="the RPC node to ask; this host's own node, or the first peer, if left out"
        )


def _add_membership_commands(add: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    found = add(
        "membership", "membership:membership", "list or change who decides", "membership list --node v2"
    )
    verbs = found.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="who has a vote, who is suspended, what is to come")
    propose = verbs.add_parser("propose", help="write down a change, for all organisations to approve")
    propose.add_argument("action", choices=("add", "remove", "rekey", "suspend", "resume"))
    propose.add_argument("name", help="the validator")
    propose.add_argument("--organisation", help="add: whose it is")
    propose.add_argument("--public-key", help="add, rekey: the key that it is to vote with")
    propose.add_argument("--power", type=int, help="add: its voting power")
    propose.add_argument("--address", help="add: the IP address where its peers find it")
    propose.add_argument("--port", type=int, help="add: the port where its peers find it")
    propose.add_argument("--effective-height", type=int, help="the height at which it takes effect")
    propose.add_argument("--in-blocks", type=int, default=600, help="or so many blocks from now (600)")
    approve = verbs.add_parser("approve", help="approve a proposal as this organisation's founding signer")
    approve.add_argument("files", nargs=1, type=Path, metavar="PROPOSAL")
    submit = verbs.add_parser("submit", help="hand in a proposal with the organisations' approvals")
    submit.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the proposal, then approvals")
    for parser in (propose, approve):
        parser.add_argument("--out", type=Path, help="write to this file instead of standard output")
    revoke = add("revoke", "membership:revoke", "hand in a certificate revocation list", "revoke zjex.crl")
    revoke.add_argument("crl", type=Path, help="the list, PEM or DER, signed by this organisation's CA")
    for parser in (listed, propose, approve, submit, revoke):
        _config(parser)
        parser.add_argument("--node", help="the RPC node to ask, as for tx")


def _sealing(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument(
        "--kek",
        default="",
        metavar="CREDENTIAL",
        help="the systemd credential that keys here are sealed under",
    )
    parser.add_argument(
        "--purpose",
        choices=("consensus", "client", "tls"),
        default=purpose,
        help=f"what the sealed key is for ({purpose})",
    )


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"configuration file ({CONFIG})")
