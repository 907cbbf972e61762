"""A program that becomes the command by which pyinfra's connector reaches a shell.

``python -m provchain.audit.become @docker/web``: standard input, output and error are then that shell's own,
so bytes pass as they are, and whoever started this bounds and ends it as it does ssh. pyinfra (3.10) makes
the command and does not run it: its runner (``connectors/util.py``) takes lines of UTF-8, where a byte that
is none ends the reading without a word, holds whatever is printed, and asks at the terminal for a password
when a line looks like sudo's. Nor is its ``connect`` called, which starts a container that is stopped, or a
new one where the name is an image's: ``exec``, which is all that is left, refuses either.
"""

from __future__ import annotations

import logging
import os
import pwd
import shlex
import sys
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.util import CommandOutput

from provchain.audit import image
from provchain.audit.looks import REMOTE

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022
"""As a login begins: whoever starts the audit has their own, and it must not pass for the host's."""


class _Making(LocalConnector):
    """Takes the command that another connector would run on this machine."""

    made: tuple[str, ...] = ()

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,  # noqa: ANN401 - as the library has them
    ) -> tuple[bool, CommandOutput]:
        self.made = tuple(shlex.split(command.get_raw_value()))
        return True, CommandOutput([])


def command(name: str) -> tuple[str, ...]:
    """Return the command by which the connector of this name runs the script's shell."""
    inventory = Inventory(([name], {}))
    state = State(inventory, Config())
    (host,) = inventory
    host.init(state)
    making = _Making(state, host)
    connector: Any = host.connector
    if isinstance(connector, LocalConnector):
        connector = making
    # what the connectors' own connect() would leave, and do more for
    connector.local = making
    connector.container_id = host.data.get("docker_identifier")
    host.connector_data["chroot_directory"] = host.data.get("chroot_directory")
    connector.run_shell_command(StringCommand(REMOTE))
    return making.made


def main(name: str) -> None:
    """Become the command. Raises OSError."""
    logging.disable()  # it warns that a connector is new
    argv = command(name)
    if name.startswith(("@docker/", "@podman/")):
        # with what tells the client where its service is
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is meant
    account = pwd.getpwuid(os.geteuid())
    if name.startswith("@chroot/"):
        # chroot(8) alone is no wall for root
        image.enter(argv[1])
        argv = argv[2:]
    os.umask(UMASK)
    home = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    own = {"PATH": PATH, "SHELL": account.pw_shell, **home}
    os.execvpe(argv[0], argv, own)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        about = [os.fsdecode(error.filename)] if error.filename else []
        sys.exit(": ".join([sys.argv[1], *about, error.strerror or str(error)]))
