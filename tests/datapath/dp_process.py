"""A datapath process with a run directory of its own, for tests."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from datapath.actions.text import odp_text
from datapath.ipc.dpif import Dpif
from datapath.key import key_text
from tests import daemons
from tests.daemons import wait_until
from tests.datapath.nursery import Child

ROOT = Path(__file__).resolve().parents[2]
# What no input may bring about: exceptions nobody expected, and a debug build's findings.
TROUBLE = re.compile("Traceback|Exception ignored|Sanitizer|Assertion")


def frame(size=60, src=1, dst=2, kind=0x88B5):
    """An Ethernet frame of an experimental type; `src` and `dst` end the addresses."""
    head = bytes.fromhex("02000000") + dst.to_bytes(2, "big")
    head += bytes.fromhex("02000000") + src.to_bytes(2, "big") + kind.to_bytes(2, "big")
    return head + (bytes(range(256)) * (size // 256 + 1))[: size - len(head)]


class Process:
    """pyvs-datapath, started.

    `host`: the Namespace it lives in, None: the test's own.  Files that it is told of without their
    directory, as hostile peers do, are made in one of its own.
    """

    def __init__(self, *arguments, host=None):
        self.host = host
        self.arguments = arguments
        self.directory = Path(tempfile.mkdtemp(prefix="pyvs-dp-"))
        self.path = self.directory / "datapath.sock"
        self.files = self.directory / "files"
        self.files.mkdir()
        self.clients = []
        self.start()

    def start(self):
        words = [f"--rundir={self.directory}", "-vconsole:off"]
        words += [f"--log-file={self.directory / 'log'}", *self.arguments]
        self._child = self._in_host(words) if self.host else self._forked(words)
        self.pid = self._child.pid
        wait_until(self._serves, what="the datapath process")
        self.dpif = self.client()
        self.dpif.version()  # from the first answer on it ends as it is told

    def _in_host(self, words):
        with (self.directory / "log").open("a") as log:
            # nsenter replaces itself by the program: the process id is the datapath's.
            return subprocess.Popen(
                [*self.host.prefix, sys.executable, "-m", "datapath.main", *words],
                cwd=self.files,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                preexec_fn=daemons._die_with_parent,
                stderr=log,
            )

    def _forked(self, words):
        return Child(words, self.files, self.directory / "log")

    def _serves(self):
        assert self.alive, self.log()
        with suppress(OSError):
            Dpif(self.path).close()
            return True

    def client(self):
        """A new connection; closed by close()."""
        made = Dpif(self.path)
        self.clients.append(made)
        return made

    # --- shorthand

    def add(self, name, type="dummy", port_no=None, **options):
        return self.dpif.port_add(name, type, port_no, options)

    def flow(self, match, actions, dpif=None):
        """Put a flow given in text; returns its ufid."""
        key, mask = key_text.parse_key(match)
        return (dpif or self.dpif).flow_put(key, mask, odp_text.parse_actions(actions))

    def port(self, name):
        """PortInfo of a port."""
        [found] = [port for port in self.dpif.port_dump() if port.name == name]
        return found

    def drops(self):
        return self.dpif.stats()["drops"]

    def packets(self):
        """How many packets the flows have had."""
        return sum(info.packets for info in self.dpif.flow_dump())

    def dpctl(self, *arguments, check=True):
        """Output of pyvs-dpctl; with `check` False what it says on standard error."""
        script = "import sys; from pyvs_tools.dpctl.main import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", script, f"--rundir={self.directory}", *arguments],
            **{"cwd": ROOT, "text": True, "capture_output": True, "timeout": 30},
        )
        assert (done.returncode == 0) == check, done.stderr
        return done.stdout if check else done.stderr

    def log(self):
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def cpu_seconds(self):
        """Processor time that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- end

    @property
    def alive(self):
        return self._child.poll() is None

    def check(self):
        """It still serves, and its log speaks of no trouble that would be a bug."""
        assert self.alive, self.log()
        assert self.dpif.version()["pid"] == self.pid
        assert not TROUBLE.search(self.log()), self.log()

    def kill(self):
        self._child.kill()
        self._child.wait()

    def terminate(self):
        """The status with which it ends as it is asked to."""
        self._child.terminate()
        return self._child.wait(20)

    def close(self):
        """An orderly end, which must be one."""
        for client in self.clients:
            client.close()
        status = self._child.poll()
        if status is None:
            try:
                status = self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
                status = "hangs"
        log = self.log()
        shutil.rmtree(self.directory, ignore_errors=True)
        assert status in (0, -signal.SIGKILL), (status, log)
        assert not TROUBLE.search(log), log
