"""IPFIX and sFlow beside Open vSwitch's: the same packets, the same datagrams but for times."""

import re
import socket
import struct
import tempfile
import time
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from datapath.key import flow
from ofproto.exports import ipfix, sflow
from tests.ofproto.ovs_peer import Ovs, peer_marks
from vswitchd.monitoring.exports import _packet

pytestmark = peer_marks
ETHER = Ether(src="50:54:00:00:00:09", dst="50:54:00:00:00:0a")
V4, V6 = IP(src="10.0.0.2", dst="10.0.0.1", tos=0x4A, ttl=63), IPv6(src="::1", dst="::2", tc=0x70)
FRAMES = [
    bytes(each).ljust(60, b"\0")
    for each in (
        ETHER / V4 / TCP(sport=1000, dport=80, flags="PA") / (b"x" * 100),
        ETHER / V4 / TCP(sport=1000, dport=80, flags="SFU") / (b"x" * 100),
        ETHER / Dot1Q(vlan=11, prio=3) / V6 / UDP(sport=53, dport=5300) / (b"y" * 40),
        ETHER / ARP(psrc="1.2.3.4", pdst="5.6.7.8"),
        ETHER / V4 / ICMP(type=8),
        ETHER / V4.__class__(src="1.1.1.1", dst="2.2.2.2", proto=89) / (b"z" * 64),
        Ether(src="50:54:00:00:00:09", dst="ff:ff:ff:ff:ff:ff") / V4 / UDP(sport=68, dport=67),
        Ether(src="50:54:00:00:00:09", dst="01:00:5e:00:00:09") / V4 / UDP(sport=68, dport=67),
    )
]


@pytest.fixture(scope="module")
def ovs():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            made = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
            made += ["fail_mode=secure"]
            for number in (1, 2):
                made += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface"]
                made += [f"p{number}", "type=dummy", f"ofport_request={number}"]
            peer.vsctl(*made)
            peer.run("ovs-ofctl", "add-flow", f"unix:{directory}/br0.mgmt", "actions=output:2")
            yield peer
        finally:
            peer.stop()


@pytest.fixture
def collector():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as each:
        each.bind(("127.0.0.1", 0))
        each.settimeout(10)
        yield each


def odp_ports(peer):
    return {name: int(n) for name, n in re.findall(r"(\w+) \d+/(\d+):", peer.appctl("dpif/show"))}


def received(collector, enough):
    """Datagrams until enough(them)."""
    found = []
    while not enough(found):
        found.append(collector.recv(65535))
    return found


def timeless(datagram):
    """Without the time of the message, and of the first two counts of a record."""
    head = datagram[:4] + datagram[8:16]
    return head, without_deltas(datagram[16:])


def without_deltas(sets):
    """Nor with what was dropped: theirs takes a packet for dropped whose flow is known already."""
    number = struct.unpack("!H", sets[:2])[0]
    if number == ipfix.OPTIONS_TEMPLATE:
        return sets[8:]  # the number of the exporter: theirs count
    if number in (2, 3):
        return sets
    index = (number - ipfix.FIRST_TEMPLATE) // 4
    ip = 80 * bool(index // 5 % 3)
    at = len(sets) - (8 + 13 * 8 + 1 + ip + 48 * (index % 5 == 1))
    sets = sets[:at] + bytes(24) + sets[at + 24 :]
    at += 8 + 13 * 8 + 1
    return sets[:at] + bytes(min(16, ip)) + sets[at + min(16, ip) :]


@pytest.mark.parametrize(
    "columns",
    [(), ("cache_active_timeout=99", "cache_max_flows=3", "other_config:virtual_obs_id=v")],
)
def test_ipfix(ovs, collector, columns):
    port = collector.getsockname()[1]
    ovs.vsctl(
        "--", "set", "bridge", "br0", "ipfix=@i", "--", "--id=@i", "create", "ipfix",
        f'targets="127.0.0.1:{port}"', "sampling=1", "obs_domain_id=7", "obs_point_id=9", *columns,
    )  # fmt: skip
    settings = ipfix.Settings(99, 3, "v") if columns else ipfix.Settings()
    ours, numbers = ipfix.Exporter(settings), odp_ports(ovs)
    for frame in FRAMES:
        ovs.appctl("netdev-dummy/receive", "p1", frame.hex())
        packet = _packet(frame, flow.extract(frame, numbers["p1"]))
        for output in (None, ipfix.Port(0, "p2")):
            sample = ipfix.Sample(
                packet, 7, 9, ipfix.Port(0, "p1"), output, output is not None, 1
            )  # fmt: skip
            ours.sample(sample, time.time_ns() // 1000)
        time.sleep(0.05)  # of several at once, theirs have no order
    mine = ours.take()
    theirs = received(collector, lambda found: len(found) == len(mine))
    ovs.vsctl("clear", "bridge", "br0", "ipfix")
    assert [timeless(each) for each in mine] == [timeless(each) for each in theirs]
    counters = ours.counters
    assert counters.packets == 16 and counters.ipv4_errors == 2 and counters.ipv6 == 2


def test_sflow(ovs, collector):
    port = collector.getsockname()[1]
    ovs.vsctl(
        "--", "set", "bridge", "br0", "sflow=@s", "--", "--id=@s", "create", "sflow",
        f'targets="127.0.0.1:{port}"', "sampling=1", "polling=0", "agent=127.0.0.1", "header=64",
        "--", "set", "interface", "p1", "options:ifindex=1001",
        "--", "set", "interface", "p2", "options:ifindex=1002",
    )  # fmt: skip
    agent = sflow.Agent(sflow.Settings("127.0.0.1", 1, 0, 64), 0)
    for frame in FRAMES:
        ovs.appctl("netdev-dummy/receive", "p1", frame.hex())
        tci = int.from_bytes(frame[14:16], "big") if frame[12:14] == b"\x81\0" else 0
        tag = (tci & 0xFFF, tci >> 13)
        agent.sample(sflow.FlowSample(frame, 1001, 1002, *tag, *tag), 0)
    agent.run(5000)
    theirs = flow_samples(
        received(collector, lambda found: len(flow_samples(found)) >= len(FRAMES))
    )
    ovs.vsctl("clear", "bridge", "br0", "sflow")
    assert flow_samples(agent.take()) == theirs


def flow_samples(datagrams):
    """(flow sample) of each, in order; the datagram's head is checked."""
    found = []
    for each in datagrams:
        version, kind, address, sub, _sequence, _uptime, n = struct.unpack_from("!II4sIIII", each)
        assert (version, kind, address, sub) == (5, 1, b"\x7f\0\0\1", 0)
        at = 28
        for _ in range(n):
            what, size = struct.unpack_from("!II", each, at)
            found += [each[at + 8 : at + 8 + size]] if what == sflow.FLOW_SAMPLE else []
            at += 8 + size
        assert at == len(each)
    return found
