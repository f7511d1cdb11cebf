"""FLOW_MOD, FLOW_REMOVED, flow and aggregate statistics, with Nicira's forms for OpenFlow 1.0.

Flows are what there are ten thousands of: these bodies are written by hand for speed.
"""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.instructions import decode_instructions, encode_instructions
from ofproto.codec.match import Match
from ofproto.codec.match_fixed import (
    OFP10_MATCH_LEN,
    OFP10_WILDCARDS,
    of10_decode,
    of10_decode_loose,
    of10_encode,
)
from ofproto.codec.match_wire import decode_match, encode_match, oxm_decode, oxm_encode
from ofproto.codec.normal_form import normalize
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF12,
    OF13,
    OF14,
    OFPP_NONE,
    OFPRR_DELETE,
    OFPRR_IDLE_TIMEOUT,
    OFPRR_METER_DELETE,
    port_to_32,
)
from pyvs.record import field, record

from . import oxs
from .base import (
    ANY,
    FROM11,
    MSG,
    NO_BUFFER,
    NX,
    NX_REPLY,
    NX_REQUEST,
    OFPT_FLOW_MOD,
    ONLY10,
    ONLY15,
    REPLY,
    REQUEST,
    UP_TO_14,
    Body,
    Layout,
    Message,
    Runs,
    aligned,
    encode,
    read_port32,
    row,
    wire,
)

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS, NO_PKT_COUNTS, NO_BYT_COUNTS = 1, 2, 4, 8, 16
_FLAGS_10, _EMERG_10 = SEND_FLOW_REM | CHECK_OVERLAP, 4
_FLAGS = {OF10: 3, OF11: 3, OF12: 7}
_FLAGS_13 = 0x1F
ALL_TABLES = 0xFF
NO_GROUP = 0xFFFFFFFF
ALL_ONES = (1 << 64) - 1


def _none(number, none):
    return None if number == none else number


def _number(value, none):
    return none if value is None else value


def _nxm(data, at, length, cookie=None):
    """The NXM match of `length` bytes at `at`, and where what follows its padding starts."""
    end = at + (length + 7) // 8 * 8
    if end > len(data):
        raise OFError("OFPBMC_BAD_LEN", f"match of {length} bytes")
    return oxm_decode(data[at : at + length], True, cookie), end


def _instructions(flow, version):
    """Of a FlowMod; bytes are those of this version."""
    if isinstance(flow.instructions, bytes):
        return flow.instructions
    return encode_instructions(flow.instructions, version, flow.match)


def _lossy(flow, version):
    """A flow's instructions as far as the version can say them."""
    return encode_instructions(flow.instructions, version, flow.match, True)


# FLOW_MOD


@record
class FlowMod(Message):
    """`command`: ADD, MODIFY, MODIFY_STRICT, DELETE or DELETE_STRICT.

    `cookie` is that of the flow to ADD; for the others, those bits of it that `cookie_mask` has
    must be in a flow's cookie.  `new_cookie`: what MODIFY gives to the flows that it changes, None
    for nothing; only 1.0's form and Nicira's can say it.  `table_id` None: all tables, or the
    switch's choice (the first one, where the form must name one).  `flags` as in 1.3; of an ADD
    of 1.0 or 1.1, RESET_COUNTS is set.  `nicira`: it came as NXT_FLOW_MOD, which a version above
    1.0 may use, too, with its own instructions; `command` then always has the table.
    """

    command: int = ADD
    match: Match = field(default_factory=Match)
    priority: int = 0x8000
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int | None = None
    table_id: int | None = None
    idle_timeout: int = 0
    hard_timeout: int = 0
    buffer_id: int | None = None
    out_port: int = OFPP_NONE
    out_group: int | None = None
    flags: int = 0
    importance: int = 0
    instructions: list = field(default_factory=list)
    nicira: bool = field(default=False, compare=False, repr=False, kw_only=True)

    def encode(
        self, version: int, xid: int = 0, *, nxm: bool = False, table_id_in_command: bool = False
    ) -> bytes:
        """`nxm`: NXT_FLOW_MOD where the version is 1.0.  `table_id_in_command`: the connection
        has FLOW_MOD_TABLE_ID on, so that 1.0's forms can name a table."""
        if version > OF10:
            return encode(self, version, xid, "")
        raw = encode(self, version, xid, "nx" if nxm else "")
        if not table_id_in_command:
            return raw
        raw = bytearray(raw)
        table = ALL_TABLES if self.table_id is None else self.table_id
        raw[_COMMAND_AT_NX if nxm else _COMMAND_AT_10] = table
        return bytes(raw)

    def wire_table(self, version: int) -> int:
        """The table as 1.1 and later want it, where ADD and MODIFY must name one; 1.1 knows none
        that stands for all."""
        deletes = self.command >= DELETE and version > OF11
        return _number(self.table_id, ALL_TABLES if deletes else 0)

    def settle(self, table_id_on: bool) -> None:
        """After decoding: takes the table out of `command` where the connection has
        FLOW_MOD_TABLE_ID on, and checks what goes together.  Raises OFError OFPFMFC_*."""
        as_in_10 = self.nicira or self.version == OF10
        if table_id_on if self.version == OF10 else self.nicira:
            self.table_id = _none(self.command >> 8, ALL_TABLES)
            self.command &= 0xFF
        if self.command > DELETE_STRICT:
            raise OFError("OFPFMFC_BAD_COMMAND", f"command {self.command}")
        if self.version <= OF11 and self.command == ADD:
            self.flags |= RESET_COUNTS
        if as_in_10:
            self._settle_cookie()

    def missing_cookie(self, version: int) -> int | None:
        """The cookie of the flow that a MODIFY of this version adds when it finds none; None: it
        adds none."""
        adds_always = version == OF11 and not self.nicira
        if self.cookie_mask or (self.new_cookie is None and not adds_always):
            return None
        found = self.cookie if self.new_cookie is None else self.new_cookie
        return None if found == ALL_ONES else found

    def _settle_cookie(self):
        """1.0's one cookie (in `new_cookie` so far) is that of an ADD, or what MODIFY sets."""
        if self.command == ADD:
            if self.cookie_mask:
                raise OFError("NXBRC_NXM_INVALID", "ADD with a cookie to match")
            self.cookie, self.new_cookie = self.new_cookie, None
        elif self.new_cookie == ALL_ONES or (self.command >= DELETE and not self.new_cookie):
            self.new_cookie = None


_FLOW_MOD_10 = Struct("!QHHHHIHH")
_FLOW_MOD_NX = Struct("!QHHHHIHHH6x")
_FLOW_MOD_11 = Struct("!QQBBHHHIIIHH")
_COMMAND_AT_10 = 8 + OFP10_MATCH_LEN + 8
_COMMAND_AT_NX = 16 + 8


def _flags(raw, version):
    known = _FLAGS.get(version, _FLAGS_13)
    if version == OF10:
        known |= _EMERG_10
    if raw & ~known:
        raise OFError("OFPFMFC_BAD_FLAGS", f"flags {raw:#x}")
    return raw


def _rest(command, data, version, flags, is_timed):
    """(flags, instructions) of a FLOW_MOD, whose last bytes `data` are: what is wrong is told in
    Open vSwitch's order."""
    if command & 0xFF > DELETE_STRICT:  # above it may be the table
        raise OFError("OFPFMFC_BAD_COMMAND", f"command {command}")
    instructions = decode_instructions(data, version)
    found = _flags(flags, version)
    if version == OF10 and found & _EMERG_10:
        name = "OFPFMFC_BAD_EMERG_TIMEOUT" if is_timed else "OFPFMFC_TABLE_FULL"
        raise OFError(name, "no emergency flows here")
    return found, instructions


def _read_mod_10(cls, data, version):
    match = of10_decode_loose(data)
    normalize(match)
    cookie, command, idle, hard, priority, buffer_id, port, flags = _FLOW_MOD_10.unpack_from(
        data, OFP10_MATCH_LEN
    )
    if not int.from_bytes(data[:4], "big") & OFP10_WILDCARDS:
        priority = 0xFFFF  # 1.0: flows without wildcards come first
    rest = data[OFP10_MATCH_LEN + _FLOW_MOD_10.size :]
    flags, instructions = _rest(command, rest, version, flags, idle or hard)
    return cls(
        command, match, priority, 0, 0, cookie, None, idle, hard, _none(buffer_id, NO_BUFFER),
        port, None, flags, 0, instructions,
    )  # fmt: skip


def _cookie_10(m):
    if m.command == ADD:
        return m.cookie
    return _number(m.new_cookie, 0 if m.command >= DELETE else ALL_ONES)


def _write_mod_10(m, version):
    if m.cookie_mask and m.command != ADD:
        raise ValueError("OpenFlow 1.0 cannot match a cookie; NXT_FLOW_MOD can")
    return b"".join((
        of10_encode(m.match),
        _FLOW_MOD_10.pack(
            _cookie_10(m), m.command, m.idle_timeout, m.hard_timeout, m.priority,
            _number(m.buffer_id, NO_BUFFER), m.out_port, m.flags & _FLAGS_10),
        _instructions(m, version),
    ))  # fmt: skip


def _read_mod_nx(cls, data, version):
    new, command, idle, hard, priority, buffer_id, port, flags, length = _FLOW_MOD_NX.unpack_from(
        data
    )
    cookies = []
    match, at = _nxm(data, _FLOW_MOD_NX.size, length, cookies)
    cookie, mask = cookies[0] if cookies else (0, 0)
    flags, instructions = _rest(command, data[at:], version, flags, idle or hard)
    return cls(
        command, match, priority, cookie, mask, new, None, idle, hard,
        _none(buffer_id, NO_BUFFER), port, None, flags, 0, instructions, nicira=True,
    )  # fmt: skip


def _write_mod_nx(m, version):
    cookie = None if m.command == ADD else (m.cookie & m.cookie_mask, m.cookie_mask)
    match = oxm_encode(m.match, OF10, cookie)
    return b"".join((
        _FLOW_MOD_NX.pack(
            _cookie_10(m), m.command, m.idle_timeout, m.hard_timeout, m.priority,
            _number(m.buffer_id, NO_BUFFER), m.out_port, m.flags & _FLAGS_10, len(match)),
        aligned(match),
        _instructions(m, OF10),
    ))  # fmt: skip


def _read_mod_12(cls, data, version):
    (cookie, mask, table, command, idle, hard, priority, buffer_id, port, group, flags,
     importance) = _FLOW_MOD_11.unpack_from(data)  # fmt: skip
    match, at = decode_match(data, _FLOW_MOD_11.size)
    if table == ALL_TABLES and (version == OF11 or command not in (DELETE, DELETE_STRICT)):
        raise OFError("OFPFMFC_BAD_TABLE_ID", "flows are in one table")
    port = read_port32(port)
    flags, instructions = _rest(command, data[at:], version, flags, idle or hard)
    return cls(
        command, match, priority, cookie, 0 if command == ADD else mask, None,
        _none(table, ALL_TABLES), idle, hard, _none(buffer_id, NO_BUFFER), port,
        _none(group, NO_GROUP), flags, importance if version > OF13 else 0, instructions,
    )  # fmt: skip


def _cookie_11(m, version):
    """1.1's MODIFY of any cookie has that of the flow that it may add."""
    adds = version == OF11 and m.command in (MODIFY, MODIFY_STRICT) and not m.cookie_mask
    return m.new_cookie if adds and m.new_cookie is not None else m.cookie


def _write_mod_12(m, version):
    return b"".join((
        _FLOW_MOD_11.pack(
            _cookie_11(m, version), m.cookie_mask, m.wire_table(version), m.command, m.idle_timeout,
            m.hard_timeout, m.priority, _number(m.buffer_id, NO_BUFFER), port_to_32(m.out_port),
            _number(m.out_group, NO_GROUP), m.flags & _FLAGS.get(version, _FLAGS_13),
            m.importance if version > OF13 else 0),
        encode_match(m.match, version),
        _instructions(m, version),
    ))  # fmt: skip


wire(
    row(
        ONLY10,
        MSG,
        OFPT_FLOW_MOD,
        Body(OFP10_MATCH_LEN + _FLOW_MOD_10.size, 8, _read_mod_10, _write_mod_10),
    ),
    row(FROM11, MSG, OFPT_FLOW_MOD, Body(_FLOW_MOD_11.size, 8, _read_mod_12, _write_mod_12)),
    row(ANY, NX, 13, Body(_FLOW_MOD_NX.size, 8, _read_mod_nx, _write_mod_nx), "nx"),
)(FlowMod)


# FLOW_REMOVED


@record
class FlowRemoved(Message):
    """`reason`: RR_*.  `nxm`: NXT_FLOW_REMOVED where the version is 1.0.  `table_id` None, and
    `hard_timeout` 0: the form says none."""

    match: Match
    priority: int
    cookie: int = 0
    reason: int = OFPRR_IDLE_TIMEOUT
    table_id: int | None = None
    duration_sec: int = 0
    duration_nsec: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    n_packets: int = 0
    n_bytes: int = 0
    nxm: bool = False

    def form(self, version: int) -> str:
        return "nx" if self.nxm and version == OF10 else ""


def _reason(m, version):
    """Before 1.4 a flow that went with its meter was just deleted."""
    return OFPRR_DELETE if m.reason == OFPRR_METER_DELETE and version < OF14 else m.reason


_REMOVED_10 = Struct("!QHBxIIH2xQQ")
_REMOVED_12 = Struct("!QHBBIIHHQQ")
_REMOVED_NX = Struct("!QHBBIIHHQQ")
_REMOVED_15 = Struct("!BBHHHQ")


def _read_removed_10(cls, data, version):
    cookie, priority, reason, sec, nsec, idle, packets, n_bytes = _REMOVED_10.unpack_from(
        data, OFP10_MATCH_LEN
    )
    match = of10_decode_loose(data)
    return cls(match, priority, cookie, reason, None, sec, nsec, idle, 0, packets, n_bytes)


def _write_removed_10(m, version):
    return of10_encode(m.match) + _REMOVED_10.pack(
        m.cookie, m.priority, _reason(m, version), m.duration_sec, m.duration_nsec,
        m.idle_timeout, m.n_packets, m.n_bytes,
    )  # fmt: skip


def _read_removed_12(cls, data, version):
    cookie, priority, reason, table, sec, nsec, idle, hard, packets, n_bytes = (
        _REMOVED_12.unpack_from(data)
    )
    match, _end = decode_match(data, _REMOVED_12.size)
    return cls(match, priority, cookie, reason, table, sec, nsec, idle, hard, packets, n_bytes)


def _write_removed_12(m, version):
    return _REMOVED_12.pack(
        m.cookie, m.priority, _reason(m, version), _number(m.table_id, ALL_TABLES),
        m.duration_sec, m.duration_nsec, m.idle_timeout, m.hard_timeout, m.n_packets, m.n_bytes,
    ) + encode_match(m.match, version)  # fmt: skip


def _read_removed_15(cls, data, version):
    table, reason, priority, idle, hard, cookie = _REMOVED_15.unpack_from(data)
    match, at = decode_match(data, _REMOVED_15.size)
    stats, end = oxs.read(data, at)
    if end != len(data):
        raise OFError("OFPBRC_BAD_LEN", "bytes behind the statistics")
    sec, nsec = stats.get(oxs.DURATION, (0, 0))
    return cls(
        match, priority, cookie, reason, table, sec, nsec, idle, hard,
        stats.get(oxs.PACKETS, 0), stats.get(oxs.BYTES, 0),
    )  # fmt: skip


def _write_removed_15(m, version):
    stats = oxs.write({
        oxs.DURATION: (m.duration_sec, m.duration_nsec),
        oxs.PACKETS: m.n_packets,
        oxs.BYTES: m.n_bytes,
    })  # fmt: skip
    head = _REMOVED_15.pack(
        _number(m.table_id, ALL_TABLES), _reason(m, version), m.priority, m.idle_timeout,
        m.hard_timeout, m.cookie,
    )  # fmt: skip
    return head + encode_match(m.match, version) + stats


def _read_removed_nx(cls, data, version):
    cookie, priority, reason, table, sec, nsec, idle, length, packets, n_bytes = (
        _REMOVED_NX.unpack_from(data)
    )
    match, end = _nxm(data, _REMOVED_NX.size, length)
    if end != len(data):
        raise OFError("OFPBRC_BAD_LEN", "bytes behind the match")
    table = table - 1 if table else None  # one more than the table; 0: not said
    return cls(match, priority, cookie, reason, table, sec, nsec, idle, 0, packets, n_bytes, True)


def _write_removed_nx(m, version):
    match = oxm_encode(m.match, OF10)
    table = 0 if m.table_id is None else m.table_id + 1
    return _REMOVED_NX.pack(
        m.cookie, m.priority, _reason(m, version), table, m.duration_sec, m.duration_nsec,
        m.idle_timeout, len(match), m.n_packets, m.n_bytes,
    ) + aligned(match)  # fmt: skip


wire(
    row(
        ONLY10, MSG, 11,
        Body(OFP10_MATCH_LEN + _REMOVED_10.size, 0, _read_removed_10, _write_removed_10),
    ),
    row(UP_TO_14, MSG, 11, Body(_REMOVED_12.size, 8, _read_removed_12, _write_removed_12)),
    row(ONLY15, MSG, 11, Body(_REMOVED_15.size, 8, _read_removed_15, _write_removed_15)),
    row(ANY, NX, 14, Body(_REMOVED_NX.size, 8, _read_removed_nx, _write_removed_nx), "nx"),
)(FlowRemoved)  # fmt: skip


# Requests for statistics of flows


class _Nxm:
    """A message with `nxm`: Nicira's form where the version is 1.0."""

    __slots__ = ()

    def form(self, version: int) -> str:
        return "nx" if self.nxm and version == OF10 else ""


@record
class FlowStatsRequest(_Nxm, Message):
    """Which flows: `table_id` None for all tables; those whose cookie has `cookie` in the bits of
    `cookie_mask`; `out_port` OFPP_NONE and `out_group` None for any."""

    match: Match = field(default_factory=Match)
    table_id: int | None = None
    out_port: int = OFPP_NONE
    out_group: int | None = None
    cookie: int = 0
    cookie_mask: int = 0
    nxm: bool = False


@record
class AggregateRequest(_Nxm, Message):
    """Which flows, as in FlowStatsRequest."""

    match: Match = field(default_factory=Match)
    table_id: int | None = None
    out_port: int = OFPP_NONE
    out_group: int | None = None
    cookie: int = 0
    cookie_mask: int = 0
    nxm: bool = False


_REQUEST_10 = Struct("!BxH")
_REQUEST_11 = Struct("!B3xII4xQQ")
_REQUEST_NX = Struct("!HHB3x")


def _read_request_10(cls, data, version):
    table, port = _REQUEST_10.unpack_from(data, OFP10_MATCH_LEN)
    return cls(of10_decode(data), _none(table, ALL_TABLES), port)


def _write_request_10(m, version):
    if m.cookie_mask:
        raise ValueError("OpenFlow 1.0 cannot match a cookie; NXST_FLOW can")
    table = _number(m.table_id, ALL_TABLES)
    return of10_encode(m.match) + _REQUEST_10.pack(table, m.out_port)


def _read_request_12(cls, data, version):
    table, port, group, cookie, mask = _REQUEST_11.unpack_from(data)
    port = read_port32(port)
    match, _end = decode_match(data, _REQUEST_11.size)  # 1.5 has statistics behind it
    return cls(match, _none(table, ALL_TABLES), port, _none(group, NO_GROUP), cookie, mask)


def _write_request_12(m, version):
    return _REQUEST_11.pack(
        _number(m.table_id, ALL_TABLES), port_to_32(m.out_port), _number(m.out_group, NO_GROUP),
        m.cookie, m.cookie_mask,
    ) + encode_match(m.match, version)  # fmt: skip


def _read_request_nx(cls, data, version):
    port, length, table = _REQUEST_NX.unpack_from(data)
    cookies = []
    match, end = _nxm(data, _REQUEST_NX.size, length, cookies)
    if end != len(data):
        raise OFError("OFPBRC_BAD_LEN", "bytes behind the match")
    cookie, mask = cookies[0] if cookies else (0, 0)
    return cls(match, _none(table, ALL_TABLES), port, None, cookie, mask, True)


def _write_request_nx(m, version):
    match = oxm_encode(m.match, OF10, (m.cookie & m.cookie_mask, m.cookie_mask))
    table = _number(m.table_id, ALL_TABLES)
    return _REQUEST_NX.pack(m.out_port, len(match), table) + aligned(match)


_FLOWS_10 = Body(OFP10_MATCH_LEN + _REQUEST_10.size, 0, _read_request_10, _write_request_10)
_FLOWS_12 = Body(_REQUEST_11.size, 8, _read_request_12, _write_request_12)
_FLOWS_NX = Body(_REQUEST_NX.size, 8, _read_request_nx, _write_request_nx)
for _cls, _number_, _number_nx in ((FlowStatsRequest, 1, 0), (AggregateRequest, 2, 1)):
    wire(
        row(ONLY10, REQUEST, _number_, _FLOWS_10),
        row(FROM11, REQUEST, _number_, _FLOWS_12),
        row(ONLY10, NX_REQUEST, _number_nx, _FLOWS_NX, "nx"),
    )(_cls)


# Statistics of flows


@record
class FlowStats:
    """A flow.  `idle_age`, `hard_age`: seconds since its last packet, and since it was added or
    modified; only NXST_FLOW has them.  Counters are None where the switch does not know."""

    match: Match
    priority: int = 0x8000
    table_id: int = 0
    cookie: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    idle_age: int | None = None
    hard_age: int | None = None
    flags: int = 0
    importance: int = 0
    n_packets: int | None = 0
    n_bytes: int | None = 0
    instructions: list = field(default_factory=list)


_FLOW_10 = Struct("!IIHHH6xQQQ")
_FLOW_11 = Struct("!HBxIIHHHHH2xQQQ")
_FLOW_NX = Struct("!HBxIIHHHHHHQQQ")
_FLOW_HEAD_10 = Struct("!HBx")
_NX_MATCH_LENGTH_AT = 18
_FLOW_SIZE_10 = _FLOW_HEAD_10.size + OFP10_MATCH_LEN + _FLOW_10.size


def read_row_head(data: bytes, version: int, nxm: bool) -> FlowStats:
    """A flow without match and instructions, from its row (up to 1.4)."""
    if version == OF10:
        return _head_nx(data, version) if nxm else _head_10(data, version)
    return _head_12(data, version)


def _head_10(data, version, match=None, instructions=()):
    sec, nsec, priority, idle, hard, cookie, packets, n_bytes = _FLOW_10.unpack_from(
        data, _FLOW_HEAD_10.size + OFP10_MATCH_LEN
    )
    return FlowStats(
        match, priority, data[2], cookie, sec, nsec, idle, hard, None, None, 0, 0,
        _none(packets, ALL_ONES), _none(n_bytes, ALL_ONES), instructions,
    )  # fmt: skip


def _read_flow_10(data, version):
    match = of10_decode_loose(data, _FLOW_HEAD_10.size)
    return _head_10(data, version, match, decode_instructions(data[_FLOW_SIZE_10:], version))


def _write_flow_10(f, version):
    rest = _lossy(f, version)
    return b"".join((
        _FLOW_HEAD_10.pack(_FLOW_SIZE_10 + len(rest), f.table_id),
        of10_encode(f.match),
        _FLOW_10.pack(
            f.duration_sec, f.duration_nsec, f.priority, f.idle_timeout, f.hard_timeout, f.cookie,
            _number(f.n_packets, ALL_ONES), _number(f.n_bytes, ALL_ONES)),
        rest,
    ))  # fmt: skip


def _head_12(data, version, match=None, instructions=()):
    (_length, table, sec, nsec, priority, idle, hard, flags, importance, cookie, packets,
     n_bytes) = _FLOW_11.unpack_from(data)  # fmt: skip
    if version < OF13:
        flags = 0
    return FlowStats(
        match, priority, table, cookie, sec, nsec, idle, hard, None, None, flags,
        importance if version > OF13 else 0, _none(packets, ALL_ONES), _none(n_bytes, ALL_ONES),
        instructions,
    )  # fmt: skip


def _read_flow_12(data, version):
    match, at = decode_match(data, _FLOW_11.size)
    return _head_12(data, version, match, decode_instructions(data[at:], version))


def _write_flow_12(f, version):
    match = f.match
    rest = encode_match(match, version)
    rest += _lossy(f, version)
    return _FLOW_11.pack(
        _FLOW_11.size + len(rest), f.table_id, f.duration_sec, f.duration_nsec, f.priority,
        f.idle_timeout, f.hard_timeout, f.flags if version >= OF13 else 0,
        f.importance if version > OF13 else 0, f.cookie,
        ALL_ONES if f.n_packets is None else f.n_packets,
        ALL_ONES if f.n_bytes is None else f.n_bytes,
    ) + rest  # fmt: skip


def _age(value):
    """An age as it is sent: one more than it; 0 when it is not known."""
    return 0 if value is None else min(value + 1, 0xFFFF)


def _head_nx(data, version, match=None, instructions=()):
    (_length, table, sec, nsec, priority, idle, hard, _match_length, idle_age, hard_age, cookie,
     packets, n_bytes) = _FLOW_NX.unpack_from(data)  # fmt: skip
    return FlowStats(
        match, priority, table, cookie, sec, nsec, idle, hard,
        idle_age - 1 if idle_age else None, hard_age - 1 if hard_age else None, 0, 0,
        _none(packets, ALL_ONES), _none(n_bytes, ALL_ONES), instructions,
    )  # fmt: skip


def _read_flow_nx(data, version):
    length = int.from_bytes(data[_NX_MATCH_LENGTH_AT : _NX_MATCH_LENGTH_AT + 2], "big")
    match, at = _nxm(data, _FLOW_NX.size, length)
    return _head_nx(data, version, match, decode_instructions(data[at:], OF10))


def _write_flow_nx(f, version):
    match = oxm_encode(f.match, OF10)
    rest = aligned(match) + _lossy(f, OF10)
    return _FLOW_NX.pack(
        _FLOW_NX.size + len(rest), f.table_id, f.duration_sec, f.duration_nsec, f.priority,
        f.idle_timeout, f.hard_timeout, len(match), _age(f.idle_age), _age(f.hard_age), f.cookie,
        ALL_ONES if f.n_packets is None else f.n_packets,
        ALL_ONES if f.n_bytes is None else f.n_bytes,
    ) + rest  # fmt: skip


# 1.5: what a flow is, and its statistics as OXS


def _read_flow_15(data, version):
    _length, table, priority, idle, hard, flags, importance, cookie = _FLOW_15.unpack_from(data)
    match, at = decode_match(data, _FLOW_15.size)
    stats, at = oxs.read(data, at)
    sec, nsec = stats.get(oxs.DURATION, (0, 0))
    idle_age = stats.get(oxs.IDLE_TIME)
    return FlowStats(
        match, priority, table, cookie, sec, nsec, idle, hard,
        None if idle_age is None else idle_age[0], None, flags, importance,
        stats.get(oxs.PACKETS), stats.get(oxs.BYTES), decode_instructions(data[at:], version),
    )  # fmt: skip


def _write_flow_15(f, version):
    stats = {
        oxs.DURATION: (f.duration_sec, f.duration_nsec),
        oxs.IDLE_TIME: None if f.idle_age is None else (f.idle_age, 0),
        oxs.PACKETS: f.n_packets,
        oxs.BYTES: f.n_bytes,
    }
    rest = encode_match(f.match, version) + oxs.write(stats) + _lossy(f, version)
    return _FLOW_15.pack(
        _FLOW_15.size + len(rest), f.table_id, f.priority, f.idle_timeout, f.hard_timeout,
        f.flags, f.importance, f.cookie,
    ) + rest  # fmt: skip


_FLOW_15 = Struct("!H2xBxHHHHHQ")


class _Flows(Runs):
    step = 1


@wire(
    row(ONLY10, REPLY, 1, _Flows("flows", _FLOW_SIZE_10, _read_flow_10, _write_flow_10)),
    row(UP_TO_14, REPLY, 1, _Flows("flows", _FLOW_11.size, _read_flow_12, _write_flow_12)),
    row(ONLY15, REPLY, 1, _Flows("flows", _FLOW_15.size, _read_flow_15, _write_flow_15)),
    row(
        ONLY10, NX_REPLY, 0,
        _Flows("flows", _FLOW_NX.size, _read_flow_nx, _write_flow_nx, Layout("", nxm=True)), "nx",
    ),
)  # fmt: skip
@record
class FlowStatsReply(_Nxm, Message):
    flows: list[FlowStats] = field(default_factory=list)
    more: bool = False
    nxm: bool = False


_AGGREGATE = "n_packets:u64? n_bytes:u64? n_flows:u32 pad:4"


def _read_aggregate_15(cls, data, version):
    stats, end = oxs.read(data, 0)
    if end != len(data):
        raise OFError("OFPBRC_BAD_LEN", "bytes behind the statistics")
    return cls(stats.get(oxs.PACKETS), stats.get(oxs.BYTES), stats.get(oxs.FLOWS, 0))


def _write_aggregate_15(m, version):
    return oxs.write({oxs.FLOWS: m.n_flows, oxs.PACKETS: m.n_packets, oxs.BYTES: m.n_bytes})


@wire(
    row((OF10, OF14), REPLY, 2, Layout(_AGGREGATE)),
    row(ONLY15, REPLY, 2, Body(0, 1, _read_aggregate_15, _write_aggregate_15)),
    row(ONLY10, NX_REPLY, 1, Layout(_AGGREGATE, nxm=True), "nx"),
)
@record
class AggregateReply(_Nxm, Message):
    n_packets: int | None = 0
    n_bytes: int | None = 0
    n_flows: int = 0
    nxm: bool = False
