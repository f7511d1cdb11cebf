"""Tunnel headers put on and taken off: scapy says what the bytes are, and no bytes do harm."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from datapath.actions import odp, offload, tunnel_push
from datapath.actions.text import odp_text
from datapath.actions.text.odp_text import attribute
from datapath.key import flow
from tests.native.recorder import Recorder

MACS = "eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type={})"
V4 = MACS.format("0x0800") + ",ipv4(src=1.1.2.88,dst=1.1.2.92,proto={},tos=0x8,ttl=63,frag=0x4000)"
V6 = (
    MACS.format("0x86dd")
    + ",ipv6(src=2001:cafe::88,dst=2001:cafe::92,label=0,proto={},tclass=0x8,hlimit=63)"
)
# kind, number, protocol, what stands behind IP, its size
TUNNELS = {
    "vxlan": (4, 17, "udp(src=0,dst=4789,csum={csum}),vxlan(flags=0x8000000,vni=0x7b)", 16),
    "vxlan-gbp": (4, 17, "udp(src=0,dst=4789,csum={csum}),vxlan(flags=0x88080005,vni=0x7b)", 16),
    "geneve": (
        5, 17,
        "udp(src=0,dst=6081,csum={csum}),geneve(crit,vni=0x7b,"
        "options({{class=0xffff,type=0x80,len=4,0xa}}{{class=0x1,type=0x1,len=8,0x1234567890}}))",
        36,
    ),
    "gre": (3, 47, "gre((flags=0x2000,proto=0x6558),key=0x7b)", 8),
    "gre-csum": (3, 47, "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x7b,seq=0x0)", 16),
    "erspan-1": (107, 47, "erspan(ver=1,sid=0x7b,idx=0x3)", 16),
    "erspan-2": (107, 47, "erspan(ver=2,sid=0x7b,dir=1,hwid=0x7)", 20),
}  # fmt: skip
MEMBERS = flow.MEMBERS
INNER = Ether(src="50:54:00:00:00:09", dst="50:54:00:00:00:0a") / IP(src="10.0.0.1", dst="10.0.0.2")
UDP_FRAME = bytes(INNER / UDP(sport=7, dport=8) / Raw(b"payload!!"))


def push(name, v6=False, csum="0x0", port=9):
    kind, proto, layers, size = TUNNELS[name]
    if v6 and kind in (3, 107):
        kind = {3: 109, 107: 108}[kind]
    size += 14 + (40 if v6 else 20)
    ip = (V6 if v6 else V4).format(proto)
    header = f"size={size},type={kind},{ip},{layers.format(csum=csum)}"
    text = f"tnl_push(tnl_port(4789),header({header}),out_port(1)),{port}"
    actions = odp_text.parse_actions(text)
    assert odp_text.format_actions(actions) == text
    return kind, actions


def sent(frame, actions, **more):
    return [
        (event[2], event[3])
        for event in Recorder().run(frame, actions, **more)
        if event[0] == "output"
    ]


def dropped(events):
    return [event[1] for event in events if event[0] == "drop"]


def popped(frame, kind, **more):
    """(frame, key) of what comes round, or the reasons of the loss."""
    recorder = Recorder()
    recorder.tunnels = {77: kind}
    events = recorder.run(frame, odp_text.parse_actions("tnl_pop(77)"), in_port=1, **more)
    found = [(event[2], event[3]) for event in events if event[0] == "recirculate"]
    return found or dropped(events)


def value(key, member):
    offset, size = MEMBERS[member]
    return int.from_bytes(key[offset : offset + size], "big")


def again(packet, layer, *fields):
    """The layer with these fields computed anew by scapy."""
    copy = packet.copy()
    for field in fields:
        copy[layer].delfieldval(field)
    return copy.__class__(bytes(copy))[layer]


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("csum", ["0x0", "0xffff"])
@pytest.mark.parametrize("name", TUNNELS)
def test_push_is_what_scapy_reads_and_pop_takes_it_off(name, csum, v6):
    kind, actions = push(name, v6, csum)
    [(frame, vnet)] = sent(UDP_FRAME, actions)
    assert vnet["flags"] == 0 and frame.endswith(UDP_FRAME)
    outer = Ether(frame)
    assert (outer.src, outer.dst) == ("aa:55:aa:55:00:00", "f8:bc:12:44:34:b6")
    ip = outer[IPv6] if v6 else outer[IP]
    if v6:
        assert (ip.plen, ip.tc, ip.hlim) == (len(frame) - 54, 8, 63)
    else:
        assert (ip.len, ip.tos, ip.ttl, ip.flags, ip.id) == (len(frame) - 14, 8, 63, "DF", 0)
        assert ip.chksum == again(outer, IP, "chksum").chksum
    if TUNNELS[name][1] == 17:
        assert outer[UDP].len == len(bytes(ip.payload))
        assert 32768 <= outer[UDP].sport <= 61000
        if csum == "0x0":
            assert outer[UDP].chksum == 0
        else:
            assert outer[UDP].chksum == again(outer, UDP, "chksum").chksum
    if name.startswith("vxlan"):
        assert outer[VXLAN].vni == 0x7B
    if name == "gre-csum":
        assert outer[GRE].sequence_number and outer[GRE].key == 0x7B
        assert outer[GRE].chksum == again(outer, GRE, "chksum").chksum
    [(inner, key)] = popped(frame, kind)
    assert inner == UDP_FRAME
    assert value(key, "in_port") == 77 and value(key, "recirc_id") == 0
    assert value(key, "tun_id") == 0x7B and value(key, "tun_flags") & 8
    assert (value(key, "tun_tos"), value(key, "tun_ttl")) == (8, 63)
    assert value(key, "tun_ipv6_dst" if v6 else "tun_dst") != 0
    assert value(key, "nw_src") == 0x0A000001 and value(key, "tp_dst") == 8
    check_kind(name, key)


def check_kind(name, key):
    if name == "geneve":
        options = bytes.fromhex("ffff80010000000a" + "000101020000001234567890")
        assert value(key, "tun_opts_size") == len(options)
        at = MEMBERS["tun_metadata"][0]
        assert key[at : at + 256] == options.ljust(256, b"\0")
    elif name == "vxlan-gbp":
        assert (value(key, "tun_gbp_id"), value(key, "tun_gbp_flags")) == (5, 8)
    elif name == "erspan-1":
        assert (value(key, "tun_erspan_ver"), value(key, "tun_erspan_idx")) == (1, 3)
    elif name == "erspan-2":
        found = [value(key, f"tun_erspan_{part}") for part in ("ver", "dir", "hwid")]
        assert found == [2, 1, 7]


def test_sequence_numbers_rise_for_each_receiver():
    _, actions = push("gre-csum", port=5)
    first = [Ether(sent(UDP_FRAME, actions)[0][0])[GRE].sequence_number for _ in range(3)]
    assert first[1:] == [first[0] + 1, first[0] + 2]


def test_the_source_port_is_of_the_inner_flow():
    _, actions = push("vxlan")
    ports = set()
    for port in range(200):
        frame = bytes(INNER / UDP(sport=port, dport=8))
        found = [Ether(sent(frame, actions)[0][0])[UDP].sport for _ in range(2)]
        assert found[0] == found[1]
        ports.add(found[0])
    assert len(ports) > 150
    tunnel_push.set_udp_ports(4000, 4003)
    try:
        assert 4000 <= Ether(sent(UDP_FRAME, actions)[0][0])[UDP].sport <= 4003
    finally:
        tunnel_push.set_udp_ports(32768, 61000)


GSO = {
    "flags": 1,
    "gso_type": 1,
    "hdr_len": 54,
    "gso_size": 1000,
    "csum_start": 34,
    "csum_offset": 16,
}


def big_frame(size=3500):
    payload = random.Random(1).randbytes(size)
    return bytes(INNER / TCP(sport=5, dport=6, flags="A", seq=100) / Raw(payload)), payload


@pytest.mark.parametrize("csum", ["0x0", "0xffff"])
@pytest.mark.parametrize("name", ["vxlan", "geneve", "gre"])
def test_a_gso_frame_is_segmented_and_each_segment_is_whole(name, csum):
    frame, payload = big_frame()
    kind, actions = push(name, csum=csum)
    found = sent(frame, actions, vnet=GSO)
    assert len(found) == 4 and all(vnet["gso_type"] == 0 for _, vnet in found)
    got = b""
    for outer, _ in found:
        assert Ether(outer)[IP].len == len(outer) - 14
        [(inner, _)] = popped(outer, kind)
        segment = Ether(inner)
        assert segment[TCP].chksum == again(segment, TCP, "chksum").chksum
        assert segment[TCP].seq == 100 + len(got)
        got += bytes(segment[TCP].payload)
    assert got == payload
    # The packet itself is as it was for what stands behind a clone.
    clone = odp_text.attribute(odp.CLONE, actions) + attribute(odp.OUTPUT, struct.pack("=I", 3))
    events = [event for event in Recorder().run(frame, clone, vnet=GSO) if event[0] == "output"]
    assert [event[1] for event in events] == [9, 9, 9, 9, 3]
    assert events[-1][2] == frame and events[-1][3]["gso_type"] == 1


@pytest.mark.parametrize("layers", ["gre((flags=0x0,proto=0x800))", "gtpu"])
def test_a_gso_packet_without_ethernet_header_is_segmented(layers):
    proto, kind, size = (47, 3, 38) if layers != "gtpu" else (17, 110, 50)
    if layers == "gtpu":
        layers = "udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x30,msgtype=255,teid=0x7b)"
    header = f"header(size={size},type={kind},{V4.format(proto)},{layers})"
    frame, payload = big_frame()
    vnet = {**GSO, "hdr_len": 40, "csum_start": 20}
    actions = odp_text.parse_actions(f"tnl_push(tnl_port(1),{header},out_port(1)),9")
    found = sent(frame[14:], actions, vnet=vnet, packet_type=0x10800)
    inner = [popped(outer, kind)[0][0] for outer, _ in found]
    assert b"".join(bytes(IP(each)[TCP].payload) for each in inner) == payload
    assert all(IP(each)[TCP].chksum == again(IP(each), TCP, "chksum").chksum for each in inner)


def test_what_is_left_of_a_checksum_is_left_or_done():
    """Without an outer checksum the inner one is the receiver's or the device's to complete."""
    vnet = {**GSO, "gso_type": 0, "gso_size": 0}
    frame, _ = big_frame(100)
    partial = bytearray(frame)
    pseudo = struct.pack("!IIHH", 0x0A000001, 0x0A000002, 6, len(frame) - 34)
    total = sum(struct.unpack("!6H", pseudo))
    partial[50:52] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    for csum, left in (("0x0", True), ("0xffff", False)):
        _, actions = push("vxlan", csum=csum)
        [(outer, state)] = sent(bytes(partial), actions, vnet=vnet)
        assert bool(state["flags"] & 1) == left
        if left:
            assert state["csum_start"] == 34 + 50
            [(outer, _)] = offload.segments(outer, state)
        assert outer[50:] == frame
        [(inner, _)] = popped(outer, 4)
        assert inner == frame


@pytest.mark.parametrize("headroom", [0, 10, 64, 128])
def test_room_is_made_where_there_is_none(headroom):
    for name in TUNNELS:
        _, actions = push(name, v6=True)
        [(frame, _)] = sent(UDP_FRAME, actions, headroom=headroom)
        assert frame.endswith(UDP_FRAME)


def test_a_packet_that_no_header_has_room_for():
    _, actions = push("vxlan")
    events = Recorder().run(UDP_FRAME + bytes(65500), actions)
    assert dropped(events) == ["tunnel_push_error"]


def gtpu(flags, msgtype, body, teid=5, length=None):
    size = len(body) if length is None else length
    outer = Ether(src="00:1b:21:3c:ab:64", dst="aa:55:aa:55:00:00") / IP(
        src="1.1.2.92", dst="1.1.2.88"
    )
    return bytes(
        outer / UDP(sport=9, dport=2152) / struct.pack("!BBHI", flags, msgtype, size, teid) / body
    )


def test_gtpu():
    ip = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2))
    [(inner, key)] = popped(gtpu(0x30, 255, ip), 110)
    assert inner == ip and value(key, "packet_type") == 0x10800
    assert [value(key, f"tun_gtpu_{part}") for part in ("flags", "msgtype")] == [0x30, 255]
    extended = (
        struct.pack("!HBB", 7, 0, 0x85) + bytes([1, 9, 9, 0x32]) + bytes([2, 1, 2, 3, 4, 5, 6, 0])
    )
    [(inner, _)] = popped(gtpu(0x34, 255, extended + ip), 110)
    assert inner == ip
    [(inner, key)] = popped(gtpu(0x32, 1, b"\0\1\0\0"), 110)
    assert value(key, "packet_type") == 4 << 16 | 2152 and inner[:2] == b"\x32\x01"
    for wrong in (
        gtpu(0x10, 255, ip), gtpu(0x30, 255, ip, length=len(ip) + 1), gtpu(0x30, 255, b""),
        gtpu(0x34, 255, struct.pack("!HBB", 7, 0, 0x85) + b"\0\0\0\0"),
        gtpu(0x34, 255, struct.pack("!HBB", 7, 0, 0x85) + b"\1\0\0\1" * 40),
    ):  # fmt: skip
        assert popped(wrong, 110) == ["tunnel_pop_error"]
    text = (
        "tnl_push(tnl_port(2152),header(size=50,type=110,"
        + V4.format(17)
        + ",udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x30,msgtype=255,teid=0x7b)),out_port(1)),9"
    )
    [(frame, _)] = sent(ip, odp_text.parse_actions(text), packet_type=0x10800)
    assert frame[42:50] == struct.pack("!BBHI", 0x30, 255, len(ip), 0x7B) and frame[50:] == ip


def test_sums_of_what_open_vswitch_fills_in_later():
    """Its userspace datapath sums GRE with sequence number 0, and GTP-U with length 0."""
    _, actions = push("gre-csum", port=6)
    for _ in range(2):
        [(frame, _)] = sent(UDP_FRAME, actions)
    without = Ether(frame)
    number = without[GRE].sequence_number
    assert number
    without[GRE].sequence_number = 0
    changed = bytearray(frame)
    changed[38:40] = again(without, GRE, "chksum").chksum.to_bytes(2, "big")
    assert bytes(changed) != frame
    ip = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2))
    packet, early = bytearray(gtpu(0x30, 255, ip)), bytearray(gtpu(0x30, 255, ip, length=0))
    sums = [again(Ether(bytes(each)), UDP, "chksum").chksum for each in (packet, early)]
    assert sums[0] != sums[1]
    packet[40:42] = sums[1].to_bytes(2, "big")
    for bytes_, kind, inner in ((changed, 3, UDP_FRAME), (packet, 110, ip)):
        assert popped(bytes(bytes_), kind)[0][0] == inner
        bytes_[-1] ^= 1
        assert popped(bytes(bytes_), kind) == ["tunnel_pop_error"]


def test_l3_in_gre_and_srv6():
    ip = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2))
    text = (
        "tnl_push(tnl_port(3),header(size=42,type=3,"
        + V4.format(47)
        + ",gre((flags=0x2000,proto=0x800),key=0x1c8)),out_port(1)),9"
    )
    [(frame, _)] = sent(ip, odp_text.parse_actions(text), packet_type=0x10800)
    [(inner, key)] = popped(frame, 3)
    assert inner == ip and value(key, "packet_type") == 0x10800
    text = (
        "tnl_push(tnl_port(3),header(size=94,type=112,"
        + V6.format(43)
        + ",srv6(segments_left=1,segs(2001:cafe::92,2001:cafe::93))),out_port(1)),9"
    )
    actions = odp_text.parse_actions(text)
    ip6 = bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2))
    [(frame, _)] = sent(ip6, actions, packet_type=0x186DD)
    assert len(frame) == 94 + len(ip6) and frame[-len(ip6) :] == ip6
    assert popped(frame, 112) == ["tunnel_pop_error"]  # segments are left
    ended = bytearray(frame)
    ended[57] = 0
    [(inner, key)] = popped(bytes(ended), 112)
    assert inner == ip6 and value(key, "packet_type") == 0x186DD


def test_wrong_packets_are_counted():
    for name in TUNNELS:
        kind, actions = push(name, csum="0xffff")
        [(frame, _)] = sent(UDP_FRAME, actions)
        for size in range(14, len(frame) - len(UDP_FRAME)):
            assert popped(frame[:size], kind) == ["tunnel_pop_error"]
        other = 110 if kind == 4 else 4
        assert popped(frame, other) == ["tunnel_pop_error"]
        broken = bytearray(frame)
        broken[24] ^= 1  # IPv4's checksum
        assert popped(bytes(broken), kind) == ["tunnel_pop_error"]
        broken = bytearray(frame)
        broken[-1] ^= 1
        if TUNNELS[name][1] == 17 or name == "gre-csum":
            assert popped(bytes(broken), kind) == ["tunnel_pop_error"]
    assert popped(UDP_FRAME, 0) == ["no_such_port"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_do_harm(data):
    """Headers that lie about lengths, options and inner types: an answer, and the right window."""
    name = data.draw(st.sampled_from(sorted(TUNNELS)))
    kind, actions = push(name, v6=data.draw(st.booleans()))
    frame = bytearray(sent(UDP_FRAME, actions)[0][0])
    for _ in range(data.draw(st.integers(0, 6))):
        frame[data.draw(st.integers(12, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frame = bytes(frame[: data.draw(st.integers(14, len(frame)))])
    kind = data.draw(st.sampled_from([kind, 3, 4, 5, 107, 108, 109, 110, 112]))
    vnet = None
    if data.draw(st.booleans()):
        vnet = {name: data.draw(st.integers(0, 255)) for name in ("flags", "gso_type")}
        vnet |= {
            name: data.draw(st.integers(0, 200))
            for name in ("hdr_len", "gso_size", "csum_start", "csum_offset")
        }
    found = popped(frame, kind, vnet=vnet)
    for each in found:
        if isinstance(each, tuple):
            assert len(each[0]) < len(frame) and each[0] in frame


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_actions_do_harm(data):
    """What check_actions() refuses is not run, and what it does not refuse does no harm."""
    _, actions = push(data.draw(st.sampled_from(sorted(TUNNELS))), v6=data.draw(st.booleans()))
    changed = bytearray(actions)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        odp.check_actions(bytes(changed))
    except ValueError:
        pass
    else:
        odp_text.format_actions(bytes(changed))
    Recorder().run(UDP_FRAME, bytes(changed))


def test_nested_tunnels_end():
    """Encapsulated again and again, until there is no more room for another header."""
    _, actions = push("geneve")
    once = actions[: -len(attribute(odp.OUTPUT, bytes(4)))]
    many = once * 300
    odp.check_actions(many)
    assert Recorder().run(UDP_FRAME, many)[-1][0] == "drop"


VXLAN_TEXT = "udp(src=0,dst=6081,csum=0x0),vxlan(flags={},vni=0x7b)"
ENDLESS = {
    "geneve without its options": (5, 17, VXLAN_TEXT.format("0x3f000000"), 16),
    "geneve with half an option": (
        5, 17, VXLAN_TEXT.format("0x3000000") + "," + MACS.format("0x0800"), 30,
    ),
    "vxlan and more": (4, 17, VXLAN_TEXT.format("0x8000000") + ",gre((flags=0x0,proto=0x0))", 20),
    "gre and more": (3, 47, "gre((flags=0x0,proto=0x6558)),gre((flags=0x0,proto=0x0))", 8),
    "erspan without a session": (
        107, 47, "gre((flags=0x0,proto=0x88be)),gre((flags=0x0,proto=0x0))", 8,
    ),
    "srv6 without segments": (112, 4, "gre((flags=0x0,proto=0x0))", 4),
    "srv6 with too few segments": (112, 43, "vxlan(flags=0x0,vni=0xff0000)", 8),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_headers_that_do_not_end_where_they_say(name):
    """Refused as they come: who shows a flow that has one would read what is not there."""
    kind, proto, layers, size = ENDLESS[name]
    v6 = kind == 112
    header = f"size={size + (54 if v6 else 34)},type={kind},{(V6 if v6 else V4).format(proto)}"
    text = f"tnl_push(tnl_port(4789),header({header},{layers}),out_port(1)),9"
    with pytest.raises(ValueError, match="tnl_push"):
        odp.check_actions(odp_text.parse_actions(text))


def test_geneves_reserved_bits_are_nobodys_business():
    """RFC 8926, section 3.4: ignored on receipt."""
    kind, actions = push("geneve")
    frame = bytearray(sent(UDP_FRAME, actions)[0][0])
    frame[43] |= 0x3F  # behind O and C
    frame[49] = 0xFF  # behind the VNI
    [(inner, key)] = popped(bytes(frame), kind)
    assert inner == UDP_FRAME and value(key, "tun_id") == 0x7B
