"""``provchain audit key|seal|anchor|verify``: evidence that others can check without us.

Exit codes: 0 it holds, 1 it does not, or was refused, 2 wrong use, 3 it holds, but nobody said whose key to
believe.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provchain.cli import report
from provchain.cli.options import Json, Network
from provchain.paths import REPOSITORY, network_dir, spec_file

if TYPE_CHECKING:
    from provchain.conductor.anchor import Anchor
    from provchain.evidence.seal import Verified

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
    genesis = network_dir(network) / "genesis.json"
    report.print_lines(
        [
            f"{path}: give it to verifiers with the bundle",
            f"{genesis}: the genesis, which they should have from somebody else of {network} too",
        ]
    )


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
    profile: Annotated[
        Path | None,
        typer.Option(help="the site's own profile that it was judged by", exists=True, dir_okay=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a bundle offline: form, signature, every digest, its anchor; and judge its facts again."""
    from provchain.conductor.anchor import check
    from provchain.evidence.seal import bytes_of
    from provchain.evidence.seal import verify as verified

    if signer is not None and ca is not None:
        raise typer.BadParameter("either --signer or --ca")
    if proof is not None and genesis is None:
        raise typer.BadParameter("--proof needs --genesis, from a source that you believe")
    found = verified(bytes_of(bundle), signer, ca)
    manifest = found.manifest
    why_not = _judged_again(found, profile)
    place = check(bytes_of(proof or _beside(bundle)), genesis, found.digest) if genesis else None
    if as_json:
        report.print_json(
            {
                "manifest": manifest.model_dump(mode="json"),
                "sm3": found.digest,
                "signed_by": found.signed_by,
                "judged_again": not why_not,
                "not_judged_again_because": why_not,
                "anchor": place and {"height": place.height, "time": place.time and place.time.isoformat()},
            }
        )
    else:
        report.print_lines(_told(found, why_not, place))
    if not found.signed_by:
        raise typer.Exit(3)


def _judged_again(found: Verified, profile: Path | None) -> str:
    """Derive the verdicts once more by the catalog here; return why not, where that can't be done."""
    from provchain.audit.assessment import sm3
    from provchain.baseline.catalog import load
    from provchain.document import DocumentError
    from provchain.evidence.again import again
    from provchain.evidence.seal import bytes_of

    own = {f"site/{profile.name}": sm3(bytes_of(profile))} if profile else {}
    try:
        catalog = load(sites=[profile] if profile else [])
    except DocumentError as error:
        raise typer.BadParameter("\n".join(error.lines())) from None
    return again(found.report, found.facts, catalog, found.manifest.sources, own)


def _told(found: Verified, why_not: str, place: Anchor | None) -> list[str]:
    manifest = found.manifest
    lines = [
        f"network   {manifest.network}, profile {manifest.profile}, {len(found.report.hosts)} hosts",
        f"auditor   {manifest.auditor or 'not given'}",
        f"signer    {manifest.signer}, known by {found.signed_by or 'NOBODY: give --signer or --ca'}",
        f"files     {len(manifest.files)}, each as sealed; the facts are those of the report",
    ]
    if why_not:
        lines.append(
            f"verdicts  NOT derived again: {why_not}; the tool was {manifest.tool}, this is {_tool()}"
        )
    else:
        count = len(found.report.results) + len(found.report.clauses)
        lines.append(f"verdicts  {count}, each derived again from the facts by the catalog here: the same")
    lines.append(
        f"sealed    {manifest.sealed:%Y-%m-%d %H:%M:%S} UTC by {manifest.clock} clock, which nothing proves"
    )
    if place is None:
        return [*lines, "anchor    not looked for: give --genesis"]
    when = f"{place.time:%Y-%m-%d %H:%M:%S} UTC" if place.time else "no time told"
    return [*lines, f"anchor    proven at height {place.height}, block of {when}: it was sealed before"]


def _beside(bundle: Path) -> Path:
    return bundle.with_name(bundle.name + ".proof.json")


def _tool() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"
