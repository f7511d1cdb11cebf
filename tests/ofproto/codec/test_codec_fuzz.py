"""Bytes from anywhere: decoding gives a message or an OFError, and what it gives can be sent."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.codec import errors
from ofproto.codec import messages as m
from ofproto.codec.actions import Clone, Output
from ofproto.codec.actions.base import MAX_NESTING, nicira
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions, WriteActions, parse_instructions
from ofproto.codec.match_text import TextError, parse_match
from ofproto.text.flow_text import ADD
from ofproto.text.flow_text import parse_flow as parse_flow_text
from tests.ofproto.action_samples import FLOWS
from tests.ofproto.codec_samples import CASES

SAMPLES = [
    (message, version, message.encode(version, 0x1234, **keywords))
    for message, version, keywords in CASES
]
NAMES = [f"{type(message).__name__}-{version}" for message, version, _raw in SAMPLES]
QUICK = settings(deadline=None, max_examples=300)
# Lengths that are too short, cut a head in two, or reach beyond the message
LENGTHS = (0, 3, 4, 7, 8, 0x0102, 0xFFF8, 0xFFFF)


def decode(raw):
    """The message, or None where an OFError says what is wrong."""
    try:
        message = m.decode_any(raw)
    except OFError as e:
        assert e.name in errors.ALL
        reply = m.decode(m.error(e, raw, 4))
        assert reply.data == raw[: 0xFFFF - 20]
        return None
    return message


def check(raw):
    """What was decoded is a value that can be encoded, and means the same then."""
    message = decode(raw)
    if message is None or type(message) in (m.Hello, m.Error, m.Experimenter):
        return
    version = raw[0]
    if type(message) is m.PacketIn and message.reason > m.OFPR_INVALID_TTL:
        message.reason = m.OFPR_ACTION  # what 1.4 tells apart
    if type(message) is m.FlowRemoved and message.reason == m.OFPRR_METER_DELETE:
        message.reason = m.OFPRR_DELETE
    leave_out_empty_writes(message)
    more = {"nxm": True} if type(message) is m.FlowMod and raw[1] == 4 else {}
    again = m.decode(message.encode(version, message.xid, **more))
    assert (again.version, again.xid) == (version, message.xid)
    if not (version == 4 and has_legacy_actions(message)):  # they are sent as set_field
        assert again == message
    assert m.decode(again.encode(version, message.xid, **more)) == again


def leave_out_empty_writes(message):
    """A WRITE_ACTIONS without actions is not sent: it does nothing."""
    for each in (message, *(getattr(message, "flows", None) or ())):
        found = getattr(each, "instructions", None)
        if found:
            each.instructions = [
                one for one in found if type(one) is not WriteActions or one.actions
            ]


def has_legacy_actions(thing):
    """Whether 1.1's actions for single fields are anywhere in it."""
    if isinstance(thing, list | tuple):
        return any(map(has_legacy_actions, thing))
    if getattr(thing, "legacy", False):
        return True
    inner = ("actions", "instructions", "flows", "buckets", "groups")
    return any(has_legacy_actions(getattr(thing, name, ())) for name in inner)


def with_length(raw):
    return raw[:2] + len(raw).to_bytes(2, "big") + raw[4:]


@QUICK
@given(st.binary(max_size=200))
def test_random_bytes(raw):
    decode(raw)
    if len(raw) >= 8:
        decode(with_length(raw))


@QUICK
@given(
    st.sampled_from((1, 4)),
    st.integers(0, 30),
    st.sampled_from((0, 1, 2, 5, 9, 10, 12, 13, 0xFFFF)),
    st.binary(max_size=120),
)
def test_random_bodies(version, kind, multipart, body):
    for middle in (b"", b"\0\0\x23\x20", multipart.to_bytes(2, "big") + bytes(6)):
        data = middle + body
        check(m.HEADER.pack(version, kind, 8 + len(data), 7) + data)


@QUICK
@given(
    st.sampled_from(range(len(SAMPLES))),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_bytes(sample, changes):
    raw = bytearray(SAMPLES[sample][2])
    for at, byte in changes:
        raw[8 + at % (len(raw) - 8) if len(raw) > 8 else 0] = byte
    check(bytes(raw))


@QUICK
@given(st.sampled_from(range(len(SAMPLES))), st.integers(0, 400), st.binary(max_size=20))
def test_cut_and_extended(sample, at, tail):
    raw = SAMPLES[sample][2]
    decode(raw[:at])
    check(with_length(raw[: max(8, at)] + tail))


@pytest.mark.parametrize("raw", [raw for *_, raw in SAMPLES], ids=NAMES)
def test_each_length_field(raw):
    """Each pair of bytes in turn as if it were a length: those that are get all of these."""
    for at in range(8, len(raw) - 1, 1 if len(raw) < 300 else 4):
        for length in LENGTHS:
            check(raw[:at] + length.to_bytes(2, "big") + raw[at + 2 :])
    for size in range(0, len(raw), 1 if len(raw) < 300 else 7):
        decode(raw[:size])
        if size >= 8:
            check(with_length(raw[:size]))


# Valid actions anywhere


def pool(version):
    """The bytes of each sample's actions, and Nicira's write_metadata."""
    found = [nicira(22, bytes(14) + b"\xff" * 8)]
    for match, text in FLOWS:
        for each in parse_instructions(text):
            if type(each) is ApplyActions:
                mod = m.FlowMod(match=parse_match(match), instructions=[each], table_id=0)
                head = m.FlowMod(match=mod.match, table_id=0).encode(version)
                found.append(mod.encode(version)[len(head) + (8 if version > 1 else 0) :])
    return found


ACTIONS = {version: pool(version) for version in (1, 4)}


def instruction(kind, body):
    return kind.to_bytes(2, "big") + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body


@QUICK
@given(st.data(), st.sampled_from((1, 4)))
def test_actions_in_all_places(data, version):
    lists = st.lists(st.sampled_from(ACTIONS[version]), max_size=3).map(b"".join)
    inner = data.draw(lists)
    for _ in range(data.draw(st.integers(0, 3))):
        inner = nicira(42, bytes(6) + inner) + data.draw(lists)
    check(with_length(m.PacketOut(b"", 1, [], 5).encode(version)[: 14 if version == 1 else 16]
                      + len(inner).to_bytes(2, "big") + bytes(0 if version == 1 else 6)
                      + inner))  # fmt: skip
    mod = m.FlowMod(table_id=0).encode(version)
    if version == 1:
        check(with_length(mod + inner))
        return
    kinds = data.draw(st.lists(st.sampled_from((3, 4, 4)), max_size=3))
    check(with_length(mod + b"".join(instruction(kind, inner) for kind in kinds)))
    bucket = (16 + len(inner)).to_bytes(2, "big") + bytes(2) + b"\xff" * 8 + bytes(4)
    check(with_length(m.GroupMod(0).encode(4) + bucket + inner))


def test_nesting_ends_somewhere():
    """Clones in clones, as many as fit into a message."""
    raw = Output(1).encode(4)
    while len(raw) < 60000:
        raw = nicira(42, bytes(6) + raw)
        if len(raw) in (16 * MAX_NESTING, 16 * MAX_NESTING + 16, 32000):
            mod = with_length(m.FlowMod(table_id=0).encode(4) + instruction(4, raw))
            try:
                found = m.decode(mod)
            except OFError as e:
                assert e.name == "OFPBAC_TOO_MANY"
                assert len(raw) > 16 * MAX_NESTING
            else:
                assert m.decode(found.encode(4)) == found
    with pytest.raises(OFError, match="TOO_MANY"):
        m.decode(with_length(m.FlowMod(table_id=0).encode(4) + instruction(4, raw)))
    assert type(parse_instructions(deep(MAX_NESTING))[0].actions[0]) is Clone
    with pytest.raises(TextError):
        parse_instructions(deep(MAX_NESTING + 1))
    began = time.thread_time()
    with pytest.raises(TextError):
        parse_instructions(deep(100_000))
    assert time.thread_time() - began < 0.5


def deep(levels):
    return "clone(" * levels + "output:1" + ")" * levels


def test_messages_whose_rest_is_zeros():
    """Items of no bytes, above all."""
    for _message, _version, raw in SAMPLES:
        for at in range(m.HEADER_SIZE, len(raw), 4):
            decode(raw[:at] + bytes(len(raw) - at))


NUMBERS = ("in_port=%s", "ip,nw_src=1.1.1.1/%s", "ipv6,ipv6_src=::/%s", "reg0=%s", "reg0[%s]=1")


@pytest.mark.parametrize("digit", ["9", "٣"])
@pytest.mark.parametrize("form", NUMBERS)
def test_numbers_of_more_digits_than_python_reads(form, digit):
    with pytest.raises(TextError):
        parse_flow_text(form % (digit * 5000), ADD)


def test_a_match_has_no_more_fields_than_anybody_writes():
    began = time.thread_time()
    parse_match("tcp," * 900)
    with pytest.raises(TextError):
        parse_match("tcp," * 100_000)
    assert time.thread_time() - began < 1
