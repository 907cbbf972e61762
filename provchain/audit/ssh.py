"""Hosts asked over SSH, side by side: one connection and one round trip each, by the system's own ``ssh``.

OpenSSH was chosen over paramiko (pyinfra's connector) for what it verifies and how it fails: host keys,
certificates, jump hosts and agents are as in the site's own configuration, a bastion is entered once, and a
process can be ended at any moment, whatever the host does. It costs about 10 ms of processor a host, paramiko
about 6, and either is little beside what the host itself does. Its log tells what the server offers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provchain.audit import answer, connectors, looks, offers
from provchain.audit.connectors import Connected
from provchain.baseline.facts import Facts

CONNECT_SECONDS = 8
TOTAL_SECONDS = looks.HOST_SECONDS + 10
MOST_OUT = 16 << 20
MOST_ERR = 4 << 20
MOST_LOG = 1 << 18
SIDE_BY_SIDE = 24
_LOGIN_SECONDS = 0.2
"""After so long, hosts are at work and nothing is to be done here."""
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Reach:
    """How a host is reached: its alias in an ssh configuration, and its bastion's, if it has one."""

    name: str
    config: Path
    bastion: str = ""
    user: str = ""
    """The account on the host itself, in place of the configuration's."""

    def argv(self, *options: str) -> list[str]:
        """Return ssh with what always holds: no questions, host keys verified, nothing forwarded.

        Of a setting that stands twice the first counts, so that the options say how much is logged.
        """
        return ssh(self.config, *options)


def ssh(config: Path, *options: str) -> list[str]:
    """Return ssh with a configuration and with what always holds."""
    settings = (
        *options,
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RequestTTY=no",
        # first of what is taken: sntrup761, which would be, costs either end 50 ms of processor a connection,
        # and what is read here is no secret that has to last
        "KexAlgorithms=^curve25519-sha256",
        # none is left behind
        "ControlMaster=no",
        "LogLevel=ERROR",
        f"ConnectTimeout={CONNECT_SECONDS}",
        "ConnectionAttempts=1",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
    )
    return ["ssh", "-F", str(config), *(word for one in settings for word in ("-o", one))]


@dataclass(frozen=True, slots=True)
class Through:
    """A way through a bastion's connection that is open already."""

    argv: tuple[str, ...]
    bastion: str
    log: Log

    def command(self, target: str = "[%h]:%p") -> str:
        """Return the command that connects to a target, for ssh (its own words for it) or for a library."""
        words = self.argv if "%h" not in target else tuple(word.replace("%", "%%") for word in self.argv)
        return shlex.join([*words, "-W", target, self.bastion])


@dataclass
class Bastions:
    """One connection to each bastion that all hosts behind it share: a bastion takes few logins at a time.

    A bastion that is asked itself is asked over it as well: it was opened for this audit, and its log tells
    what the server offered.
    """

    folder: Path
    own: frozenset[tuple[Path, str]] = frozenset()
    """The bastions, by configuration and alias."""
    logs: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    doors: dict[tuple[Path, str], asyncio.Task[Through]] = field(default_factory=dict)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def way(self, reach: Reach) -> Through | None:
        """Return the way to a host, or None where there is no bastion. Raises OSError with ssh's words."""
        return await self._door(reach, reach.bastion) if reach.bastion else None

    async def inside(self, reach: Reach) -> Through | None:
        """Return the connection to a bastion that is to be asked by the same account. Raises OSError."""
        here = not reach.bastion and not reach.user and (reach.config, reach.name) in self.own
        return await self._door(reach, reach.name) if here else None

    async def _door(self, reach: Reach, bastion: str) -> Through:
        key = (reach.config, bastion)
        if key not in self.doors:
            self.doors[key] = asyncio.create_task(self._open(reach, bastion, len(self.doors)))
        return await asyncio.shield(self.doors[key])

    async def _open(self, reach: Reach, bastion: str, number: int) -> Through:
        socket = self.folder / str(number)
        log = self.logs.enter_context(Log(self.folder / f"door-{number}"))
        control = (f"ControlPath={socket}", "ControlPersist=no", "ControlMaster=yes")
        options = [*reach.argv(*control, f"LogLevel={offers.LEVEL}"), "-E", str(log.path)]
        process = await _start([*options, "-N", "-T", bastion])
        self.processes.append(process)
        until = time.monotonic() + CONNECT_SECONDS + 2
        while not os.path.exists(socket):  # noqa: ASYNC240, PTH110 - a look at a memory file system
            if process.returncode is not None or time.monotonic() > until:
                said = offers.fault(log.text()) or await _words(process)
                raise OSError(f"bastion {bastion}: {said or 'no answer'}")
            await asyncio.sleep(0.005)
        return Through(tuple(reach.argv(f"ControlPath={socket}")), bastion, log)

    async def close(self) -> None:
        for door in self.doors.values():
            door.cancel()
        await asyncio.gather(*self.doors.values(), return_exceptions=True)
        for process in self.processes:
            await _end(process)
        self.logs.close()


@contextlib.asynccontextmanager
async def bastions(own: frozenset[tuple[Path, str]]) -> AsyncIterator[Bastions]:
    """Hold the connections to bastions while hosts are asked; they and their sockets end with it."""
    with tempfile.TemporaryDirectory(prefix="pc-") as folder:
        held = Bastions(Path(folder), own)
        try:
            yield held
        finally:
            await held.close()


class Log:
    """A pipe with a name, into which an ssh writes its log: apart from what the host says, and bounded.

    ssh closes all else that it is given. It is open for writing here as well, and so does not end too early.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = bytearray()

    def __enter__(self) -> Log:
        os.mkfifo(self.path, 0o600)
        self._pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._pipe, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        self.path.unlink()

    def text(self) -> str:
        """Return what was written until now, or its beginning, and what was written last."""
        while self._take():
            pass
        return self._held.decode("utf-8", "replace")

    def _take(self) -> int:
        with contextlib.suppress(BlockingIOError):
            some = os.read(self._pipe, _CHUNK)
            # of what is too long, the beginning says what the server offers, and the end what went wrong
            del self._held[MOST_LOG:]
            self._held += some
            return len(some)
        return 0


async def ask(reach: Reach, asked: Sequence[looks.Look], log: Log, through: Through | None = None) -> Facts:
    """Return what a host answered, within limits of time and size; what went wrong is in the facts."""
    # a connection of its own: one that is there tells nothing of what the server offers now
    options = ["ControlPath=none", f"LogLevel={offers.LEVEL}"]
    options += [f"ProxyCommand={through.command()}"] if through else []
    options += [f"User={reach.user}"] if reach.user else []
    argv = [*reach.argv(*options), "-E", str(log.path), "-T", "--", reach.name, looks.REMOTE]
    return await answers(argv, asked, log.text)


async def answers(
    argv: Sequence[str],
    asked: Sequence[looks.Look],
    log: Callable[[], str] = lambda: "",
    *,
    shared: bool = False,
) -> Facts:
    """Return what the shell to which a command leads answers; ``log`` is ssh's, where it is that.

    What went wrong, by a log that is ``shared``, may be another host's.
    """
    nonce = secrets.token_hex(16)
    process = await _start(argv)
    late = False
    out, err = bytearray(), bytearray()
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            await asyncio.gather(
                _write(process, looks.script(asked, nonce).encode("ascii")),
                _take(process.stdout, out, MOST_OUT),
                _take(process.stderr, err, MOST_ERR),
            )
            await process.wait()
    except TimeoutError:
        late = True
    except OverflowError:
        return Facts({}, int(time.time()), "it told more than is taken")
    finally:
        await _end(process)
    told = log()
    fault = "" if shared else f"\n{offers.fault(told)}"
    try:
        outputs = answer.parse(asked, nonce, bytes(out), bytes(err) + fault.encode())
    except answer.AnswerError as error:
        reason = f"no answer within {TOTAL_SECONDS} s" if late else str(error)
        return Facts({}, int(time.time()), reason)
    return Facts(outputs, int(time.time()), external=offers.offers(told))


async def ask_all(
    reaches: Sequence[Reach | Connected],
    asked: Sequence[looks.Look],
    *,
    told: Callable[[str, Facts], None] = lambda _name, _facts: None,
    meanwhile: Callable[[], object] = lambda: None,
    side_by_side: int = SIDE_BY_SIDE,
) -> dict[str, Facts]:
    """Return the facts of every host by name, so many side by side; ``told`` hears of each as it ends.

    ``meanwhile`` is called while hosts are at work; not at all where all of them end before.
    """
    gate = asyncio.Semaphore(side_by_side)
    found: dict[str, Facts] = {}

    async def one(number: int, reach: Reach | Connected, held: Bastions) -> None:
        async with gate:
            try:
                if isinstance(reach, Connected):
                    facts = connectors.seen(reach.connector, await answers(reach.argv(), asked))
                elif door := await held.inside(reach):
                    argv = [*door.argv, "-T", "--", reach.name, looks.REMOTE]
                    facts = await answers(argv, asked, door.log.text, shared=True)
                else:
                    through = await held.way(reach)
                    with Log(held.folder / f"log-{number}") as log:
                        facts = await ask(reach, asked, log, through)
            except OSError as error:
                facts = Facts({}, int(time.time()), str(error))
        found[reach.name] = facts
        told(reach.name, facts)

    later = asyncio.get_running_loop().call_later(_LOGIN_SECONDS, meanwhile)
    own = frozenset((one.config, one.bastion) for one in reaches if isinstance(one, Reach) and one.bastion)
    async with bastions(own) as held, asyncio.TaskGroup() as group:
        for number, reach in enumerate(reaches):
            group.create_task(one(number, reach, held))
    later.cancel()
    return {reach.name: found[reach.name] for reach in reaches}


async def _start(argv: Sequence[str]) -> asyncio.subprocess.Process:
    # a session of its own: what ssh starts, a jump for instance, ends with it, and a keyboard's interrupt
    # reaches only this program, which then ends them in order
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_CHUNK,
    )


async def _write(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - PIPE was asked for
    with contextlib.suppress(ConnectionError):  # it ended before it heard all; its own words say why
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()


async def _take(stream: asyncio.StreamReader | None, into: bytearray, most: int) -> None:
    """Read to the end. Raises OverflowError beyond the limit."""
    assert stream is not None  # noqa: S101 - PIPE was asked for
    while chunk := await stream.read(_CHUNK):
        into += chunk
        if len(into) > most:
            raise OverflowError(f"more than {most} bytes")


async def _words(process: asyncio.subprocess.Process) -> str:
    """Return the last line that a process said before it ended, printable and short."""
    await _end(process)
    assert process.stderr is not None  # noqa: S101 - PIPE was asked for
    lines = (await process.stderr.read(4096)).decode("utf-8", "replace").strip().splitlines()
    return "".join(letter for letter in (lines or [""])[-1] if letter.isprintable())[:200]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that still runs, and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await process.wait()
