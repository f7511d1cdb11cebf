"""Network devices through rtnetlink: real ones in a private namespace, and any bytes."""

import errno
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import daemons
from vswitchd.devices import links
from vswitchd.devices.links import IFLA_IFNAME, Link, Links, parse_link


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def newlink(name="veth0", family=socket.AF_UNSPEC, ifindex=7, kind=links.RTM_NEWLINK):
    body = struct.pack("=BxHiII", family, 1, ifindex, 0x10043, 0)
    body += attribute(links.IFLA_ADDRESS, bytes(range(6)))
    body += attribute(IFLA_IFNAME, name.encode() + b"\0")
    body += attribute(links.IFLA_MTU, struct.pack("=I", 1400))
    info = attribute(links.IFLA_INFO_KIND, b"veth\0")
    body += attribute(links.IFLA_LINKINFO | 0x8000, info)
    body += attribute(links.IFLA_CARRIER_CHANGES, struct.pack("=I", 3))
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_parse():
    data = newlink()
    link = parse_link(data, 16, len(data))
    assert link == Link(7, "veth0", "00:01:02:03:04:05", 1400, 0x10043, "veth", 3)
    assert link.is_up and link.has_carrier


def test_bridge_port_messages_are_not_of_the_device():
    data = newlink(family=socket.AF_BRIDGE)
    assert parse_link(data, 16, len(data)) is None


@given(st.binary(max_size=200))
def test_any_bytes(data):
    parse_link(data, 0, len(data))


@given(st.data())
def test_broken_messages(data):
    """A message with some bytes changed or cut is taken or ignored."""
    message = bytearray(newlink())
    for _ in range(data.draw(st.integers(1, 5))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    table = Links.__new__(Links)
    table.by_name, table._by_index = {}, {}
    table.change_seqno, table.changed = 0, set()
    table._seen, table._sequence, table._interrupted = None, 1, False
    table._retry_at, table._retry_after = None, links.RETRY_FIRST
    table._messages(bytes(message[: data.draw(st.integers(0, len(message)))]))
    assert len(table.by_name) <= 1


@pytest.mark.parametrize("kind", [links.NLMSG_ERROR, links.NLMSG_DONE])
def test_a_dump_that_fails_is_asked_for_again(monkeypatch, kind):
    """Only a dump that succeeds tells that a device has gone; the pauses grow, to a limit."""
    now = [1000.0]
    monkeypatch.setattr(links.time, "monotonic", lambda: now[0])
    timers = []

    class Poller:
        def fd_wait(self, *_arguments):
            pass

        def timer_wait(self, milliseconds):
            timers.append(milliseconds)

    table = Links()
    table._take(Link(1 << 30, "gone", "", 0, 0, "", 0), True)
    request, pauses = table._request_dump, []
    table.wait(Poller())
    assert not timers
    with monkeypatch.context() as patch:
        # The kernel answers this number with an error instead of devices.
        patch.setattr(table, "_request_dump", lambda: fail())

        def fail():
            table._sequence += 1
            table._seen = set()
            error = struct.pack("=i", -errno.EBUSY)
            header = struct.pack("=IHHII", 16 + len(error), kind, 0, table._sequence, 0)
            table._messages(header + error)

        fail()
        for _ in range(10):
            table.wait(Poller())
            pauses.append(round(timers[-1] - 1) / 1000)
            sequence = table._sequence
            table.run()
            assert table._sequence == sequence, "asked again too early"
            now[0] += pauses[-1] + 0.01
            table.run()
            assert table._sequence == sequence + 1
    assert pauses[:3] == [0.1, 0.2, 0.4] and pauses[-1] == links.RETRY_MOST
    assert table.get("gone")
    assert table._request_dump == request
    now[0] += links.RETRY_MOST + 0.01
    daemons.wait_until(lambda: table.run() or not table.get("gone"), what="the dump")
    assert not table.get("gone") and table.get("lo")
    before = len(timers)
    table.wait(Poller())
    assert len(timers) == before
    table.close()


SCRIPT = """
import os
import subprocess
import time
from vswitchd.devices import netdev
from vswitchd.devices.links import Links

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, sorted(links.by_name)
        time.sleep(0.01)
        links.run()

links = Links()
assert set(links.by_name) == {"lo"}, links.by_name
ip("link", "add", "a0", "type", "veth", "peer", "name", "a1")
assert links.run() and not links.run()
first = links.get("a0")
assert first.kind == "veth" and first.mtu == 1500 and not first.is_up
netdev.set_mtu("a0", 1400)
netdev.set_mac("a0", "02:00:00:00:00:07")
ip("link", "set", "a0", "up")
ip("link", "set", "a1", "up")
until(lambda: links.get("a0").has_carrier)  # which the kernel tells later
now = links.get("a0")
assert (now.mac, now.mtu, now.ifindex) == ("02:00:00:00:00:07", 1400, first.ifindex)
assert now.is_up and now.has_carrier and now.carrier_changes > first.carrier_changes
assert netdev.driver_info("a0").driver == "veth"
assert netdev.link_mode("a0").speed == 10_000_000_000
ip("link", "set", "a0", "down")
ip("link", "set", "a0", "name", "b0")
links.run()
assert links.get("a0") is None and links.get("b0").ifindex == first.ifindex
other = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
namespace = f"/proc/{other.pid}/ns/net"
until(lambda: os.readlink(namespace) != os.readlink("/proc/self/ns/net"))
ip("link", "set", "b0", "netns", str(other.pid))
until(lambda: links.get("b0") is None)
other.kill()
other.wait()
# More messages than the socket holds: everything is read again.
links._socket.setsockopt(1, 8, 2048)
for number in range(30):
    ip("link", "add", f"d{number}", "type", "veth", "peer", "name", f"e{number}")
ip("link", "delete", "d3")
until(lambda: sum(name[0] == "d" for name in links.by_name) == 29)
assert netdev.driver_info("nothing") is None
try:
    netdev.set_mtu("nothing", 1400)
except OSError as error:
    assert error.errno == 19
else:
    raise AssertionError
print("done")
"""


def test_real_devices():
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    namespace = daemons.Namespace()
    try:
        assert namespace.run(sys.executable, "-c", SCRIPT) == "done\n"
    finally:
        namespace.close()
