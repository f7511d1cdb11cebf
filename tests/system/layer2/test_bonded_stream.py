"""A bond by LACP with Open vSwitch at the other end, under TCP: links die, the stream goes on."""

import contextlib
import subprocess
import sys

import pytest

from tests import ovs_userspace
from tests.daemons import wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.alone,
    pytest.mark.peer,
    pytest.mark.skipif(ovs_userspace.missing() is not None, reason=str(ovs_userspace.missing())),
]

LONGEST_STALL = 1.0  # s
BOND = "add-bond br0 bond0 {0}1 {0}2 lacp=active bond_mode=balance-tcp other_config:lacp-time=fast"

# Receives, and says with each line what was the longest time without data.
SINK = """
import socket, time
listener = socket.create_server(("10.0.0.2", 5001))
listener.settimeout(20)
print("ready", flush=True)
stream, _ = listener.accept()
stream.settimeout(20)
longest, before = 0.0, time.monotonic()
while data := stream.recv(1 << 16):
    now = time.monotonic()
    longest, before = max(longest, now - before), now
print(longest, flush=True)
"""
SOURCE = """
import select, socket, sys, time
stream = socket.create_connection(("10.0.0.2", 5001))
while not select.select([sys.stdin], [], [], 0.005)[0]:
    stream.sendall(bytes(1000))
"""


@pytest.fixture
def pair(switch):
    """Both switches, and a namespace at each."""
    with contextlib.closing(ovs_userspace.OvsSwitch()) as other:
        other.start()
        for n in (1, 2):
            switch.host.run(
                *("ip", "link", "add", f"m{n}", "type", "veth", "peer", "name", f"w{n}"),
                *("netns", str(other.host.pid)),
            )
            switch.host.run("ip", "link", "set", f"m{n}", "up")
            other.host.run("ip", "link", "set", f"w{n}", "up")
        ends = []
        for number, (each, names) in enumerate(((switch, "m"), (other, "w")), 1):
            each.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
            each.vsctl(*BOND.format(names).split())
            ends.append(each.container(f"c{number}", f"10.0.0.{number}/24"))
            each.vsctl("add-port", "br0", f"c{number}")
        # Theirs does not finish checksums that are left to hardware.
        ends[0].run("ethtool", "-K", "eth0", "tx", "off")
        yield switch, other, *ends
        switch.vsctl("del-br", "br0")  # before the other ends of its cables go


def carriers(switch):
    """Members that carry."""
    shown = switch.appctl("bond/show", "bond0").splitlines()
    return {line.split()[1].rstrip(":") for line in shown if line.endswith(": enabled")}


def longest_stall(switch, other, one, two):
    """Of a stream while each link dies and comes back, in seconds."""
    both = ((switch, {"m1", "m2"}), (other, {"w1", "w2"}))
    for each, members in both:
        wait_until(lambda it=each, ends=members: carriers(it) == ends, 60, "both links")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with two.popen(sys.executable, "-c", SINK, **pipes) as sink:
        assert sink.stdout.readline() == "ready\n"
        with one.popen(sys.executable, "-c", SOURCE, **pipes) as source:
            for n in (1, 2):
                other.host.run("ip", "link", "set", f"w{n}", "down")
                left = (switch, {f"m{3 - n}"}), (other, {f"w{3 - n}"})
                for each, members in left:
                    wait_until(lambda it=each, m=members: carriers(it) == m, 30, "one link")
                other.host.run("ip", "link", "set", f"w{n}", "up")
                for each, members in both:
                    wait_until(lambda it=each, m=members: carriers(it) == m, 60, "both again")
            source.stdin.close()
        return float(sink.stdout.readline())


def test_links_that_die(pair):
    """A machine that is busy with other things holds up one stream, not two."""
    assert any(longest_stall(*pair) < LONGEST_STALL for _ in range(2))
