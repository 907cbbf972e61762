"""A lab host's file system: an overlay of its own over the shared image, with what a first boot needs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from provchain.lab import image, keys
from provchain.lab.shell import LabError, run
from provchain.paths import network_dir


def folder(network: str, host: str) -> Path:
    """Return the folder of a host: its layers, where they are mounted, and its console's log."""
    return network_dir(network) / "lab" / host


def tree(network: str, host: str) -> Path:
    """Return where a host's file system is mounted."""
    return folder(network, host) / "root"


def exists(network: str, host: str) -> bool:
    """Return whether a host's file system has been prepared to its end."""
    return _prepared(network, host).is_file()


def mounted(network: str, host: str) -> bool:
    """Return whether a host's file system is mounted."""
    return os.path.ismount(tree(network, host))


def mount(network: str, host: str) -> None:
    """Mount a host's file system; does nothing if it is mounted.

    A new host gets the present image; later ones leave it on that, as reinstalling would cost its data.
    """
    if mounted(network, host):
        return
    home = folder(network, host)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("root", "upper", "work"):
        (home / name).mkdir(exist_ok=True)
    (home / "upper").chmod(0o755)  # becomes the guest's root folder
    lower = _image(home)
    options = f"lowerdir={lower},upperdir={home / 'upper'},workdir={home / 'work'}"
    run("mount", "-t", "overlay", f"pc-{network}-{host}", "-o", options, str(home / "root"))


def prepare(network: str, host: str, user: str, port: int) -> None:
    """Give a new host its name, its own SSH host key, and the first user with the network's key.

    As on a cloud image: that user may use sudo without a password, has none, and gets in by key only.
    A host that was prepared to its end keeps what it has since become.
    """
    if exists(network, host):
        return
    root = tree(network, host)
    (root / "etc/hostname").write_text(f"{host}\n", encoding="utf-8")
    keys.make(root / "etc/ssh/ssh_host_ed25519_key", f"root@{host}")
    if port != 22:
        (root / "etc/ssh/sshd_config.d/10-port.conf").write_text(f"Port {port}\n", encoding="utf-8")
    run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", user)
    run("chroot", str(root), "install", "-d", "-m", "0700", "-o", user, "-g", user, f"/home/{user}/.ssh")
    _authorize(network, root, user)
    sudo = root / "etc/sudoers.d/90-first-user"
    sudo.write_text(f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n", encoding="utf-8")
    sudo.chmod(0o440)
    _prepared(network, host).touch()


def name_hosts(network: str, host: str, addresses: Mapping[str, str]) -> None:
    """Write /etc/hosts with every host of the network; left alone where it says so already."""
    file = tree(network, host) / "etc/hosts"
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{address} {name}" for name, address in sorted(addresses.items())]
    text = "\n".join(lines) + "\n"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        new = file.with_name(".hosts.new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def host_key(network: str, host: str) -> str:
    """Return the public half of a host's SSH key, as ``ssh-ed25519 AAAA…``."""
    file = folder(network, host) / "upper/etc/ssh/ssh_host_ed25519_key.pub"
    return " ".join(file.read_text(encoding="ascii").split()[:2])


def remove(network: str, host: str) -> None:
    """Unmount and delete a host's file system; its processes must have ended."""
    home = folder(network, host)
    while mounted(network, host):
        run("umount", str(tree(network, host)))
    _prepared(network, host).unlink(missing_ok=True)  # half a deletion must not look like a host
    if home.exists():
        run("rm", "-rf", "--one-file-system", str(home))
    # hosts go side by side: whoever finds the folder full or gone is not the last
    with contextlib.suppress(OSError):
        home.parent.rmdir()


def _image(home: Path) -> Path:
    record = home / "image"
    if not record.is_file():
        new = home / ".image.new"
        new.write_text(image.ensure().name, encoding="ascii")
        new.replace(record)
    path = image.path().with_name(record.read_text(encoding="ascii"))
    if not path.is_dir():
        raise LabError(
            f"the image of host {home.name} is gone",
            cause=f"{path} is missing",
            remedy="remove the network and make it anew",
        )
    return path


def _authorize(network: str, root: Path, user: str) -> None:
    file = root / "home" / user / ".ssh/authorized_keys"
    shutil.copyfile(f"{keys.private_key(network)}.pub", file)
    owner = file.parent.stat()
    os.chown(file, owner.st_uid, owner.st_gid)
    file.chmod(0o600)


def _prepared(network: str, host: str) -> Path:
    return folder(network, host) / "prepared"
