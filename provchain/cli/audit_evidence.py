"""``provchain audit key|seal|anchor|verify``: evidence that others can check without us.

Exit codes: 0 it holds, 1 it does not, or was refused, 2 wrong use, 3 it holds, but nobody said whose key to
believe.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from provchain.cli import report
from provchain.cli.options import Network
from provchain.paths import REPOSITORY, spec_file

Bundle = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="a sealed bundle")]
ProofFile = Annotated[
    Path | None,
    typer.Option("--proof", help="the chain's proof; BUNDLE.proof.json if left out", dir_okay=False),
]


def key(
    out: Annotated[Path, typer.Option(help="the new private key's file, mode 0600", dir_okay=False)],
) -> None:
    """Make the auditor's SM2 key on this machine, and its public half beside it, for those who verify."""
    from provchain.evidence import keys

    point = keys.make(out)
    report.print_lines([f"{out}: private, keep it on this machine", f"{out}.pub: public, {point}"])


def seal(
    found: Annotated[
        Path, typer.Argument(metavar="REPORT", exists=True, dir_okay=False, help="FOLDER/audit.json")
    ],
    key_: Annotated[Path, typer.Option("--key", help="the auditor's private key", dir_okay=False)],
    out: Annotated[Path, typer.Option(help="the new bundle", dir_okay=False)],
    certificate: Annotated[
        Path | None, typer.Option(help="the certificate of this key, PEM", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Seal a report with the facts that it was made from in one file, signed; the time is this machine's."""
    from provchain.evidence import keys
    from provchain.evidence.seal import seal as sealed
    from provchain.evidence.seal import verify as verified

    now = datetime.now(UTC).replace(microsecond=0)
    data = sealed(found, key_, now, _tool(), certificate)
    digest = verified(data).digest
    keys.write(out, data, 0o600)
    report.print_lines([f"{out}: {len(data)} bytes, manifest SM3 {digest}"])


def anchor(bundle: Bundle, network: Network = "lab", proof: ProofFile = None) -> None:
    """Put a bundle's digest on the chain of a network, and the chain's proof of it beside the bundle."""
    from provchain.conductor import anchor as conductor
    from provchain.conductor.steps import run_step
    from provchain.evidence.seal import bytes_of, verify
    from provchain.spec import load

    found = verify(bytes_of(bundle))
    spec = load(spec_file(network))
    text = run_step(report.reporter(), "anchor", lambda detail: conductor.anchor(spec, found, detail))
    path = proof or _beside(bundle)
    path.write_text(text, encoding="utf-8")
    report.print_lines([f"{path}: give it to verifiers with the bundle and the genesis of {network}"])


def verify(
    bundle: Bundle,
    signer: Annotated[
        Path | None, typer.Option(help="the public key that you believe, PEM", exists=True, dir_okay=False)
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="the authority that you believe, PEM", exists=True, dir_okay=False)
    ] = None,
    genesis: Annotated[
        Path | None,
        typer.Option(help="the chain's genesis: checks the anchor too", exists=True, dir_okay=False),
    ] = None,
    proof: ProofFile = None,
) -> None:
    """Verify a bundle offline: form, signature, every digest, facts against report, and its anchor."""
    from provchain.conductor.anchor import check
    from provchain.evidence.seal import bytes_of
    from provchain.evidence.seal import verify as verified

    if signer is not None and ca is not None:
        raise typer.BadParameter("either --signer or --ca")
    if proof is not None and genesis is None:
        raise typer.BadParameter("--proof needs --genesis, from a source that you believe")
    found = verified(bytes_of(bundle), signer, ca)
    manifest = found.manifest
    lines = [
        f"network   {manifest.network}, profile {manifest.profile}, {len(found.report.hosts)} hosts",
        f"auditor   {manifest.auditor or 'not given'}",
        f"signer    {manifest.signer}, known by {found.signed_by or 'NOBODY: give --signer or --ca'}",
        f"files     {len(manifest.files)}, each as sealed; the facts are those of the report",
        f"sealed    {manifest.sealed:%Y-%m-%d %H:%M:%S} UTC by {manifest.clock} clock, which nothing proves",
    ]
    if genesis is None:
        lines.append("anchor    not looked for: give --genesis")
    else:
        place = check(bytes_of(proof or _beside(bundle)), genesis, found.digest)
        when = f"{place.time:%Y-%m-%d %H:%M:%S} UTC" if place.time else "no time told"
        lines.append(f"anchor    proven at height {place.height}, block of {when}: it was sealed before")
    report.print_lines(lines)
    if not found.signed_by:
        raise typer.Exit(3)


def _beside(bundle: Path) -> Path:
    return bundle.with_name(bundle.name + ".proof.json")


def _tool() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"
