"""Open vSwitch with its userspace datapath in namespaces like those of tests.daemons, as a peer."""

import shutil
import signal
from pathlib import Path

from tests import daemons

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
HAS_TUN = Path("/dev/net/tun").exists()


def missing():
    """Why it cannot run here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent or not SCHEMA.exists():
        return "Open vSwitch is not installed"
    if daemons.ROOTLESS or not HAS_TUN:
        return "Open vSwitch's userspace datapath needs root and /dev/net/tun"
    return daemons.missing()


class OvsSwitch(daemons.Switch):
    """The commands of a daemons.Switch, of the other one's names."""

    def __init__(self):
        super().__init__()
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self.environment.update({name: str(self.directory) for name in names})
        self._daemons = []

    def start(self):
        self.host = daemons.Namespace()
        at = self.directory
        self.run("ovsdb-tool", "create", f"{at}/conf.db", str(SCHEMA))
        self._spawn("ovsdb-server", f"{at}/conf.db", f"--remote=punix:{at}/db.sock")
        daemons.wait_until((at / "db.sock").exists, what="ovsdb-server")
        self.vsctl("--no-wait", "init")
        self._spawn("ovs-vswitchd", f"unix:{at}/db.sock", f"--unixctl={at}/vs.ctl")
        daemons.wait_until((at / "vs.ctl").exists, what="ovs-vswitchd")

    def _spawn(self, *command):
        log = (self.directory / f"{command[0]}.out").open("w")
        started = self.host.popen(*command, env=self.environment, stdout=log, stderr=log)
        self._daemons.append(started)

    def run(self, *command):
        return self.host.run(*command, env=self.environment)

    def vsctl(self, *arguments, **options):
        return self.run("ovs-vsctl", "--timeout=10", *arguments)

    def ofctl(self, *arguments, **options):
        return self.run("ovs-ofctl", *arguments)

    def appctl(self, *arguments, **options):
        return self.run("ovs-appctl", "-t", f"{self.directory}/vs.ctl", *arguments)

    def container(self, *arguments):
        """It leaves checksums to nobody, for this switch does not pass them through."""
        made = super().container(*arguments)
        made.run("ethtool", "-K", "eth0", "tx", "off")
        return made

    def close(self):
        for each in reversed(self._daemons):
            each.send_signal(signal.SIGTERM)
            each.wait(10)
        super().close()
