"""A lab host with a kernel of its own: the same disk, address and cable, but booted by an emulated machine.

A container shares its machine's kernel, so rules of the kernel, its modules and its audit are proven here.
QEMU emulates the processor (TCG), which needs no hardware virtualisation and boots in a quarter of a minute.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from provchain.lab import host, image, names, root
from provchain.lab.shell import run
from provchain.paths import cache
from tests.host.waiting import until
from tests.system.bare import Bare

PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools")
BOOT_SECONDS = 240
_DISK = "2G"
_MEMORY = "768"  # MiB
# $1: the image, $2: the layer to build, $3: packages. Mounts are this shell's own and vanish with it. This
# machine's apt says what the image lacks and fetches it, so that the tree needs neither mirror nor network.
_BUILD = """
mkdir "$2/upper" "$2/work" "$2/tree" "$2/archives"
mount -t overlay overlay -o lowerdir="$1",upperdir="$2/upper",workdir="$2/work" "$2/tree"
apt-get update -qq
apt-get install -qq --yes --no-install-recommends --download-only \\
  -o Dir::State::status="$1/var/lib/dpkg/status" -o Dir::Cache::archives="$2/archives" $3
mount --bind "$2/archives" "$2/tree/mnt"
for one in proc sys dev; do mount --rbind /$one "$2/tree/$one"; done
DEBIAN_FRONTEND=noninteractive chroot "$2/tree" sh -c 'dpkg --install /mnt/*.deb'
chroot "$2/tree" systemctl unmask auditd.service
rm -r "$2/archives"
"""
_NETWORK = """\
[Match]
Name=eth0
[Network]
Address={address}
Gateway={gateway}
LinkLocalAddressing=no
"""
# what a boot loader would say: hardening leaves that to people
_START = "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 audit=1 audit_backlog_limit=8192"


@dataclass(frozen=True)
class Machine:
    """One host of a bare network, started again as a machine."""

    bare: Bare
    name: str
    folder: Path
    """Where its disk and its console's log are."""

    @property
    def _network(self) -> str:
        return self.bare.life.network

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stop the container, start a machine from its disk in its place, and end that afterwards."""
        self.bare.hang_up(self.name)
        host.stop(self._network, self.name)
        layer = _layer()
        disk = self._disk(layer)
        self._plug()
        boot = layer / "upper/boot"
        (kernel,), (initrd,) = boot.glob("vmlinuz-*"), boot.glob("initrd.img-*")
        argv = [
            # whatever ends the tests, the machine ends with them
            "setpriv", "--pdeathsig", "KILL",
            "ip", "netns", "exec", names.host_namespace(self._network, self.name),
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", _MEMORY, "-nographic",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", _START,
            "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe",
            "-netdev", "tap,id=cable,ifname=tap0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=cable,mac={self._mac}",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.folder / 'console.log'}", "-monitor", "none",
        ]  # fmt: skip
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                self.wait("")
                yield
            finally:
                process.kill()

    def boot_id(self) -> str:
        """Return what the kernel calls this boot; empty if nobody can log in."""
        return self.bare.ssh(self.name, "cat /proc/sys/kernel/random/boot_id", fresh=True).stdout.strip()

    def wait(self, before: str) -> None:
        """Return when its operators can log in after a boot that is not the one before."""
        until(self.boot_id, lambda now: now not in ("", before), f"{self.name} booted", BOOT_SECONDS)

    def reboot(self) -> None:
        """Reboot it from within, and wait for it."""
        before = self.boot_id()
        self.bare.hang_up(self.name)
        self.bare.ssh(self.name, "sudo -n systemctl reboot", fresh=True)
        self.wait(before)

    @property
    def _mac(self) -> str:
        return names.mac(self.bare.life.spec.host(self.name).address)

    def _disk(self, layer: Path) -> Path:
        """Make a disk of the image, the kernel's layer, what the host has become, and its address."""
        own, tree, disk = self.folder / "own", self.folder / "tree", self.folder / "disk.img"
        spec = self.bare.life.spec
        zone = next(one for one in spec.zones if one.name == spec.host(self.name).zone)
        address = IPv4Interface(f"{spec.host(self.name).address}/{zone.cidr.prefixlen}")
        (own / "etc/systemd/network").mkdir(parents=True)
        (own / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
        (own / "etc/systemd/network/cable.network").write_text(
            _NETWORK.format(address=address, gateway=zone.router), encoding="utf-8"
        )
        (own / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").symlink_to(
            "/lib/systemd/system/systemd-networkd.service"
        )
        tree.mkdir()
        upper = root.folder(self._network, self.name) / "upper"
        lower = ":".join(map(str, (own, upper, layer / "upper", image.path())))
        make = 'mount -t overlay overlay -o lowerdir="$1" "$2"; mke2fs -q -t ext4 -d "$2" "$3" "$4"'
        run("unshare", "--mount", "sh", "-euc", make, "sh", lower, str(tree), str(disk), _DISK)
        return disk

    def _plug(self) -> None:
        """Lead the host's cable through a bridge to the machine, which gets its hardware address."""
        namespace = names.host_namespace(self._network, self.name)
        commands = (
            "address flush dev eth0",
            "link set eth0 address 02:ff:00:00:00:01",
            "link add machine type bridge",
            "link set eth0 master machine",
            "tuntap add dev tap0 mode tap",
            "link set tap0 master machine up",
            "link set machine up",
        )
        run("ip", "-n", namespace, "-batch", "-", stdin="\n".join(commands) + "\n")


def _layer() -> Path:
    """Return the folder of what a kernel adds to the image, building it if it is missing."""
    recipe = json.dumps([image.key(), PACKAGES, _BUILD])
    target = cache() / "machine" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not target.is_dir():
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as folder:
            building = Path(folder) / "layer"
            building.mkdir()
            build = ("sh", "-euc", _BUILD, "sh", str(image.ensure()), str(building), " ".join(PACKAGES))
            run("unshare", "--mount", *build)
            building.rename(target)
    return target
