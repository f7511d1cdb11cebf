"""The real daemons in a private run directory and private network namespaces, for tests.

`Switch` starts pyvs-ovsdb-server, pyvs-datapath and pyvs-vswitchd and runs the commands against
them.  Its namespaces are those of `sleep` processes that end with it: nothing has a name on the
host, and nothing stays behind.  It works as root, and as an ordinary user where user namespaces
are allowed.
"""

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import processes

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
RAW_FRAMES = (sys.executable, "-m", "tests.raw_frames")
OVSDB_SERVER, DATAPATH, VSWITCHD = "pyvs-ovsdb-server", "pyvs-datapath", "pyvs-vswitchd"
DAEMONS = (OVSDB_SERVER, DATAPATH, VSWITCHD)

# PYVS_TEST_ROOTLESS=1: as an ordinary user does it, even as root.
ROOTLESS = os.geteuid() != 0 or os.environ.get("PYVS_TEST_ROOTLESS") == "1"
LOG_TROUBLE = re.compile(r"\|(WARN|ERR|EMER)\||Traceback|Segmentation|assert", re.IGNORECASE)

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@functools.cache
def missing():
    """Why the daemons cannot be tested here, or None."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    with tempfile.TemporaryFile() as errors:
        options = ["--user", "--map-root-user"] if ROOTLESS else []
        done = subprocess.run(["unshare", *options, "--net", "true"], stderr=errors)
        if done.returncode:
            errors.seek(0)
            return "no network namespaces: " + errors.read().decode().strip()
    return None


def wait_until(condition, seconds=10.0, what="condition"):
    """Wait for `condition()` to be true and return its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)


class CommandFailed(AssertionError):
    """A command ended with another status than the test expects."""


class Namespace:
    """A network namespace (of a user namespace of its own when rootless), until close()."""

    def __init__(self, outer=None):
        self.outer = outer
        prefix = outer.prefix if outer else []
        user = ["--user", "--map-root-user"] if ROOTLESS and outer is None else []
        # Each of these replaces itself by the next: the process id stays.
        command = [*prefix, "unshare", *user, "--net", "sleep", "infinity"]
        self._holder = subprocess.Popen(command, preexec_fn=_die_with_parent)
        self.pid = self._holder.pid
        wait_until(lambda: self._comm() == "sleep", what="a namespace")
        self.run("ip", "link", "set", "lo", "up")
        # Devices get no IPv6 address by themselves, so that nobody speaks unasked.
        quiet = "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode"
        self.run("sh", "-c", quiet, check=False)  # a kernel without IPv6 is quiet, too

    def _comm(self):
        return Path(f"/proc/{self.pid}/comm").read_text().strip()

    @property
    def prefix(self):
        """What to put before a command to run it inside."""
        user = ["--user", "--preserve-credentials"] if ROOTLESS else []
        return ["nsenter", f"--target={self.pid}", *user, "--net"]

    def popen(self, *command, **options):
        return subprocess.Popen([*self.prefix, *command], preexec_fn=_die_with_parent, **options)

    def run(self, *command, check=True, timeout=30, **options):
        """Run a command inside; returns its standard output."""
        done = subprocess.run(
            [*self.prefix, *command], capture_output=True, text=True, timeout=timeout, **options
        )
        if check and done.returncode:
            raise CommandFailed(
                f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def ping(self, address, count=3, interval=0.2, wait=1):
        """Ping; returns how many answers came."""
        out = self.run(
            *("ping", "-n", "-q", f"-c{count}", f"-i{interval}", f"-W{wait}", address), check=False
        )
        found = re.search(r"(\d+) received", out)
        assert found, out
        return int(found[1])

    def close(self):
        self._holder.kill()
        self._holder.wait()


class Container(Namespace):
    """A namespace with `eth0`, whose other end is the host device `port`."""

    def __init__(self, switch, name, address=None):
        super().__init__(switch.host)
        self.name = self.port = name
        self.address = address
        self.switch = switch
        self.connect()

    def connect(self):
        """Make the veth pair."""
        host = self.switch.host
        host.run("ip", "link", "add", self.port, "type", "veth", "peer", "name", f"{self.port}-c")
        host.run("ip", "link", "set", f"{self.port}-c", "netns", str(self.pid))
        self.run("ip", "link", "set", f"{self.port}-c", "name", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        if self.address:
            self.run("ip", "address", "add", self.address, "dev", "eth0", "nodad")
        host.run("ip", "link", "set", self.port, "up")

    def send(self, *frames):
        """Put frames (bytes) on the wire as they are."""
        self.run(*RAW_FRAMES, "eth0", "send", *(bytes(frame).hex() for frame in frames), cwd=ROOT)

    @contextlib.contextmanager
    def receiving(self, seconds=1.0):
        """Yields a list that has, at the end, all frames that came within these seconds."""
        frames = []
        command = (*RAW_FRAMES, "eth0", "receive", str(seconds))
        with self.popen(*command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout.readline() == "ready\n"
            yield frames
            frames += [bytes.fromhex(line) for line in child.stdout]

    def disconnect(self):
        """Delete the veth pair."""
        self.switch.host.run("ip", "link", "delete", self.port)


def _of_a_busy_machine(line):
    """Whether a line of trouble tells of who had to wait for a processor, and of no fault."""
    crowded = os.getloadavg()[0] > 2 * os.cpu_count()
    return "|timeval|WARN|" in line or (
        crowded and "the datapath process does not answer: going on without it" in line
    )


class Switch:
    """The three daemons.  `start()` them; `close()` ends them whatever happened."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="pyvs-test-"))
        # Daemons become our children, so that they can be reaped.
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.host = None
        # Connection methods of the database, if it is not to be a server of ours.
        self.database = None
        self._vswitchd = ()
        self._containers = []
        self._allowed = []
        self.environment = {**os.environ, "PYVS_RUNDIR": str(self.directory)}
        for name in ("PYVS_DBDIR", "PYVS_LOGDIR"):
            self.environment.pop(name, None)

    # --- daemons

    def start(self, datapath=True, vswitchd=()):
        """Start everything; `datapath`: options of that process, False: it is left to vswitchd,
        which has options, whenever it is started."""
        self._vswitchd = vswitchd
        if self.database is None:
            self.host = Namespace()
            self.start_ovsdb_server()
        if datapath:
            self.start_daemon(DATAPATH, *(() if datapath is True else datapath))
        self.vsctl("--no-wait", "init")
        self.start_daemon(VSWITCHD, *vswitchd)

    def start_ovsdb_server(self):
        from ovsdb.storage import files

        database = self.directory / "conf.db"
        if not database.exists():
            files.create(str(database), files.load_schema(files.SWITCH_SCHEMA))
        self.start_daemon(
            OVSDB_SERVER, str(database), f"--remote=punix:{self.directory / 'db.sock'}"
        )

    def start_daemon(self, name, *arguments):
        """Start one, as a user would; returns when it is ready."""
        if name == VSWITCHD:
            arguments = arguments or self._vswitchd
        command = [
            *(str(BIN / name), "--detach", "--no-chdir", "--pidfile", "-vconsole:off"),
            *(f"--log-file={self.directory / (name + '.log')}", *arguments),
        ]
        if name == VSWITCHD and self.database:
            command.append(self.database)
        self.host.run(*command, env=self.environment, timeout=20)
        assert self.pid(name), f"{name} has no pidfile"

    def pid(self, name):
        """The process id of a daemon; None while its pidfile is absent or half written."""
        try:
            return int((self.directory / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def kill(self, name):
        """kill -9, and wait until it is gone."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _alive(pid), what=f"the end of {name}")
        _reap(pid)

    def restart(self, *names):
        """kill -9 these daemons, all of them first, and start them again."""
        for name in names:
            self.kill(name)
        for name in names:
            if name == OVSDB_SERVER:
                self.start_ovsdb_server()
            else:
                self.start_daemon(name)

    # --- commands

    def command(self, program, *arguments, check=True, timeout=20, **options):
        """Run one of our commands in the switch's namespace; returns its output."""
        return self.host.run(
            str(BIN / program), *arguments, env=self.environment, check=check, timeout=timeout
        )

    def vsctl(self, *arguments, **options):
        database = [f"--db={self.database}", "--retry"] if self.database else []
        return self.command("pyvs-vsctl", "--timeout=10", *database, *arguments, **options)

    def ofctl(self, *arguments, **options):
        return self.command("pyvs-ofctl", *arguments, **options)

    def appctl(self, *arguments, **options):
        return self.command("pyvs-appctl", "--timeout=10", *arguments, **options)

    def dpctl(self, *arguments, **options):
        return self.command("pyvs-dpctl", *arguments, **options)

    def get(self, table, record, column):
        """A column's value as vsctl prints it, without quotes."""
        return self.vsctl("get", table, record, column).strip().strip('"')

    # --- containers

    def container(self, name, address=None, bridge=None, *settings):
        """A container; with `bridge` its port is added there, with vsctl's column settings."""
        made = Container(self, name, address)
        self._containers.append(made)
        if bridge:
            self.vsctl("add-port", bridge, name, *settings)
        return made

    # --- end

    def allow(self, pattern):
        """Expect log lines that match this regular expression."""
        self._allowed.append(re.compile(pattern))

    def logs(self):
        """(file name, line) of all log files."""
        for path in sorted(self.directory.glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                yield path.name, line

    def trouble(self):
        """Log lines of trouble that no test allowed."""
        return [
            f"{name}: {line}"
            for name, line in self.logs()
            if LOG_TROUBLE.search(line)
            and not _of_a_busy_machine(line)
            and not any(each.search(line) for each in self._allowed)
        ]

    def close(self):
        """End daemons and namespaces, delete the run directory."""
        processes.end(self.directory)
        for container in self._containers:
            container.close()
        if self.host:
            self.host.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _reap(pid):
    """Take away what is left of a dead child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _alive(pid):
    """Whether a process exists and is more than a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
