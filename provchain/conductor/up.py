"""From one chain.yml to a running, proven network, and back to nothing.

Every step is safe to repeat: an interrupted ``up`` is completed by the same command.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provchain import inventory, provision
from provchain.conductor import engine, package
from provchain.conductor.steps import Reporter, run_step, run_tool
from provchain.errors import ProvchainError
from provchain.paths import home, network_dir, runtime_dir, spec_file
from provchain.spec import ChainSpec, digest, load

Detail = Callable[[str], None]
_BIN = Path(sys.executable).parent


def bring_up(network: str, reporter: Reporter) -> list[dict[str, Any]]:
    """Provision, install, start and prove a network; return its table, one row a host.

    Raises DocumentError for a bad chain.yml before anything is touched, ProvchainError for a failed step.
    """
    spec = run_step(reporter, "spec", lambda detail: _spec(network))
    built = run_step(reporter, "package", lambda detail: _package(spec, detail))
    run_step(reporter, "provision", lambda detail: _provision(spec, detail))
    run_step(reporter, "install", lambda detail: _install(spec, built, detail))
    run_step(reporter, "prove", lambda detail: prove(spec, detail))
    return run_step(reporter, "status", lambda detail: _status(spec))


def take_down(network: str, reporter: Reporter) -> None:
    """Remove a network: hosts, bridges, rules, state and keys. A lab's chain can't be brought back.

    Hosts of the backend ``existing`` are left as they are; only what is kept of them here goes.
    """

    def destroy(detail: Detail) -> tuple[None, str]:
        provision.destroy(spec_file(network), detail)
        shutil.rmtree(runtime_dir(network), ignore_errors=True)
        shutil.rmtree(network_dir(network), ignore_errors=True)
        inventory_file(network).unlink(missing_ok=True)
        return None, "hosts, network, state and keys are gone"

    run_step(reporter, "destroy", destroy)


def inventory_file(network: str) -> Path:
    """Return the generated inventory of a network."""
    return spec_file(network).with_name("hosts.yml")


def logs(network: str) -> Path:
    """Return the folder of a network's logs."""
    return network_dir(network) / "logs"


def _spec(network: str) -> tuple[ChainSpec, str]:
    spec = load(spec_file(network))
    return (
        spec,
        f"{len(spec.hosts)} hosts, {len(spec.organisations)} organisations, digest {digest(spec)[:12]}",
    )


def _package(spec: ChainSpec, detail: Detail) -> tuple[Path, str]:
    folder, built = package.ensure(
        spec.engine.name, spec.engine.version, logs(spec.network) / "package.log", detail
    )
    return folder, f"{spec.engine.name} {spec.engine.version} {'built' if built else 'unchanged'}"


def _provision(spec: ChainSpec, detail: Detail) -> tuple[None, str]:
    path = spec_file(spec.network)
    outputs = provision.up(path, detail)
    if outputs.digest != digest(spec):
        raise ProvchainError(
            "the provisioned network is not that of chain.yml",
            cause=f"digest {outputs.digest[:12]} there, {digest(spec)[:12]} here",
            remedy="run the same command again",
        )
    inventory.write(spec, path, outputs)
    return None, f"{len(outputs.hosts)} hosts answer"


def playbook_argv(spec: ChainSpec, playbook: str, *extra: str) -> list[str]:
    """Return the command line of a playbook on the network's generated inventory."""
    inventory_path = str(inventory_file(spec.network))
    return [str(_BIN / "ansible-playbook"), "-i", inventory_path, f"playbooks/{playbook}.yml", *extra]


def _install(spec: ChainSpec, built: Path, detail: Detail) -> tuple[None, str]:
    return None, run_playbook(spec, "site", detail, "-e", f"provchain_package={built}")


def run_playbook(spec: ChainSpec, playbook: str, detail: Detail, *extra: str) -> str:
    """Run a playbook with its tasks as progress; return how many settings changed on how many hosts."""
    argv = playbook_argv(
        spec, playbook, "-e", f"provchain_release_key={home() / 'release' / 'public.pem'}", *extra
    )
    lines = run_tool(
        argv,
        log=logs(spec.network) / f"{playbook}.log",
        detail=detail,
        env={"ANSIBLE_NOCOLOR": "1"},
        interesting=_task,
    )
    changed = {
        line.split(":")[0].strip(): int(line.split("changed=")[1].split()[0])
        for line in lines
        if "changed=" in line
    }
    touched = sum(1 for count in changed.values() if count)
    return f"{sum(changed.values())} changes on {touched} hosts" if touched else "nothing to change"


def _task(line: str) -> str | None:
    return line.split("[", 1)[1].split("]", maxsplit=1)[0] if line.startswith(("TASK [", "PLAY [")) else None


def prove(spec: ChainSpec, detail: Detail) -> tuple[None, str]:
    """Run the proof suite's harmless part against the network; raises ProvchainError if a proof fails."""
    argv = [str(_BIN / "pytest"), "tests/host", "--network", spec.network, "-v", "--tb=short", "--no-header"]
    lines = run_tool(argv, log=logs(spec.network) / "prove.log", detail=detail, interesting=_proof)
    return None, next((line.strip("= ") for line in reversed(lines) if " passed" in line), "no summary")


def _proof(line: str) -> str | None:
    return line.split(" ", maxsplit=1)[0].removeprefix("tests/host/") if "::" in line else None


def _status(spec: ChainSpec) -> tuple[list[dict[str, Any]], str]:
    rows = table(spec)
    heights = [row["height"] for row in rows if row["height"] is not None]
    return rows, f"height {min(heights)} to {max(heights)}" if heights else "no node answers"


def table(spec: ChainSpec) -> list[dict[str, Any]]:
    """Return one row a host: name, zone, organisation, service, height, hash, peers, certificate expiry."""
    nodes = [host.name for host in spec.nodes]
    answers = engine.statuses(spec.network, nodes)
    rows = []
    for host in spec.hosts:
        answer = answers.get(host.name)
        row: dict[str, Any] = {
            "host": host.name,
            "zone": host.zone,
            "organisation": host.organisation,
            "roles": list(host.roles),
            "service": "no node",
            "height": None,
            "block_hash": None,
            "peers": None,
            "certificate_expires": None,
            "error": None,
        }
        if isinstance(answer, ProvchainError):
            row |= {"service": "no answer", "error": answer.message}
        elif answer is not None:
            row |= {
                "service": "syncing" if answer["syncing"] else "running",
                "height": answer["height"],
                "block_hash": answer["block_hash"],
                "peers": len(answer["peers"]),
                "certificate_expires": answer["certificate_expires"],
            }
        rows.append(row)
    return rows


def plan(spec: ChainSpec, detail: Detail) -> dict[str, Any]:
    """Say what ``up`` would change, without changing it: the network's parts, then settings on its hosts."""
    changes = provision.preview(spec_file(spec.network), detail)
    result: dict[str, Any] = {"provision": changes.summary, "install": None}
    if inventory_file(spec.network).exists() and not changes.creates:
        detail("settings on the hosts")
        built, _ = package.ensure(
            spec.engine.name, spec.engine.version, logs(spec.network) / "package.log", detail
        )
        result["install"] = run_playbook(
            spec, "site", detail, "--check", "--diff", "-e", f"provchain_package={built}"
        )
    return result
