"""Actions on real frames: checksums by scapy, a plain twin for lists, and no crash on any bytes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AH, Ether
from scapy.layers.sctp import SCTP

from datapath.actions import odp
from datapath.actions.text import odp_text
from datapath.actions.text.odp_text import attribute, set_attribute
from datapath.key import flow
from tests.datapath import naive_key
from tests.datapath.sample_frames import frames
from tests.native.recorder import Recorder

MEMBERS = flow.MEMBERS
NO_VNET = {
    "flags": 0, "gso_type": 0, "hdr_len": 0, "gso_size": 0, "csum_start": 0, "csum_offset": 0,
}  # fmt: skip


def full(member):
    return (1 << MEMBERS[member][1] * 8) - 1


def put(member, value, mask=None):
    return set_attribute(member, value, full(member) if mask is None else mask)


def output(port):
    return attribute(odp.OUTPUT, struct.pack("=I", port))


def run(frame, actions, **more):
    return Recorder().run(frame, actions, **more)


def sent(frame, actions, **more):
    """The frames that came out, by port."""
    odp.check_actions(actions)
    return [(e[1], e[2]) for e in run(frame, actions, **more) if e[0] == "output"]


def summed(frame):
    """The frame with every checksum computed anew by scapy, lengths kept."""
    packet = Ether(frame)
    for layer in (IP, TCP, UDP, SCTP):
        if layer in packet and not (layer is UDP and packet[UDP].chksum == 0):
            packet[layer].chksum = None
    for layer in packet.layers() if hasattr(packet, "layers") else ():
        if layer.__name__.startswith(("ICMP", "IGMP")) and "cksum" in packet[layer].fields:
            packet[layer].cksum = None
        elif layer.__name__ == "ICMP":
            packet[layer].chksum = None
    return bytes(packet)


WHOLE = ("tcp4", "udp4", "udp4_unsummed", "sctp4", "icmp4", "options4", "tcp6", "udp6", "sctp6",
         "icmp6", "nd_ns", "nd_na", "ext6", "vlan", "qinq", "arp")  # fmt: skip
SETS = [
    ("eth_src", 0x0A0B0C0D0E0F, None),
    ("eth_dst", 0x00FF00000000, 0x00FF00000000),
    ("vlan0_tci", 0xB123, None),
    ("vlan1_tci", 0x0001, 0x0FFF),
    ("nw_src", 0xC0A80101, None),
    ("nw_dst", 0x00000009, 0x000000FF),
    ("ipv6_src", 0xFD01 << 112 | 5, None),
    ("ipv6_dst", 0xFFFF, 0xFFFF),
    ("ipv6_label", 0x12345, None),
    ("nw_tos", 0x08, 0xFC),
    ("nw_ttl", 1, None),
    ("tp_src", 0x0050, None),
    ("tp_dst", 0x0001, 0x000F),
    ("nd_target", 0xFE80 << 112 | 1, None),
    ("arp_sha", 0x020202020202, None),
    ("arp_tha", 0x030303030303, 0x00FFFFFFFFFF),
]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(("member", "value", "mask"), SETS)
def test_set(name, member, value, mask):
    frame = frames()[name]
    if name in ("icmp4", "icmp6", "nd_ns", "nd_na") and member.startswith("tp_"):
        value &= 0xFF
    [(_, got)] = sent(frame, put(member, value, mask) + output(1))
    old, new = flow.extract(frame), flow.extract(got)
    mask = full(member) if mask is None else mask
    offset, size = MEMBERS[member]
    changed = old[:offset] + new[offset : offset + size] + old[offset + size :]
    if not name.startswith("nd_"):  # there, a type changes what else is parsed
        assert new == changed  # nothing else
    if _has(name, member):
        want = int.from_bytes(old[offset : offset + size], "big") & ~mask | value & mask
        if member.startswith("vlan"):
            want |= 0x1000
        assert int.from_bytes(new[offset : offset + size], "big") == want
    else:
        assert got == frame
    assert got == summed(got)


def _has(name, member):
    """Whether such a frame has the member."""
    v6 = name in ("tcp6", "udp6", "sctp6", "icmp6", "nd_ns", "nd_na", "ext6", "qinq")
    if member.startswith("vlan"):
        return name == "qinq" or (name == "vlan" and member[4] == "0")
    if member.startswith("nd_"):
        return name.startswith("nd_")
    if member in ("arp_sha", "arp_tha"):
        option = {"arp_sha": "nd_ns", "arp_tha": "nd_na"}[member]
        return name in ("arp", option)
    if member.startswith("nw_") and member in ("nw_src", "nw_dst"):
        return not v6
    if member.startswith("ipv6"):
        return v6
    if member.startswith(("nw_", "tp_")):
        return name != "arp"
    return True


def test_frames_are_summed_rightly_to_begin_with():
    for name in WHOLE:
        assert frames()[name] == summed(frames()[name])


def test_icmp6_type_to_nd_is_extracted_again():
    actions = put("tp_src", 135) + attribute(odp.USERSPACE, struct.pack("=II", 1, 0))
    frame = frames()["nd_na"]
    [event] = run(frame, actions)
    assert event[0] == "userspace" and event[4] == flow.extract(event[3])


def test_udp_sum_never_becomes_zero():
    """Whatever the port, a UDP checksum of 0 would say "none"."""
    frame = frames()["udp4"]
    seen = set()
    for port in range(0, 65536, 251):
        [(_, got)] = sent(frame, put("tp_dst", port) + output(1))
        seen.add(Ether(got)[UDP].chksum)
    # The port that brings the plain sum to 0.
    [(_, zero)] = sent(frame, put("tp_dst", 0) + output(1))
    port = Ether(zero)[UDP].chksum
    [(_, got)] = sent(frame, put("tp_dst", port) + output(1))
    assert Ether(got)[UDP].chksum == 0xFFFF
    assert 0 not in seen


def test_partial_checksum_covers_the_pseudo_header_only():
    frame = bytearray(frames()["tcp4"])
    pseudo = struct.pack("!4s4sxBH", bytes(frame[26:30]), bytes(frame[30:34]), 6, len(frame) - 34)
    frame[50:52] = _sum(pseudo).to_bytes(2, "big")
    vnet = {**NO_VNET, "flags": 1, "csum_start": 34, "csum_offset": 16}
    actions = put("nw_src", 0x01020304) + put("tp_src", 99) + _vlan(5) + output(1)
    [event] = run(bytes(frame), actions, vnet=vnet)
    got = event[2]
    assert event[3]["csum_start"] == 38
    pseudo = struct.pack("!4s4sxBH", got[30:34], got[34:38], 6, len(frame) - 34)
    assert got[54:56] == _sum(pseudo).to_bytes(2, "big")
    from datapath.actions.offload import segments

    [(done, after)] = segments(got, event[3])
    assert done == summed(done) and not after["flags"] & 1


def _sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _vlan(vid, pcp=0, tpid=0x8100):
    return attribute(odp.PUSH_VLAN, struct.pack("!HH", tpid, pcp << 13 | 0x1000 | vid))


POP_VLAN = attribute(odp.POP_VLAN)


def test_routing_header_keeps_the_last_address_in_the_sum():
    frame = frames()["routing6"]
    [(_, got)] = sent(frame, put("ipv6_dst", 9) + output(1))
    assert got[54:] == frame[54:]  # with segments left, dst is not in the checksum


@pytest.mark.parametrize("name", ["udp4", "vlan", "arp", "mpls1", "lldp", "qinq"])
def test_push_and_pop_vlan(name):
    frame = frames()[name]
    pushed = _vlan(9, 5, 0x88A8)
    got = dict(sent(frame, pushed + output(1) + POP_VLAN + output(2)))
    assert got[1] == frame[:12] + bytes.fromhex("88a8a009") + frame[12:]
    assert got[2] == frame


def test_pop_vlan_without_a_tag_changes_nothing():
    assert sent(frames()["udp4"], POP_VLAN + output(1)) == [(1, frames()["udp4"])]


def test_push_and_pop_mpls():
    frame = frames()["vlan"]
    lse = 0x12345 << 12 | 0x1FF
    push = attribute(odp.PUSH_MPLS, struct.pack("!IH", lse, 0x8847))
    pop = attribute(odp.POP_MPLS, struct.pack("!H", 0x0800))
    again = put("mpls_lse0", 0x40, 0xFF)
    got = dict(
        sent(frame, push + output(1) + again + output(2) + pop + put("nw_ttl", 3) + output(3))
    )
    assert got[1] == frame[:16] + b"\x88\x47" + lse.to_bytes(4, "big") + frame[18:]
    assert got[2][21] == 0x40 and got[2][:21] == got[1][:21]
    assert got[3] == summed(got[3]) and Ether(got[3])[IP].ttl == 3


def test_push_and_pop_pbb():
    frame = frames()["vlan"]
    push = attribute(odp.PUSH_PBB, (0xA0123456).to_bytes(4, "big"))
    pop = attribute(odp.POP_PBB)
    tag = bytes.fromhex("88e7a0123456") + frame[:12]
    got = dict(
        sent(frame, push + output(1) + put("pbb_isid", 7) + put("eth_src", 9) + output(2) + pop
             + put("nw_ttl", 3) + output(3))
    )  # fmt: skip
    assert got[1] == frame[:12] + tag + frame[12:]
    assert got[2] == frame[:6] + (9).to_bytes(6, "big") + tag[:3] + b"\0\0\7" + got[1][18:]
    assert got[3] == summed(got[3]) and Ether(got[3])[IP].ttl == 3
    assert got[3][:18] == frame[:18]
    inside = Ether(got[1])[Dot1AH]
    assert (inside.prio, inside.isid) == (5, 0x123456)
    assert bytes(inside.payload) == frame


def test_pop_pbb_leaves_the_tags_in_front_of_it():
    frame = frames()["pbb_tagged"]
    pop = attribute(odp.POP_PBB) + output(1)
    assert sent(frame, pop) == [(1, frame[22:34] + frame[12:16] + frame[34:])]
    assert sent(frame, POP_VLAN + pop) == [(1, frame[22:])]
    for size in (14, 20, 35):  # nothing behind the tag, or half a tag
        assert sent(frame[:size], pop) == [(1, frame[:size])]
    assert sent(frames()["udp4"], pop) == [(1, frames()["udp4"])]
    # A label is another thing.
    mpls = attribute(odp.POP_MPLS, struct.pack("!H", 0x0800))
    assert sent(frame, mpls + output(1)) == [(1, frame)]


def test_offload_state_moves_with_an_i_tag():
    """The place of a checksum to be completed is counted from the frame's beginning."""
    frame = frames()["tcp4"]
    vnet = {**NO_VNET, "flags": 1, "gso_type": 1, "gso_size": 20, "hdr_len": 58, "csum_start": 34,
            "csum_offset": 16}  # fmt: skip
    push = attribute(odp.PUSH_PBB, bytes(4))
    events = run(frame, push + output(1) + attribute(odp.POP_PBB) + output(2), vnet=vnet)
    states = [event[3] for event in events if event[0] == "output"]
    assert states == [{**vnet, "hdr_len": 76, "csum_start": 52}, vnet]


def test_push_without_headroom_is_a_counted_drop():
    frame = frames()["udp4"]
    assert run(frame, _vlan(1) + output(1), headroom=0) == [("drop", "no_headroom")]
    push_pbb = attribute(odp.PUSH_PBB, bytes(4))
    assert run(frame, push_pbb + output(1), headroom=17) == [("drop", "no_headroom")]
    assert len(sent(frame, _vlan(1) + output(1), headroom=4)) == 1


def test_output_then_rewrite():
    frame = frames()["udp4"]
    got = sent(frame, output(1) + put("nw_ttl", 9) + output(2) + put("nw_ttl", 8) + output(3))
    assert got[0] == (1, frame)
    assert [Ether(f)[IP].ttl for _, f in got] == [33, 9, 8]


def test_clone_leaves_the_packet_alone():
    frame = frames()["vlan"]
    inside = POP_VLAN + put("nw_src", 1) + output(1)
    got = sent(frame, attribute(odp.CLONE, inside) + output(2) + attribute(odp.CLONE, output(3)))
    assert [port for port, _ in got] == [1, 2, 3]
    assert got[0][1] != frame and got[1][1] == got[2][1] == frame


def test_sample():
    always = attribute(odp.SAMPLE, struct.pack("=I", 0xFFFFFFFF) + output(1))
    never = attribute(odp.SAMPLE, struct.pack("=I", 0) + output(1))
    half = attribute(odp.SAMPLE, struct.pack("=I", 1 << 31) + output(1))
    frame = frames()["udp4"]
    assert len(sent(frame, always)) == 1
    assert run(frame, never) == [("drop", "action_drop")]
    recorder = Recorder()
    taken = sum(recorder.run(frame, half)[0][0] == "output" for _ in range(2000))
    assert 800 < taken < 1200


def test_recirculation_sees_the_changed_packet_with_its_metadata():
    frame = frames()["vlan"]
    actions = POP_VLAN + put("pkt_mark", 7) + attribute(odp.RECIRC, struct.pack("=I", 5))
    [event, out] = Recorder(output(9)).run(frame, actions, in_port=3)
    assert event[:2] == ("recirculate", 5)
    assert event[3] == flow.extract(event[2], in_port=3, recirc_id=5, pkt_mark=7)
    assert out[1] == 9 and out[2] == event[2]


def test_recirculation_in_the_middle_works_on_a_copy():
    frame = frames()["vlan"]
    actions = attribute(odp.RECIRC, struct.pack("=I", 5)) + output(2)
    events = Recorder(POP_VLAN + output(1)).run(frame, actions)
    assert [e[0] for e in events] == ["recirculate", "output", "output"]
    assert events[2][2] == frame != events[1][2]


def test_clones_as_deep_as_may_be_told():
    """Each changes its copy; what trace shows is done, and one more is refused by the check."""
    frame = frames()["udp4"]
    push = attribute(odp.PUSH_VLAN, struct.pack("!HH", 0x8100, 0x1001))
    nested = output(1)
    for _ in range(odp.NESTING):
        nested = attribute(odp.CLONE, push + nested + output(2))
    odp.check_actions(nested)
    events = Recorder().run(frame, nested + output(3), headroom=8)
    ports = [event[1] for event in events]
    assert ports == [1] + [2] * odp.NESTING + [3]
    tags = [(len(event[2]) - len(frame)) // 4 for event in events]
    assert tags == [odp.NESTING, *range(odp.NESTING, 0, -1), 0]
    with pytest.raises(ValueError, match="too deep"):
        odp.check_actions(attribute(odp.CLONE, nested))


def test_endless_recirculation_ends():
    again = attribute(odp.RECIRC, struct.pack("=I", 1))
    events = Recorder(again).run(frames()["udp4"], again)
    assert events[-1] == ("drop", "recirc_too_deep") and 4 < len(events) < 100


def test_hash_goes_into_the_key():
    frame = frames()["tcp6"]
    actions = attribute(odp.HASH, struct.pack("=II", odp.ALG_L4, 3)) + attribute(
        odp.RECIRC, struct.pack("=I", 1)
    )
    [event] = run(frame, actions)
    want = flow.hash_l4(flow.extract(frame), 3)
    assert event[3] == flow.extract(frame, recirc_id=1, dp_hash=want)


def test_trunc_cuts_one_output():
    frame = frames()["tcp4"]
    vnet = {**NO_VNET, "flags": 1, "gso_type": 1, "gso_size": 10, "csum_start": 34,
            "csum_offset": 16}  # fmt: skip
    cut = attribute(odp.TRUNC, struct.pack("=I", 20))
    first, second = run(frame, cut + output(1) + output(2), vnet=vnet)
    assert first[2] == frame[:20] and first[3] == NO_VNET
    assert second[2] == frame and second[3] == vnet


def test_userspace_has_the_changed_packet():
    frame = frames()["udp4"]
    actions = _vlan(4) + attribute(odp.USERSPACE, struct.pack("=II", 1, 0) + b"cookie")
    [event] = run(frame, actions, in_port=2)
    assert event[1:3] == (1, b"cookie")
    assert event[4] == flow.extract(event[3], in_port=2) and len(event[3]) == len(frame) + 4


@pytest.mark.parametrize("actions", [b"", attribute(odp.DROP, bytes(4)), POP_VLAN])
def test_a_packet_that_goes_nowhere_is_counted(actions):
    assert run(frames()["vlan"], actions) == [("drop", "action_drop")]


def test_drop_ends_the_list():
    actions = output(1) + attribute(odp.DROP, bytes(4)) + output(2)
    assert [e[0] for e in run(frames()["udp4"], actions)] == ["output", "drop"]


# ---- Random lists: the twin, and arbitrary bytes ----

ONE = st.one_of(
    st.tuples(st.just("output"), st.integers(1, 9)),
    st.tuples(st.just("push_vlan"), st.integers(0, 4095)),
    st.tuples(st.just("pop_vlan"), st.just(0)),
    st.tuples(st.just("eth_src"), st.integers(0, (1 << 48) - 1)),
    st.tuples(st.just("eth_dst"), st.integers(0, (1 << 48) - 1)),
    st.tuples(st.just("trunc"), st.integers(14, 90)),
)
LISTS = st.recursive(
    st.lists(ONE, max_size=5),
    lambda inner: st.lists(st.one_of(ONE, st.tuples(st.just("clone"), inner)), max_size=5),
    max_leaves=8,
)


def encode(steps):
    parts = []
    for kind, value in steps:
        if kind == "output":
            parts.append(output(value))
        elif kind == "push_vlan":
            parts.append(_vlan(value))
        elif kind == "pop_vlan":
            parts.append(POP_VLAN)
        elif kind == "trunc":
            parts.append(attribute(odp.TRUNC, struct.pack("=I", value)))
        elif kind == "clone":
            parts.append(attribute(odp.CLONE, encode(value)))
        else:
            parts.append(put(kind, value))
    return b"".join(parts)


def twin(frame, steps):
    """What the steps send, computed on bytes."""
    got, limit = [], None
    for kind, value in steps:
        if kind == "output":
            got.append((value, frame[:limit]))
            limit = None
        elif kind == "push_vlan":
            frame = frame[:12] + struct.pack("!HH", 0x8100, value) + frame[12:]
        elif kind == "pop_vlan":
            if len(frame) >= 18 and int.from_bytes(frame[12:14], "big") in naive_key.VLANS:
                frame = frame[:12] + frame[16:]
        elif kind == "trunc":
            limit = value
        elif kind == "clone":
            got += twin_limited(frame, value, limit)
        elif kind == "eth_src":
            frame = frame[:6] + value.to_bytes(6, "big") + frame[12:]
        else:
            frame = value.to_bytes(6, "big") + frame[6:]
    return got


def twin_limited(frame, steps, limit):
    return twin(frame, ([("trunc", limit)] if limit else []) + steps)


@given(st.sampled_from(sorted(frames())), LISTS)
def test_lists_equal_the_twin(name, steps):
    assert sent(frames()[name], encode(steps), headroom=256) == twin(frames()[name], steps)


WRITABLE = [
    name
    for name in MEMBERS
    if name in ("skb_priority", "pkt_mark", "eth_dst", "eth_src", "nd_reserved", "nd_target")
    or name in ("ipv6_src", "ipv6_dst", "ipv6_label", "pbb_isid")
    or name.startswith(("vlan", "mpls", "nw_src", "nw_dst", "nw_t", "tp_", "arp_", "nsh_flags"))
    or name.startswith(("nsh_ttl", "nsh_path", "nsh_context"))
]


@given(
    st.sampled_from(sorted(frames())),
    st.lists(st.tuples(st.sampled_from(WRITABLE), st.binary(min_size=32, max_size=32)), max_size=6),
    st.data(),
)
@settings(max_examples=300)
def test_the_key_follows_every_rewrite(name, sets, data):
    """After any sets, on whole and cut frames, the key is what extraction makes of the packet."""
    frame = frames()[name]
    if data.draw(st.booleans()):
        frame = frame[: data.draw(st.integers(0, len(frame)))]
    actions = b""
    for member, noise in sets:
        size = MEMBERS[member][1]
        value = int.from_bytes(noise[:size], "big")
        actions += set_attribute(member, value, int.from_bytes(noise[-size:], "big"))
    actions += attribute(odp.USERSPACE, struct.pack("=II", 1, 0))
    odp.check_actions(actions)
    [event] = run(frame, actions)
    got, key = event[3], event[4]
    assert len(got) == len(frame)
    marks = {n: int.from_bytes(_part(key, n), "big") for n in ("skb_priority", "pkt_mark")}
    assert key == flow.extract(got, **marks)


def _part(key, member):
    offset, size = MEMBERS[member]
    return key[offset : offset + size]


@given(st.binary(max_size=80), st.sampled_from(sorted(frames())))
@settings(max_examples=300)
def test_arbitrary_action_bytes_never_crash(data, name):
    """Neither check nor execution, which must bear what was not checked, too."""
    try:
        odp.check_actions(data)
    except ValueError:
        pass
    else:
        odp_text.format_actions(data)
    Recorder().run(frames()[name], data)


@given(
    st.lists(
        st.tuples(st.integers(0, 27), st.binary(max_size=24)).map(
            lambda one: odp_text.attribute(*one)
        ),
        max_size=4,
    ),
    st.sampled_from(sorted(frames())),
    st.integers(0, 60),
)
@settings(max_examples=300)
def test_arbitrary_attributes_never_crash(attributes, name, cut):
    actions = b"".join(attributes)
    try:
        odp.check_actions(actions)
        checked = True
    except ValueError:
        checked = False
    events = Recorder(output(1)).run(frames()[name][:cut], actions)
    if checked:
        assert ("drop", "bad_action") not in events
        odp_text.format_actions(actions)


def test_ipv6_frames_too():
    [(_, got)] = sent(frames()["udp6"], put("nw_ttl", 5) + output(1))
    assert Ether(got)[IPv6].hlim == 5
