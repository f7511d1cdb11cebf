"""Cables between dummy ports: what one sends, the other receives."""

import socket
import struct

import pytest

from tests.daemons import wait_until
from tests.datapath.dp_process import Process, frame


@pytest.fixture
def process():
    made = Process()
    yield made
    made.close()


def test_frames_go_both_ways(process, tmp_path):
    path = tmp_path / "cable"
    process.add("a", port_no=1)
    process.add("b", port_no=2, stream=f"unix:{path}")
    assert process.port("b").link == "disconnected" and process.port("a").link == ""
    process.add("c", port_no=3, pstream=f"punix:{path}")
    process.add("d", port_no=4)
    wait_until(lambda: process.port("b").link == "connected", what="the cable")
    for match, actions in (("1", "2"), ("3", "4"), ("4", "3"), ("2", "1")):
        process.flow(f"in_port({match})", actions)
    sent = [frame(60 + 7 * n) for n in range(20)]
    for one in sent:
        process.dpif.port_inject(1, one)
        process.dpif.port_inject(4, one)
    for number in (4, 1):
        got = []
        wait_until(lambda n=number, g=got: g.extend(process.dpif.port_drain(n)) or len(g) == 20,
                   what="the frames")  # fmt: skip
        assert got == sent
    process.dpif.port_del(3)
    wait_until(lambda: process.port("b").link == "disconnected", what="the end of the cable")


def test_a_peer_that_talks_nonsense_or_does_not_read(process, tmp_path):
    """The port serves the others; what is too much for one is counted."""
    path = tmp_path / "cable"
    process.add("a", port_no=1)
    process.add("b", port_no=2, pstream=f"punix:{path}")
    process.flow("in_port(1)", "2")
    process.flow("in_port(2)", "1")
    with socket.socket(socket.AF_UNIX) as bad, socket.socket(socket.AF_UNIX) as good:
        bad.connect(str(path))
        good.connect(str(path))
        bad.sendall(struct.pack("!H", 3) + b"abc")
        bad.settimeout(10)
        assert bad.recv(100) == b""
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            for _ in range(800):
                process.dpif.port_inject(1, frame(1500))
            good.settimeout(10)
            expected = struct.pack("!H", 1500) + frame(1500)
            assert good.recv(len(expected), socket.MSG_WAITALL) == expected
            one = frame(99)
            good.sendall(struct.pack("!H", 99) + one[:50])
            good.sendall(one[50:])
            wait_until(lambda: process.dpif.port_drain(1) == [one], what="the frame")
    process.check()
