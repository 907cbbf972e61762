"""The verbs of a running network: back up, restore, change the membership, revoke a certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from provchain.cli import report
from provchain.cli.options import Check, Json, Network, Yes
from provchain.paths import backup_dir, spec_file
from provchain.spec import ChainSpec, load

members = typer.Typer(no_args_is_help=True, help="List or change who decides, approved by the organisations.")

Approve = Annotated[
    list[str] | None,
    typer.Option("--approve", metavar="ORG", help="an organisation that approves; all that vote if left out"),
]
InBlocks = Annotated[
    int, typer.Option("--in-blocks", min=10, max=1_000_000, help="after how many blocks it takes effect")
]
Validator = Annotated[str, typer.Argument(metavar="VALIDATOR", help="its name")]


def backup(
    nodes: Annotated[
        list[str] | None, typer.Option("--node", metavar="NODE", help="a node; all if left out")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="where to, mode 0700")] = None,
    network: Network = "lab",
    check: Check = False,
    as_json: Json = False,
) -> None:
    """Back up nodes while they run, each at one height, and bring the copies here.

    A backup opens on the host that it is of and nowhere else: its data keys are sealed under that host's key.
    """
    spec = load(spec_file(network))
    _one_of([node.name for node in spec.nodes], nodes or [], "--node")
    folder = (to or backup_dir(network)).resolve()
    wanted: dict[str, Any] = {"provchain_backups": str(folder)}
    if nodes:
        wanted["backup_nodes"] = ":".join(nodes)
    found = _play(spec, "backup", wanted, check)
    if as_json:
        report.print_json({"network": network, "check": check, **found})
        return
    for one in found["backups"]:
        digests = ", ".join(f"{name} SM3 {digest}" for name, digest in one["sm3"].items())
        made = (
            f"{one['file']} at height {one['height']}, {digests}" if one["file"] else f"would be in {folder}"
        )
        report.print_lines([f"{one['node']}: {made}"])


def restore(
    node: Annotated[str, typer.Argument(metavar="NODE", help="the node that the backup is of")],
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="its backup")],
    last_signed_height: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="the last height that this validator can have signed; without it, it stays silent until its "
            "peers have shown which heights that may be",
        ),
    ] = None,
    network: Network = "lab",
    yes: Yes = False,
    check: Check = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a node's store. What is there is put aside on the host, not removed.

    If the backup is damaged or of another host, everything is as it was before.
    """
    spec = load(spec_file(network))
    _one_of([one.name for one in spec.nodes], [node], "NODE")
    if not check:
        _ask(yes, f"Replace the store of {node} by {file}")
    wanted: dict[str, Any] = {"restore_node": node, "restore_file": str(file.resolve())}
    if last_signed_height is not None:
        wanted["restore_last_signed_height"] = last_signed_height
    found = _play(spec, "restore", wanted, check)
    if as_json:
        report.print_json({"network": network, "check": check, **found})
        return
    lines = [f"{node}: would be restored" if check else f"{node}: restored at height {found['height']}"]
    if found["put_aside"]:
        lines.append(f"what was there {'would be' if check else 'is'} put aside as {found['put_aside']}")
    report.print_lines(lines)


def revoke(
    organisation: Annotated[str, typer.Argument(metavar="ORG", help="whose authority issued it")],
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="its serial, hexadecimal")],
    network: Network = "lab",
    yes: Yes = False,
    check: Check = False,
    as_json: Json = False,
) -> None:
    """Revoke a certificate; every node refuses it from the next block on. This can't be undone."""
    spec = load(spec_file(network))
    _one_of([one.name for one in spec.organisations], [organisation], "ORG")
    if not check:
        _ask(yes, f"Revoke certificate {serial} of {organisation}; this can't be undone. Go on")
    found = _play(spec, "revoke", {"revoke_organisation": organisation, "revoke_serial": serial}, check)
    if as_json:
        report.print_json({"network": network, "check": check, **found})
        return
    said = "would be revoked" if check else f"is revoked since height {found['height']}"
    report.print_lines([f"{found['certificate']} {said}"])


@members.command("list", epilog="Example: provchain membership list --json")
def list_members(network: Network = "lab", as_json: Json = False) -> None:
    """Say who votes, who is suspended and what is to come."""
    from provchain.conductor import operate as conductor

    found = conductor.membership(load(spec_file(network)))
    if as_json:
        report.print_json({"network": network, **found})
        return
    lines = [
        f"{one['name']:12} {one['organisation']:12} {state}"
        for state, kind in (("votes", "validators"), ("suspended", "suspended"))
        for one in found[kind]
    ]
    lines += [f"{c['action']} {c['validator']['name']} at {c['effective_height']}" for c in found["pending"]]
    report.print_lines([*lines, f"height {found['height']}"])


def _verb(action: str, text: str, question: str) -> None:
    def run(
        validator: Validator,
        approve: Approve = None,
        in_blocks: InBlocks = 20,
        network: Network = "lab",
        yes: Yes = False,
        check: Check = False,
        as_json: Json = False,
    ) -> None:
        spec = load(spec_file(network))
        if action in ("add", "rekey"):
            _one_of([one.name for one in spec.validators], [validator], "VALIDATOR")
        _one_of([one.name for one in spec.organisations], approve or [], "--approve")
        if question and not check:
            _ask(yes, question.format(validator))
        wanted = {
            "membership_action": action,
            "membership_node": validator,
            "membership_approvers": approve or [],
            "membership_in_blocks": in_blocks,
        }
        found = _play(spec, "membership", wanted, check)
        if as_json:
            report.print_json({"network": network, "check": check, **found})
            return
        since = f" at height {found['effective_height']}" if found["effective_height"] else ""
        told = {"done": "is in force", "pending": "is to come", "open": "would be proposed"}[found["state"]]
        approved = f", approved on {', '.join(found['approvers'])}" if found["submitted"] else ""
        report.print_lines([f"{action} {validator}: {told}{since}{approved}"])

    run.__doc__ = text
    members.command(action, epilog=f"Example: provchain membership {action} v5 --in-blocks 50")(run)


_verb("add", "Give a node that follows the chain a vote, with the key that was born on its host.", "")
_verb(
    "remove", "Take a validator's vote for good; its node may be removed afterwards.", "Take the vote of {}"
)
_verb(
    "rekey",
    "Let a validator vote with a new key, born on its host; the old key ends with it.",
    "Replace the key of {}; the old one can't be brought back. Go on",
)
_verb("suspend", "Take a validator's vote until it is resumed.", "Suspend {}")
_verb("resume", "Give a suspended validator its vote again.", "")


def _one_of(allowed: list[str], given: list[str], where: str) -> None:
    for name in given:
        if name not in allowed:
            raise typer.BadParameter(f"{where}: found {name}, allowed: {', '.join(allowed)}")


def _ask(yes: bool, question: str) -> None:
    if not yes:
        typer.confirm(f"{question}?", abort=True)


def _play(spec: ChainSpec, playbook: str, wanted: Mapping[str, Any], check: bool) -> dict[str, Any]:
    from provchain.conductor import operate as conductor
    from provchain.conductor.steps import exclusive, run_step

    def work(detail: Callable[[str], None]) -> tuple[dict[str, Any], str]:
        return conductor.play(spec, playbook, wanted, check=check, detail=detail)

    with exclusive(spec.network):
        return run_step(report.reporter(), playbook, work)
