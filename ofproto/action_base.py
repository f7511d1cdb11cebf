"""What every action class has, and the registers by which bytes and text find their class.

An action class says in one place how it is encoded, decoded, parsed, printed and checked.  Its
class attributes register it:

    WIRE  rows (first wire version, last, type, body size, decode) of standard types
    NX    rows (subtype, body size, decode) of Nicira's vendor actions; the body starts behind
          the subtype; a size of None is variable, and `decode` checks it
    TEXT  {name: parse}; parse(argument, names) with the text behind `name:` or in parentheses

Sources: OpenFlow 1.0.1 5.2.4, 1.3.5 7.2.5; ovs-actions(7); nicira-ext as ovs-fields(7) tells it.
"""

from struct import Struct

from . import match_text
from .errors import NX_VENDOR_ID, OFError
from .fields import VLAN, Field
from .fields import field as field_by_name
from .match_text import TextError, format_port, parse_int, parse_port

OF10, OF11, OF12, OF13, OF15 = 1, 2, 3, 4, 6
ANY_VERSION = (1, 6)
OFPAT_VENDOR = 0xFFFF

_HEAD = Struct("!HH")
_NX_HEAD = Struct("!HHIH")

# Filled by Action.__init_subclass__
WIRE: dict[tuple[int, int], tuple] = {}  # (version, type) -> (class, size, decode)
NX: dict[int, tuple] = {}  # subtype -> (class, size, decode)
TEXT: dict[str, tuple] = {}  # name -> (class, parse)


class Action:
    """Values with equality by value.  `FIELDS` are constructor arguments and attributes;
    `DEFAULTS` are those of the last ones."""

    FIELDS: tuple[str, ...] = ()
    DEFAULTS: tuple = ()
    WIRE: tuple = ()
    NX: tuple = ()
    TEXT: dict = {}

    def __init__(self, *values):
        missing = len(self.FIELDS) - len(values)
        if missing:
            if missing > len(self.DEFAULTS) or missing < 0:
                raise TypeError(f"{type(self).__name__}{self.FIELDS}: {len(values)} given")
            values += self.DEFAULTS[len(self.DEFAULTS) - missing :]
        for name, value in zip(self.FIELDS, values, strict=True):
            setattr(self, name, value)

    def __init_subclass__(cls):
        for first, last, number, size, decode in cls.WIRE:
            for version in range(first, last + 1):
                WIRE[version, number] = (cls, size, decode)
        for subtype, size, decode in cls.NX:
            NX[subtype] = (cls, size, decode)
        for name, parse in cls.TEXT.items():
            TEXT[name] = (cls, parse)

    def values(self) -> tuple:
        return tuple(getattr(self, name) for name in self.FIELDS)

    def __eq__(self, other):
        return type(self) is type(other) and self.values() == other.values()

    def __hash__(self):
        return hash((type(self), self.values()))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.values()))})"

    def encode(self, version: int) -> bytes:
        """The action's bytes, a multiple of 8 long; b"" where the version needs none.

        Raises OFError BAD_TYPE when `version` cannot say it.
        """
        raise NotImplementedError

    def format(self, names=None) -> str:
        """Text as ovs-ofctl prints it; `names`: port number -> name."""
        raise NotImplementedError

    def check(self, context: "CheckContext") -> None:
        """Raises OFError where the action cannot stand in this flow."""


class CheckContext:
    """What checks know: the flow's match (None: a packet-out), the table, the groups and meters
    that exist, and what earlier actions pushed."""

    def __init__(self, match=None, version=OF13, table=0, n_tables=254, groups=(), meters=()):
        self.match = match
        self.version = version
        self.table = table
        self.n_tables = n_tables
        self.groups = groups
        self.meters = meters
        self.tags = 1 if match is not None and match.holds(VLAN) else 0  # known to be there
        self.ethertype: int | None = None  # made by push_mpls, pop_mpls

    def require(self, field: Field) -> None:
        """The field's prerequisite holds for all packets of the flow, else MATCH_INCONSISTENT."""
        need = field.prerequisite
        if need is None or self.match is None:
            return
        if need.special == "vlan":
            if not self.tags:
                raise OFError("OFPBAC_MATCH_INCONSISTENT", field.name)
            return
        if self.ethertype is not None:
            if need.eth is not None and self.ethertype in need.eth and need.proto is None:
                return
            if need.eth is not None:
                raise OFError("OFPBAC_MATCH_INCONSISTENT", field.name)
        if not self.match.holds(need):
            raise OFError("OFPBAC_MATCH_INCONSISTENT", field.name)

    def require_after_10(self, field: Field) -> None:
        """The same, but in OpenFlow 1.0 such an action just does nothing to other packets."""
        if self.version > OF10:
            self.require(field)


# Wire


def standard(number: int, body: bytes) -> bytes:
    """A standard action."""
    return _HEAD.pack(number, 4 + len(body)) + body


def nicira(subtype: int, body: bytes) -> bytes:
    """A vendor action of Nicira's, padded to 8."""
    body += bytes(-(10 + len(body)) % 8)
    return _NX_HEAD.pack(OFPAT_VENDOR, 10 + len(body), NX_VENDOR_ID, subtype) + body


def unsupported(action: Action, version: int) -> OFError:
    return OFError("OFPBAC_BAD_TYPE", f"{type(action).__name__} in OpenFlow version {version}")


def decode_actions(data: bytes, version: int) -> list[Action]:
    """A run of actions.  Raises OFError OFPBAC_*."""
    actions, at, size = [], 0, len(data)
    while at < size:
        if size - at < 8:
            raise OFError("OFPBAC_BAD_LEN", "truncated action")
        kind, length = _HEAD.unpack_from(data, at)
        if length < 8 or length % 8 or at + length > size:
            raise OFError("OFPBAC_BAD_LEN", f"action of {length} bytes")
        actions.append(_decode_one(kind, data[at + 4 : at + length], version))
        at += length
    return actions


def _decode_one(kind, body, version):
    if kind == OFPAT_VENDOR:
        vendor, subtype = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:6], "big")
        if vendor != NX_VENDOR_ID:
            raise OFError("OFPBAC_BAD_VENDOR", f"vendor {vendor:#x}")
        row = NX.get(subtype)
        if row is None:
            raise OFError("OFPBAC_BAD_VENDOR_TYPE", f"Nicira action {subtype}")
        body = body[6:]
    else:
        row = WIRE.get((version, kind))
        if row is None:
            raise OFError("OFPBAC_BAD_TYPE", f"action type {kind}")
    _cls, size, decode = row
    if size is not None and len(body) != size:
        raise OFError("OFPBAC_BAD_LEN", f"{_cls.__name__} of {len(body)} bytes")
    return decode(body, version)


def encode_actions(actions, version: int, has_vlan: bool = False) -> bytes:
    """A run of actions.  `has_vlan`: the flow's packets have a tag, so that setting the VLAN
    as OpenFlow 1.0 does it, which adds one where there is none, needs no push in front."""
    parts = []
    for action in actions:
        kind = type(action).__name__
        if kind == "PushVlan":
            has_vlan = True
        elif kind in ("PopVlan", "StripVlan"):
            has_vlan = False
        elif kind == "SetField" and action.legacy and action.field.of10 in _TAGGING:
            if version >= OF12 and not has_vlan:
                parts.append(_HEAD.pack(17, 8) + b"\x81\x00\0\0")
            has_vlan = True
        parts.append(action.encode(version))
    return b"".join(parts)


_TAGGING = ("dl_vlan", "dl_vlan_pcp")


def port_to_wire(port: int, version: int) -> bytes:
    """A port number: 2 bytes in OpenFlow 1.0, 4 later."""
    from .fields import port_to_32

    return port.to_bytes(2, "big") if version == OF10 else port_to_32(port).to_bytes(4, "big")


def port_from_wire(data: bytes) -> int:
    """A port number of 2 or 4 bytes; BAD_OUT_PORT when it is none of ours."""
    from .fields import port_from_32

    number = int.from_bytes(data, "big")
    if len(data) == 4:
        number = port_from_32(number)
        if number is None:
            raise OFError("OFPBAC_BAD_OUT_PORT", f"port {int.from_bytes(data, 'big'):#x}")
    return number


# Text


def parse_actions(text: str, names=None) -> list[Action]:
    """Actions separated by commas or white space.  Raises TextError."""
    actions = []
    for name, argument in match_text.split_terms(text):
        if name == "drop" and argument is None:
            if text.strip() != "drop":
                raise TextError('"drop" must not be accompanied by any other action or instruction')
            return []
        actions.append(parse_action(name, argument, names))
    return actions


def parse_action(name: str, argument: str | None, names=None) -> Action:
    """One action from its name and what is behind it."""
    row = TEXT.get(name)
    if row is not None:
        return row[1](argument, names)
    port = parse_port(name, names)
    if port is None:
        raise TextError(f"unknown action {name}")
    return TEXT["output"][1](name if argument is None else f"{name}:{argument}", names)


def format_actions(actions, names=None) -> str:
    """Text of a list; "drop" of an empty one."""
    return ",".join(action.format(names) for action in actions) or "drop"


def need(argument: str | None, what: str) -> str:
    """The argument, which must be there."""
    if not argument:
        raise TextError(f"{what}: argument required")
    return argument


def number(argument: str | None, what: str, bits: int) -> int:
    return parse_int(need(argument, what), what, bits)


def port_number(text: str, names, what: str) -> int:
    port = parse_port(text, names)
    if port is None:
        raise TextError(f"{what} to unknown port: {text}")
    return port


def nothing(cls):
    """parse() of an action without argument."""

    def parse(argument, _names):
        if argument:
            raise TextError(f"{cls.__name__}: unexpected argument {argument}")
        return cls()

    return parse


def parse_subfield(text: str) -> tuple[Field, int, int]:
    """`FIELD[start..end]`, `FIELD[bit]`, `FIELD[]` or `FIELD`: the field, first bit, bits."""
    name, bracket, rest = text.strip().partition("[")
    found = field_by_name(name)
    if found is None:
        raise TextError(f"{text}: unknown field `{name}'")
    if not bracket or rest == "]":
        return found, 0, found.n_bits
    if not rest.endswith("]"):
        raise TextError(f"{text}: syntax error expecting []")
    first, dots, last = rest[:-1].partition("..")
    start = parse_int(first, text, 16)
    end = parse_int(last, text, 16) if dots else start
    if not start <= end < found.n_bits:
        raise TextError(f"{text}: bits {start}..{end} of a field of {found.n_bits} bits")
    return found, start, end - start + 1


def format_subfield(field: Field, start: int, n_bits: int) -> str:
    name = field.nxm_name
    if start == 0 and n_bits == field.n_bits:
        return f"{name}[]"
    return f"{name}[{start}]" if n_bits == 1 else f"{name}[{start}..{start + n_bits - 1}]"


__all__ = [name for name in globals() if not name.startswith("_")] + ["format_port"]
