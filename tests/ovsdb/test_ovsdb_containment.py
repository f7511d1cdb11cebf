"""A fault in whatever serves one client, timer or file ends that, and nothing else.

Each is given an exception where its work is done, in a running server's own loop.
"""

import contextlib
import os
import socket
import threading
import time

import pytest

from ovsdb.main import Program
from ovsdb.serving import session
from ovsdb.serving.listener import Listener
from ovsdb.serving.remotes import PassiveRemote
from ovsdb.serving.server import Connection
from ovsdb.storage import files, log
from ovsdb.transactions.operations import execute
from pyvs import coverage, rundir
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from tests.ovsdb.ovsdb_world import Client, directory, insert, select

SCHEMA = {
    "name": "D",
    "version": "1.0.0",
    "tables": {"T": {"isRoot": True, "columns": {"name": {"type": "string"}}}},
}


class Fault(Exception):
    """What nobody foresaw."""


def fault(*_args, **_keywords):
    raise Fault("injected")


class World:
    """A server in a thread of this process, so that its parts can be replaced."""

    def __init__(self, path):
        files.create(f"{path}/D.db", SCHEMA)
        self.program = Program([f"{path}/D.db"])
        self.program.remotes.add(f"punix:{path}/sock")
        self.path = path
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ending:
            self.program.turn(20)

    def client(self):
        sock = ovsdb_rpc.open_socket(f"unix:{self.path}/sock")
        sock.settimeout(30)
        return Client(sock, "test")

    def close(self):
        self.ending = True
        self.thread.join(10)
        self.program.close()


@pytest.fixture
def world(monkeypatch):
    with directory() as path:
        monkeypatch.setattr(rundir, "_given", path)
        made = World(path)
        yield made
        made.close()


def faults(place):
    return coverage.read("fault_" + place.replace(" ", "_")) or 0


@contextlib.contextmanager
def one_more(place, good):
    """A fault at this place is counted meanwhile, and a client that was there is served on."""
    before = faults(place)
    assert good.request("echo", [1]) == [1]
    yield
    deadline = time.monotonic() + 20
    while faults(place) == before:
        assert time.monotonic() < deadline, f"no fault of {place}"
        time.sleep(0.01)
    assert good.request("echo", [2]) == [2]
    good.close()


@pytest.mark.parametrize("method", sorted(session.METHODS))
def test_in_a_method(world, monkeypatch, method):
    with one_more("OVSDB connection", world.client()):
        monkeypatch.setitem(session.METHODS, method, fault)
        bad = world.client()
        bad.send({"id": 1, "method": method, "params": []})
        with pytest.raises((ovsdb_rpc.Disconnected, OSError)):
            bad.receive()
        monkeypatch.undo()


def test_in_a_timer(world):
    with one_more("OVSDB timer", world.client()):
        world.program.loop.timers.append(fault)


def test_in_accepting(world, monkeypatch):
    with one_more("OVSDB descriptor", world.client()):
        monkeypatch.setattr(Listener, "_connection", fault)
        world.client().close()
    monkeypatch.undo()
    assert world.client().request("echo", [3]) == [3]


def test_in_a_remote(world, monkeypatch):
    with one_more("OVSDB remote", world.client()):
        monkeypatch.setattr(PassiveRemote, "run_timer", fault)


def test_in_a_file(world, monkeypatch):
    database = world.program.service.databases["D"]
    with one_more("OVSDB file", world.client()):
        monkeypatch.setattr(database, "file", _Broken(database.file))
    monkeypatch.undo()
    assert "uuid" in world.client().transact("D", insert("T", name="x"))[0]


class _Broken:
    """A file whose looking after fails."""

    def __init__(self, file):
        self._file = file
        self.path = file.path

    commit = close = lambda self, *args: 0
    run_compaction = fault


def test_in_a_commit_listener(world):
    """The commit is stored, and its author is told."""
    good = world.client()
    database = world.program.service.databases["D"]
    with one_more("OVSDB commit listener", good):
        database.listeners.insert(0, fault)
        assert "uuid" in good.transact("D", insert("T", name="x"))[0]
        database.listeners.remove(fault)
    assert len(world.client().transact("D", select("T"))[0]["rows"]) == 1


def test_in_a_monitor(world, monkeypatch):
    """The client with the monitor has missed something, and is let go; the author is not."""
    good, watcher = world.client(), world.client()
    watcher.request("monitor", ["D", "m", {"T": {}}])
    [monitor] = world.program.service.fanouts["D"].monitors
    with one_more("OVSDB monitor", good):
        monitor.updates = fault
        assert "uuid" in good.transact("D", insert("T", name="x"))[0]
        with pytest.raises((ovsdb_rpc.Disconnected, OSError)):
            watcher.receive()


def test_in_a_transaction_that_waits(world, monkeypatch):
    bad = world.client()
    wait = {"op": "wait", "table": "T", "where": [], "columns": ["name"], "until": "!=", "rows": []}
    bad.send({"id": 1, "method": "transact", "params": ["D", wait]})
    bad.send({"id": 2, "method": "echo", "params": []})
    assert bad.receive()["id"] == 2
    good = world.client()
    [waiting] = world.program.service.waiting
    with one_more("OVSDB wait", good):
        waiting.operations = 3  # a list is what it is to be
        assert "uuid" in good.transact("D", insert("T", name="x"))[0]
        with pytest.raises((ovsdb_rpc.Disconnected, OSError)):
            bad.receive()


@pytest.mark.parametrize("part", ["flush", "run_timer", "ready"])
def test_in_a_connection(world, part):
    class Bad(Connection):
        """With one part that fails."""

    setattr(Bad, part, fault)
    loop = world.program.loop
    ours, theirs = socket.socketpair()
    with one_more("OVSDB connection", world.client()):
        made = session.Session(loop.service, "bad")
        Bad(loop, theirs, made, 0)
        ours.sendall(b'{"id":1,"method":"echo","params":[]}')
        ours.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            while ours.recv(1000):
                pass
    ours.close()


# --- compaction


def open_one(path):
    """A database with a file and a row, not served by anybody."""
    files.create(path, SCHEMA)
    database = files.open_database(path)
    _insert(database, "first")
    return database


def _insert(database, name):
    [result] = execute(database, [insert("T", name=name)])
    assert "uuid" in result, result


def names(path):
    """The rows of a file, read anew."""
    database = files.read_database(path)
    return sorted(row["name"][0] for row in database.tables["T"].rows.values())


@pytest.mark.parametrize("call", ["pipe", "fork"])
def test_compaction_without_descriptors_or_processes(monkeypatch, call):
    with directory() as directory_path:
        path = f"{directory_path}/D.db"
        database = open_one(path)
        told = []

        def refuse():
            raise OSError(11, "Resource temporarily unavailable")

        descriptors = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(os, call, refuse)
        database.file.start_compaction(database, "test", told.append)
        monkeypatch.undo()
        assert "cannot start" in str(told[0])
        assert len(os.listdir("/proc/self/fd")) == descriptors
        _insert(database, "second")
        database.file.start_compaction(database, "test", told.append)
        assert database.file.run_compaction(0, wait=True)
        assert told[1] is None
        database.file.close()
        assert names(path) == ["first", "second"]


def test_a_rename_that_is_not_yet_on_disk(monkeypatch):
    """The new file is the database then; durable commits are refused until its name is there."""
    with directory() as directory_path:
        path = f"{directory_path}/D.db"
        database = open_one(path)
        told = []
        database.file.start_compaction(database, "test", told.append)
        _insert(database, "while compacting")

        def refuse(_path):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(log, "sync_directory", refuse)
        assert database.file.run_compaction(0, wait=True)
        assert told == [None]
        _insert(database, "after")
        durable = [insert("T", name="durable"), {"op": "commit", "durable": True}]
        assert execute(database, durable)[-1]["error"] == "I/O error"
        monkeypatch.undo()
        assert "uuid" in execute(database, durable)[0]
        assert names(path) == ["after", "durable", "first", "while compacting"]
        database.file.close()
