"""Every OXM of OpenFlow 1.3 that this switch has, and every field: with and without mask, and
with its prerequisites taken away."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import match_plan, match_wire
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_CODE, BY_NAME, FIELDS, FRAG_NAMES, OXM_OF
from ofproto.codec.match import Match, Shape
from ofproto.codec.match_fixed import of10_decode, of10_encode
from ofproto.codec.match_text import format_match, parse_match
from ofproto.codec.match_wire import (
    decode_match,
    encode_match,
    oxm_decode,
    oxm_encode,
    value_fits,
)
from ofproto.codec.numbers import port_to_32

# OpenFlow 1.3.5 table 12: number, bits, whether it may be masked.
OXM_13 = {
    0: (32, False), 1: (32, False), 2: (64, True), 3: (48, True), 4: (48, True), 5: (16, False),
    6: (13, True), 7: (3, False), 8: (6, False), 9: (2, False), 10: (8, False), 11: (32, True),
    12: (32, True), 13: (16, False), 14: (16, False), 15: (16, False), 16: (16, False),
    17: (16, False), 18: (16, False), 19: (8, False), 20: (8, False), 21: (16, False),
    22: (32, True), 23: (32, True), 24: (48, True), 25: (48, True), 26: (128, True),
    27: (128, True), 28: (20, True), 29: (8, False), 30: (8, False), 31: (128, False),
    32: (48, False), 33: (48, False), 34: (20, False), 35: (3, False), 36: (1, False),
    37: (24, True), 38: (64, True), 39: (9, True),
}  # fmt: skip
# What each prerequisite of table 12 asks for, as flow text
NEEDS = {
    7: "vlan_vid=0x1005", 8: "ip", 9: "ipv6", 10: "ip", 11: "ip", 12: "ip", 13: "tcp", 14: "tcp6",
    15: "udp", 16: "udp6", 17: "sctp", 18: "sctp6", 19: "icmp", 20: "icmp", 21: "arp", 22: "arp",
    23: "arp", 24: "arp", 25: "arp", 26: "ipv6", 27: "ipv6", 28: "ipv6", 29: "icmp6",
    30: "icmp6", 31: "icmp6,icmp_type=135", 32: "icmp6,icmp_type=135,icmp_code=0",
    33: "icmp6,icmp_type=136", 34: "mpls", 35: "mplsm", 36: "mpls", 1: "in_port=7",
    37: "dl_type=0x88e7", 39: "ipv6",
}  # fmt: skip
NUMBERS = list(OXM_13)


def tlv(header, value, mask=None, size=None):
    """One OXM TLV from numbers."""
    size = header.n_bytes if size is None else size
    body = value.to_bytes(size, "big") + (b"" if mask is None else mask.to_bytes(size, "big"))
    head = header.oxm_class << 16 | header.number << 9 | (mask is not None) << 8 | len(body)
    if header.experimenter:
        head += 4
        body = header.experimenter.to_bytes(4, "big") + body
    return head.to_bytes(4, "big") + body


def header_of(number):
    field = BY_CODE[OXM_OF, 0, number]
    return field, next(h for h in field.headers if (h.oxm_class, h.number) == (OXM_OF, number))


def sample_value(field):
    """A value that the field may have, with its highest bit."""
    if field.text == "port":
        return 7
    if field.name == "arp_op":
        return 2
    if field.name == "vlan_vid":
        return 0x1007
    return field.mask & (1 << field.n_bits - 1 | 5)


def prerequisite(number):
    return encode_match(parse_match(NEEDS.get(number, "")), 4)


def needed(number):
    """The TLVs of the prerequisites, without the match's head and padding."""
    raw = prerequisite(number)
    return raw[4 : int.from_bytes(raw[2:4], "big")]


def test_all_of_1_3_are_known():
    for number, (bits, maskable) in OXM_13.items():
        field, _header = header_of(number)
        assert field.n_bits == bits
        assert field.maskable or not maskable


@pytest.mark.parametrize("number", NUMBERS)
def test_oxm_exact(number):
    field, header = header_of(number)
    value = sample_value(field)
    raw = needed(number) + tlv(header, value)
    match = oxm_decode(raw)
    assert match.get(field)[0] == value
    assert match.get(field)[1] & field.mask == field.mask
    again, end = decode_match(encode_match(match, 4))
    assert again == match
    assert end % 8 == 0
    assert tlv(header, value) in encode_match(match, 4)
    assert parse_match(format_match(match)) == match


@pytest.mark.parametrize("number", NUMBERS)
def test_oxm_masked(number):
    """A partial mask where the field has one, else an error; a full one says the same as none."""
    field, header = header_of(number)
    value = sample_value(field)
    full = (1 << 8 * header.n_bytes) - 1
    before = needed(number)
    exact = oxm_decode(before + tlv(header, value))
    if field.text != "port":
        assert oxm_decode(before + tlv(header, value, full)) == exact
    if field.n_bits > 1 and field.text != "port":
        care = field.mask & ~1
        partial = before + tlv(header, value & care, care)
        if field.maskable:
            match = oxm_decode(partial)
            assert match.get(field) == (value & care, care)
            assert decode_match(encode_match(match, 4))[0] == match
        else:
            assert error(partial) == "OFPBMC_BAD_MASK"
    assert error(before + tlv(header, 1, 0)) == "OFPBMC_BAD_WILDCARDS"
    assert oxm_decode(before + tlv(header, 0, 0)) == oxm_decode(before)


def error(raw):
    with pytest.raises(OFError) as e:
        oxm_decode(raw)
    return e.value.name


@pytest.mark.parametrize("number", sorted(NEEDS))
def test_prerequisites(number):
    """Each missing, each in the wrong order, and each other value of the last one."""
    field, header = header_of(number)
    mine = tlv(header, sample_value(field))
    assert error(mine) == "OFPBMC_BAD_PREREQ"
    assert error(mine + needed(number)) == "OFPBMC_BAD_PREREQ"
    if number == 1:
        return  # any port will do
    wrong = bytearray(needed(number))
    wrong[-1 if number != 7 else -2] ^= 0xFF  # for a PCP, the VLAN's present bit
    assert error(bytes(wrong) + mine) in ("OFPBMC_BAD_PREREQ", "OFPBMC_BAD_VALUE")


@pytest.mark.parametrize("number", NUMBERS)
def test_errors_of_one_tlv(number):
    field, header = header_of(number)
    before, value = needed(number), sample_value(field)
    mine = tlv(header, value)
    assert error(before + mine + mine) == "OFPBMC_DUP_FIELD"
    assert error(before + mine[:-1]) == "OFPBMC_BAD_LEN"
    assert error(before + tlv(header, value, size=header.n_bytes + 1)) == "OFPBMC_BAD_FIELD"
    if field.mask != (1 << 8 * header.n_bytes) - 1:
        assert error(before + tlv(header, field.mask + 1)) == "OFPBMC_BAD_VALUE"


def test_ports_beyond_16_bits():
    header = header_of(0)[1]
    for number in (0xFF00, 0x10000, 0xFFFEFFFF):
        assert error(tlv(header, number)) == "OFPBMC_BAD_VALUE"
    assert oxm_decode(tlv(header, 0xFFFFFFFE)).get("in_port")[0] & 0xFFFF == 0xFFFE


def test_cookie_stands_in_nxm_requests_only():
    raw = b"\0\1\x3d\x10" + bytes(7) + b"\5" + bytes(7) + b"\7"
    cookie = []
    assert oxm_decode(raw, cookie=cookie) == Match()
    assert cookie == [(5, 7)]
    assert error(raw) == "OFPBMC_BAD_FIELD"


# Whole matches

_PARENTS = ("", "ip", "ipv6", "arp", "rarp", "tcp", "tcp6", "udp", "sctp6", "icmp", "mpls",
            "icmp6,icmp_type=135,icmp_code=0", "icmp6,icmp_type=136",
            "dl_vlan=5", "ct_state=+trk")  # fmt: skip


@st.composite
def matches(draw):
    """Fields whose prerequisites hold under one of the protocols, with random bits."""
    match = parse_match(draw(st.sampled_from(_PARENTS)))
    fitting = [f for f in FIELDS if f.headers and match.holds(f.prerequisite) and match.is_wild(f)]
    for field in draw(st.lists(st.sampled_from(fitting), max_size=6, unique_by=lambda f: f.name)):
        if not match.is_wild(field) or field.name == "packet_type":
            continue
        value = draw(st.integers(0, field.mask)) & field.mask
        if field.text == "port" and field.n_bits == 32:
            value &= 0xFFFF
        if not value_fits(field, value):
            continue
        if field.name == "ip_frag":
            # Later fragments have no ports: test_later_fragments_have_no_ports.
            value = draw(st.sampled_from(sorted(FRAG_NAMES.keys() - {"later"})))
            match.set(field, *FRAG_NAMES[value])
            continue
        mask = draw(st.integers(0, field.mask)) & field.mask if field.maskable else None
        if mask != 0:
            match.set(field, value if mask is None else value & mask, mask)
    return match


@settings(deadline=None, max_examples=300)
@given(matches())
def test_random_matches(match):
    """By OXM, NXM and text and back; what OpenFlow 1.0 can say of it."""
    match.normalize()
    # What is kept for a shape is what would be worked out for this match.
    assert match.shape().rows == Shape(match).rows
    assert list(match.fields()) == [(row[0], *match.get(row[0])) for row in Shape(match).rows]
    tci, mask = match.get("vlan_tci")
    whole_priority = mask & 0xE000 in (0, 0xE000)
    if (mask & 0x1000 and not tci & 0x1000) or not (whole_priority and tci & 0x1000):
        # OXM: no tag, hence no priority; nor parts of one
        match.set("vlan_tci", tci & 0x1FFF, mask & 0x1FFF)
    assert decode_match(encode_match(match, 4))[0] == match
    assert oxm_decode(oxm_encode(match, 1)) == match
    assert parse_match(format_match(match)) == match
    said = of10_decode(of10_encode(match))
    assert of10_decode(of10_encode(said)) == said
    # What is said of a field is what the match has of it.
    for field, value, mask in said.fields():
        if field.name != "vlan_tci":
            assert (value, mask) == match.get(field)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_random_tlvs(raw):
    for strict in (True, False):
        try:
            match = oxm_decode(raw, strict)
        except OFError as e:
            assert e.name.startswith("OFPBMC_")
        else:
            assert oxm_decode(oxm_encode(match, 4)) == match


@settings(deadline=None, max_examples=300)
@given(st.binary(min_size=40, max_size=40))
def test_random_matches_of_1_0(raw):
    match = of10_decode(raw)
    assert of10_decode(of10_encode(match)) == match
    assert oxm_decode(oxm_encode(match, 1)) == match
    assert oxm_decode(oxm_encode(match, 4)) == match


def test_port_numbers():
    for port, wide in ((1, 1), (0xFEFF, 0xFEFF), (0xFFFE, 0xFFFFFFFE), (0xFF00, 0xFFFFFF00)):
        assert port_to_32(port) == wide
    assert BY_NAME["in_port"].oxm(1, False) != BY_NAME["in_port_oxm"].oxm(4, False)


@pytest.mark.parametrize(
    "term",
    ["tcp,tp_dst=80", "tcp6,tp_src=80", "udp,tp_dst=80", "sctp,tp_dst=80", "tcp,tcp_flags=2"],
)
def test_later_fragments_have_no_ports(term):
    """As Open vSwitch 3.1 answers, for each whose mask says that it is a later one."""
    protocol, field = term.split(",")
    for kind, refused in (("later", True), ("first", False), ("yes", False), ("not_later", False)):
        text = f"{protocol},ip_frag={kind},{field}"
        raw = oxm_encode(parse_match(text), 1)
        if refused:
            assert error(raw) == "OFPBMC_BAD_PREREQ"
        else:
            assert oxm_decode(raw) == parse_match(text)
    assert oxm_decode(oxm_encode(parse_match("icmp,ip_frag=later,icmp_type=8"), 1))


# --- matches decoded by the plan of one before them


@st.composite
def alike(draw):
    """TLVs of one field or two, and the same with other bytes somewhere."""
    raw = b""
    for number in draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=2, unique=True)):
        field, header = header_of(number)
        value, mask = sample_value(field), None
        if field.maskable and draw(st.booleans()):
            mask = draw(st.integers(0, field.mask))
            value &= mask
        raw += (needed(number) if needed(number) not in raw else b"") + tlv(header, value, mask)
    other = bytearray(raw)
    for at in draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        other[at] = draw(st.integers(0, 255))
    return raw, bytes(other)


def outcome(decode, raw):
    try:
        return decode(raw, True, None)
    except OFError as error:
        return str(error)


@settings(max_examples=400, deadline=None)
@given(alike())
def test_a_plan_decodes_as_without_one(pair):
    raw, other = pair
    match_plan._plans.clear()
    try:
        match_wire._learn(raw, match_wire._oxm_decode(raw, True, None))
    except OFError:
        pass  # prerequisites that exclude each other
    else:
        assert match_plan.decode(raw) == match_wire._oxm_decode(raw, True, None)
    assert outcome(oxm_decode, other) == outcome(match_wire._oxm_decode, other)


def test_what_a_plan_is_good_for():
    match_plan._plans.clear()
    tables = [
        encode_match(parse_match(f"tcp,nw_dst=10.0.0.0/8,tp_dst={port}"), 4) for port in (1, 2)
    ]
    raws = [raw[4 : int.from_bytes(raw[2:4], "big")] for raw in tables]
    for _ in range(match_plan.LEARN_EVERY):
        oxm_decode(raws[0])
    assert match_plan.decode(raws[1]).get("tcp_dst") == (2, 0xFFFF)
    udp = raws[1].replace(b"\x14\x01\x06", b"\x14\x01\x11")
    assert udp != raws[1] and match_plan.decode(udp) is None
    for number in range(200):
        oxm_decode(tlv(header_of(2)[1], number) + tlv(header_of(12)[1], 0, 0))
        oxm_decode(tlv(header_of(3)[1], number) + tlv(header_of(12)[1], 0, 0))
    assert all(len(plans) <= match_plan.MAX_PLANS for plans in match_plan._plans.values())


def test_packet_type_has_two_spellings():
    """As packet-out's arguments are written in Open vSwitch's tests, and as matches are printed."""
    assert parse_match("packet_type(1,0x800)").key == parse_match("packet_type=(1,0x800)").key
