"""The control socket: requests as ovs-appctl sends them, and others."""

import contextlib
import json
import socket

import ovs.unixctl
import pytest

from pyvs import coverage
from pyvs.poller import Poller
from pyvs.process import control, unixctl


class World:
    """A server and the loop that it lives in, turned by hand."""

    def __init__(self, path):
        self.path = path
        self.server = unixctl.listen(path)
        self.late = []

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        sock.setblocking(False)
        return sock

    def turn(self, count=1):
        for _ in range(count):
            self.server.run()

    def answer(self, sock, data):
        """The reply to `data`, None when the connection was closed."""
        sock.sendall(data)
        found = b""
        for _ in range(100):
            self.turn()
            try:
                got = sock.recv(1 << 20)
            except BlockingIOError:
                continue
            if not got:
                return None
            found += got
            try:
                return json.loads(found)
            except ValueError:
                pass
        raise AssertionError(f"no answer but {found[:200]}")

    def call(self, method, *params, identity=0):
        with self.connect() as sock:
            request = {"method": method, "params": params, "id": identity}
            return self.answer(sock, json.dumps(request).encode())


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(ovs.unixctl, "commands", dict(ovs.unixctl.commands))
    made = World(str(tmp_path / "ctl"))

    def register(name, callback):
        ovs.unixctl.command_register(name, "", 0, 9, callback, None)

    register("say", lambda connection, words, _aux: connection.reply(" ".join(words)))
    register("later", lambda connection, _words, _aux: made.late.append(connection))
    register("broken", lambda _connection, _words, _aux: 1 / 0)
    register("odd", lambda connection, _words, _aux: connection.reply("\udc80"))
    yield made
    made.server.close()


def test_answers(world):
    assert world.call("say", "a", "b") == {"id": 0, "result": "a b\n", "error": None}
    assert world.call("nosuch")["error"].startswith('"nosuch" is not a valid command (')
    assert "takes at most 9" in world.call("say", *"x" * 10)["error"]
    assert "non-string" in world.call("say", 1)["error"]
    assert world.call("odd")["result"] == "\\udc80\n"
    for words in (["1," * unixctl.MOST_TEXT], ["x"] * 9 + ["y"], ["g"] * 8 + ["z" * (1 << 14)]):
        assert "takes at most" in world.call("say", *words)["error"]
    frame = "5E" * 65_535
    assert world.call("say", "x" * 16_000, frame)["result"].endswith(frame + "\n")


def test_a_fault_of_a_command(world):
    before = coverage.read("fault_unixctl_command") or 0
    assert "internal error (ZeroDivisionError" in world.call("broken")["error"]
    assert coverage.read("fault_unixctl_command") == before + 1
    assert world.call("say", "x")["result"] == "x\n"


def test_formats(world):
    with world.connect() as sock:

        def call(method, *params):
            request = {"method": method, "params": params, "id": 1}
            return world.answer(sock, json.dumps(request).encode())

        for words in (("--format", "nonsense"), ("--format",), ("-h",), ("--format", "json", "x")):
            assert call("set-options", *words)["error"]
        assert call("set-options", "--format", "json")["error"] is None
        assert call("say", "x")["result"] == {"reply-format": "plain", "reply": "x\n"}


def test_identities_of_any_form(world):
    deep = 1
    for _ in range(900):
        deep = [deep]
    for identity in (deep, {"a": 1}, "", 0, 1.5, True):
        assert world.call("say", "x", identity=identity)["id"] == identity


NO_REQUESTS = (
    *(b"[]", b"null{}", b"{}", b"\xff\xfe", b'{"a":' * 1100),
    b'{"id":null,"method":"say","params":[]}',
    b'{"id":1,"method":[],"params":[]}',
    b'{"id":0,"result":1,"error":null}',
    b'{"id":0,"method":"say","params":["' + b"x" * unixctl.MAX_REQUEST + b'"',
)


@pytest.mark.parametrize("data", NO_REQUESTS)
def test_what_is_no_request_ends_its_connection(world, data):
    with world.connect() as good, world.connect() as bad:
        bad.setblocking(True)
        bad.settimeout(0.01)
        closed = False
        for _ in range(2000):
            try:
                data = data[bad.send(data[:100_000]) :] if data else data
            except TimeoutError:
                pass
            except OSError:
                closed = True
                break
            world.turn()
            if not data:
                try:
                    closed = bad.recv(1) == b""
                    break
                except TimeoutError:
                    continue
                except OSError:
                    closed = True
                    break
        assert closed
        assert world.answer(good, b'{"id":1,"method":"say","params":["y"]}')["result"] == "y\n"


def test_a_late_answer_and_one_that_nobody_waits_for(world):
    request = b'{"id":7,"method":"later","params":[]}'
    with world.connect() as patient, world.connect() as hasty:
        for sock in (patient, hasty):
            sock.sendall(request)
        world.turn(3)
        assert len(world.late) == 2
        patient.shutdown(socket.SHUT_WR)  # it still reads
        hasty.close()
        world.turn(3)
        for connection in world.late:
            connection.reply("done")
        patient.settimeout(10)
        assert json.loads(patient.recv(1000))["result"] == "done\n"


@pytest.mark.parametrize(
    "pieces",
    (
        [],
        ["", ""],
        ["a"],
        ["a\n", ""],
        ['"\\', "\udc80\n"],
        [f"{n:0100}\n" for n in range(150_000)],
    ),
    ids=("none", "empty", "no-line-feed", "one", "escapes", "15MB"),
)
def test_an_answer_made_in_pieces(world, pieces, monkeypatch):
    """However long it is, no step on the way is all of it."""
    control.command("list-all", "", 0, 0, lambda _words: iter(pieces))
    wanted = "".join(pieces).replace("\udc80", "\\udc80")
    wanted += "\n" if wanted and not wanted.endswith("\n") else ""
    monkeypatch.setattr(control, "PIECES_SECONDS", 0.001)
    turns = 0
    with world.connect() as sock:
        sock.sendall(b'{"id":7,"method":"list-all","params":[]}')
        found = b""
        while not found.endswith(b"}"):
            turns += 1
            control.reply_on()
            world.server.run()
            with contextlib.suppress(BlockingIOError):
                found += sock.recv(1 << 24)
    assert json.loads(found) == {"id": 7, "result": wanted, "error": None}
    assert len(found) < 1 << 20 or turns > 4


def test_pipelined_requests_of_who_does_not_read(world):
    """One has its answers sent before the next is looked at: they do not pile up."""
    big = "5E" * 50_000
    request = json.dumps({"id": 1, "method": "say", "params": [big]}).encode()
    with world.connect() as sock:
        sent = 0
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(request[sent % len(request) :])
            world.turn()
        [connection] = world.server._connections
        assert len(connection._output) < 3 * len(big) and sent < 20 * len(big)
        poller = Poller()
        world.server.wait(poller)  # for the client to read, not at once
        assert poller.timeout < 0


def test_so_many_clients(world):
    socks = [world.connect() for _ in range(unixctl.MOST_CLIENTS)]
    world.turn()
    late = world.connect()
    world.turn()
    late.setblocking(True)
    assert late.recv(1) == b""
    socks.pop().close()
    world.turn(2)
    assert world.call("say", "in")["result"] == "in\n"
    for sock in (*socks, late):
        sock.close()
