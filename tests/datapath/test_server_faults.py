"""Faults in the datapath's control thread: what was being served ends, or is refused; the others,
and the packets, go on, and it is counted."""

import errno
import os
import socket
import threading

import pytest

from datapath import server as server_module
from datapath.engine import Engine
from datapath.ipc import protocol
from datapath.server import Server
from pyvs import containment
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
