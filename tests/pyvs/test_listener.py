"""Listeners: what accepting may meet with, and addresses that cannot be."""

import errno
import os
import resource
import socket
import struct

import pytest

from pyvs import coverage, rundir
from pyvs.streams import listener
from pyvs.streams.listener import Listener


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, "_given", str(tmp_path))
    return tmp_path


@pytest.fixture
def listening(directory):
    """A function that makes listeners, which are closed at the end."""
    made = []

    def listen(target, **options):
        made.append(Listener(target, 6640, **options))
        return made[-1]

    yield listen
    for each in made:
        each.close()


def connect(made):
    if made.port is None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(made.socket.getsockname())
    else:
        sock = socket.create_connection(made.socket.getsockname()[:2])
    sock.settimeout(10)
    return sock


class Poller:
    """Notes what is waited for."""

    def __init__(self):
        self.descriptors = []
        self.timeout = None

    def fd_wait(self, sock, _events):
        self.descriptors.append(sock.fileno())

    def timer_wait(self, msec):
        self.timeout = msec


@pytest.mark.parametrize("target", ["punix:sock", "ptcp:0:127.0.0.1", "ptcp:0:[::1]"])
def test_clients_have_names(listening, target):
    made = listening(target)
    clients = [connect(made) for _ in range(3)]
    accepted = [made.accept() for _ in clients]
    assert made.accept() is None
    assert len({each.name for each in accepted}) == 3
    if made.port is None:
        assert os.stat(made.socket.getsockname()).st_mode & 0o077 == 0
    for each in (*clients, *(each.sock for each in accepted)):
        each.close()


def test_no_more_clients_than_that(listening):
    made = listening("punix:sock", most_clients=2)
    clients = [connect(made) for _ in range(4)]
    before = coverage.read("pstream_refused")
    first, second = made.accept(0), made.accept(1)
    assert made.accept(2) is None
    assert coverage.read("pstream_refused") == before + 2
    assert [each.recv(1) for each in clients[2:]] == [b"", b""]
    first.sock.close()
    late = connect(made)
    third = made.accept(1)
    assert third is not None
    for each in (*clients, late, second.sock, third.sock):
        each.close()


def test_without_descriptors_it_sleeps(listening, monkeypatch):
    """The waiting client does not wake a loop up; later, or when there is one, it is accepted."""
    made = listening("punix:sock")
    client = connect(made)
    poller = Poller()
    made.wait(poller)
    assert poller.descriptors == [made.socket.fileno()]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    spare = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, hard))
    try:
        while True:
            try:
                spare.append(os.dup(0))
            except OSError:
                break
        assert made.accept() is None
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert made.paused
    poller = Poller()
    made.wait(poller)
    assert not poller.descriptors and 0 < poller.timeout <= 1000 * listener.PAUSE + 1
    made.resume()
    accepted = made.accept()
    assert accepted is not None
    accepted.sock.close()
    client.close()


def test_a_client_that_resets_at_once(listening):
    made = listening("ptcp:0:127.0.0.1")
    for _ in range(3):
        client = connect(made)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        accepted = made.accept()
        if accepted is not None:
            accepted.sock.close()
    assert made.accept() is None


@pytest.mark.parametrize(
    "target",
    [
        "ptcp:70000",
        "ptcp:x",
        "ptcp:-1",
        "ptcp:0:localhost",
        "ptcp:0:1.2.3.4.5",
        "ptcp:²",
        "punix:a\0b",
    ],
)
def test_addresses_that_cannot_be(directory, target):
    with pytest.raises(OSError) as caught:
        Listener(target, 6640)
    assert caught.value.errno == errno.EINVAL


def test_sockets_of_the_dead_and_of_others(listening, directory):
    """A socket without a process is replaced; what is no socket is not; at the end only our own
    is removed; a path may be longer than an address."""
    path = directory / "sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    made = listening("punix:sock")
    connect(made).close()
    path.unlink()
    path.write_text("mine")
    made.close()
    assert path.read_text() == "mine"
    with pytest.raises(OSError):
        Listener("punix:sock", 0)
    long = directory / ("x" * 100)
    long.mkdir()
    made = listening(f"punix:{long}/sock")
    assert len(str(long)) > 107 and (long / "sock").is_socket()
    made.close()
    assert not (long / "sock").exists()
