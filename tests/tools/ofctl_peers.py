"""For tests of pyvs-ofctl: an Open vSwitch of its own with dummy ports, and both programs'
output with what differs from run to run taken out."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from pyvs_tools.ofctl import main as ofctl
from tests.tools.ovsdb_peers import HAVE_OVS, SCHEMA

needs_ovs = pytest.mark.skipif(
    not HAVE_OVS or not all(map(shutil.which, ("ovs-vswitchd", "ovs-ofctl"))),
    reason="Open vSwitch is not installed",
)
_CHANGING = (
    (re.compile(r"duration[=:]?[\d.]+s"), "duration=T"),
    (re.compile(r"\bxid=0x[0-9a-f]+"), "xid=X"),
    (re.compile(r"(idle|hard)_age=\d+"), r"\1_age=A"),
    (re.compile(r"time=[\d.]+ ms"), "time=T"),
    (re.compile(r"(rx|tx) pkts=\d+, bytes=\d+"), r"\1 pkts=N, bytes=N"),
)


def steady(text):
    """Text without times and message numbers."""
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return text


def ours(*arguments, text=""):
    """(exit status, output, errors) of pyvs-ofctl, in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = ofctl.main([str(argument) for argument in arguments])
    finally:
        sys.stdin = before
    return status, out.getvalue(), err.getvalue()


def theirs(*arguments, text="", environment=None):
    """The same of ovs-ofctl."""
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", *map(str, arguments)],
        input=text, capture_output=True, text=True, timeout=20, check=False, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


class OpenVSwitch:
    """A running Open vSwitch with bridge br0, ports p1 and p2, and `other` as a second bridge."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="pyvs-ofctl-")
        self.environment = {
            **os.environ,
            "OVS_RUNDIR": self.directory, "OVS_LOGDIR": self.directory,
            "OVS_DBDIR": self.directory, "PYVS_RUNDIR": self.directory,
        }  # fmt: skip
        self.database = f"unix:{self.directory}/db.sock"
        self._processes = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        conf = f"{self.directory}/conf.db"
        self._run("ovsdb-tool", "create", conf, SCHEMA)
        self._spawn("ovsdb-server", conf, f"--remote=p{self.database}")
        self._wait("db.sock")
        self.vsctl("init")
        self._spawn("ovs-vswitchd", self.database, "--enable-dummy=override", "--disable-system")
        self.vsctl(
            *("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"),
            *("other_config:datapath-id=0000000000000123", "fail_mode=secure"),
            *("--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy"),
            *("ofport_request=1", "--", "add-port", "br0", "p2"),
            *("--", "set", "interface", "p2", "type=dummy", "ofport_request=2"),
            *("--", "add-br", "other", "--", "set", "bridge", "other", "datapath_type=dummy"),
            wait=True,
        )
        self._wait("br0.mgmt")
        self._wait("other.mgmt")

    def _run(self, *command):
        subprocess.run(command, check=True, capture_output=True, timeout=20, env=self.environment)

    def _spawn(self, name, *arguments):
        with open(f"{self.directory}/{name}.out", "w") as log:
            self._processes.append(
                subprocess.Popen(
                    [name, *arguments, f"--unixctl={self.directory}/{name}.ctl", "-vconsole:warn"],
                    stdout=log, stderr=log, env=self.environment,
                )
            )  # fmt: skip

    def _wait(self, name):
        deadline = time.monotonic() + 10
        while not os.path.exists(f"{self.directory}/{name}"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Open vSwitch made no {name}")
            time.sleep(0.01)

    def vsctl(self, *arguments, wait=False):
        mode = [] if wait else ["--no-wait"]
        self._run("ovs-vsctl", f"--db={self.database}", "--timeout=10", *mode, *arguments)

    @property
    def br0(self):
        return f"unix:{self.directory}/br0.mgmt"

    def flows(self, bridge="br0"):
        """The flow table as OpenFlow 1.3 has it, in some fixed order."""
        target = f"unix:{self.directory}/{bridge}.mgmt"
        _status, out, _err = theirs("-OOpenFlow13", "dump-flows", "--no-stats", target)
        return sorted(out.splitlines())

    def reset(self, *flows):
        """Make these the flows of br0."""
        assert theirs("del-flows", self.br0)[0] == 0
        status, _out, said = theirs(
            "-OOpenFlow10,OpenFlow13", "add-flows", self.br0, "-", text="\n".join(flows)
        )
        assert status == 0, said

    def stop(self):
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
