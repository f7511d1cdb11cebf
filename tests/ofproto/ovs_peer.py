"""Open vSwitch with dummy devices, as a peer to compare translation with."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
peer_marks = [
    pytest.mark.peer,
    pytest.mark.skipif(
        bool(MISSING) or not SCHEMA.exists(),
        reason="Open vSwitch is not installed",
    ),
]


class Ovs:
    """ovs-vswitchd with dummy devices, in a run directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.env = os.environ | {
            name: str(directory)
            for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        }
        self.processes = []

    def start(self):
        at = self.directory
        self.run("ovsdb-tool", "create", f"{at}/conf.db", str(SCHEMA))
        self.spawn("ovsdb-server", f"{at}/conf.db", f"--remote=punix:{at}/db.sock")
        self.wait_for(at / "db.sock")
        self.vsctl("--no-wait", "init")
        self.spawn(
            "ovs-vswitchd", "--enable-dummy=override", f"unix:{at}/db.sock",
            f"--unixctl={at}/vs.ctl",
        )  # fmt: skip
        self.wait_for(at / "vs.ctl")

    def spawn(self, *command):
        with open(self.directory / "log", "a") as log:
            self.processes.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log))

    def wait_for(self, path):
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.02)

    def run(self, *command):
        return subprocess.run(
            command, env=self.env, check=True, capture_output=True, text=True, timeout=20
        ).stdout

    def vsctl(self, *arguments):
        return self.run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", *arguments)

    def appctl(self, *arguments):
        return self.run("ovs-appctl", "-t", f"{self.directory}/vs.ctl", *arguments)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)
