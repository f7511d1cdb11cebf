"""Flow monitors: Nicira's for 1.0 to 1.2, the ONF's extension 187 for 1.3, and 1.4's.

A monitor is the same in all; their replies tell of changes to the flows that it selects.
"""

from struct import Struct

from ofproto.codec.actions import decode_actions, encode_actions
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import ApplyActions, decode_instructions, encode_instructions
from ofproto.codec.match import Match
from ofproto.codec.match_wire import decode_match, encode_match, oxm_decode, oxm_encode
from ofproto.codec.numbers import OF10, OF12, OFPP_NONE, port_to_32
from pyvs.record import field, record

from .base import (
    EMPTY,
    FROM14,
    NX,
    NX_REPLY,
    NX_REQUEST,
    ONF,
    ONF_REPLY,
    ONF_REQUEST,
    ONLY13,
    REPLY,
    REQUEST,
    Layout,
    Message,
    Runs,
    aligned,
    read_port32,
    row,
    wire,
)

UP_TO_12 = (OF10, OF12)
ALL_TABLES, NO_GROUP = 0xFF, 0xFFFFFFFF
# Flags, as 1.4 has them.  Nicira's bit 5, OWN, is NO_ABBREV.
FM_INITIAL, FM_ADD, FM_REMOVED, FM_MODIFY, FM_INSTRUCTIONS, FM_NO_ABBREV = (
    1 << i for i in range(6)
)
# Open vSwitch says NO_ABBREV with this bit, OFPFMF_ONLY_OWN, in 1.4 and later, and refuses the one
# that is meant for it.  Both are taken here, and this one is sent.
_OWN_14 = 1 << 6
_KNOWN = (FM_NO_ABBREV << 1) - 1
_CHANGES = FM_INITIAL | FM_ADD | FM_REMOVED | FM_MODIFY
MONITOR_ADD, MONITOR_MODIFY, MONITOR_DELETE = range(3)


@record
class Monitor:
    """`table_id` None, `out_port` OFPP_NONE, `out_group` None: any.  `command` other than
    MONITOR_ADD, and `out_group`, are of 1.4."""

    monitor_id: int
    flags: int = 0
    match: Match = field(default_factory=Match)
    table_id: int | None = None
    out_port: int = OFPP_NONE
    out_group: int | None = None
    command: int = MONITOR_ADD


_NX_HEAD, _ONF_HEAD = Struct("!IHHHB5x"), Struct("!IHHIB3x")
_HEAD_14 = Struct("!IIIHBB")


class _Requests(Runs):
    """Items whose length follows from that of the match, which their head has."""

    def __init__(self, head, read_item, write_item, match_length):
        Runs.__init__(self, "monitors", head.size, read_item, write_item)
        self.match_length = match_length

    def read_items(self, data, at, version, found=None):
        found = [] if found is None else found
        while at < len(data):
            if len(data) - at < self.least:
                raise OFError("OFPBRC_BAD_LEN", "truncated monitor")
            end = at + self.least + -(-self.match_length(data, at) // 8) * 8
            if end > len(data):
                raise OFError("OFPBRC_BAD_LEN", "monitor longer than its message")
            found.append(self.read_item(data[at:end], version))
            at = end
        return found


def _check_flags(flags, known):
    if flags & ~known or not flags & _CHANGES:
        raise OFError("OFPMOFC_BAD_FLAGS", f"flags {flags:#x}")
    return flags


def _none(number, none):
    return None if number == none else number


def _number(value, none):
    return none if value is None else value


def _read_nx(data, version):
    number, flags, port, length, table = _NX_HEAD.unpack_from(data)
    _check_flags(flags, _KNOWN)
    if any(data[11 : _NX_HEAD.size]):
        raise OFError("NXBRC_MUST_BE_ZERO")
    at = _NX_HEAD.size
    match = oxm_decode(data[at : at + length])
    return Monitor(number, flags, match, _none(table, ALL_TABLES), port)


def _check_old(m):
    if m.command != MONITOR_ADD:
        raise ValueError("before OpenFlow 1.4 monitors are cancelled by a message of its own")


def _write_nx(m, version):
    _check_old(m)
    match = oxm_encode(m.match, OF10)
    table = _number(m.table_id, ALL_TABLES)
    head = _NX_HEAD.pack(m.monitor_id, m.flags, m.out_port, len(match), table)
    return head + aligned(match)


def _read_onf(data, version):
    number, flags, _length, port, table = _ONF_HEAD.unpack_from(data)
    _check_flags(flags, _KNOWN)
    match, _end = decode_match(data, _ONF_HEAD.size)
    return Monitor(number, flags, match, _none(table, ALL_TABLES), read_port32(port))


def _write_onf(m, version):
    _check_old(m)
    match = encode_match(m.match, version)
    length = int.from_bytes(match[2:4], "big")
    table = _number(m.table_id, ALL_TABLES)
    return _ONF_HEAD.pack(m.monitor_id, m.flags, length, port_to_32(m.out_port), table) + match


def _read_14(data, version):
    number, port, group, flags, table, command = _HEAD_14.unpack_from(data)
    if command == MONITOR_DELETE:
        return Monitor(number, command=command)
    if command > MONITOR_DELETE:
        raise OFError("OFPMOFC_BAD_COMMAND", f"command {command}")
    _check_flags(flags, _KNOWN | _OWN_14)
    if flags & _OWN_14:
        flags = flags & ~_OWN_14 | FM_NO_ABBREV
    match, _end = decode_match(data, _HEAD_14.size)
    return Monitor(
        number, flags, match, _none(table, ALL_TABLES), read_port32(port),
        _none(group, NO_GROUP), command,
    )  # fmt: skip


def _write_14(m, version):
    flags = m.flags
    if flags & FM_NO_ABBREV:
        flags = flags & ~FM_NO_ABBREV | _OWN_14
    return _HEAD_14.pack(
        m.monitor_id, port_to_32(m.out_port), _number(m.out_group, NO_GROUP), flags,
        _number(m.table_id, ALL_TABLES), m.command,
    ) + encode_match(m.match, version)  # fmt: skip


_REQUEST_NX = _Requests(
    _NX_HEAD, _read_nx, _write_nx, lambda data, at: int.from_bytes(data[at + 8 : at + 10], "big")
)


def _own_length(head):
    """What reads the length that a match behind `head` says of itself."""
    place = head.size + 2
    return lambda data, at: int.from_bytes(data[at + place : at + place + 2], "big")


# The ONF's head has the match's length, too, which nobody reads: Open vSwitch does not either.
_REQUEST_ONF = _Requests(_ONF_HEAD, _read_onf, _write_onf, _own_length(_ONF_HEAD))
_REQUEST_14 = _Requests(_HEAD_14, _read_14, _write_14, _own_length(_HEAD_14))


@wire(
    row(UP_TO_12, NX_REQUEST, 2, _REQUEST_NX),
    row(ONLY13, ONF_REQUEST, 1870, _REQUEST_ONF),
    row(FROM14, REQUEST, 16, _REQUEST_14),
)
@record
class FlowMonitorRequest(Message):
    monitors: list[Monitor] = field(default_factory=list)


# Replies

(EV_INITIAL, EV_ADDED, EV_REMOVED, EV_MODIFIED, EV_ABBREV, EV_PAUSED,
 EV_RESUMED) = range(7)  # fmt: skip
_EVENTS_NX = {0: EV_ADDED, 1: EV_REMOVED, 2: EV_MODIFIED, 3: EV_ABBREV}
_NUMBERS_NX = {event: number for number, event in _EVENTS_NX.items()} | {EV_INITIAL: 0}
_SHORT = Struct("!HHI")


@record
class FlowUpdate:
    """A change to a flow; of EV_ABBREV the `xid` of the request that made it, and of it, EV_PAUSED
    and EV_RESUMED nothing else.  `reason` of EV_REMOVED.  `instructions` None: not told."""

    event: int
    match: Match = field(default_factory=Match)
    priority: int = 0
    table_id: int = 0
    cookie: int = 0
    reason: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    instructions: list | None = None
    xid: int = 0


_FULL_NX, _FULL_14 = Struct("!HHHHHHHBxQ"), Struct("!HHBBHHH4xQ")


def _short(length, event, xid):
    if length != _SHORT.size:
        raise OFError("OFPBRC_BAD_LEN", f"update of {length} bytes")
    return FlowUpdate(event, xid=xid)


def _rest_nx(data, size, version):
    """Match and instructions; the match's `size` stands in the head."""
    at = _FULL_NX.size
    end = at + (size + 7) // 8 * 8
    if end > len(data):
        raise OFError("OFPBRC_BAD_LEN", f"match of {size} bytes")
    match = oxm_decode(data[at : at + size])
    if version == OF10:
        return match, decode_instructions(data[end:], OF10)
    actions = decode_actions(data[end:], version)  # alone here, too
    return match, [ApplyActions(actions)] if actions else []


def _rest_onf(data, _size, version):
    match, at = decode_match(data, _FULL_NX.size)
    return match, decode_instructions(data[at:], version)


def _reader(rest_of):
    """Of updates before 1.4, which differ in what `rest_of` reads."""

    def read(data, version):
        length, number, xid = _SHORT.unpack_from(data)
        event = _EVENTS_NX.get(number)
        if event is None:
            raise OFError("NXBRC_FM_BAD_EVENT", f"event {number}")
        if event == EV_ABBREV:
            return _short(length, event, xid)
        if len(data) < _FULL_NX.size:
            raise OFError("OFPBRC_BAD_LEN", f"update of {length} bytes")
        *_, reason, priority, idle, hard, size, table, cookie = _FULL_NX.unpack_from(data)
        match, rest = rest_of(data, size, version)
        return FlowUpdate(event, match, priority, table, cookie, reason, idle, hard, rest)

    return read


def _actions(update, version):
    if version == OF10:
        return encode_instructions(update.instructions or (), OF10, update.match, True)
    for each in update.instructions or ():
        if isinstance(each, ApplyActions):
            return encode_actions(each.actions, version, update.match, True)
    return b""


def _parts_nx(u, version):
    """The match's size, and the bytes of match and instructions."""
    match = oxm_encode(u.match, OF10)
    return len(match), aligned(match) + _actions(u, version)


def _parts_onf(u, version):
    match = encode_match(u.match, version)
    instructions = encode_instructions(u.instructions or (), version, u.match, True)
    return int.from_bytes(match[2:4], "big"), match + instructions


def _number_nx(event):
    number = _NUMBERS_NX.get(event)
    if number is None:
        raise ValueError(f"event {event} before OpenFlow 1.4")
    return number


def _writer(parts_of):
    def write(u, version):
        if u.event == EV_ABBREV:
            return _SHORT.pack(_SHORT.size, _number_nx(u.event), u.xid)
        size, rest = parts_of(u, version)
        return _FULL_NX.pack(
            _FULL_NX.size + len(rest), _number_nx(u.event), u.reason, u.priority, u.idle_timeout,
            u.hard_timeout, size, u.table_id, u.cookie,
        ) + rest  # fmt: skip

    return write


def _read_update_14(data, version):
    length, event, xid = _SHORT.unpack_from(data)
    if event > EV_RESUMED:
        raise OFError("NXBRC_FM_BAD_EVENT", f"event {event}")
    if event >= EV_ABBREV:
        return _short(length, event, xid if event == EV_ABBREV else 0)
    if len(data) < _FULL_14.size:
        raise OFError("OFPBRC_BAD_LEN", f"update of {length} bytes")
    _length, _event, table, reason, idle, hard, priority, cookie = _FULL_14.unpack_from(data)
    match, at = decode_match(data, _FULL_14.size)
    rest = decode_instructions(data[at:], version)
    return FlowUpdate(event, match, priority, table, cookie, reason, idle, hard, rest)


def _write_update_14(u, version):
    if u.event >= EV_ABBREV:
        return _SHORT.pack(_SHORT.size, u.event, u.xid)
    rest = encode_match(u.match, version)
    rest += encode_instructions(u.instructions or (), version, u.match, True)
    return _FULL_14.pack(
        _FULL_14.size + len(rest), u.event, u.table_id, u.reason, u.idle_timeout, u.hard_timeout,
        u.priority, u.cookie,
    ) + rest  # fmt: skip


_UPDATES_NX = Runs("updates", _SHORT.size, _reader(_rest_nx), _writer(_parts_nx))
_UPDATES_ONF = Runs("updates", _SHORT.size, _reader(_rest_onf), _writer(_parts_onf))
_UPDATES_14 = Runs("updates", _SHORT.size, _read_update_14, _write_update_14)


@wire(
    row(UP_TO_12, NX_REPLY, 2, _UPDATES_NX),
    row(ONLY13, ONF_REPLY, 1870, _UPDATES_ONF),
    row(FROM14, REPLY, 16, _UPDATES_14),
)
@record
class FlowMonitorReply(Message):
    """With xid 0 it comes unasked."""

    updates: list[FlowUpdate] = field(default_factory=list)
    more: bool = False


# Before 1.4 these are messages of their own.

_CANCEL = Layout("monitor_id:u32")


@wire(row(UP_TO_12, NX, 21, _CANCEL), row(ONLY13, ONF, 1870, _CANCEL))
@record
class FlowMonitorCancel(Message):
    monitor_id: int


@wire(row(UP_TO_12, NX, 22, EMPTY), row(ONLY13, ONF, 1871, EMPTY))
@record
class FlowMonitorPaused(Message):
    pass


@wire(row(UP_TO_12, NX, 23, EMPTY), row(ONLY13, ONF, 1872, EMPTY))
@record
class FlowMonitorResumed(Message):
    pass
