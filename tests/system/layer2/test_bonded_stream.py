"""A bond by LACP with Open vSwitch at the other end, under TCP: links die, the stream goes on."""

import contextlib
import subprocess
import sys

import pytest

from tests import ovs_userspace
from tests.daemons import wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.peer,
    pytest.mark.skipif(ovs_userspace.missing() is not None, reason=str(ovs_userspace.missing())),
]

# By notifications alone the kernel tells of a carrier that is lost up to a second late: it tells of
# such events once a second, for all devices of the machine together (linkwatch).
BOND = "add-bond br0 bond0 {0}1 {0}2 lacp=active bond_mode=balance-tcp other_config:lacp-time=fast"
BY_MII = "set port bond0 other_config:bond-detect-mode=miimon other_config:bond-miimon-interval=50"

# Receives, and keeps in a file how many bytes have come.
SINK = """
import os, socket, sys
count = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
listener = socket.create_server(("10.0.0.2", 5001))
listener.settimeout(60)
print("ready", flush=True)
stream, _ = listener.accept()
stream.settimeout(60)
total = 0
while data := stream.recv(1 << 16):
    total += len(data)
    os.pwrite(count, b"%d" % total, 0)
print(total, flush=True)
"""
SOURCE = """
import select, socket, sys, time
stream = socket.create_connection(("10.0.0.2", 5001))
total = 0
while not select.select([sys.stdin], [], [], 0.005)[0]:
    stream.sendall(bytes(1000))
    total += 1000
print(total, flush=True)
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
        switch.vsctl(*BY_MII.split())
        # Theirs does not finish checksums that are left to hardware.
        ends[0].run("ethtool", "-K", "eth0", "tx", "off")
        yield switch, other, *ends
        switch.vsctl("del-br", "br0")  # before the other ends of its cables go


def carriers(switch):
    """Members that carry."""
    shown = switch.appctl("bond/show", "bond0").splitlines()
    return {line.split()[1].rstrip(":") for line in shown if line.endswith(": enabled")}


def test_links_that_die(pair, tmp_path):
    """While each link is down, and after it came back, the stream goes on by what there is."""
    switch, other, one, two = pair
    both = ((switch, {"m1", "m2"}), (other, {"w1", "w2"}))
    count = tmp_path / "count"
    count.write_text("0")

    def settled(*wanted):
        for each, members in wanted:
            wait_until(lambda it=each, m=members: carriers(it) == m, 60, f"{members} alone")
        more = int(count.read_text()) + 100_000
        wait_until(lambda: int(count.read_text()) > more, 60, "the stream's going on")

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for each, members in both:
        wait_until(lambda it=each, m=members: carriers(it) == m, 60, "both links")
    with two.popen(sys.executable, "-c", SINK, str(count), **pipes) as sink:
        assert sink.stdout.readline() == "ready\n"
        with one.popen(sys.executable, "-c", SOURCE, **pipes) as source:
            for n in (1, 2):
                other.host.run("ip", "link", "set", f"w{n}", "down")
                settled((switch, {f"m{3 - n}"}), (other, {f"w{3 - n}"}))
                other.host.run("ip", "link", "set", f"w{n}", "up")
                settled(*both)
            source.stdin.close()
            assert sink.stdout.readline() == source.stdout.readline()
