"""Extraction of the flow key against a plain Python twin, and what is computed from keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.key import flow, key_text
from tests.datapath import naive_key
from tests.datapath.sample_frames import frames


def members(key):
    found = {}
    for name, (offset, size) in flow.MEMBERS.items():
        value = int.from_bytes(key[offset : offset + size], "big")
        if value:
            found[name] = value
    return found


def check(frame):
    key = flow.extract(frame)
    assert members(key) == naive_key.extract(frame)
    return key


def test_members_and_padding_fill_the_key():
    covered = bytearray(flow.KEY_SIZE)
    for offset, size in flow.MEMBERS.values():
        assert not any(covered[offset : offset + size])
        covered[offset : offset + size] = b"\1" * size
    pads = flow.KEY_SIZE - sum(covered)
    assert pads == 1 + 2 + 3 + 3 + 4  # ct_pad, pad_l2, pad_nd, pad_tun, pad_pipeline


@pytest.mark.parametrize("name", frames())
def test_every_protocol(name):
    check(frames()[name])


def test_a_few_by_hand():
    got = members(flow.extract(frames()["qinq"]))
    assert got["vlan0_tpid"] == 0x88A8 and got["vlan0_tci"] == 0x1006
    assert got["vlan1_tpid"] == 0x8100 and got["vlan1_tci"] == 0x5007
    assert got["eth_type"] == 0x86DD and got["ipv6_label"] == 0xABCDE and got["nw_tos"] == 0xA6
    got = members(flow.extract(frames()["tcp4"]))
    assert (got["tp_src"], got["tp_dst"], got["tcp_flags"]) == (1000, 2000, 0xD8)
    got = members(flow.extract(frames()["fragment6_later"]))
    assert got["nw_frag"] == flow.FRAG_ANY | flow.FRAG_LATER and "tp_src" not in got
    assert members(flow.extract(frames()["pbb_tagged"]))["pbb_isid"] == 0xABCDEF
    assert members(flow.extract(frames()["nd_na"]))["arp_tha"] == 0x020000000008
    assert members(flow.extract(frames()["vlan3"]))["eth_type"] == 0x8100


NONEXT, ESP, AUTH, DEST, FRAG, ROUTER, HOP, UNREP, UNSEQ = (1 << bit for bit in range(9))
# Extension headers by their numbers, and what OpenFlow 1.3.5 says of them (7.2.3, with RFC 2460)
EXTENSIONS = {
    (): 0,
    (0,): HOP,
    (60,): DEST,
    (60, 60): DEST,
    (60, 43, 60): DEST | ROUTER,
    (0, 60, 43, 44, 51, 60): HOP | DEST | ROUTER | FRAG | AUTH,
    (0, 59): HOP | NONEXT,
    (59,): NONEXT,
    (44, 50): FRAG | ESP,
    (50,): ESP,
    (60, 60, 60): DEST | UNREP,
    (43, 43): ROUTER | UNREP,
    (44, 44): FRAG | UNREP,
    (0, 0): HOP | UNREP,
    (51, 44): AUTH | FRAG | UNSEQ,
    (44, 60, 51): FRAG | DEST | AUTH | UNSEQ,
    (60, 60, 43): DEST | ROUTER | UNSEQ,
    (60, 0): DEST | UNSEQ,  # a hop-by-hop header counts as such in the first place only
    (43, 0, 43): ROUTER | UNREP | UNSEQ,
}


def extended(numbers, end=17):
    """A frame with these extension headers, made by hand."""
    body = b""
    for number, following in zip(numbers, [*numbers, end][1:], strict=True):
        if number not in (50, 59):  # nothing is known behind these
            # 8 bytes of each: an AH's length counts words of four
            body += bytes([following, 0, 0, 0, 0, 0, 0, 0])
    head = (0x60000000).to_bytes(4, "big") + (len(body) + 8).to_bytes(2, "big")
    head += bytes([numbers[0] if numbers else end, 64]) + bytes(32)
    return bytes(12) + b"\x86\xdd" + head + body + bytes(8)


@pytest.mark.parametrize("numbers", EXTENSIONS, ids=str)
def test_extension_headers(numbers):
    assert members(check(extended(numbers))).get("ipv6_exthdr", 0) == EXTENSIONS[numbers]


@given(st.lists(st.sampled_from([0, 43, 44, 50, 51, 59, 60]), max_size=8), st.booleans())
def test_extension_headers_in_any_order(numbers, cut):
    frame = extended(numbers)
    check(frame[: len(frame) - 9] if cut else frame)


def test_every_truncation():
    for frame in frames().values():
        for size in range(len(frame)):
            check(frame[:size])


def test_lengths_are_checked():
    frame = bytearray(frames()["udp4"])
    frame[16:18] = (len(frame) - 14 + 1).to_bytes(2, "big")
    assert "nw_src" not in members(check(bytes(frame)))
    frame = bytearray(frames()["udp6"])
    frame[18:20] = (len(frame) - 54 + 1).to_bytes(2, "big")
    assert "ipv6_src" not in members(check(bytes(frame)))
    # What lies behind the IP packet is padding, and no L4 header.
    frame = bytearray(frames()["udp4"])
    frame[16:18] = (24).to_bytes(2, "big")
    assert "tp_src" not in members(check(bytes(frame)))


def test_offsets():
    _, offsets, size = flow.extract_with_offsets(frames()["padded"])
    assert offsets == {"l2_5": None, "l3": 14, "l4": 34} and size == 29
    _, offsets, _ = flow.extract_with_offsets(frames()["mpls2"])
    assert offsets == {"l2_5": 18, "l3": None, "l4": None}
    _, offsets, _ = flow.extract_with_offsets(frames()["ext6"])
    assert offsets == {"l2_5": None, "l3": 14, "l4": 70}


@given(st.binary(max_size=120))
def test_random_bytes(data):
    check(data)


@given(st.sampled_from(sorted(frames())), st.data())
def test_damaged_frames(name, data):
    frame = bytearray(frames()[name])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(12, len(frame) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


def test_metadata_goes_into_the_key():
    got = members(flow.extract(b"", 1, 2, 3, 4, 5))
    assert got == {"in_port": 1, "recirc_id": 2, "skb_priority": 3, "pkt_mark": 4, "dp_hash": 5}


@pytest.mark.parametrize("name", frames())
def test_wildcards_cover_what_extraction_fills(name):
    key = flow.extract(frames()[name], in_port=3)
    mask = flow.wildcards_for(key)
    assert bytes(k & m for k, m in zip(key, mask, strict=True)) == key


def test_wildcards_leave_out_other_protocols():
    got = members(flow.wildcards_for(flow.extract(frames()["udp4"])))
    assert "tp_src" in got and "nw_src" in got
    assert not {"tcp_flags", "ipv6_src", "mpls_lse0", "arp_sha", "nd_target", "reg0"} & set(got)


def test_symmetric_hash():
    from scapy.layers.inet import IP
    from scapy.layers.l2 import Ether

    from tests.datapath.sample_frames import DATA, ETH, UDP, V4

    there = flow.extract(bytes(ETH / V4 / UDP(sport=1, dport=2) / DATA))
    back = flow.extract(
        bytes(
            Ether(src=ETH.dst, dst=ETH.src)
            / IP(src=V4.dst, dst=V4.src)
            / UDP(sport=2, dport=1)
            / DATA
        )
    )
    assert flow.hash_l4(there, symmetric=True) == flow.hash_l4(back, symmetric=True)
    assert flow.hash_l4(there) != flow.hash_l4(back)
    assert flow.hash_l4(there, 1) != flow.hash_l4(there, 2)


def test_ufid_depends_on_masked_key_and_mask():
    key = flow.extract(frames()["udp4"], 1)
    mask = bytearray(flow.wildcards_for(key))
    first = flow.ufid(key, mask)
    offset, _ = flow.MEMBERS["tp_src"]
    mask[offset] = 0
    second = flow.ufid(key, mask)
    changed = bytearray(key)
    changed[offset] ^= 0xFF
    assert first != second == flow.ufid(changed, mask)
    assert flow.ufid(changed, flow.wildcards_for(key)) != first


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="584"):
        flow.wildcards_for(b"short")


# ---- Text ----


@pytest.mark.parametrize("name", frames())
def test_text_round_trip(name):
    key = flow.extract(frames()[name], in_port=7, recirc_id=1)
    mask = flow.wildcards_for(key)
    assert key_text.parse_key(key_text.format_key(key, mask)) == (key, mask)
    text = key_text.format_key(key)
    assert key_text.parse_key(text)[0] == key
    assert "skb_priority" not in text


UNSAID = [
    flow.MEMBERS[name][0] + at
    for name in ("tun_tos", "tun_tp_src", "tun_tp_dst")
    for at in range(flow.MEMBERS[name][1])
]


@given(st.sampled_from(sorted(frames())), st.data())
def test_text_round_trip_under_any_mask(name, data):
    key = flow.extract(frames()[name], in_port=7)
    full = flow.wildcards_for(key)
    mask = bytearray(full)
    for _ in range(data.draw(st.integers(1, 5))):
        member = data.draw(st.sampled_from(sorted(flow.MEMBERS)))
        offset, size = flow.MEMBERS[member]
        if "vlan" in member or member in ("eth_type", "nw_frag") or offset >= flow.KEY_DP_SIZE:
            continue
        bits = data.draw(st.integers(0, 256**size - 1)) & key_text.USED_BITS.get(member, -1)
        mask[offset : offset + size] = bits.to_bytes(size, "big")
    # Without more, a tunnel's 0 is not said of some: test_what_open_vswitch_does_not_say_is_0.
    more = data.draw(st.booleans()) or any(map(mask.__getitem__, UNSAID))
    got_key, got_mask = key_text.parse_key(key_text.format_key(key, bytes(mask), more))
    assert got_mask == bytes(mask)
    assert got_key == bytes(k & m for k, m in zip(key, mask, strict=True))


def test_text_forms():
    key, mask = key_text.parse_key(
        "recirc_id(0),in_port(2),eth_type(0x0800),ipv4(src=10.0.0.0/255.255.255.0,frag=no),"
        "tcp_flags(+syn-ack)"
    )
    got, covered = members(key), members(mask)
    assert got["nw_src"] == 0x0A000000 and covered["nw_src"] == 0xFFFFFF00
    assert got["tcp_flags"] == 2 and covered["tcp_flags"] == 0x12
    assert covered["vlan0_tci"] == 0xFFFF and "vlan0_tci" not in got
    text = "in_port(2),eth_type(0x8100),vlan(vid=5/0xf,pcp=0/0x0),encap(eth_type(0x0806))"
    assert "vlan(vid=5/0xf)" in key_text.format_key(*key_text.parse_key(text))


@given(st.text(alphabet="abcdeip46tuvl_xny()=,/.:0123456789", max_size=60))
def test_text_never_fails_otherwise(text):
    try:
        key, mask = key_text.parse_key(text)
    except ValueError:
        return
    key_text.format_key(key, mask)


def test_long_text_has_what_anything_matches():
    text = "in_port(1),eth(src=02:00:00:00:00:01),eth_type(0x0800),ipv4(proto=6,frag=no)"
    key, mask = key_text.parse_key(text)
    assert key_text.format_key(key, mask, True) == (
        "skb_priority(0/0),skb_mark(0/0),ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0),"
        "recirc_id(0/0),dp_hash(0/0),in_port(1),packet_type(ns=0/0,id=0/0),"
        "eth(src=02:00:00:00:00:01,dst=00:00:00:00:00:00/00:00:00:00:00:00),eth_type(0x0800),"
        "ipv4(src=0.0.0.0/0.0.0.0,dst=0.0.0.0/0.0.0.0,proto=6,tos=0/0,ttl=0/0,frag=no),"
        "tcp(src=0/0,dst=0/0),tcp_flags(0/0)"
    )
    assert key_text.parse_key(key_text.format_key(key, mask, True)) == (key, mask)


@pytest.mark.parametrize(
    "text",
    [
        "ct_state(+trk+est),ct_zone(0),ct_mark(0x1/0xff),ct_label(0),"
        "ct_tuple4(src=10.0.0.1,dst=10.0.0.0/255.255.255.0,proto=6,tp_src=1,tp_dst=80),"
        "recirc_id(0x1),in_port(1),eth_type(0x0800),ipv4(frag=no)",
        "ct_tuple6(src=fd00::1,proto=17),recirc_id(0x1),in_port(1),eth_type(0x86dd)",
    ],
)
def test_what_the_tracker_said_as_text(text):
    wanted = text.replace("+trk+est", "+est+trk")
    key, mask = key_text.parse_key(text)
    assert key_text.format_key(key, mask) == wanted
    long = key_text.format_key(key, mask, True)
    assert ("ct_state(0x22/0x22)" if "est" in text else "ct_state(0/0)") in long
    assert key_text.parse_key(long) == (key, mask)
