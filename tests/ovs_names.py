"""The daemons and commands under Open vSwitch's names, in a network namespace, for tests."""

import contextlib
import os
import shutil
import struct
import subprocess

from tests import processes
from tests.daemons import BIN, Namespace, _alive, wait_until
from tests.ofproto.ovs_peer import SCHEMA

_DAEMON = ("--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off")


class Names:
    """Links in `bin`, a run directory, a network namespace; `run(program, ...)`."""

    schema = BIN.parents[1] / "ovsdb" / "vswitch.ovsschema"

    def __init__(self, directory):
        self.bin, self.rundir = directory / "bin", directory / "run"
        self.rundir.mkdir()
        self.host = Namespace()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYVS_", "OVS_"))},
            **dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(self.rundir)),
            "OVS_SYSLOG_METHOD": "null",
        }
        self._make_names()

    def _make_names(self):
        subprocess.run([BIN / "pyvs-ctl", "ovs-names", self.bin], check=True)

    def program(self, name):
        return str(self.bin / name)

    def run(self, program, *words, check=True):
        return self.host.run(
            self.program(program), *words, env=self.environment, check=check, timeout=30
        )

    def pid(self, name):
        return int((self.rundir / f"{name}.pid").read_text())

    def start(self, *options):
        """By hand, as test suites do: no datapath process, no ovs-ctl."""
        database = str(self.rundir / "conf.db")
        self.run("ovsdb-tool", "create", database, str(self.schema))
        socket = f"--remote=punix:{self.rundir}/db.sock"
        self.run("ovsdb-server", *_DAEMON, socket, database)
        self.run("ovs-vsctl", "--no-wait", "init")
        self._start_vswitchd = (*_DAEMON, "-vvconn", "-vofproto_dpif", *options)
        self.run("ovs-vswitchd", *self._start_vswitchd)

    def restart_vswitchd(self):
        """It is killed, and started as it was."""
        old = self.pid("ovs-vswitchd")
        os.kill(old, 9)
        wait_until(lambda: not _alive(old), what="the end of vswitchd")
        self.run("ovs-vswitchd", *self._start_vswitchd)

    def close(self):
        processes.end(self.rundir)  # not by pid files: one may be starting
        self.host.close()


class OpenVSwitch(Names):
    """Open vSwitch itself, as installed here, in the same surroundings."""

    schema = SCHEMA

    def _make_names(self):
        self.environment["OVS_SYSCONFDIR"] = str(self.rundir)

    def program(self, name):
        return shutil.which(name)


@contextlib.contextmanager
def side_by_side(directory, *options):
    """Ours and theirs, each in a namespace of its own; `options` are vswitchd's."""
    with contextlib.ExitStack() as cleanup:
        switches = []
        for kind in (Names, OpenVSwitch):
            at = directory / kind.__name__
            at.mkdir()
            switches.append(kind(at))
            cleanup.callback(switches[-1].close)
            switches[-1].start(*options)
        yield switches


def frames_of(pcap):
    """The frames in a file of pcap(5), as hex digits."""
    data, at, frames = pcap.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        frames.append(data[at + 16 : at + 16 + size].hex())
        at += 16 + size
    return frames
