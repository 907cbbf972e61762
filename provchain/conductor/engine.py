"""Ask the engine on a host, by the verbs that its role left in /etc/provchain/engine.json.

This is all that the suite knows of an engine: the neutral verbs status, block, submit and read.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from provchain.errors import ProvchainError
from provchain.paths import network_dir

# Runs on the host: looks the verb up, fills in its parameters, and becomes that command.
_RUN_VERB = (
    "import json,os,sys;"
    "verbs=json.load(open('/etc/provchain/engine.json'))['verbs'];"
    "given=dict(a.split('=',1) for a in sys.argv[2:]);"
    "argv=[a.format(**given) for a in verbs[sys.argv[1]]];"
    "os.execv(argv[0],argv)"
)


def ssh_argv(network: str, host: str, remote: Sequence[str]) -> list[str]:
    """Return the command line that runs ``remote`` on a host of the network, host keys verified."""
    config = network_dir(network) / "ssh" / "config"
    return ["ssh", "-F", str(config), "-o", "BatchMode=yes", host, "--", shlex.join(remote)]


def call(
    network: str,
    host: str,
    verb: str,
    *,
    parameters: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float,
    refusals: bool = False,
) -> str:
    """Run an engine verb on a host and return its standard output.

    ``timeout`` is in seconds. With ``refusals``, exit code 1 with output is an answer: some of what was
    handed in was refused, and the output says what. Raises ProvchainError if the host can't be reached, the
    verb is unknown to its engine, it fails, or the time runs out.
    """
    given = [f"{name}={value}" for name, value in (parameters or {}).items()]
    argv = ssh_argv(network, host, ["sudo", "-n", "python3", "-I", "-c", _RUN_VERB, verb, *given])
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise ProvchainError(
            f"{host}: no answer to {verb} within {timeout:g} s",
            remedy="provchain verify says what is wrong there",
        ) from None
    if done.returncode != 0 and not (refusals and done.returncode == 1 and done.stdout):
        raise ProvchainError(
            f"{host}: {verb} failed with exit code {done.returncode}", cause=done.stderr.strip()[-800:]
        )
    return done.stdout


def status(network: str, host: str, timeout: float = 20.0) -> dict[str, Any]:
    """Return the engine's status of one host; raises ProvchainError."""
    text = call(network, host, "status", timeout=timeout)
    try:
        answer = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProvchainError(f"{host}: status is not JSON", cause=str(error)) from None
    if not isinstance(answer, dict):
        raise ProvchainError(f"{host}: status is not a JSON object", cause=f"found {type(answer).__name__}")
    return answer


def statuses(network: str, hosts: Sequence[str]) -> dict[str, dict[str, Any] | ProvchainError]:
    """Ask many hosts side by side; a host that doesn't answer is there with its error."""

    def one(host: str) -> dict[str, Any] | ProvchainError:
        try:
            return status(network, host)
        except ProvchainError as error:
            return error

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(hosts, pool.map(one, hosts), strict=True))
