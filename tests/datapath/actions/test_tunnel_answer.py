"""What the sender of a packet too big for its tunnel's way is told, and who is told nothing."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6ND_Redirect, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from datapath.actions.text import odp_text
from tests.datapath.actions.test_tunnel import GSO, big_frame, push, value
from tests.native.recorder import Recorder

ETHER = Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", tos=8)
V6 = IPv6(src="fd00::1", dst="fd00::2")
TCP_DATA = TCP(sport=5, dport=6, flags="A", seq=100) / Raw(bytes(1400))


def run(frame, actions, mtu=1400, **more):
    recorder = Recorder()
    recorder.mtus = {9: mtu}
    return recorder.run(bytes(frame), actions, **more)


def outcome(events):
    return [event[0] if event[0] != "drop" else event[1] for event in events]


def answered(frame, name="vxlan", mtu=1400, v6=False, **more):
    """(what came out of the tunnel, its key): the packet itself is lost, and counted."""
    events = run(frame, push(name, v6)[1], mtu, **more)
    assert outcome(events) == ["recirculate", "mtu_exceeded"]
    return events[0][2], events[0][3]


def sums_up(data):
    """Of bytes with their checksum, RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return ((total & 0xFFFF) + (total >> 16)) % 0xFFFF == 0


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("name", ["vxlan", "vxlan-gbp", "geneve", "gre", "gre-csum"])
def test_fragmentation_is_needed(name, v6):
    frame = bytes(ETHER / Dot1Q(vlan=7) / V4 / TCP_DATA)
    header = int(odp_text.format_actions(push(name, v6)[1]).partition("size=")[2].split(",")[0])
    inner, key = answered(frame, name, v6=v6)
    told = Ether(inner)
    assert (told.src, told.dst, told[Dot1Q].vlan) == (ETHER.dst, ETHER.src, 7)
    assert (told[IP].src, told[IP].dst, told[IP].ttl) == ("10.0.0.2", "10.0.0.1", 64)
    assert (told[ICMP].type, told[ICMP].code) == (3, 4)
    assert told[ICMP].nexthopmtu == 1400 - header - 4
    assert len(told[IP]) == 576 and inner[18 + 28 :] == frame[18 : 18 + 548]
    assert sums_up(inner[18:38]) and sums_up(inner[38:])
    # As if the other end had sent it.
    assert value(key, "tun_id") == 0x7B and value(key, "in_port") == 4789
    if not v6:
        assert value(key, "tun_src") == 0x0101025C and value(key, "tun_dst") == 0x01010258


def test_a_packet_is_too_big():
    frame = bytes(ETHER / V6 / TCP_DATA)
    inner, _ = answered(frame)
    told = Ether(inner)
    assert (told[IPv6].src, told[IPv6].dst) == ("fd00::2", "fd00::1")
    assert told[ICMPv6PacketTooBig].mtu == 1400 - 50
    assert len(told[IPv6]) == 1280 and inner[14 + 48 :] == frame[14 : 14 + 1232]
    assert sums_up(inner[22:54] + (58 + 1240).to_bytes(4, "big") + inner[54:])
    told = Ether(answered(frame, mtu=1290)[0])
    assert told[ICMPv6PacketTooBig].mtu == 1280  # the least that there is


def test_a_gso_frame_goes_by_its_segments():
    frame, _ = big_frame()
    frame = frame[:20] + b"\x40" + frame[21:]  # DF
    events = run(frame, push("vxlan")[1], mtu=1090, vnet=GSO)
    assert outcome(events) == ["output"] * 4
    told = Ether(answered(frame, mtu=1089, vnet=GSO)[0])
    assert told[ICMP].nexthopmtu == 1039
    assert told[IPerror].dst == "10.0.0.2" and told[TCPerror].seq == 100


def test_a_flood_is_answered_once():
    """Into tunnels of one underlay, and the next packet again."""
    one = f"clone({odp_text.format_actions(push('vxlan')[1])})"
    other = f"clone({odp_text.format_actions(push('gre')[1])})"
    actions = odp_text.parse_actions(f"{one},{other},7")
    for _packet in range(2):
        found = outcome(run(ETHER / V4 / TCP_DATA, actions))
        assert found == ["recirculate", "mtu_exceeded", "mtu_exceeded", "output"]


@pytest.mark.parametrize("inner", [V4, V6, IP(src="10.0.0.1", dst="10.0.0.2")])
@pytest.mark.parametrize("name", ["vxlan", "geneve", "gre"])
def test_an_outer_header_without_df(name, inner):
    """(df_default=false) is cut, and nobody is told; put together it is what one frame would be."""
    frame = bytes(ETHER / inner / TCP_DATA)
    text = odp_text.format_actions(push(name)[1]).replace("frag=0x4000", "frag=0x0")
    actions = odp_text.parse_actions(text)
    (whole,) = [event[2] for event in run(frame, actions, mtu=0)]
    for mtu in (1400, 600, 68):
        pieces = [Ether(event[2])[IP] for event in run(frame, actions, mtu)]
        assert max(map(len, pieces)) <= mtu and len({piece.id for piece in pieces}) == 1
        assert [piece.frag * 8 for piece in pieces] == [
            sum(len(each) - 20 for each in pieces[:number]) for number in range(len(pieces))
        ]
        flags = [int(piece.flags) for piece in pieces]
        assert flags == [1] * (len(pieces) - 1) + [0]
        assert all(sums_up(bytes(piece)[:20]) for piece in pieces)
        assert b"".join(bytes(piece)[20:] for piece in pieces) == whole[34:]
    assert outcome(run(frame, actions, mtu=60)) == ["mtu_exceeded"]


def test_segments_are_cut_one_by_one():
    frame, _ = big_frame()
    text = odp_text.format_actions(push("vxlan")[1]).replace("frag=0x4000", "frag=0x0")
    actions = odp_text.parse_actions(text)
    whole = [event[2] for event in run(frame, actions, mtu=0, vnet=GSO)]
    pieces = [Ether(event[2])[IP] for event in run(frame, actions, mtu=1000, vnet=GSO)]
    assert len({piece.id for piece in pieces}) == len(whole) < len(pieces)
    assert b"".join(bytes(piece)[20:] for piece in pieces) == b"".join(each[34:] for each in whole)


UNANSWERED = {
    "may be fragmented": IP(src="10.0.0.1", dst="10.0.0.2") / TCP_DATA,
    "an error": V4 / ICMP(type=11) / Raw(bytes(1400)),
    "an error of IPv6": V6 / ICMPv6TimeExceeded() / Raw(bytes(1400)),
    "a redirect of IPv6": V6 / ICMPv6ND_Redirect() / Raw(bytes(1400)),
    "for many": IP(src="10.0.0.1", dst="224.1.1.1", flags="DF") / UDP() / Raw(bytes(1400)),
    "from nobody": IP(src="0.0.0.0", dst="10.0.0.2", flags="DF") / UDP() / Raw(bytes(1400)),
    "from nobody of IPv6": IPv6(src="::", dst="fd00::2") / UDP() / Raw(bytes(1400)),
    "no IP": Raw(bytes(1500)),
}


@pytest.mark.parametrize("why", UNANSWERED)
def test_nobody_is_told(why):
    frame = ETHER / UNANSWERED[why]
    assert outcome(run(frame, push("vxlan")[1])) == ["mtu_exceeded"]
    broadcast = Ether(src=ETHER.src, dst="ff:ff:ff:ff:ff:ff") / V4 / TCP_DATA
    assert outcome(run(broadcast, push("vxlan")[1])) == ["mtu_exceeded"]


def test_only_what_does_not_fit_is_lost():
    """A packet that was cut before its tunnel is not too big; a port without an MTU takes all."""
    _, actions = push("vxlan")
    frame = ETHER / V4 / TCP_DATA
    size = len(bytes(frame)) + 50 - 14
    assert outcome(run(frame, actions, mtu=size)) == ["output"]
    assert outcome(run(frame, actions, mtu=0)) == ["output"]
    cut = odp_text.parse_actions("trunc(200)") + actions
    assert outcome(run(frame, cut, mtu=400)) == ["output"]


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=14, max_size=200), st.integers(1, 300), st.sampled_from([8, 0x86DD]))
def test_no_bytes_do_harm(data, mtu, ethertype):
    frame = data[:12] + (0x0800 if ethertype == 8 else ethertype).to_bytes(2, "big") + data[14:]
    for name in ("vxlan", "gre"):
        found = outcome(run(frame, push(name)[1], mtu))
        assert found in (["output"], ["mtu_exceeded"], ["recirculate", "mtu_exceeded"])


@pytest.mark.parametrize("behind", [0, 40, 500])
def test_a_gso_frame_is_as_long_as_its_segments(behind):
    """Whatever bytes stand behind its IP packet, which no segment has."""
    frame = big_frame()[0] + bytes(behind)
    for size, port in ((54 + 1000, 3), (54 + 999, 2)):
        actions = odp_text.parse_actions(f"check_pkt_len(size={size},gt(2),le(3))")
        assert [event[:2] for event in run(frame, actions, vnet=GSO)] == [("output", port)]
