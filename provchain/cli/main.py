"""``provchain``: order the native tools, show progress, keep records.

Exit codes: 0 done, 1 a finding or a refusal, 2 wrong use, 130 interrupted (the same command continues).
"""

from __future__ import annotations

import shlex
import signal
import sys
from typing import Any

import typer

from provchain.cli import operate, report
from provchain.cli.audit import app as audit_app
from provchain.cli.baseline import app as baseline_app
from provchain.cli.options import Json, Network, Yes
from provchain.cli.spec import app as spec_app
from provchain.errors import ProvchainError
from provchain.paths import spec_file

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Provision, harden, prove and upgrade a provincial business chain (地方业务链).",
    epilog="Example: provchain up --network lab",
)
app.add_typer(spec_app, name="spec")
app.add_typer(baseline_app, name="baseline")
app.add_typer(audit_app, name="audit")
app.add_typer(operate.members, name="membership")


def _print_network(rows: list[dict[str, Any]], network: str, as_json: bool) -> None:
    if as_json:
        report.print_json({"network": network, "hosts": rows})
        return
    report.print_hosts(rows)
    suffix = "" if network == "lab" else f" --network {network}"
    report.print_lines(
        ["", "next:"]
        + [f"  provchain {verb}{suffix}" for verb in ("demo", "status", "verify", "plan", "down")]
    )


@app.command(epilog="Example: provchain up --network lab")
def up(network: Network = "lab", as_json: Json = False) -> None:
    """Provision, install, start and prove a network. Safe to interrupt: the same command continues."""
    from provchain.conductor import up as conductor
    from provchain.conductor.steps import exclusive

    with exclusive(network):
        rows = conductor.bring_up(network, report.reporter())
    _print_network(rows, network, as_json)


@app.command(epilog="Example: provchain down --network lab --yes")
def down(network: Network = "lab", yes: Yes = False) -> None:
    """Remove a network with its hosts, state and keys. This can't be undone."""
    from provchain.conductor import up as conductor
    from provchain.conductor.steps import exclusive

    if not yes:
        typer.confirm(f"Remove network {network}, its chain and its keys? This can't be undone", abort=True)
    with exclusive(network):
        conductor.take_down(network, report.reporter())


@app.command(epilog="Example: provchain status --json")
def status(network: Network = "lab", as_json: Json = False) -> None:
    """Show each host's service, height, block hash, peers and certificate; exit 1 if a node doesn't run."""
    from provchain.conductor import up as conductor
    from provchain.spec import load

    rows = conductor.table(load(spec_file(network)))
    _print_network(rows, network, as_json)
    if any(row["service"] not in ("running", "no node") for row in rows):
        raise typer.Exit(1)


@app.command(epilog="Example: provchain plan --network lab")
def plan(network: Network = "lab", as_json: Json = False) -> None:
    """Say what up would change, without changing it."""
    from provchain.conductor import up as conductor
    from provchain.conductor.steps import exclusive, run_step
    from provchain.spec import load

    spec = load(spec_file(network))
    with exclusive(network):
        result = run_step(
            report.reporter(), "plan", lambda detail: (conductor.plan(spec, detail), "nothing was changed")
        )
    if as_json:
        report.print_json({"network": network, **result})
        return
    parts = [f"  {count:3} {action}" for action, count in sorted(result["provision"].items())]
    report.print_lines(["network and hosts:", *parts])
    report.print_lines([f"settings on the hosts: {result['install'] or 'known once the hosts are there'}"])


@app.command(epilog="Example: provchain verify --network lab")
def verify(network: Network = "lab", as_json: Json = False) -> None:
    """Prove a running network again, read-only; exit 1 if a proof fails."""
    from provchain.conductor import up as conductor
    from provchain.conductor.steps import run_step
    from provchain.spec import load

    spec = load(spec_file(network))
    reporter = report.reporter()
    playbook = run_step(
        reporter, "verify", lambda detail: ("ok", conductor.run_playbook(spec, "verify", detail))
    )
    run_step(reporter, "prove", lambda detail: conductor.prove(spec, detail))
    if as_json:
        report.print_json({"network": network, "playbook": playbook, "proofs": "passed"})


@app.command(epilog="Example: provchain demo --json")
def demo(network: Network = "lab", as_json: Json = False) -> None:
    """Submit the example objects, read each back from another organisation's node, verify every proof."""
    from provchain.conductor import demo as conductor
    from provchain.conductor.steps import run_step
    from provchain.spec import load

    spec = load(spec_file(network))
    reporter = report.reporter()
    sent = run_step(reporter, "submit", lambda detail: conductor.submit(spec, detail))
    read = run_step(reporter, "read", lambda detail: conductor.read_back(spec, detail))
    if as_json:
        report.print_json({"network": network, "submit": sent, "read": read})
        return
    report.print_lines([f"  {k['count']:4}  {k['type']} {k['operation']}" for k in sent["kinds"]])
    report.print_lines(
        [
            f"submitted through {sent['entrance']}: {sent['submitted']} new in {sent['seconds']} s, "
            f"{sent['already_on_chain']} were on the chain already",
            f"read back from {read['reader']} ({read['organisation']}): {read['verified']} object versions, "
            f"each proof verified, in {read['seconds']} s",
        ]
    )


for verb, example in (
    (operate.backup, "backup --node v1 --to backups/"),
    (operate.restore, "restore v1 v1-1200.tar --yes"),
    (operate.revoke, "revoke zjex 3fe2a1 --yes"),
):
    app.command(epilog=f"Example: provchain {example}")(verb)


@app.command(epilog="Example: provchain doctor --json")
def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks; exit 1 if anything is missing."""
    from provchain.conductor.doctor import checks

    found = checks()
    if as_json:
        report.print_json([check.as_dict() for check in found])
    else:
        for check in found:
            remedy = "" if check.ok else f"  -> {check.remedy}"
            report.print_lines(
                [f"{'ok' if check.ok else 'missing':<8} {check.name:<16} {check.found}{remedy}"]
            )
    if not all(check.ok for check in found):
        raise typer.Exit(1)


@app.command(epilog='Example: eval "$(provchain env)"; pulumi -C pulumi preview')
def env(network: Network = "lab") -> None:
    """Print the environment under which the native tools work by hand on a network."""
    from provchain.provision.env import environment

    report.print_lines(
        [f"export {name}={shlex.quote(value)}" for name, value in environment(network).items()]
    )


def main() -> None:
    """Run the command line; every expected failure becomes a short message and an exit code."""
    # the library turns an interrupt into a plain abort; here it has a meaning and a code of its own
    signal.signal(signal.SIGINT, _interrupted)
    try:
        app()
    except ProvchainError as error:
        report.print_error(error.lines())
        sys.exit(1)
    except InterruptedError:
        report.print_error(["interrupted; the same command continues where this one stopped"])
        sys.exit(130)


def _interrupted(_number: int, _frame: object) -> None:
    raise InterruptedError("interrupted")
