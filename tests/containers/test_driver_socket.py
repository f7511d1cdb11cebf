"""The socket of pyvs-docker-driver: peers that stall, send rubbish, or come in great number."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from containers.driver import connections, server
from tests.daemons import BIN, wait_until


class Docker(http.client.HTTPConnection):
    """Says what dockerd says."""

    def __init__(self, path):
        super().__init__("docker", timeout=10)
        self._path = path

    def connect(self):
        self.sock = peer(self._path)

    def say(self, call, **asked):
        """(status, the answer)"""
        self.request("POST", call, json.dumps(asked))
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


def peer(path, sent=b""):
    """A connection on which something was sent."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))  # which waits for a place in the backlog, as it has no timeout yet
    sock.settimeout(10)
    with contextlib.suppress(BrokenPipeError):  # it may have been cut off meanwhile
        sock.sendall(sent)
    return sock


def say(path, call="/Plugin.Activate", **asked):
    with contextlib.closing(Docker(path)) as docker:
        return docker.say(call, **asked)


ACTIVE = (200, {"Implements": ["NetworkDriver"]})
HALVES = (
    b"",
    b"POST /Plugin.Acti",
    b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\n",
    b"POST /Plugin.Activate HTTP/1.1\r\nContent-Length: 9000\r\n\r\n{",
)


class NoSwitch(contextlib.nullcontext):
    """A database, of which nothing is asked."""


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """A server whose calls need no switch."""
    monkeypatch.setattr(server, "Database", NoSwitch)
    made = []

    def start(patience=30):
        monkeypatch.setattr(server, "PATIENCE", patience)
        made.append(server.Server(str(tmp_path / "pyvs.sock"), None))
        return made[0].path

    yield start
    made[0].close()


def test_who_stalls_keeps_nobody_waiting(listener):
    path = listener(patience=3600)
    with contextlib.ExitStack() as peers:
        for number in range(3 * connections.MOST):
            peers.enter_context(peer(path, HALVES[number % len(HALVES)]))
        assert say(path) == ACTIVE
        # Who has just come may stay: one connection for several calls.
        with contextlib.closing(Docker(path)) as docker:
            assert [docker.say("/Plugin.Activate") for _ in range(3)] == [ACTIVE] * 3


def test_who_has_sent_its_request_outlasts_a_crowd(listener, monkeypatch):
    """Though no thread has read of it, nor of all the others', for a while."""
    setup = server._Handler.setup
    monkeypatch.setattr(server._Handler, "setup", lambda self: time.sleep(0.5) or setup(self))
    path = listener()
    body = b"POST /Plugin.Activate HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with contextlib.ExitStack() as peers:
        honest = [peers.enter_context(peer(path, body)) for _ in range(3)]
        late = [peers.enter_context(peer(path)) for _ in range(3)]
        for number in range(2 * connections.MOST):
            peers.enter_context(peer(path, HALVES[number % len(HALVES)]))
            if number == connections.MOST:  # as many as there may be have come after these
                for each in late:
                    each.sendall(body)
        for each in (*honest, *late):
            assert each.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_who_is_slow_is_cut_off(listener):
    path = listener(patience=1)
    slow = peer(path, HALVES[2])
    begin = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while time.monotonic() - begin < 20:
            slow.sendall(b"X-Y: z\r\n")
            time.sleep(0.05)
    assert say(path) == ACTIVE
    with contextlib.closing(Docker(path)) as docker:  # who does not call again, too
        assert docker.say("/Plugin.Activate") == ACTIVE
        assert docker.sock.recv(1) == b""


def test_a_call_that_takes_its_time_is_not_cut_off(listener, monkeypatch):
    path = listener(patience=0.2)
    monkeypatch.setitem(server.CALLS, "/slow", lambda _database, _asked: time.sleep(2) or {"x": 1})
    assert say(path, "/slow") == (200, {"x": 1})


def test_rubbish(listener):
    path = listener()
    chance = random.Random(7)
    head = b"POST /Plugin.Activate HTTP/1.1\r\n"
    rubbish = [
        *(chance.randbytes(chance.randrange(1, 3000)) for _ in range(60)),
        *(head + b"Content-Length: " + text + b"\r\n\r\n{}"
          for text in (b"-1", b"9e9", b"9" * 99, b"9" * 5000)),
        head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        head + b"A: b\r\n" * 200 + b"\r\n",
        b"GET " + b"x" * 70000,
        *(head + b"Content-Length: %d\r\n\r\n" % len(body) + body
          for body in (b"[1]", b"{", b"[" * 9000, b"\xff\xfe", b'"\\ud800"')),
    ]  # fmt: skip
    for each in rubbish:
        with peer(path, each) as sock:
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
    assert say(path) == ACTIVE
    assert say(path, "/NetworkDriver.Dance")[0] == 404


def test_a_file_by_which_docker_finds_it(monkeypatch, tmp_path):
    """Its name is the driver's; it goes with the socket."""
    monkeypatch.setattr(server, "Database", NoSwitch)
    spec = tmp_path / "plugins" / "blue.spec"
    made = server.Server(str(tmp_path / "elsewhere"), None, str(spec))
    assert spec.read_text() == f"unix://{tmp_path}/elsewhere\n" and made.name == "blue"
    assert say(made.path) == ACTIVE
    made.close()
    assert list(spec.parent.iterdir()) == [] and not Path(made.path).exists()


FILES = 40


@pytest.mark.system
def test_more_peers_than_files(bridge, tmp_path):
    """It goes on, idle, and serves who comes when the others have gone, or been cut off."""
    path = tmp_path / "pyvs.sock"
    command = (str(BIN / "pyvs-docker-driver"), f"--socket={path}", f"--docker={tmp_path}/none")
    driver = bridge.host.popen("prlimit", f"--nofile={FILES}", *command, env=bridge.environment)
    try:
        wait_until(path.exists, what="the driver's socket")
        assert say(path) == ACTIVE
        peers = [peer(path, HALVES[number % len(HALVES)]) for number in range(2 * FILES)]
        begin, used = time.monotonic(), processor_time(driver.pid)
        assert wait_until(lambda: say(path)[0] == 200, what="an answer")
        time.sleep(1)
        assert processor_time(driver.pid) - used < 0.5 * (time.monotonic() - begin) + 0.5
        for each in peers:
            each.close()
        assert say(path) == ACTIVE
        assert driver.poll() is None
    finally:
        driver.send_signal(signal.SIGTERM)
        driver.wait(timeout=30)


def processor_time(pid):
    """Seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
