"""ovsdb-server's control connections, in the epoll loop of its clients."""

import json
import socket

import ovs.unixctl
import pytest

from ovsdb.main import Control
from ovsdb.serving.server import Loop
from ovsdb.serving.service import Service
from pyvs.process import unixctl


@pytest.fixture
def world(tmp_path, monkeypatch):
    """(loop, server, connect()); the loop's timers never come, so that nothing leans on them."""
    monkeypatch.setattr(ovs.unixctl, "commands", dict(ovs.unixctl.commands))
    loop = Loop(Service())
    loop._next_scan = float("inf")
    server = unixctl.listen(str(tmp_path / "ctl"))
    Control(loop, server)
    made = []

    def connect():
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].connect(str(tmp_path / "ctl"))
        made[-1].settimeout(0.001)
        return made[-1]

    yield loop, server, connect
    for sock in made:
        sock.close()
    server.close()
    loop.close()


def answers(loop, sock, count):
    found, data, decoder = [], "", json.JSONDecoder()
    for _ in range(2000):
        loop.run(20)
        try:
            data += sock.recv(1 << 16).decode()
        except TimeoutError:
            continue
        while data:
            try:
                answer, end = decoder.raw_decode(data)
            except ValueError:
                break
            found.append(answer["id"])
            data = data[end:]
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} answers")


def requests(count):
    lines = [{"method": "set-options", "params": ["--format", "text"], "id": n + 1}
             for n in range(count)]  # fmt: skip
    return "".join(map(json.dumps, lines)).encode()


def test_many_requests_at_once(world):
    loop, _server, connect = world
    sock = connect()
    sock.sendall(requests(200))
    assert answers(loop, sock, 200) == list(range(1, 201))


def test_after_a_fault_it_serves_on(world, monkeypatch):
    """Without descriptors, say, nothing can be watched for a moment."""
    loop, server, connect = world
    sock = connect()
    sock.sendall(requests(1))
    assert answers(loop, sock, 1) == [1]

    def fault(_poller):
        monkeypatch.undo()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(server, "wait", fault)
    sock.sendall(requests(2))
    assert answers(loop, sock, 2) == [1, 2]
    other = connect()
    other.sendall(requests(1))
    assert answers(loop, other, 1) == [1]
    sock.close()
    other.close()
    loop.run(20)
    assert len(server._connections) == 0
