"""``provchain audit``: look at hosts without changing them, judge what is found, and say it in every format.

Exit codes: 0 compliant, 1 findings, 2 wrong use (a refused file is that as well), 3 something could not be
looked at.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from provchain.audit import kept, looks, orders
from provchain.audit.assessment import Assessment, read, schema
from provchain.audit.connectors import CONNECTOR, WORDING
from provchain.audit.drift import drift
from provchain.audit.enrol import script
from provchain.audit.fleet import USER
from provchain.audit.run import Order, audit
from provchain.audit.subjects import everything
from provchain.baseline.catalog import Catalog, Resolved, load_site
from provchain.baseline.facts import Facts
from provchain.baseline.resources import Target
from provchain.cli import audit_evidence, report
from provchain.cli.audit_text import drift_lines, explained, listed, summary
from provchain.cli.options import Json, described
from provchain.document import DocumentError
from provchain.errors import ProvchainError

_DEFAULT = "run"


class _Group(TyperGroup):
    """A group whose first word may be left out: ``provchain audit lab`` is ``provchain audit run lab``."""

    # the library's own type of the context has no public name
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Put the default command before anything that is neither a command nor a call for help."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "--version"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help="Audit hosts against the Level-3 baseline, read-only. `audit NETWORK` is `audit run NETWORK`.",
    epilog="Example: provchain audit --fleet fleet.yml --output 2026-q1",
)

ProfileName = Annotated[str, typer.Option("--profile", help="the profile's id, or a site's own file")]
_PROFILE = "mlps3"


@app.command(epilog="Example: provchain audit lab --output 2026-q1")
def run(
    network: Annotated[
        str | None,
        typer.Argument(
            help="a folder in inventories/, or @local, @chroot//FOLDER, @docker/NAME, @podman/NAME"
        ),
    ] = None,
    fleet: Annotated[Path | None, typer.Option(help="a file of hosts that provchain never touched")] = None,
    profile: Annotated[str | None, typer.Option(help="another profile's id, or a site's own file")] = None,
    site: Annotated[Path | None, typer.Option(help="waivers and attestations, a baseline.yml")] = None,
    user: Annotated[str | None, typer.Option(help="the auditor's account on a network's hosts")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="only this host; may stand several times")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="only this rule; may stand several times")] = None,
    output: Annotated[Path | None, typer.Option(help="a folder for report files", file_okay=False)] = None,
    auditor: Annotated[str, typer.Option(help="who answers for this audit, as it stands in reports")] = "",
    as_json: Json = False,
) -> None:
    """Look at every host at once, in one round trip each, and judge it; nothing is changed anywhere."""
    from provchain.conductor.steps import run_step

    with _wrong_use(), tempfile.TemporaryDirectory(prefix="pc-fleet-") as private:
        source = _source(network, fleet, user, Path(private))
        order = replace(_order(source, profile, site, limit or [], rule or []), auditor=auditor)
        total = len(order.hosts or source.subjects)
        seen: dict[str, Facts] = {}
        before = cache(lambda: orders.last(order.source.network))

        def work(detail: Callable[[str], None]) -> tuple[Assessment, str]:
            def told(name: str, facts: Facts) -> None:
                seen[name] = facts
                detail(f"{len(seen)}/{total} {name} {facts.unreachable}")

            found = audit(order, told, before)
            return found, f"{sum(not host.unreachable for host in found.hosts)} of {total} hosts reached"

        found = run_step(report.reporter(), "audit", work)
        if since := before():
            found = found.model_copy(update={"since": drift(since[0], found, since[1])})
        text = found.canonical()
        # one that was limited, or saw nothing, is compared and not kept
        if not found.limited and not all(host.unreachable for host in found.hosts):
            orders.remember(found.network, text)
        if output is not None:
            _write(found, order, seen, output)
        if as_json:
            typer.echo(text, nl=False)
        else:
            changes = drift_lines(found.since, found) if found.since else []
            left = ["", f"report: {output / 'report.html'}"] if output else []
            report.print_lines([*summary(found, order.catalog), *changes, *left])
    raise typer.Exit(found.exit_code)


@app.command("list", epilog="Example: provchain audit list rules")
def list_(
    what: Annotated[str, typer.Argument(help="rules, controls or profiles")] = "rules",
    profile: ProfileName = _PROFILE,
    as_json: Json = False,
) -> None:
    """List the rules of a profile, the controls or the profiles."""
    with _wrong_use():
        catalog, resolved = _catalog(profile)
        if what not in ("rules", "controls", "profiles"):
            raise typer.BadParameter(f"{what} is none of: rules, controls, profiles")
        rows = listed(what, catalog, resolved)
    if as_json:
        report.print_json(rows)
    else:
        report.print_lines(["\t".join(row.values()) for row in rows])


@app.command(epilog="Example: provchain audit explain ssh-root-login")
def explain(rule: str, profile: ProfileName = _PROFILE, as_json: Json = False) -> None:
    """Tell all of a rule: what, why, clauses, thresholds, what mends it, what that could cost."""
    with _wrong_use():
        catalog, resolved = _catalog(profile)
        if rule not in catalog.rules:
            raise typer.BadParameter(f"there is no rule {rule}; provchain audit list rules")
        found = explained(catalog.rules[rule], catalog, resolved)
    if as_json:
        report.print_json(found)
    else:
        width = max(len(name) for name in found)
        report.print_lines([f"{name:<{width}}  {line}" for name, lines in found.items() for line in lines])


@app.command(epilog="Example: provchain audit diff old/audit.json new/audit.json")
def diff(
    old: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    new: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    as_json: Json = False,
) -> None:
    """Say what changed between two audits; exit 1 if there are new findings, or less could be looked at."""
    now = _read(new)
    found = drift(_read(old), now)
    if as_json:
        report.print_json(found.model_dump(mode="json"))
    else:
        report.print_lines(drift_lines(found, now) or ["nothing changed"])
    raise typer.Exit(1 if found.is_worse else 0)


@app.command(epilog="Example: provchain audit sudoers --account auditor > auditor.sudoers")
def sudoers(
    account: Annotated[str, typer.Option(help="the auditor's account on the hosts, or a %group")] = "auditor",
    profile: ProfileName = _PROFILE,
) -> None:
    """Print the sudo list of an auditor who is not root: exact commands, nothing that changes anything."""
    with _wrong_use():
        _, resolved = _catalog(profile)
        try:
            text = _sudo_list(resolved, account)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    typer.echo(text, nl=False)


@app.command(epilog="Example: provchain audit enrol --key ~/.ssh/id_ed25519.pub > enrol.sh")
def enrol(
    key: Annotated[
        Path, typer.Option(help="the auditor's public key, a .pub file", exists=True, dir_okay=False)
    ],
    account: Annotated[str, typer.Option(help="the auditor's account on the hosts")] = "auditor",
    profile: ProfileName = _PROFILE,
) -> None:
    """Print what a host's administrator runs as root: account, key and sudo list; it tells the host's key."""
    with _wrong_use():
        _, resolved = _catalog(profile)
        try:
            text = script(account, key.read_text(encoding="utf-8"), _sudo_list(resolved, account))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    typer.echo(text, nl=False)


def _sudo_list(profile: Resolved, account: str) -> str:
    return looks.sudoers(looks.plan(everything(profile, [Target("any", None, False)])), account)


for verb, example in (
    (audit_evidence.key, "key --out auditor.key"),
    (audit_evidence.seal, "seal report/audit.json --key auditor.key --out lab.evidence"),
    (audit_evidence.anchor, "anchor lab.evidence --network lab"),
    (audit_evidence.verify, "verify lab.evidence --signer auditor.key.pub --genesis genesis.json"),
):
    app.command(epilog=f"Example: provchain audit {example}")(verb)


@app.command("schema", epilog="Example: provchain audit schema")
def schema_() -> None:
    """Print the JSON Schema of audit.json."""
    report.print_json(schema())


def _source(network: str | None, fleet: Path | None, user: str | None, private: Path) -> orders.Source:
    """Return whose hosts are asked, and how. Raises BadParameter, ProvchainError."""
    connected = network is not None and network.startswith("@")
    if user is not None and (fleet is not None or connected or not re.fullmatch(USER, user)):
        raise typer.BadParameter(
            "--user is the name of an account, with a NETWORK; a fleet's file has its own"
        )
    if fleet is not None and network is None:
        return orders.of_fleet(fleet, private)
    if network is None or fleet is not None:
        raise typer.BadParameter("either a NETWORK or --fleet FILE")
    if not connected:
        return orders.of_network(described(network), user or "")
    if not re.fullmatch(CONNECTOR, network):
        raise typer.BadParameter(f"{network} is none of {WORDING}")
    return orders.of_connector(network, private)


def _order(
    source: orders.Source, profile: str | None, site: Path | None, hosts: list[str], rules: list[str]
) -> Order:
    """Return what is to be done. Raises BadParameter where a name is of nothing, DocumentError."""
    catalog, resolved = _catalog(profile or source.profile)
    for given, known, kind in (
        (hosts, [one.name for one in source.subjects], "host of it"),
        (rules, [one.id for one in resolved.rules], "rule of this profile"),
    ):
        for one in given:
            if one not in known:
                raise typer.BadParameter(f"{one} is no {kind}")
    if site is not None and not site.is_file():
        raise typer.BadParameter(f"{site} is missing")
    path = site or source.folder / "baseline.yml"
    own = Path(profile or source.profile)
    return Order(
        source,
        catalog,
        resolved,
        load_site(path, catalog),
        path.resolve().parent,
        frozenset(hosts),
        frozenset(rules),
        read=tuple(one for one in (path, own) if one.suffix == ".yml" and one.is_file()),
    )


def _catalog(profile: str) -> tuple[Catalog, Resolved]:
    """Return the catalog and a profile, by its id or from a site's own file."""
    path = Path(profile)
    own = [path] if path.suffix == ".yml" else []
    catalog = kept.load(own)
    name = path.stem if own else profile
    if name not in catalog.profiles:
        raise typer.BadParameter(f"there is no profile {name}; there are: {', '.join(catalog.profiles)}")
    return catalog, catalog.profiles[name]


@contextlib.contextmanager
def _wrong_use() -> Iterator[None]:
    """Give refused files and hosts that can't be asked their own exit codes."""
    try:
        yield
    except DocumentError as error:
        _stop(error, 2)
    except ProvchainError as error:
        _stop(error, 3)


def _stop(error: ProvchainError, code: int) -> NoReturn:
    report.print_error(error.lines())
    raise typer.Exit(code) from None


def _read(path: Path) -> Assessment:
    try:
        return read(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(
            f"{path} is no audit of format 1 or 2: {str(error).splitlines()[0]}"
        ) from None


def _write(found: Assessment, order: Order, seen: Mapping[str, Facts], folder: Path) -> None:
    """Leave every report, and the evidence from which it was made, readable to nobody else."""
    from provchain.evidence.facts import text as of_host
    from provchain.evidence.seal import FACTS, SOURCES
    from provchain.report import FORMATS

    files = {name: text(found, order.catalog) for name, text in FORMATS.items()}
    files |= {f"{FACTS}/{name}.json": of_host(name, facts) for name, facts in seen.items()}
    files[SOURCES] = json.dumps(order.sources(), sort_keys=True, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / FACTS).mkdir(exist_ok=True, mode=0o700)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
