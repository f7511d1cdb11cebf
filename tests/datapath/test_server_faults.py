"""Faults in the datapath's control thread: what was being served ends, or is refused; the others,
and the packets, go on, and it is counted."""

import contextlib
import errno
import os
import socket
import threading
import time

import pytest

from datapath import engine as engine_module
from datapath import server as server_module
from datapath.engine import Engine
from datapath.ipc import protocol
from datapath.netdev.dummy import DummyNetdev
from datapath.server import Server
from pyvs import containment
from pyvs.poller import Poller
from tests.daemons import wait_until
from tests.datapath.dp_process import frame


class Injected(Exception):
    pass


def fail(*_args, **_more):
    raise Injected


class Client:
    """One connection to a server that runs in this thread."""

    def __init__(self, server):
        self.server = server
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(server.path)
        self.sock.setblocking(False)
        self.buffer = bytearray()

    def ask(self, op, data=b"", **words):
        """The reply's words and data; None when the connection ends instead."""
        self.sock.sendall(protocol.encode({"op": op, **words}, data))
        for _ in range(200):
            self.server.run()
            try:
                more = self.sock.recv(1 << 16)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more
            if (message := protocol.decode(self.buffer)) is not None:
                return message[:2]
        raise AssertionError(f"no answer to {op}")


@pytest.fixture
def server(tmp_path):
    engine = Engine(1)
    made = Server(engine, str(tmp_path / "datapath.sock"))
    engine.start()
    yield made
    made.close()
    engine.close()


@pytest.fixture
def other(server):
    """A client with two ports, that a packet passes; it must be there and well at the end."""
    client = Client(server)
    for name in ("p1", "p2"):
        reply, _ = client.ask("port_add", name=name, type="dummy")
    before = containment.FAULTS.count
    yield client
    client.ask("port_inject", frame(), port_no=reply["port_no"])
    assert len(client.ask("port_dump")[0]["ports"]) == 2
    assert containment.FAULTS.count > before
    client.sock.close()


@pytest.mark.parametrize("op", sorted(server_module.OPERATIONS))
def test_in_an_operation(server, other, monkeypatch, op):
    """It is refused, and the same client is served on."""
    victim = Client(server)
    monkeypatch.setitem(server_module.OPERATIONS, op, fail)
    reply, _ = victim.ask(op)
    assert reply["error"] == errno.EIO and "Injected" in reply["text"]
    monkeypatch.undo()
    assert "workers" in victim.ask("version")[0]
    victim.sock.close()


def test_beside_an_operation(server, other, monkeypatch):
    """The connection ends."""
    victim = Client(server)
    assert victim.ask("version")
    client = server.clients[-1]
    monkeypatch.setattr(client, "flush", fail, raising=False)
    assert victim.ask("version") is None
    assert client not in server.clients


@pytest.mark.parametrize("part", ["_look_at_workers", "_sweep", "_accept"])
def test_in_a_part_of_a_round(server, other, monkeypatch, part):
    """Connected clients are served, in each round of these."""
    monkeypatch.setattr(server, part, fail)
    for _ in range(5):
        assert other.ask("version")
    monkeypatch.undo()
    late = Client(server)
    assert late.ask("version")
    late.sock.close()


def test_workers_that_cannot_be_started_are_not_there(server, other, monkeypatch):
    start, calls = threading.Thread.start, []

    def fail_once(thread):
        calls.append(thread)
        if len(calls) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    reply, _ = other.ask("workers_add", cores=[3, 4], pinned=False)
    assert reply["error"] == errno.EIO and len(server.engine.workers) == 1
    assert not calls[0].is_alive()
    reply, _ = other.ask("workers_add", cores=[3, 4], pinned=False)
    assert reply["workers"] == [1, 2]


def test_workers_whose_rings_cannot_be_made_are_not_there(server, monkeypatch):
    """Else nobody answers what comes up, and whoever asks again hears that they are there."""
    handler = Client(server)
    assert "workers" in handler.ask("upcall_register")[0]
    dup, left = os.dup, iter((True, True, False))

    def none_left(fd):
        if next(left, True):
            return dup(fd)
        raise OSError(errno.EMFILE, "no descriptors")

    monkeypatch.setattr(os, "dup", none_left)
    reply, _ = handler.ask("workers_add", cores=[3, 4], pinned=False)
    assert reply["error"] == errno.EMFILE and len(server.engine.workers) == 1
    assert handler.ask("workers_add", cores=[3, 4], pinned=False)[0]["workers"] == [1, 2]
    handler.sock.close()


def test_a_device_that_takes_long_to_open(server, monkeypatch):
    """Who asked for it waits, and what it asks next waits with it; others are served.  Nothing is
    left of one that nobody waits for any more."""
    gates, opened, closed = [], [], []

    def make(name, options, n_workers, _type, patient):
        assert patient
        gates.append(threading.Event())
        gates[-1].wait(10)
        if options.get("fails"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        opened.append(name)
        return Slow(name, options, n_workers, "dummy")

    class Slow(DummyNetdev):
        def __init__(self, *words):
            self.words = words[0]
            super().__init__(*words)

        def close(self):
            closed.append(self.words)
            super().close()

    monkeypatch.setitem(engine_module.TYPES, "afxdp", make)
    first, second, other = Client(server), Client(server), Client(server)

    def ask_later(client, **words):
        client.sock.sendall(protocol.encode({"op": "port_add", "type": "afxdp", **words}))
        client.sock.sendall(protocol.encode({"op": "version"}))
        known = len(gates)
        for _ in range(500):
            server.run()
            if len(gates) > known:
                return
            time.sleep(0.002)
        raise AssertionError("nobody opens it")

    def answers(client, count):
        found = []
        for _ in range(500):
            server.run()
            with contextlib.suppress(BlockingIOError):
                client.buffer += client.sock.recv(1 << 16)
            while (message := protocol.decode(client.buffer)) is not None:
                found.append(message[0])
            if len(found) == count:
                return found
            time.sleep(0.002)
        raise AssertionError(f"no {count} answers but {found}")

    ask_later(first, name="x0")
    assert other.ask("version")[0]["workers"] == 1 and not opened
    error = other.ask("port_add", name="x0", type="afxdp", options={"a": "b"})[0]
    assert error["error"] == errno.EBUSY and "being opened" in error["text"]
    ask_later(second, name="x1", options={"fails": "1"})
    poller = Poller()
    server.wait(poller)  # requests that wait behind are no reason to turn without a pause
    assert 0 < poller.timeout <= server_module.AGAIN
    for gate in gates:
        gate.set()
    [made, version] = answers(first, 2)
    assert made["port_no"] == 1 and version["workers"] == 1
    [refused, version] = answers(second, 2)
    assert refused["error"] == errno.EBUSY and version["workers"] == 1
    # Who asked goes; its device is closed, and the next of that name waits for that.
    ask_later(first, name="x2")
    server._drop(next(each for each in server.clients if each.put_off is not None))
    gates[-1].set()
    ask_later(second, name="x2")
    assert closed == ["x2"]
    gates[-1].set()
    [made, version] = answers(second, 2)
    assert made["port_no"] == 2
    # One that goes is closed beside the loop.
    assert other.ask("port_del", port_no=2)[0] == {}
    wait_until(lambda: closed == ["x2", "x2"], what="its end")
    # The process ends with one half open.
    ask_later(other, name="x3")
    gates[-1].set()
