"""Where the values of the actions that a flow applies lie in the bytes of its instructions: those
that may be others in the next flow, which then does the same but for them.

As value_places for matches; tables/mod_plan and tables/flow_rows have plans made of this.  A value
is one only where any bytes may stand there: whole bytes of a field without limits, or a port.
"""

from typing import NamedTuple

from .actions.base import NX_VENDOR_ID, OFPAT_VENDOR
from .actions.set import SETTERS
from .fields import BY_CODE, BY_NAME, Field
from .instructions import ApplyActions, Meter
from .numbers import OF10, OF11, OF12, OF15, OFPP_MAX

_HEAD = 4  # bytes of an action's type and length, and of a field's header
_NX_BODY = 10  # where the body of one of Nicira's begins
_OUTPUT, _SET_FIELD, _REG_LOAD, _REG_LOAD2 = 0, 25, 7, 33
_U16, _U32, _U64 = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_MOST_METER, _MOST_GROUP, _MOST_TABLE, _MOST_PORT = 0xFFFF0000, 0xFFFFFEFF, 0xFE, OFPP_MAX - 1
_VLAN_VID, _VID, _PRESENT = BY_NAME["vlan_vid"], 0xFFF, 0x1000
# Type of an action -> rows of: where in it, size, least, most[, bits beside it]
_NUMBERS_10 = {1: ((4, 2, 0, _VID),)}
_NUMBERS = {21: ((4, 4, 0, _U32),), 22: ((4, 4, 0, _MOST_GROUP),)}
_VID_NUMBERS = ((8, 2, 0, _VID, _PRESENT), (8, 2, _PRESENT, _PRESENT | _VID))
_NICIRA_NUMBERS = {
    1: ((10, 2, 0, _MOST_PORT),),  # resubmit
    14: ((10, 2, 0, _MOST_PORT), (12, 1, 0, _MOST_TABLE)),  # the same, to a table
    4: ((12, 4, 0, _U32),),  # set_queue
    16: (  # learn: idle, hard, cookie, table, the same two when it ends (a priority may be unsaid)
        *((at, 2, 0, _U16) for at in (10, 12, 28, 30)),
        (16, 8, 0, _U64),
        (26, 1, 0, _MOST_TABLE),
    ),
    34: ((12, 4, 0, _U32),),  # conjunction's id
    35: ((16, 2, 0, _U16), (18, 1, 0, _MOST_TABLE)),  # ct: zone, table
}  # fmt: skip


class ActionPlace(NamedTuple):
    """Bytes [begin, end) of the action with this number, from 0.  `is_port`: only where it is
    below OFPP_MAX."""

    number: int
    begin: int
    end: int
    is_port: bool = False


def of_instructions(raw: bytes, at: int, version: int) -> list[ActionPlace]:
    """Of instructions that can be decoded and begin at `at`, to the end of `raw`; in OpenFlow 1.0,
    of actions."""
    for kind, begin, end in _instructions(raw, at, version):
        if kind == ApplyActions.TYPE:
            return _of_actions(raw, begin, end, version)
    return []


class NumberPlace(NamedTuple):
    """Bytes [begin, end) that are a number from `least` to `most`, but for the bits `keep`."""

    begin: int
    end: int
    least: int
    most: int
    keep: int = 0


def numbers_of(raw: bytes, at: int, version: int) -> list[NumberPlace]:
    """Of the same instructions: numbers that have limits, or name something."""
    found = []
    for kind, begin, end in _instructions(raw, at, version):
        if kind == ApplyActions.TYPE:
            found += _numbers_of_actions(raw, begin, end, version)
        elif kind == Meter.TYPE:
            at = begin - _HEAD
            found.append(NumberPlace(at, at + 4, 1, _MOST_METER))
    return found


def _instructions(raw, at, version):
    """Yields (type, where its actions would begin, where it ends)."""
    if version == OF10:
        yield ApplyActions.TYPE, at, len(raw)
        return
    while at + 2 * _HEAD <= len(raw):
        length = max(_number(raw, at + 2), 2 * _HEAD)
        yield _number(raw, at), at + 2 * _HEAD, min(at + length, len(raw))
        at += length


def _numbers_of_actions(raw, begin, end, version):
    for kind, at, length in _actions(raw, begin, end):
        if kind == OFPAT_VENDOR:
            is_nicira = int.from_bytes(raw[at + _HEAD : at + _HEAD + 4], "big") == NX_VENDOR_ID
            rows = _NICIRA_NUMBERS.get(_number(raw, at + _HEAD + 4), ()) if is_nicira else ()
        else:
            rows = _NUMBERS_10.get(kind, ()) if version == OF10 else _NUMBERS.get(kind, ())
            if kind == _SET_FIELD and _field(raw, at + _HEAD) is _VLAN_VID:
                rows = _VID_NUMBERS
        for start, size, *limits in rows:
            if start + size <= length:
                yield NumberPlace(at + start, at + start + size, *limits)


def _actions(raw, at, end):
    """Yields (type, where it begins, length)."""
    while at + 2 * _HEAD <= end:
        length = max(_number(raw, at + 2), 2 * _HEAD)
        yield _number(raw, at), at, length
        at += length


def with_others(raw: bytes, places: list[ActionPlace]) -> bytes:
    """The same with another value in each place: what is found out with `raw` is tried with it."""
    made = bytearray(raw)
    for place in places:
        value = bytes(0xFF ^ byte for byte in raw[place.begin : place.end])
        if place.is_port:
            value = value[-1:].rjust(len(value), b"\0")
        made[place.begin : place.end] = value
    return bytes(made)


def _number(raw, at):
    return int.from_bytes(raw[at : at + 2], "big")


def _of_actions(raw, begin, end, version):
    found = []
    for number, (kind, at, length) in enumerate(_actions(raw, begin, end)):
        if kind == OFPAT_VENDOR:
            place = _of_nicira(raw, at)
        else:
            place = _of_standard(raw, at, kind, version)
        if place is not None and place[1] <= at + length:
            found.append(ActionPlace(number, *place, kind == _OUTPUT))
    return found


def _of_standard(raw, at, kind, version):
    """(begin, end) of an action's value, or None."""
    body = at + _HEAD
    if kind == _OUTPUT:
        return body, body + (2 if version == OF10 else 4)
    if kind == _SET_FIELD and version >= OF12:
        return _of_entry(raw, body)
    size = _SETTER_SIZES.get((version, kind))
    return None if size is None else (body, body + size)


def _of_nicira(raw, at):
    if int.from_bytes(raw[at + _HEAD : at + _HEAD + 4], "big") != NX_VENDOR_ID:
        return None
    subtype, body = _number(raw, at + _HEAD + 4), at + _NX_BODY
    if subtype == _REG_LOAD2:
        return _of_entry(raw, body)
    if subtype != _REG_LOAD:
        return None
    bits = _number(raw, body)
    start, n_bits = bits >> 6, (bits & 0x3F) + 1
    if start % 8 or n_bits % 8 or not _is_free(_field(raw, body + 2)):
        return None
    end = body + 14
    return end - n_bits // 8, end


def _of_entry(raw, at):
    """The value in an OXM without mask."""
    field = _field(raw, at)
    if raw[at + 2] & 1 or not _is_free(field) or raw[at + 3] != field.n_bytes:
        return None
    return at + _HEAD, at + _HEAD + field.n_bytes


def _field(raw, at):
    """That of a header of 4 bytes, or None."""
    return BY_CODE.get((_number(raw, at), 0, raw[at + 2] >> 1))


def _is_free(field: Field | None) -> bool:
    """Whether all that its bytes can say is a value of it, and all of it is in the flow key."""
    if field is None or field.option is not None or field.text == "port":
        return False
    if field.name == "vlan_tci":  # what may follow depends on whether there is a tag then
        return False
    _member, shift, n_bits = field.slot
    whole = field.n_bits == 8 * field.n_bytes == n_bits and not shift % 8
    return whole and field.mask == (1 << n_bits) - 1


# (version, type) of actions that are the standard's for one field -> bytes of the value
_SETTER_SIZES = {
    (version, kind): setter.size
    for setter in SETTERS
    if setter.size * 8 == setter.field.n_bits and _is_free(setter.field)
    for version in range(OF10, OF15 + 1)
    for kind in [setter.of10 if version == OF10 else setter.of11 if version >= OF11 else None]
    if kind is not None
}
