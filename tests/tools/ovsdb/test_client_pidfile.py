"""ovsdb-client --detach --pidfile: the file says who it is, for as long as there is somebody."""

import contextlib
import glob
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.ovsdb.ovsdb_world import Daemon, directory, insert, needs_ovs, wait_until

SCHEMA = {
    "name": "D",
    "version": "1.0.0",
    "tables": {"T": {"isRoot": True, "columns": {"name": {"type": "string"}}}},
}
PROGRAM = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"


@pytest.mark.parametrize("end", ["the server", "SIGTERM"])
def test_the_file_goes_with_the_process(end):
    with directory() as path:
        server = Daemon("pyvs", path, SCHEMA)
        file = f"{path}/client.pid"
        try:
            options = ("--detach", f"--pidfile={file}")
            command = [sys.executable, "-c", PROGRAM, *options, "monitor", server.remote, "D", "T"]
            environment = {**os.environ, "PYVS_RUNDIR": path}
            subprocess.run(
                command, check=True, timeout=20, stdout=subprocess.DEVNULL, env=environment
            )
            wait_until(lambda: os.path.exists(file) and os.path.getsize(file), "the pid file")
            with open(file) as opened:
                pid = int(opened.read())
            if end == "the server":
                server.kill()
            else:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not os.path.exists(file), "the end of the pid file")
        finally:
            server.stop()


CLIENTS = pytest.mark.parametrize(
    "client", [[sys.executable, "-c", PROGRAM], pytest.param(["ovsdb-client"], marks=needs_ovs)]
)
APPCTL = "import sys; from pyvs_tools.appctl import main; sys.exit(main())"


class Clients:
    """Clients in the background, with a run directory of their own."""

    def __init__(self, client, path):
        self._client = client
        self._path = path
        self._environment = {**os.environ, "OVS_RUNDIR": path, "PYVS_RUNDIR": path}
        self.pids = {}

    def start(self, name, *words):
        options = ["--detach", "--no-chdir", f"--pidfile={self._path}/{name}"]
        with open(f"{self._path}/{name}.out", "w") as out:
            command = [*self._client, *options, *words]
            subprocess.run(command, check=True, timeout=20, stdout=out, env=self._environment)
        self.pids[name] = int(self.text(name))

    def text(self, name):
        with open(f"{self._path}/{name}") as file:
            return file.read()

    def told(self, name, *words):
        """What one answers to a command."""
        [target] = glob.glob(f"{self._path}/*ovsdb-client.{self.pids[name]}.ctl")
        command = [sys.executable, "-c", APPCTL, "-t", target, *words]
        done = subprocess.run(command, check=True, timeout=20, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def is_there(self, name):
        return os.path.exists(f"{self._path}/{name}")

    def close(self):
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


@pytest.fixture
def world(client):
    """A server, and the clients."""
    with directory() as path:
        server, clients = Daemon("pyvs", path, SCHEMA), Clients(client, path)
        try:
            yield server, clients
        finally:
            clients.close()
            server.stop()


@CLIENTS
def test_lock_and_transact_in_the_background(world):
    """What is started in the background can be told to unlock at once; a transaction that waits
    does so there."""
    server, clients = world
    wait = {"op": "wait", "table": "T", "where": [], "columns": ["name"], "until": "!="}
    wait |= {"rows": []}
    clients.start("first", "lock", server.remote, "l")
    clients.start("second", "lock", server.remote, "l")
    clients.start("third", "transact", server.remote, json.dumps(["D", wait]))
    clients.told("first", "unlock", "l")
    wait_until(lambda: clients.text("second.out").count("\n") == 3, "the lock")
    assert clients.text("first.out") == '{"locked":true}\n{}\n'
    assert clients.text("second.out") == '{"locked":false}\nlocked\n["l"]\n'
    assert clients.text("third.out") == ""
    server.client().transact("D", insert("T", name="x"))
    wait_until(lambda: clients.text("third.out") == "[{}]\n", "the transaction")


@CLIENTS
def test_a_monitor_is_told_another_condition(world):
    server, clients = world
    words = ("--format=csv", server.remote, "D", '[["name","==","a"]]', "T", "name")
    clients.start("m", "monitor-cond", *words)

    def shown(text):
        wait_until(lambda: clients.text("m.out").endswith(text), text)

    for name in "abc":
        server.client().transact("D", insert("T", name=name))
    shown(",insert,a\n")
    condition = '[["name","==","b"]]'
    assert clients.told("m", "ovsdb-client/cond_change", "T", condition) == "condition changed"
    wait_until(lambda: ",delete," in clients.text("m.out"), "the one that is asked for no more")
    assert ",insert,b\n" in clients.text("m.out")
    assert clients.told("m", "ovsdb-client/block") == ""
    assert clients.told("m", "ovsdb-client/block") == "already blocking"
    clients.told("m", "ovsdb-client/cond_change", "T", '[["name","==","c"]]')
    assert "insert,c" not in clients.text("m.out")
    assert clients.told("m", "ovsdb-client/unblock") == ""
    assert clients.told("m", "ovsdb-client/unblock") == "already unblocked"
    wait_until(lambda: ",insert,c\n" in clients.text("m.out"), "what came while it was blocked")
    clients.told("m", "exit")
    wait_until(lambda: not clients.is_there("m"), "its end")
