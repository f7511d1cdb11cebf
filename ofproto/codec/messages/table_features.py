"""TABLE_FEATURES: what flows of a table may match and do, and requests to change that."""

from functools import lru_cache
from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_CODE, EXPERIMENTER_CLASS, Field
from pyvs.record import field, record

from .base import (
    FROM13,
    REPLY,
    REQUEST,
    Message,
    Runs,
    aligned,
    read_string,
    row,
    wire,
    write_string,
)

_HEAD = Struct("!HB5x32sQQII")
_PROPERTY = Struct("!HH")
# type -> (name, what it lists)
PROPERTIES = {
    0: ("instructions", "types"),
    1: ("instructions_miss", "types"),
    2: ("next_tables", "tables"),
    3: ("next_tables_miss", "tables"),
    4: ("write_actions", "types"),
    5: ("write_actions_miss", "types"),
    6: ("apply_actions", "types"),
    7: ("apply_actions_miss", "types"),
    8: ("match", "fields"),
    10: ("wildcards", "fields"),
    12: ("write_setfield", "fields"),
    13: ("write_setfield_miss", "fields"),
    14: ("apply_setfield", "fields"),
    15: ("apply_setfield_miss", "fields"),
}
_NUMBERS = {name: (number, kind) for number, (name, kind) in PROPERTIES.items()}


@record
class TableFeatures:
    """`properties`: name (PROPERTIES) -> list: of numbers of instructions, tables or actions, or
    of (Field, whether it may be masked); a field unknown here is its header, an int."""

    table_id: int
    name: str = ""
    metadata_match: int = 0
    metadata_write: int = 0
    config: int = 0
    max_entries: int = 0
    properties: dict[str, list] = field(default_factory=dict)


def _read_types(data):
    """Heads of instructions or actions; experimenters' have an id behind them."""
    found, at = [], 0
    while at < len(data):
        if len(data) - at < 4:
            raise OFError("OFPBPC_BAD_LEN", "truncated type")
        kind, length = _PROPERTY.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            raise OFError("OFPBPC_BAD_LEN", f"type of {length} bytes")
        found.append(kind)
        at += length
    return found


# What 254 tables say alike: the same bytes, over and over.
KEPT = 64


def _read_fields(data):
    return list(_fields_of(data))


@lru_cache(KEPT)
def _fields_of(data):
    found, at = [], 0
    while at < len(data):
        size = 8 if data[at : at + 2] == b"\xff\xff" else 4
        if len(data) - at < size:
            raise OFError("OFPBPC_BAD_LEN", "truncated OXM header")
        head = int.from_bytes(data[at : at + 4], "big")
        code = (head >> 16, int.from_bytes(data[at + 4 : at + size], "big"), head >> 9 & 0x7F)
        each = BY_CODE.get(code)
        whole = int.from_bytes(data[at : at + size], "big")
        found.append((each if each else whole, bool(head >> 8 & 1)))
        at += size
    return found


def _write_types(numbers):
    return b"".join([_PROPERTY.pack(number, 4) for number in numbers])


def _write_fields(version):
    return lambda pairs: _headers(tuple(pairs), version)


@lru_cache(KEPT)
def _headers(pairs, version):
    return b"".join([_header(each, has_mask, version) for each, has_mask in pairs])


def _header(each, has_mask, version):
    if isinstance(each, Field):
        return each.oxm(version, has_mask)
    return each.to_bytes(8 if each >> 48 == EXPERIMENTER_CLASS else 4, "big")


_READERS = {"types": _read_types, "tables": list, "fields": _read_fields}


def _read_features(data, version):
    _length, table, name, can_match, can_write, config, most = _HEAD.unpack_from(data)
    found, at = {}, _HEAD.size
    while at < len(data):
        if len(data) - at < 4:
            raise OFError("OFPBPC_BAD_LEN", "truncated property")
        kind, length = _PROPERTY.unpack_from(data, at)
        end = at + (length + 7) // 8 * 8
        if length < 4 or end > len(data):
            raise OFError("OFPBPC_BAD_LEN", f"property of {length} bytes")
        known = PROPERTIES.get(kind)
        if known:
            found[known[0]] = _READERS[known[1]](data[at + 4 : at + length])
        elif kind < 0xFFFE:
            raise OFError("OFPBPC_BAD_TYPE", f"property {kind}")
        at = end
    return TableFeatures(table, read_string(name), can_match, can_write, config, most, found)


def _write_features(each, version):
    writers = {"types": _write_types, "tables": bytes, "fields": _write_fields(version)}
    out = b""
    for name, values in each.properties.items():
        number, kind = _NUMBERS[name]
        body = writers[kind](values)
        out += aligned(_PROPERTY.pack(number, 4 + len(body)) + body)
    head = _HEAD.pack(
        _HEAD.size + len(out), each.table_id, write_string(each.name, 32), each.metadata_match,
        each.metadata_write, each.config, each.max_entries,
    )  # fmt: skip
    return head + out


class _Features(Runs):
    """A request without a body asks; one with a list would set it."""

    bad_length = "OFPBPC_BAD_LEN"

    def read(self, cls, data, version):
        found = Runs.read(self, cls, data, version)
        if cls is TableFeaturesRequest and not data:
            found.tables = None
        return found

    def write_items(self, items, version):
        return Runs.write_items(self, items or (), version)


_FEATURES = _Features("tables", _HEAD.size, _read_features, _write_features)


@wire(row(FROM13, REQUEST, 12, _FEATURES))
@record
class TableFeaturesRequest(Message):
    """`tables` None: asks for those that are; a list: asks to set them."""

    tables: list[TableFeatures] | None = None
    more: bool = False


@wire(row(FROM13, REPLY, 12, _FEATURES))
@record
class TableFeaturesReply(Message):
    tables: list[TableFeatures] = field(default_factory=list)
    more: bool = False
