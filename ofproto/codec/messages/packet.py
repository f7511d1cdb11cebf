"""PACKET_IN in its standard and Nicira's forms, and PACKET_OUT."""

import re
from struct import Struct

from ofproto.codec.actions import decode_shared, encode_actions
from ofproto.codec.errors import OFError
from ofproto.codec.match import Match
from ofproto.codec.match_wire import decode_match, encode_match, oxm_decode, oxm_encode
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF12,
    OF13,
    OF14,
    OF15,
    OFPP_CONTROLLER,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NONE,
    OFPR_ACTION,
    OFPR_INVALID_TTL,
    OFPR_NO_MATCH,
    port_to_32,
)
from pyvs.record import field, record

from .base import (
    ANY,
    FROM13,
    MSG,
    NO_BUFFER,
    NX,
    OFPT_PACKET_OUT,
    ONLY10,
    ONLY15,
    Body,
    Message,
    aligned,
    read_port32,
    row,
    wire,
)
from .properties import make, split

NO_COOKIE = (1 << 64) - 1

_PACKET_IN_10 = Struct("!IHHBx")
_PACKET_IN_11 = Struct("!IIIHBB")
_PACKET_IN_12 = Struct("!IHBB")
_PACKET_IN_13 = Struct("!IHBBQ")
_PACKET_IN_NX = Struct("!IHBBQH6x")
# Where total_len is in a whole message of the standard form, which ends with the packet.
TOTAL_LEN_AT = {OF11: 20, **dict.fromkeys((OF10, OF12, OF13, OF14, OF15), 12)}


def _buffer(number):
    return None if number == NO_BUFFER else number


def _unbuffer(buffer_id):
    return NO_BUFFER if buffer_id is None else buffer_id


@record
class PacketIn(Message):
    """A packet for a controller, cut to what it gets; `total_len` is the length of the whole.

    `reason`: R_*, numbers of 1.4, which the older versions send as ACTION where they lack them.
    `table_miss`: by the flow that a table has for all else, NO_MATCH from 1.3 on, ACTION before.
    `match`: the pipeline fields that are not zero, in_port among them.  `format`: standard,
    nxt_packet_in or nxt_packet_in2; `userdata` and `continuation` are of the last.
    """

    packet: bytes
    total_len: int
    reason: int = OFPR_NO_MATCH
    table_miss: bool = False
    table_id: int = 0
    cookie: int = NO_COOKIE
    in_port: int = OFPP_NONE
    match: Match = field(default_factory=Match)
    buffer_id: int | None = None
    format: str = "standard"
    userdata: bytes = b""
    continuation: bytes | None = None

    def form(self, version: int) -> str:
        return "" if self.format == "standard" else self.format

    def wire_reason(self, version: int) -> int:
        """The reason's number in a version."""
        if self.table_miss and self.reason == OFPR_NO_MATCH:
            return OFPR_NO_MATCH if version >= OF13 else OFPR_ACTION
        return OFPR_ACTION if self.reason > OFPR_INVALID_TTL and version < OF14 else self.reason

    def full_match(self) -> Match:
        """The match, with in_port where it is known."""
        if self.in_port != OFPP_NONE and not self.match.get("in_port")[1]:
            match = self.match.copy()
            match.set("in_port", self.in_port)
            return match
        return self.match


def _in_port(match):
    port, mask = match.get("in_port")
    return port & 0xFFFF if mask else OFPP_NONE


def _read_in_10(cls, data, version):
    buffer_id, total, port, reason = _PACKET_IN_10.unpack_from(data)
    match = Match()
    match.set("in_port", port)
    return cls(
        data[_PACKET_IN_10.size :], total, reason, in_port=port, match=match,
        buffer_id=_buffer(buffer_id),
    )  # fmt: skip


def _write_in_10(m, version):
    head = _PACKET_IN_10.pack(
        _unbuffer(m.buffer_id), m.total_len, m.in_port, m.wire_reason(version)
    )
    return head + m.packet


def _read_in_11(cls, data, version):
    buffer_id, port, physical, total, reason, table = _PACKET_IN_11.unpack_from(data)
    match = Match()
    match.set("in_port", read_port32(port))
    if physical != port:
        match.set("in_phy_port", read_port32(physical))
    return cls(
        data[_PACKET_IN_11.size :], total, reason, False, table, in_port=read_port32(port),
        match=match, buffer_id=_buffer(buffer_id),
    )  # fmt: skip


def _write_in_11(m, version):
    physical, mask = m.match.get("in_phy_port")
    port = port_to_32(m.in_port)
    head = _PACKET_IN_11.pack(
        _unbuffer(m.buffer_id), port, port_to_32(physical) if mask else port, m.total_len,
        m.wire_reason(version), m.table_id,
    )  # fmt: skip
    return head + m.packet


def _read_in_12(cls, data, version):
    buffer_id, total, reason, table = _PACKET_IN_12.unpack_from(data)
    match, at = decode_match(data, _PACKET_IN_12.size, strict=False)
    if len(data) < at + 2:
        raise OFError("OFPBRC_BAD_LEN", "truncated PACKET_IN")
    return cls(
        data[at + 2 :], total, reason, False, table, NO_COOKIE, _in_port(match), match,
        _buffer(buffer_id),
    )  # fmt: skip


def _write_in_12(m, version):
    head = _PACKET_IN_12.pack(
        _unbuffer(m.buffer_id), m.total_len, m.wire_reason(version), m.table_id
    )
    return b"".join((head, encode_match(m.full_match(), version), b"\0\0", m.packet))


def _read_in_13(cls, data, version):
    buffer_id, total, reason, table, cookie = _PACKET_IN_13.unpack_from(data)
    match, at = decode_match(data, _PACKET_IN_13.size, strict=False)
    if len(data) < at + 2:
        raise OFError("OFPBRC_BAD_LEN", "truncated PACKET_IN")
    return cls(
        data[at + 2 :], total, reason, False, table, cookie, _in_port(match), match,
        _buffer(buffer_id),
    )  # fmt: skip


def _write_in_13(m, version):
    head = _PACKET_IN_13.pack(
        _unbuffer(m.buffer_id), m.total_len, m.wire_reason(version), m.table_id, m.cookie
    )
    return b"".join((head, encode_match(m.full_match(), version), b"\0\0", m.packet))


def _read_in_nx(cls, data, version):
    buffer_id, total, reason, table, cookie, length = _PACKET_IN_NX.unpack_from(data)
    at = _PACKET_IN_NX.size
    start = at + (length + 7) // 8 * 8 + 2
    if len(data) < start:
        raise OFError("OFPBMC_BAD_LEN", "truncated NXT_PACKET_IN")
    match = oxm_decode(data[at : at + length], strict=False)
    return cls(
        data[start:], total, reason, False, table, cookie, _in_port(match), match,
        _buffer(buffer_id), "nxt_packet_in",
    )  # fmt: skip


def _write_in_nx(m, version):
    match = oxm_encode(m.full_match(), OF10)
    head = _PACKET_IN_NX.pack(
        _unbuffer(m.buffer_id), m.total_len, m.wire_reason(version), m.table_id, m.cookie,
        len(match),
    )  # fmt: skip
    return b"".join((head, aligned(match), b"\0\0", m.packet))


# NXT_PACKET_IN2: properties of type, length, value, padded to 8
(_PACKET, _FULL_LEN, _BUFFER_ID, _TABLE_ID, _COOKIE, _REASON, _METADATA, _USERDATA,
 _CONTINUATION) = range(9)  # fmt: skip
_FIXED = {_FULL_LEN: 4, _BUFFER_ID: 4, _TABLE_ID: 1, _COOKIE: 12, _REASON: 1}


def _read_in_nx2(cls, data, version):
    found = {}
    for kind, value in split(data):
        if _FIXED.get(kind, len(value)) != len(value):
            raise OFError("OFPBPC_BAD_LEN", f"property {kind} of {len(value)} bytes")
        found[kind] = value
    if _PACKET not in found:
        raise OFError("OFPBRC_BAD_LEN", "NXT_PACKET_IN2 without a packet")
    numbers = {k: int.from_bytes(v, "big") for k, v in found.items() if k in _FIXED}
    match = oxm_decode(found.get(_METADATA, b""), strict=False)
    packet = found[_PACKET]
    return cls(
        packet,
        numbers.get(_FULL_LEN, len(packet)),
        numbers.get(_REASON, OFPR_NO_MATCH),
        False,
        numbers.get(_TABLE_ID, 0),
        numbers.get(_COOKIE, NO_COOKIE) & NO_COOKIE,
        _in_port(match),
        match,
        numbers.get(_BUFFER_ID),
        "nxt_packet_in2",
        found.get(_USERDATA, b""),
        found.get(_CONTINUATION),
    )


def _write_in_nx2(m, version):
    rows = [(_PACKET, m.packet)]
    if m.total_len != len(m.packet):
        rows.append((_FULL_LEN, m.total_len.to_bytes(4, "big")))
    if m.buffer_id is not None:
        rows.append((_BUFFER_ID, m.buffer_id.to_bytes(4, "big")))
    rows.append((_TABLE_ID, bytes((m.table_id,))))
    if m.cookie != NO_COOKIE:
        rows.append((_COOKIE, bytes(4) + m.cookie.to_bytes(8, "big")))
    rows.append((_REASON, bytes((m.wire_reason(version),))))
    rows.append((_METADATA, oxm_encode(m.full_match(), version)))
    if m.userdata:
        rows.append((_USERDATA, m.userdata))
    if m.continuation is not None:
        rows.append((_CONTINUATION, m.continuation))
    return b"".join([make(kind, value) for kind, value in rows])


wire(
    row(ONLY10, MSG, 10, Body(_PACKET_IN_10.size, 1, _read_in_10, _write_in_10)),
    row((OF11, OF11), MSG, 10, Body(_PACKET_IN_11.size, 1, _read_in_11, _write_in_11)),
    row((OF12, OF12), MSG, 10, Body(_PACKET_IN_12.size, 1, _read_in_12, _write_in_12)),
    row(FROM13, MSG, 10, Body(_PACKET_IN_13.size, 1, _read_in_13, _write_in_13)),
    row(ANY, NX, 17, Body(_PACKET_IN_NX.size, 1, _read_in_nx, _write_in_nx), "nxt_packet_in"),
    row(ANY, NX, 30, Body(0, 8, _read_in_nx2, _write_in_nx2), "nxt_packet_in2"),
)(PacketIn)


# Nicira's message by which a controller gives back a packet that waits for it.
_RESUME = Body(
    0,
    8,
    lambda cls, data, version: cls(_read_in_nx2(PacketIn, data, version)),
    lambda m, version: _write_in_nx2(m.packet_in, version),
)


@wire(row(ANY, NX, 28, _RESUME))
@record
class Resume(Message):
    """`packet_in`: that of the packet, with its continuation, as it came, and with what the
    controller changed of packet and metadata."""

    packet_in: PacketIn


# PACKET_OUT

_SOURCES = (OFPP_LOCAL, OFPP_CONTROLLER, OFPP_NONE)  # reserved ports that a packet may be from
_PACKET_OUT_10 = Struct("!IHH")
_PACKET_OUT_11 = Struct("!IIH6x")


def _packet_out(head, read_port, write_port):
    def read(cls, data, version):
        buffer_id, port, length = head.unpack_from(data)
        port = read_port(port)
        actions, packet = _actions(data, head.size, length, version)
        return cls(packet, _source(port), actions, _buffer(buffer_id))

    def write(m, version):
        actions = encode_actions(m.actions, version)
        head_ = head.pack(_unbuffer(m.buffer_id), write_port(m.in_port), len(actions))
        return head_ + actions + m.packet

    return Body(head.size, 1, read, write)


def _actions(data, at, length, version):
    """The `length` bytes of actions at `at`, and the packet behind them."""
    end = at + length
    if end > len(data) or length % 8:
        raise OFError("OFPBRC_BAD_LEN", f"{length} bytes of actions")
    return decode_shared(data[at:end], version), data[end:]


def _source(port):
    if port >= OFPP_MAX and port not in _SOURCES:
        raise OFError("OFPBRC_BAD_PORT", f"packet from port {port:#x}")
    return port


_PACKET_OUT_15 = Struct("!IH2x")
# What a packet may have that stands nowhere in it (OpenFlow 1.5.1, 7.2.3.9)
_PIPELINE = re.compile(
    r"(in_port(_oxm)?|in_phy_port|metadata|pkt_mark|packet_type|x{0,2}reg\d+|tun_\w+)\Z"
)


def is_pipeline_field(name: str) -> bool:
    """Whether a packet-out of 1.5 may have it: it is none of the packet's own."""
    return bool(_PIPELINE.match(name))


def _read_out_15(cls, data, version):
    buffer_id, length = _PACKET_OUT_15.unpack_from(data)
    try:
        match, at = decode_match(data, _PACKET_OUT_15.size, strict=False)
    except OFError as error:
        if error.name != "OFPBMC_BAD_PREREQ":
            raise
        raise OFError("OFPBRC_PIPELINE_FIELDS_ONLY", error.detail) from None
    for each, _value, _mask in match.fields():
        if not is_pipeline_field(each.name):
            raise OFError("OFPBRC_PIPELINE_FIELDS_ONLY", each.name)
    port = _in_port(match)
    if not match.get("in_port")[1]:
        raise OFError("OFPBRC_BAD_PORT", "no in_port")
    match.set("in_port", 0, 0)
    actions, packet = _actions(data, at, length, version)
    return cls(packet, _source(port), actions, _buffer(buffer_id), match)


def _write_out_15(m, version):
    match = m.match.copy()
    match.set("in_port", m.in_port)
    actions = encode_actions(m.actions, version)
    head = _PACKET_OUT_15.pack(_unbuffer(m.buffer_id), len(actions))
    return b"".join((head, encode_match(match, version), actions, m.packet))


@wire(
    row(ONLY10, MSG, OFPT_PACKET_OUT, _packet_out(_PACKET_OUT_10, int, int)),
    row((OF11, OF14), MSG, OFPT_PACKET_OUT, _packet_out(_PACKET_OUT_11, read_port32, port_to_32)),
    row(ONLY15, MSG, OFPT_PACKET_OUT, Body(_PACKET_OUT_15.size, 1, _read_out_15, _write_out_15)),
)
@record
class PacketOut(Message):
    """`buffer_id` None: the packet is `packet`.  `match`: pipeline fields besides in_port that the
    packet has, which only 1.5 can say."""

    packet: bytes = b""
    in_port: int = OFPP_NONE
    actions: list = field(default_factory=list)
    buffer_id: int | None = None
    match: Match = field(default_factory=Match)
