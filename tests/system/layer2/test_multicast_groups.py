"""Multicast snooping with real sockets: the kernel's IGMPv3 and MLDv2 reports, and its data."""

import subprocess
import sys

import pytest

from tests.daemons import wait_until
from tests.ofproto import group_messages as g

pytestmark = pytest.mark.system

GROUPS = {"v4": "239.1.2.3", "v6": "ff15::5"}
PORT = 5007

# Joins, says so, and tells of each datagram; ends, and with it the membership, with its input.
MEMBER = """
import select, socket, struct, sys
group, port = sys.argv[1], int(sys.argv[2])
index = socket.if_nametoindex("eth0")
if ":" in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", port))
    joined = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    joined = struct.pack("@4s4si", socket.inet_aton(group), bytes(4), index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
print("joined", flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    print(s.recv(100).decode(), flush=True)
"""

SENDER = """
import socket, sys
group, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
index = socket.if_nametoindex("eth0")
if ":" in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.sendto(text.encode(), (group, port))
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.0.1"))
    s.sendto(text.encode(), (group, port))
"""


class Member:
    def __init__(self, container, group):
        command = (sys.executable, "-c", MEMBER, group, str(PORT))
        pipe = subprocess.PIPE
        self.child = container.popen(*command, stdin=pipe, stdout=pipe, text=True)
        assert self.next() == "joined"

    def next(self):
        return self.child.stdout.readline().strip()

    def leave(self):
        self.child.stdin.close()
        assert self.child.wait(5) == 0
        self.child.stdout.close()


def groups(switch):
    """(port, group) of mdb/show."""
    lines = switch.appctl("mdb/show", "br0").splitlines()[1:]
    return {(row[0], row[2]) for row in map(str.split, lines)}


def send(container, group, text):
    container.run(sys.executable, "-c", SENDER, group, str(PORT), text)


def has(frames, text):
    return any(text.encode() in frame for frame in frames)


@pytest.mark.parametrize("version", GROUPS)
def test_only_members_and_routers_get_a_group(switch, version):
    group = GROUPS[version]
    switch.vsctl(
        *("add-br", "br0", "--", "set", "bridge", "br0", "mcast_snooping_enable=true"),
        "other_config:mcast-snooping-disable-flood-unregistered=true",
    )
    a, b, c, router = (
        switch.container(name, f"10.0.0.{number}/24", "br0")
        for number, name in enumerate(("sa", "mb", "mc", "rd"), 1)
    )
    if version == "v6":
        for number, each in enumerate((a, b, c), 1):
            each.run("ip", "address", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
    number = {each.name: switch.get("interface", each.name, "ofport") for each in (b, c, router)}
    with b.receiving(1.0) as unasked:
        send(a, group, "before anybody joined")
    assert not has(unasked, "before")
    member = Member(b, group)
    try:
        wait_until(lambda: (number["mb"], group) in groups(switch), what="a report")
        router.send(g.igmp(g.QUERY, source="10.0.0.4"), g.mld(g.MLD_QUERY))
        wait_until(lambda: (number["rd"], "querier") in groups(switch), what="a query")
        with c.receiving(1.5) as others, router.receiving(1.5) as routed:
            send(a, group, "to members")
            assert member.next() == "to members"
        assert has(routed, "to members") and not has(others, "to members")
        second = Member(c, group)
        wait_until(lambda: (number["mc"], group) in groups(switch), what="another report")
        send(a, group, "to both")
        assert member.next() == second.next() == "to both"
        second.leave()
        wait_until(lambda: (number["mc"], group) not in groups(switch), what="a leave")
        with c.receiving(1.0) as others:
            send(a, group, "to one")
            assert member.next() == "to one"
        assert not has(others, "to one")
        # A port that gets everything, and reports that reach it.
        switch.vsctl("set", "port", "mc", "other_config:mcast-snooping-flood=true")
        with c.receiving(1.0) as others:
            send(a, group, "flooded")
            assert member.next() == "flooded"
        assert has(others, "flooded")
    finally:
        member.leave()
    wait_until(lambda: (number["mb"], group) not in groups(switch), what="the last leave")
    switch.vsctl("set", "bridge", "br0", "mcast_snooping_enable=false")
    with b.receiving(1.0) as flooded:
        send(a, group, "to all")
    assert has(flooded, "to all")
