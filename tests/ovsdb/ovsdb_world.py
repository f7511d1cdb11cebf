"""For tests of the database server: servers with a schema of the test's own, and clients.

`Daemon` is a server process, ours or Open vSwitch's; `Local` is our server's logic in this
process, without sockets.  Both give clients with request() and notifications().
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from ovsdb.serving.service import Service
from ovsdb.serving.session import Session
from ovsdb.storage import files
from pyvs_tools.ovsdb import rpc as ovsdb_rpc

OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
HAVE_OVS = shutil.which("ovsdb-server") is not None and shutil.which("ovsdb-tool") is not None
needs_ovs = pytest.mark.skipif(not HAVE_OVS, reason="Open vSwitch is not installed")
PROGRAM = [sys.executable, "-c", "import sys; from ovsdb.main import main; sys.exit(main())"]
RpcError = ovsdb_rpc.RpcError


def wait_until(condition, what, seconds=20):
    """Wait for `condition()` to be true; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


class Daemon:
    """A server process.  `kind` is "pyvs" or "ovs"; `directory` stays its caller's."""

    def __init__(self, kind, directory, *schemas, options=(), databases=()):
        self.kind = kind
        self.directory = str(directory)
        self.socket = os.path.join(self.directory, f"{kind}.sock")
        self.remote = "unix:" + self.socket
        self.options = list(options)
        self.databases = list(databases)
        for schema in schemas:
            path = os.path.join(self.directory, f"{kind}-{schema['name']}.db")
            files.create(path, schema)
            self.databases.append(path)
        self.process = None
        self.start()

    @property
    def log(self):
        """What the server wrote to its standard error."""
        with open(os.path.join(self.directory, f"{self.kind}.out")) as file:
            return file.read()

    def start(self, ready=True, prefix=()):
        """Start the process, by a `prefix` command; returns when it listens."""
        program = PROGRAM if self.kind == "pyvs" else ["ovsdb-server"]
        command = [
            *(*prefix, *program, *self.databases),
            *(f"--remote=punix:{self.socket}", *self.options),
            f"--unixctl={self.directory}/{self.kind}.ctl",
        ]
        environment = {
            **os.environ,
            "PYVS_RUNDIR": self.directory,
            "OVS_RUNDIR": self.directory,
            "OVS_DBDIR": self.directory,
        }
        with open(os.path.join(self.directory, f"{self.kind}.out"), "a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        if ready:
            wait_until(self._listens, f"{self.kind} to listen")

    def _listens(self):
        assert self.process.poll() is None, self.log
        try:
            self.connect().close()
        except OSError:
            return False
        # The control socket comes a little later with Open vSwitch.
        return os.path.exists(f"{self.directory}/{self.kind}.ctl")

    def connect(self):
        """A connected socket."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(self.socket)
        except OSError:
            sock.close()
            raise
        sock.settimeout(30)
        return sock

    def client(self):
        return Client(self.connect(), self.remote)

    def control(self, *words, check=True):
        """What a unixctl command answers."""
        command = ["ovs-appctl", "-t", f"{self.directory}/{self.kind}.ctl", *words]
        if self.kind == "pyvs":
            program = "import sys; from pyvs_tools.appctl import main; sys.exit(main())"
            command = [sys.executable, "-c", program, *command[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if check:
            assert done.returncode == 0, done.stderr
            return done.stdout
        return done.stdout + done.stderr

    def memory(self):
        """Resident KiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ask the process to end, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


class Client(ovsdb_rpc.Client):
    """A blocking client of a Daemon."""

    def transact(self, database, *operations):
        """The results of a transaction."""
        return self.request("transact", [database, *operations])

    def notifications(self):
        """What came so far; an echo makes sure that all of it is here."""
        self.request("echo", [])
        found, self.pending = self.pending, []
        return [(each["method"], each["params"]) for each in found]


class Local:
    """Our server's databases and sessions in this process."""

    def __init__(self, *databases):
        self.service = Service()
        self.now = 1000.0
        for database in databases:
            self.service.add_database(database)

    def client(self):
        return LocalClient(self)

    def close(self):
        self.service.close()


class LocalClient:
    """A client of a Local; each request and reply goes through its bytes."""

    def __init__(self, local):
        self.local = local
        self.session = Session(local.service, "local")
        self.pending = []
        self.replies = {}
        self._next_id = 0

    def send(self, method, params, identity=None):
        """Send a request, whose reply may come later; its id."""
        if identity is None:
            self._next_id += 1
            identity = self._next_id
        message = {"method": method, "params": params, "id": identity}
        self.session.receive(json.dumps(message).encode())
        self.session.process(self.local.now, 10)
        self.local.service.run(self.local.now)
        return identity

    def take(self):
        """Sort what the server sent into replies and notifications."""
        output = list(self.session.output)
        self.session.output.clear()
        self.session.written(sum(map(len, output)))
        for data in output:
            message = json.loads(bytes(data))
            if message.get("method"):
                self.pending.append((message["method"], message["params"]))
            else:
                self.replies[json.dumps(message["id"])] = message

    def reply(self, identity):
        """The reply to a request, None if there is none yet."""
        self.take()
        return self.replies.pop(json.dumps(identity), None)

    def request(self, method, params):
        message = self.reply(self.send(method, params))
        assert message is not None, "no reply"
        if message["error"] is not None:
            raise RpcError(message["error"])
        return message["result"]

    def transact(self, database, *operations):
        return self.request("transact", [database, *operations])

    def notifications(self):
        self.take()
        found, self.pending = self.pending, []
        return found

    def close(self):
        self.session.ended()


@contextlib.contextmanager
def directory():
    """A directory for a server, with a path short enough for its sockets."""
    path = tempfile.mkdtemp(prefix="pyvs-db-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def insert(table, /, named=None, uuid=None, **row):
    """An insert operation."""
    operation = {"op": "insert", "table": table, "row": row}
    if named:
        operation["uuid-name"] = named
    if uuid:
        operation["uuid"] = uuid
    return operation


def select(table, where=(), columns=None):
    """A select operation."""
    operation = {"op": "select", "table": table, "where": list(where)}
    return operation if columns is None else {**operation, "columns": columns}
