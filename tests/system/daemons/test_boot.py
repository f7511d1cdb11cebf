"""A machine that boots: systemd itself, in a container of systemd-nspawn, with the units that
pyvs-ctl writes; its root is this machine's, what it writes is put over it."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.daemons import BIN, DAEMONS, VSWITCHD, CommandFailed, wait_until

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(400)]

SERVICES = (*DAEMONS, "pyvs", "pyvs-state", "pyvs-docker-driver", "pyvs-exporter")
# Nothing but what systemd itself has, and the services.
TARGET = """[Unit]
Requires=basic.target
After=basic.target
AllowIsolate=yes
"""
POWEROFF = signal.SIGRTMIN + 4  # systemd(1)


class Machine:
    """Files in `directory`; boot() and power_off() may take turns."""

    def __init__(self, directory):
        self.root = directory / "root"
        self._log = directory / "console"
        for each in ("root", "upper", "work"):
            (directory / each).mkdir()
        options = f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work"
        words = ("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        if subprocess.run(words, capture_output=True).returncode:
            pytest.skip("file systems cannot be put over one another here")
        units = self.root / "etc/systemd/system"
        shutil.rmtree(units)
        (units / "test.target.wants").mkdir(parents=True)
        (units / "test.target").write_text(TARGET)
        for folder in ("etc/pyvs", "var/log/pyvs"):  # of whoever used this machine before
            shutil.rmtree(self.root / folder, ignore_errors=True)
        self._nspawn = None

    def boot(self):
        """Returns when all services run."""
        words = ("--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                 "--link-journal=no", "--bind=/dev/net/tun", "--console=pipe")  # fmt: skip
        with open(self._log, "ab") as output:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", *words, f"--directory={self.root}", "systemd.unit=test.target"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        wait_until(self._is_up, seconds=120, what=f"the services; {self._log.read_text()}")

    def _is_up(self):
        assert self._nspawn.poll() is None, self._log.read_text()
        told = self.run("systemctl", "is-active", *SERVICES, check=False).split()
        return told == ["active"] * len(SERVICES)

    def _init(self):
        pid = self._nspawn.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def run(self, *command, check=True):
        """A command's output."""
        try:
            enter = ("nsenter", f"--target={self._init()}", "--all", "--root")
        except IndexError:
            return ""
        environment = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(
            [*enter, *command], capture_output=True, text=True, env=environment, timeout=60
        )
        if check and done.returncode:
            raise CommandFailed(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def power_off(self):
        os.kill(self._init(), POWEROFF)
        self._nspawn.wait(timeout=120)

    def close(self):
        if self._nspawn is not None and self._nspawn.poll() is None:
            # With the first process of its namespace all others end; they outlive nspawn.
            with contextlib.suppress(IndexError, ProcessLookupError):
                os.kill(self._init(), signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait()
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("root is needed")
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("systemd-nspawn is not installed (Debian: systemd-container)")
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.close()


def pid_of(machine, service):
    return machine.run("systemctl", "show", "--property=MainPID", "--value", service).strip()


def test_a_reboot(machine):
    """Bridges, flows, and addresses of internal ports are back; what is killed comes again."""
    units = machine.root / "etc/systemd/system"
    told = subprocess.run(
        [BIN / "pyvs-ctl", f"--units-dir={units}", "--keep-state", "install-units"],
        capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout  # fmt: skip
    assert "pyvs-docker-driver pyvs-exporter" in told
    for name in ("pyvs", "pyvs-state", "pyvs-docker-driver", "pyvs-exporter"):
        (units / f"test.target.wants/{name}.service").symlink_to(f"../{name}.service")
    machine.boot()
    internal = ("--", "set", "interface", "in0", "type=internal")
    machine.run("pyvs-vsctl", "add-br", "br0", "--", "add-port", "br0", "in0", *internal)
    machine.run("pyvs-ofctl", "add-flow", "br0", "priority=7,tcp,tp_dst=80,actions=drop")
    for words in (
        "address add 10.9.0.1/24 dev in0",
        "link set in0 up",
        "address add fd09::1/64 dev br0 nodad",
        "link set br0 up",
        "route add 10.8.0.0/16 via 10.9.0.2 dev in0",
    ):
        machine.run("ip", *words.split())

    def state():
        shown = machine.run("ip", "address")
        return (
            machine.run("pyvs-vsctl", "list-ports", "br0"),
            "priority=7,tcp,tp_dst=80" in machine.run("pyvs-ofctl", "dump-flows", "br0"),
            "10.9.0.1/24" in shown,
            "fd09::1/64" in shown,
            "10.8.0.0/16 via 10.9.0.2" in machine.run("ip", "route"),
        )

    before = state()
    assert before == ("in0\n", True, True, True, True)
    machine.power_off()
    machine.boot()
    wait_until(lambda: state() == before, what="what was there before")
    fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9475/metrics').read())"
    assert "ovs_" in machine.run(str(BIN / "python"), "-c", fetch)
    assert "pyvs.sock" in machine.run("ls", "/run/docker/plugins")
    for service in (VSWITCHD, "pyvs-docker-driver"):
        pid = pid_of(machine, service)
        machine.run("kill", "-9", pid)
        wait_until(
            lambda: pid_of(machine, service) not in ("0", pid),  # noqa: B023
            seconds=30,
            what=f"{service} again",
        )
    wait_until(lambda: machine.run("pyvs-vsctl", "show").count("in0"), what="vswitchd")
    assert (
        machine.run("systemctl", "--failed", "--plain", "--no-legend", "list-units", "pyvs*") == ""
    )
