"""TCP segments out of a tunnel leave as one frame, which cut again is the segments they were."""

import itertools
import random
import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from datapath.actions.offload import segments
from tests.daemons import wait_until
from tests.datapath.wire import SOL_PACKET, Host, neighbours, raw_socket

PACKET_VNET_HDR = 15
NEEDS_CSUM, GSO_UDP_L4 = 1, 5
VNET = struct.Struct("=BBHHHH")
NAMES = ("flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset")
OUTER = 14 + 20 + 8
CHUNK = 400


@pytest.fixture
def ends(net):
    """Sockets of two containers, the first behind a VXLAN tunnel of the second; frames have virtio
    headers."""
    made = []
    try:
        for name, address in (("pa", "10.0.0.1/24"), ("pb", "10.0.0.2/24")):
            made.append(Host(net, name, address))
            net.add(name, "system")
        macs = neighbours(*made)
        net.add("vxlan_sys_4789", "vxlan", 3)
        net.flow("in_port(1)", "tnl_pop(3)")
        net.flow("in_port(3)", "2")
        sockets = [raw_socket(each) for each in made]
        for each in sockets:
            each.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        yield net, *sockets, macs[made[0]]
    finally:
        for each in made:
            each.close()


class Stream:
    """What one sender gives to its stack, as it is cut: segments one behind the other."""

    def __init__(self, v6=False, port=1000, may_be_cut=False):
        self.v6, self.port = v6, port
        self.seq, self.id, self.may_be_cut = 0xFFFFFF00, 0xFFFE, may_be_cut  # both wrap

    def segment(self, size=CHUNK, flags="A", ack=7, window=500, tos=0, stamp=1, **other):
        """`other`: what is not as it should be: `id` or `seq` by so much, `bad_sum`."""
        self.seq += other.get("seq", 0)
        self.id += 1 + other.get("id", 0)
        ip = (
            IPv6(src="fd00::1", dst="fd00::2", tc=tos)
            if self.v6
            else IP(
                src="10.1.0.1", dst="10.1.0.2", tos=tos, id=self.id & 0xFFFF,
                flags="" if self.may_be_cut else "DF",
            )
        )  # fmt: skip
        tcp = TCP(
            sport=self.port, dport=80, seq=self.seq & 0xFFFFFFFF, ack=ack, flags=flags,
            window=window, options=[("NOP", None), ("NOP", None), ("Timestamp", (stamp, 2))],
        )  # fmt: skip
        self.seq += size
        made = bytearray(bytes(Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:0a") / ip / tcp
                               / Raw(random.randbytes(size))))  # fmt: skip
        if other.get("bad_sum"):
            made[-1] ^= 1
        return bytes(made)


def tunnelled(inner, mac):
    """Frames in VXLAN, as UDP left to be cut: so all of them are of one burst.  The last one may be
    shorter."""
    whole = b"".join(bytes(VXLAN(vni=7)) + each for each in inner)
    size = 8 + len(inner[0])
    frame = bytearray(
        bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="1.0.0.1", dst="1.0.0.2", ttl=9)
              / UDP(sport=5, dport=4789, chksum=0) / Raw(whole))
    )  # fmt: skip
    return VNET.pack(NEEDS_CSUM, GSO_UDP_L4, OUTER, size, 34, 6) + bytes(frame)


def exchange(ends, inner):
    """The frames that come out, each as the segments that it is cut into."""
    _, a, b, mac = ends
    a.send(tunnelled(inner, mac))
    return take(b, len(inner))


def take(b, n_segments):
    came = []
    while sum(map(len, came)) < n_segments:
        data = b.recv(1 << 17)
        vnet = dict(zip(NAMES, VNET.unpack(data[: VNET.size]), strict=True))
        frame = data[VNET.size :]
        came.append([f for f, _ in segments(frame, vnet)] if vnet["gso_type"] else [frame])
    return came


def test_a_run_of_segments_is_one_frame(ends):
    for stream in (Stream(), Stream(v6=True), Stream(may_be_cut=True)):
        inner = [stream.segment() for _ in range(20)] + [stream.segment(size=9, flags="PA")]
        assert exchange(ends, inner) == [inner]


DIFFERENT = [
    {"flags": "FA"}, {"flags": "SA"}, {"flags": "EA"}, {"flags": "A", "ack": 8}, {"window": 501},
    {"tos": 3}, {"stamp": 2}, {"seq": 1}, {"seq": -CHUNK}, {"bad_sum": True}, {"flags": "PA"},
]  # fmt: skip


def test_what_differs_begins_anew(ends):
    for v6, other in itertools.product((False, True), DIFFERENT):
        stream = Stream(v6)
        inner = [stream.segment(), stream.segment(), stream.segment(**other), stream.segment()]
        came = exchange(ends, inner)
        assert [segment for frame in came for segment in frame] == inner
        assert len(came) > 1 and len(came[0]) == (3 if other == {"flags": "PA"} else 2), (v6, other)
    # An identification counts where a packet may be fragmented.
    stream = Stream(may_be_cut=True)
    inner = [stream.segment(), stream.segment(), stream.segment(id=5), stream.segment()]
    assert exchange(ends, inner) == [inner[:2], inner[2:]]


def test_streams_between_each_other(ends):
    """Any mixture: nothing is lost, changed or out of order."""
    for seed in range(40):
        chance = random.Random(seed)
        streams = [Stream(port=1000), Stream(port=1001), Stream(port=1002, may_be_cut=True)]
        inner = []
        while len(inner) < 30:
            stream = chance.choice(streams)
            for _ in range(chance.randrange(1, 6)):
                other = chance.choice(DIFFERENT) if chance.random() < 0.2 else {}
                inner.append(stream.segment(**other))
        came = exchange(ends, inner)
        assert [segment for frame in came for segment in frame] == inner
        assert len(came) < len(inner)
    assert ends[0].drops() == {}


def test_datagrams_apart_and_together(ends):
    """Datagrams of one frame are taken from it at once, and overtake none that came before."""
    _, a, b, mac = ends
    stream = Stream()
    for _ in range(20):
        inner = [stream.segment() for _ in range(40)]
        for at in range(0, len(inner), 8):
            alone = tunnelled(inner[at : at + 1], mac)
            a.send(bytes(VNET.size) + alone[VNET.size :])  # its checksum is 0: there is none
            a.send(tunnelled(inner[at + 1 : at + 8], mac))
        assert list(itertools.chain(*take(b, len(inner)))) == inner


def test_what_is_larger_than_the_mtu_is_lost(ends):
    net, a, _, mac = ends
    net.host.run("ip", "link", "set", "pb", "mtu", str(CHUNK))
    stream = Stream()
    a.send(tunnelled([stream.segment() for _ in range(20)], mac))
    wait_until(lambda: net.drops() == {"mtu_exceeded": 20}, what="segments that are lost")
    small = [stream.segment(size=99) for _ in range(20)]
    assert exchange(ends, small) == [small]


def test_what_is_no_segment_stays_alone(ends):
    """Bytes behind the IP packet, and UDP, in frames of the same size."""
    stream = Stream()
    padded = [stream.segment(size=CHUNK - 4) + bytes(4) for _ in range(2)]
    like = Ether(padded[0])
    udp = bytes(
        Ether(src=like.src, dst=like.dst) / IP(src="10.1.0.1", dst="10.1.0.2")
        / UDP(sport=1, dport=2) / Raw(bytes(len(like) - OUTER))
    )  # fmt: skip
    inner = [*padded, udp, udp]
    assert exchange(ends, inner) == [[each] for each in inner]
