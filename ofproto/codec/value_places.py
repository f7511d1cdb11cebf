"""Where the values of a flow lie in the bytes of a FLOW_MOD, or of a row of flow statistics: those
that may be others in the next one, which then means the same but for them.

tables/mod_plan and tables/flow_rows have plans made of this, as match_plan has of matches.
"""

from typing import Any, NamedTuple

from datapath.base.protocols import WITH_PORTS

from .fields import BY_NAME
from .match import SLOTS
from .match_fixed import OFP10_MATCH_LEN
from .match_wire import values_in
from .messages.base import HEADER_SIZE, OFPT_VENDOR
from .numbers import OF10, OF12, OF13, OF14

_ALL_TABLES = 0xFF
_VENDOR_SIZE = 16  # header, vendor, subtype
_PORT_AT = SLOTS[BY_NAME["in_port"]].end


class Copy(NamedTuple):
    """Bytes [begin, end), which are in the flow key from `to` on.  `mask_begin` 0: there is no
    mask.  `is_port`: only where it is below OFPP_MAX."""

    begin: int
    end: int
    to: int
    mask_begin: int = 0
    is_port: bool = False


class ModPlaces(NamedTuple):
    """Positions in the message.  `importance` 0: it has none.  `fixed_priority` None: it is the
    message's."""

    cookie: int
    idle: int
    hard: int
    priority: int
    importance: int
    copies: list[Copy]
    fixed_priority: int | None = None


def of_mod(raw: bytes, mod: Any) -> ModPlaces | None:
    """Of a FLOW_MOD that was decoded, and accepted; None where its form is not a frequent one."""
    version = mod.version
    if version == OF10 and raw[1] != OFPT_VENDOR:
        at = HEADER_SIZE
        wild = int.from_bytes(raw[at : at + 4], "big")
        rest = at + OFP10_MATCH_LEN
        priority = None if wild & _ANY_10 else mod.priority
        copies = _of10(raw, at)
        return ModPlaces(rest, rest + 10, rest + 12, rest + 14, 0, copies, priority)
    if version == OF10:
        at = _VENDOR_SIZE
        found = _of_tlvs(raw, at + 32, _number16(raw, at + 24))
        return None if found is None else ModPlaces(at, at + 10, at + 12, at + 14, 0, found)
    if version < OF12:
        return None
    at = HEADER_SIZE
    found = _of_match(raw, at + 40)
    if found is None:
        return None
    importance = at + 38 if version > OF13 else 0
    return ModPlaces(at, at + 18, at + 20, at + 22, importance, found)


def of_row(raw: bytes, version: int, nxm: bool) -> list[Copy] | None:
    """Of a row of flow statistics; None as with of_mod()."""
    if version == OF10:
        return _of_tlvs(raw, 48, _number16(raw, 18)) if nxm else _of10(raw, 4)
    return _of_match(raw, 48) if OF12 <= version <= OF14 else None


def mod_instructions_at(raw: bytes) -> int:
    """Where the instructions of a FLOW_MOD of these forms begin."""
    if raw[0] > OF10:
        return HEADER_SIZE + 40 + _padded(_number16(raw, HEADER_SIZE + 42))
    if raw[1] == OFPT_VENDOR:
        return _VENDOR_SIZE + 32 + _padded(_number16(raw, _VENDOR_SIZE + 24))
    return HEADER_SIZE + OFP10_MATCH_LEN + 24


def row_instructions_at(raw: bytes, version: int, nxm: bool) -> int:
    """The same of a row of flow statistics."""
    if version > OF10:
        return 48 + _padded(_number16(raw, 50))
    return 48 + _padded(_number16(raw, 18)) if nxm else 48 + OFP10_MATCH_LEN


def tlvs_of_mod(raw: bytes) -> tuple[int, int]:
    """Where the match of a FLOW_MOD with OXMs or NXMs begins, and its size."""
    if raw[0] == OF10:
        return _VENDOR_SIZE + 32, _number16(raw, _VENDOR_SIZE + 24)
    return HEADER_SIZE + 44, _number16(raw, HEADER_SIZE + 42) - 4


def tlvs_of_row(raw: bytes, version: int) -> tuple[int, int]:
    """The same of a row of flow statistics."""
    return (48, _number16(raw, 18)) if version == OF10 else (52, _number16(raw, 50) - 4)


def row_priority_at(version: int, nxm: bool) -> int:
    return 12 if version > OF10 or nxm else 52


def row_of_mod(raw: bytes) -> bytes:
    """A FLOW_MOD with OXMs or NXMs as a row of flow statistics of the same version: what it matches
    and does, its cookie, timeouts and importance."""
    nxm = raw[0] == OF10
    table = b"\0" if nxm and raw[24] == _ALL_TABLES else raw[24:25]
    numbers = raw[30:32] + raw[26:30]  # priority, timeouts
    rest = raw[40:42] + bytes(4) if nxm else bytes(2) + raw[46:48] + bytes(2)
    cookie = raw[16:24] if nxm else raw[8:16]
    size = len(raw).to_bytes(2, "big")
    return b"".join((size, table, bytes(9), numbers, rest, cookie, bytes(16), raw[48:]))


def row_body(version: int, nxm: bool, size: int) -> list[tuple[int, int]]:
    """Where a row of this size says what a flow matches and does, its priority included."""
    if version == OF10 and not nxm:
        return [(4, 44), (52, 54), (88, size)]
    return [(12, 14), *([(18, 20)] if nxm else []), (48, size)]


def _padded(size):
    return (size + 7) // 8 * 8


def _number16(raw, at):
    return int.from_bytes(raw[at : at + 2], "big")


def _of_match(raw, at):
    """Of an ofp_match of 1.2 and later."""
    if _number16(raw, at) != 1:
        return None  # 1.1's structure
    return _of_tlvs(raw, at + 4, _number16(raw, at + 2) - 4)


def _of_tlvs(raw, at, size):
    parts = values_in(raw[at : at + size])
    if parts is None:
        return None
    copies = []
    for begin, end, place, has_mask, field in parts:
        middle = (begin + end) // 2 if has_mask else end
        if place is not None:
            mask_begin = at + middle if has_mask else 0
            copies.append(Copy(at + begin, at + middle, place[0], mask_begin))
        elif field.text == "port" and field.slot[0] == "in_port" and not has_mask:
            copies.append(Copy(at + begin, at + end, _PORT_AT - (end - begin), 0, True))
    return copies


# Members of 1.0's ofp_match: position, size, field, and the bits for its wildcards
_MEMBERS_10 = (
    (4, 2, "in_port", 1),
    (6, 6, "eth_src", 1 << 2),
    (12, 6, "eth_dst", 1 << 3),
    (28, 4, "ip_src", 0x3F << 8),
    (32, 4, "ip_dst", 0x3F << 14),
    (36, 2, "tcp_src", 1 << 6),
    (38, 2, "tcp_dst", 1 << 7),
)
_TYPE_AT, _PROTO_AT = 22, 25
_ANY_TYPE, _ANY_PROTO, _ANY_10 = 1 << 4, 1 << 5, (1 << 22) - 1


def _of10(raw, at):
    """The members that are matched exactly, and mean what they say."""
    wild = int.from_bytes(raw[at : at + 4], "big")
    is_ip = not wild & _ANY_TYPE and raw[at + _TYPE_AT : at + _TYPE_AT + 2] == b"\x08\0"
    with_ports = is_ip and not wild & _ANY_PROTO and raw[at + _PROTO_AT] in WITH_PORTS
    means = {"ip_src": is_ip, "ip_dst": is_ip, "tcp_src": with_ports, "tcp_dst": with_ports}
    copies = []
    for position, size, name, bits in _MEMBERS_10:
        if means.get(name, True) and not wild & bits:
            begin = at + position
            to = SLOTS[BY_NAME[name]].end - size
            copies.append(Copy(begin, begin + size, to, 0, name == "in_port"))
    return copies
