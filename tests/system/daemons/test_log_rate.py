"""What peers can have logged, in real daemons: a burst, then the number of what was kept back."""

import re
import socket

import pytest

from tests.daemons import OVSDB_SERVER, VSWITCHD, wait_until

pytestmark = pytest.mark.system
HELLO = bytes.fromhex("0400000800000001")
UNKNOWN = bytes.fromhex("046300080000000a")  # a message type that there is not
BARRIER = bytes.fromhex("041400080000000b")


def lines(switch, name, pattern):
    return [
        line for log, line in switch.logs() if log == f"{name}.log" and re.search(pattern, line)
    ]


def test_bad_openflow_messages(switch_daemons):
    switch = switch_daemons
    switch.start(vswitchd=["--enable-dummy"])
    switch.vsctl("add-br", "br0")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(switch.directory / "br0.mgmt"))
        peer.settimeout(10)
        peer.sendall(HELLO + UNKNOWN * 500 + BARRIER)
        stream, kinds = peer.makefile("rb"), []
        while 21 not in kinds:  # BARRIER_REPLY
            head = stream.read(8)
            kinds.append(head[1])
            stream.read(int.from_bytes(head[2:4], "big") - 8)
        assert kinds.count(1) == 500  # each is answered all the same
        assert len(lines(switch, VSWITCHD, "error reply")) == 10
        switch.appctl("time/warp", "70000")
        peer.sendall(UNKNOWN)
        wait_until(lambda: lines(switch, VSWITCHD, "Dropped 490 log messages in last 7[0-9] sec"))
    assert len(lines(switch, VSWITCHD, "error reply")) == 11


def test_bad_json(switch):
    switch.allow("syntax error|parse|JSON")
    for _ in range(40):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(switch.directory / "db.sock"))
            peer.settimeout(10)
            peer.sendall(b"}")
            while peer.recv(65536):
                pass
    found = lines(switch, OVSDB_SERVER, "jsonrpc_server")
    assert 5 <= len(found) <= 7  # five a minute more, should this take long
