"""Clients of pyvs-vswitchd that ask and ask and never read an answer."""

import json
import select
import socket
import time

import pytest

from tests.hostile.oracle import Process

REQUESTS = 64 << 20  # bytes that a client would send if it were read from
MEMORY = 24 << 10  # KiB that the daemon may take meanwhile
ECHO = bytes((4, 2, 0xFF, 0xF8)) + bytes(4) + bytes(0xFFF8 - 8)
PORTS = bytes((4, 18)) + (16).to_bytes(2, "big") + bytes(4) + (13).to_bytes(2, "big") + bytes(6)
HELLO = bytes((4, 0, 0, 8)) + bytes(4)
COMMANDS = json.dumps({"id": 1, "method": "list-commands", "params": []}).encode()


def pour(path, greeting, request, progress):
    """Send until nothing has been taken for a second; returns (socket, bytes that were taken)."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.sendall(greeting)
    client.setblocking(False)
    poller = select.poll()
    poller.register(client, select.POLLOUT)
    sent, stream, last = 0, request * (1 + (1 << 16) // len(request)), time.monotonic()
    while sent < REQUESTS and time.monotonic() < last + 1:
        if poller.poll(50):
            try:
                sent += client.send(stream[sent % len(request) :])
            except BrokenPipeError:  # it was sent away
                break
            last = time.monotonic()
        progress()
    return client, sent


@pytest.mark.system
@pytest.mark.parametrize(
    ("target", "greeting", "request_"),
    [("br0.mgmt", HELLO, ECHO), ("br0.mgmt", HELLO, PORTS), ("ctl", b"", COMMANDS)],
    ids=["echo", "multipart", "unixctl"],
)
def test_requests_stay_with_who_does_not_read(switch, target, greeting, request_):
    switch.vsctl("add-br", "br0")
    switch.allow("does not read")
    pid = switch.pid("pyvs-vswitchd")
    path = switch.directory / (f"pyvs-vswitchd.{pid}.ctl" if target == "ctl" else target)
    daemon = Process("pyvs-vswitchd", pid)
    answered = []

    def another():
        if len(answered) < 20:
            answered.append(switch.ofctl("dump-flows", "br0"))

    client, sent = pour(path, greeting, request_, another)
    with client:
        assert sent < REQUESTS, "the daemon goes on reading"
        assert daemon.grown() < MEMORY
        assert answered and all("NORMAL" in each for each in answered)
    assert "NORMAL" in switch.ofctl("dump-flows", "br0")
    assert daemon.alive() and not daemon.excess()
