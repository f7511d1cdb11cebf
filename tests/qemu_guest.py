"""A real guest: QEMU with a kernel of Debian and an initial file system of busybox alone, whose
network card (virtio-net) is a TAP of the host with all offloads.

The kernel is the one installed (package linux-image-amd64), or that of a package unpacked into
$PYVS_GUEST_KERNEL:

    apt-get download linux-image-6.1.0-57-amd64; dpkg-deb -x linux-image-*.deb "$PYVS_GUEST_KERNEL"
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.daemons import wait_until

# What the kernel has built in is not there as a file.
MODULES = (
    *("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("failover", "net_failover", "virtio_net"),
)
COMMANDS = (
    "sh",
    "ip",
    "ping",
    "nc",
    "sha256sum",
    "insmod",
    "mount",
    "mkdir",
    "cat",
    "head",
    "sleep",
)
# What the guest does: its shell is the serial line.
INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
# Which of them needs which other one changes: each round loads some more.
for round in 1 2 3 4 5; do for module in /modules/*; do insmod $module; done; done 2>/dev/null
ip link set lo up
ip link set eth0 up
echo guest is up
exec sh
"""


def kernel():
    """(image, folder of its modules), or None."""
    top = Path(os.environ.get("PYVS_GUEST_KERNEL", "/"))
    for image in sorted((top / "boot").glob("vmlinuz-*"), reverse=True):
        modules = top / "lib/modules" / image.name.removeprefix("vmlinuz-")
        if modules.is_dir():
            return image, modules
    return None


def missing():
    """Why no guest can run here, or None."""
    if os.geteuid() != 0:
        return "root is needed"
    for program in ("qemu-system-x86_64", "busybox", "cpio"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if kernel() else "there is no kernel (Debian: linux-image-amd64)"


def make_initrd(directory, modules):
    """The initial file system, an archive in `directory`."""
    root = directory / "root"
    for folder in ("bin", "modules", "proc", "sys", "dev", "tmp"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for name in COMMANDS:
        (root / "bin" / name).symlink_to("busybox")
    for name in MODULES:
        for path in modules.glob(f"kernel/**/{name}.ko"):
            shutil.copy(path, root / "modules")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    archive = directory / "initrd"
    with open(archive, "wb") as output:
        names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet"],
            input=names.encode(), stdout=output, cwd=root, check=True,
        )  # fmt: skip
    return archive


class Guest:
    """QEMU in the namespace `host`, its card the TAP `device`; `say()` types a command."""

    def __init__(self, host, directory, device, mac):
        image, modules = kernel()
        archive = make_initrd(directory, modules)
        card = f"tap,id=net0,ifname={device},script=no,downscript=no,vhost=off"
        self._console = directory / "console"
        with open(self._console, "wb") as output:
            self._process = host.popen(
                *("qemu-system-x86_64", "-accel", "tcg", "-m", "256"),
                *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
                *("-kernel", str(image), "-initrd", str(archive)),
                *("-append", "console=ttyS0 quiet panic=-1", "-no-reboot"),
                *("-netdev", card, "-device", f"virtio-net-pci,netdev=net0,mac={mac},romfile="),
                stdin=subprocess.PIPE, stdout=output, stderr=output,
            )  # fmt: skip
        self._count = self._at = 0

    def said(self):
        """All that the guest has printed."""
        return self._console.read_text(errors="replace").replace("\r", "")

    def wait_until_up(self):
        wait_until(
            lambda: "guest is up" in self.said() or self.ended(), seconds=120, what="a guest"
        )
        assert not self.ended(), self.said()

    def ended(self):
        return self._process.poll() is not None

    def begin(self, command):
        """Types a command; finish() returns what it printed."""
        self._at = len(self.said())
        self._type(command)

    def _type(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def finish(self, seconds=60):
        self._count += 1
        self._type(f"echo en''d-{self._count}")  # as typed, it is not what marks the end
        mark = f"end-{self._count}\n"
        wait_until(lambda: mark in self.said()[self._at :], seconds=seconds, what="the guest")
        return self.said()[self._at :].partition(mark)[0]

    def say(self, command):
        """What a command printed, itself before it."""
        self.begin(command)
        return self.finish()

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
