"""NetFlow of a whole switch.  Records are those of Open vSwitch 3.1 for the same packets."""

import socket
import struct
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP

from tests.daemons import wait_until
from tests.ovs_names import Names

pytestmark = pytest.mark.system

HEAD, RECORD = struct.Struct("!HHIIIIBBH"), struct.Struct("!4s4s4sHHIIIIHHBBBBHHBBH")
A, B = "50:54:00:00:00:05", "50:54:00:00:00:07"
FLOOD, SEVERAL, NONE = 65535, 65534, 65533
LISTEN = """
import socket, sys
each = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
each.bind((sys.argv[1], 0))
print(each.getsockname()[1], flush=True)
while True:
    print(each.recv(65535).hex(), flush=True)
"""


class Collector:
    """What came to an address in the namespace, as records (named as below) in `records()`."""

    def __init__(self, host, address, output):
        self.output = output
        with output.open("w") as file:
            self.process = host.popen(sys.executable, "-c", LISTEN, address, stdout=file)
        port = wait_until(lambda: self.lines()[:1], what="the collector's port")[0]
        self.target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def lines(self):
        return self.output.read_text().rpartition("\n")[0].split()

    def datagrams(self):
        """(head, records) of each; sequence numbers are those of first records."""
        found, sequence = [], 0
        for data in map(bytes.fromhex, self.lines()[1:]):
            head = HEAD.unpack_from(data)
            assert head[:2] == (5, (len(data) - HEAD.size) // RECORD.size) and head[1] <= 30
            assert head[5] == sequence
            sequence += head[1]
            found.append((head, list(RECORD.iter_unpack(data[HEAD.size :]))))
        return found

    def records(self):
        """(source, destination, input, output, packets, bytes, ports, flags, protocol, TOS)"""
        return [
            (*map(socket.inet_ntoa, r[:2]), *r[3:7], *r[9:11], *r[12:15])
            for _, records in self.datagrams()
            for r in records
        ]  # fmt: skip


@pytest.fixture
def names(tmp_path):
    made = Names(tmp_path)
    made.start("--enable-dummy", "--disable-system")
    yield made
    made.close()


@pytest.fixture
def collector(names, tmp_path, request):
    made = Collector(names.host, getattr(request, "param", "127.0.0.1"), tmp_path / "datagrams")
    yield made
    made.process.kill()
    made.process.wait()


def make(names, target, *columns, ports=(1, 2), fail_mode="standalone", more=()):
    words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
    words += [f"fail_mode={fail_mode}"]
    for n in ports:
        words += ["--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}"]
        words += ["type=dummy", f"ofport_request={n}"]
    words += [*more, "--", "set", "bridge", "br0", "netflow=@n", "--", "--id=@n", "create"]
    names.run("ovs-vsctl", *words, "NetFlow", f'targets="{target}"', *columns)


def receive(names, port, frame):
    names.run("ovs-appctl", "netdev-dummy/receive", port, bytes(frame).hex())


V4 = ("192.168.0.1", "192.168.0.2")
ECHO = Ether(src=A, dst=B) / IP(src=V4[0], dst=V4[1]) / ICMP(type=8) / bytes(64)
REPLY = Ether(src=B, dst=A) / IP(src=V4[1], dst=V4[0]) / ICMP(type=0) / bytes(64)


@pytest.mark.parametrize("collector", ["127.0.0.1", "::1"], indirect=True)
def test_a_flow_that_goes_or_gets_another_output_has_a_record(names, collector):
    make(names, collector.target, "engine_id=1", "engine_type=2", "active_timeout=30")
    names.run("ovs-appctl", "time/stop")
    for delay in ("1000", "30000"):
        receive(names, "p1", ECHO)
        receive(names, "p2", REPLY)
        names.run("ovs-appctl", "time/warp", delay)
    names.run("ovs-appctl", "time/warp", "12000", "1000")
    records = wait_until(lambda: len(collector.records()) >= 3 and collector.records())
    first, *others = [each for each in records if each[0] == V4[0]]
    assert first == (*V4, 1, FLOOD, 1, 106, 0, 0x800, 0, 1, 0)
    assert others == [(*V4, 1, 2, 1, 106, 0, 0x800, 0, 1, 0)]
    back = [each for each in records if each[0] == V4[1]]
    assert {each[2:4] for each in back} == {(2, 1)} and sum(each[4] for each in back) == 2
    assert sum(each[5] for each in back) == 212
    assert {head[6:] for head, _ in collector.datagrams()} == {(2, 1, 0)}


def test_flows_that_last_have_records_in_between(names, collector):
    make(names, collector.target, "active_timeout=10")
    names.run("ovs-appctl", "time/stop")
    there = Ether(src=A, dst=B) / IP(src=V4[0], dst=V4[1])
    back = Ether(src=B, dst=A) / IP(src=V4[1], dst=V4[0])
    for n in range(25):
        receive(names, "p1", there / TCP(sport=1234, dport=80, flags="SA"[n > 0]))
        receive(names, "p2", back / TCP(sport=80, dport=1234, flags="A"))
        names.run("ovs-appctl", "time/warp", "1000")
    names.run("ovs-appctl", "time/warp", "15000", "1000")

    def sums():
        found = {}
        for each in collector.records():
            found[each[2:4]] = found.get(each[2:4], 0) + each[4]
        return found

    wait_until(lambda: sum(sums().values()) == 50, what="all packets")
    assert sums() == {(1, FLOOD): 1, (1, 2): 24, (2, 1): 25}
    records = collector.records()
    assert 5 <= len(records) <= 9
    assert records[0][8] == 2 and {each[8] for each in records[1:]} == {0x10}
    uptimes = [(r[7], r[8], head[2]) for head, rs in collector.datagrams() for r in rs]
    assert all(first <= last <= now for first, last, now in uptimes)


OUTPUTS = {  # actions -> output
    "2": 2, "2,3": SEVERAL, "drop": NONE, "flood": FLOOD, "normal": FLOOD, "controller": NONE,
    "7": 4, "2,7": SEVERAL, "7,2": SEVERAL, "in_port": 1, "local": 65534, "2,2": SEVERAL,
    "all": FLOOD, "2,controller": 2, "resubmit(,1),2": SEVERAL, "clone(2),3": SEVERAL,
    "ct(table=1)": NONE, "ct(commit,table=1,nat(src=5.6.7.8)),2": 2, "all,2": FLOOD,
}  # fmt: skip
L4 = [  # with ports, TCP flags, protocol
    (UDP(sport=5, dport=6), (5, 6, 0, 17)),
    (SCTP(sport=5, dport=6), (5, 6, 0, 132)),
    (ICMP(type=8, code=3), (0, 0x803, 0, 1)),
    (TCP(sport=2, dport=1, flags="SEC"), (2, 1, 0xC2, 6)),
]


def test_records_are_as_those_of_open_vswitch(names, collector):
    """Packets that are sent round, that go on to another bridge, to mirrors: once each."""
    more = ["--", "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=dummy"]
    more += ["--", "add-port", "br1", "p4", "--", "set", "interface", "p4", "type=dummy"]
    more += ["ofport_request=4"]
    for bridge, port, peer, n in (("br0", "x0", "x1", 7), ("br1", "x1", "x0", 8)):
        more += ["--", "add-port", bridge, port, "--", "set", "interface", port, "type=patch"]
        more += [f"options:peer={peer}", f"ofport_request={n}"]
    more += ["--", "--id=@o", "get", "port", "p9", "--", "--id=@m", "create", "mirror", "name=m"]
    more += ["select_all=true", "output_port=@o", "--", "set", "bridge", "br0", "mirrors=@m"]
    make(names, collector.target, "engine_id=3", "add_id_to_interface=true", "active_timeout=1",
         ports=(1, 2, 3, 9), fail_mode="secure", more=more)  # fmt: skip
    ip = [IP(src=f"10.0.0.{n}", dst="10.9.0.1", tos=0x4A) for n in range(1, 30)]
    expected = []

    def interface(port):
        return port & 0x1FF | 3 << 9

    def row(packet, output, packets=1, size=54, ports=(7, 8), flags=2, proto=6, in_port=1):
        expected.append(
            (packet.src, packet.dst, interface(in_port), interface(output), packets, size, *ports,
             flags, proto, 0x48)
        )  # fmt: skip

    ofctl = lambda *words: names.run("ovs-ofctl", *words)  # noqa: E731
    ofctl("add-flow", "br1", "actions=4")
    flows = ["table=1,actions=3"]
    for packet, actions in zip(ip, OUTPUTS, strict=False):
        flows.append(f"ip,nw_src={packet.src},actions={actions}")
    (names.rundir / "flows").write_text("\n".join(flows))
    ofctl("add-flows", "br0", str(names.rundir / "flows"))
    for packet, output in zip(ip, OUTPUTS.values(), strict=False):
        frame = Ether(src=A, dst=B) / packet / TCP(sport=7, dport=8, flags="S")
        receive(names, "p1", frame)
        row(packet, output)
    for packet, (l4, told) in zip(ip[20:], L4, strict=False):
        receive(names, "p1", Ether(src=A, dst=B) / packet / l4)
        sport, dport, flags, proto = told
        row(packet, NONE, 1, len(Ether() / packet / l4), (sport, dport), flags, proto)
    receive(names, "p1", Ether(src=A, dst=B) / IPv6() / UDP())
    sent = bytes(Ether(src=A, dst=B) / ip[28] / TCP(sport=7, dport=8, flags="S")).hex()
    ofctl("packet-out", "br0", f"in_port=controller packet={sent} actions=2")
    row(ip[28], 2, in_port=NONE)
    wait_until(lambda: len(collector.records()) >= len(expected), what="all records")
    assert sorted(collector.records()) == sorted(expected)
    # With NetFlow, flows match on what tells its flows apart; without it, no more.
    shown = names.run("ovs-appctl", "dpctl/dump-flows")
    assert "src=10.0.0.21,dst=10.9.0.1,proto=17,tos=0x4a/0xfc,frag=no),udp(src=5,dst=6)" in shown
    names.run("ovs-vsctl", "clear", "bridge", "br0", "netflow")
    wait_until(lambda: "udp(" not in names.run("ovs-appctl", "dpctl/dump-flows"), seconds=15)


def test_what_is_left_is_told_when_netflow_goes(names, collector):
    make(names, collector.target, "active_timeout=-1")
    receive(names, "p1", ECHO)
    names.run("ovs-vsctl", "clear", "bridge", "br0", "netflow")
    wait_until(lambda: collector.records() == [(*V4, 1, FLOOD, 1, 106, 0, 0x800, 0, 1, 0)])
