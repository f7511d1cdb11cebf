"""What every action class has, and the registers by which bytes and text find their class.

An action class says in one place how it is encoded, decoded, parsed, printed and checked.  Its
class attributes register it:

    WIRE  rows (first wire version, last, type, body size, decode) of standard types
    NX    rows (subtype, body size, decode) of Nicira's vendor actions; the body starts behind
          the subtype; a size of None is variable, and `decode` checks it
    TEXT  {name: parse}; parse(argument, names) with the text behind `name:` or in parentheses

Sources: OpenFlow 1.0.1 5.2.4, 1.3.5 7.2.5; ovs-actions(7); nicira-ext as ovs-fields(7) tells it.
"""

import re
from contextlib import contextmanager
from functools import lru_cache
from struct import Struct

from datapath.actions import odp
from ofproto.codec import match_text
from ofproto.codec.errors import NX_VENDOR_ID, ONF_VENDOR_ID, OFError, Refusal
from ofproto.codec.fields import BY_NAME, VLAN, Field, may_have_options
from ofproto.codec.fields import field as field_by_name
from ofproto.codec.match_text import TextError, format_port, parse_int, parse_port
from ofproto.codec.notes import bad_port, noted
from ofproto.codec.numbers import OF10, OF11, OF13, OF15, port_from_32, port_to_32

from .notes import bad_action, bad_length

ANY_VERSION = (1, 6)
OFPAT_VENDOR = 0xFFFF

_HEAD = Struct("!HH")
_NX_HEAD = Struct("!HHIH")

# Filled by Action.__init_subclass__
WIRE: dict[tuple[int, int], tuple] = {}  # (version, type) -> (class, size, decode)
NX: dict[int, tuple] = {}  # subtype -> (class, size, decode)
ONF: dict[int, tuple] = {}  # the same of the ONF's extensions for 1.3
TEXT: dict[str, tuple] = {}  # name -> (class, parse)


class Action:
    """Values with equality by value.  `FIELDS` are constructor arguments and attributes;
    `DEFAULTS` are those of the last ones."""

    FIELDS: tuple[str, ...] = ()
    DEFAULTS: tuple = ()
    WIRE: tuple = ()
    NX: tuple = ()
    ONF: tuple = ()
    TEXT: dict = {}
    in_context = False  # how it is encoded depends on the flow and on the actions before it

    def __init__(self, *values):
        missing = len(self.FIELDS) - len(values)
        if missing:
            if missing > len(self.DEFAULTS) or missing < 0:
                raise TypeError(f"{type(self).__name__}{self.FIELDS}: {len(values)} given")
            values += self.DEFAULTS[len(self.DEFAULTS) - missing :]
        self.__dict__.update(zip(self.FIELDS, values, strict=True))

    def __init_subclass__(cls):
        for first, last, number, size, decode in cls.WIRE:
            for version in range(first, last + 1):
                WIRE[version, number] = (cls, size, decode)
        for subtype, size, decode in cls.NX:
            NX[subtype] = (cls, size, decode)
        for subtype, size, decode in cls.ONF:
            ONF[subtype] = (cls, size, decode)
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

    def most_bytes(self) -> int | None:
        """No version needs more; None: nobody knows before it is encoded."""
        return None

    def encode(self, version: int) -> bytes:
        """The action's bytes, a multiple of 8 long; b"" where the version needs none.

        Raises OFError BAD_TYPE when `version` cannot say it.
        """
        raise NotImplementedError

    def encode_in(self, version: int, context: "EncodeContext") -> bytes:
        """encode() of an action with `in_context`, told what is known of the packet."""
        return self.encode(version)

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
        self.tags = 1 if match is None or match.holds(VLAN) else 0  # VLAN tags known to be there
        self.ethertype: int | None = None  # made by push_mpls, pop_mpls, push_pbb; 0: unknown
        # Its packet type: 0 is Ethernet, None is unknown.
        self.packet_type: int | None = 0 if match is None else match.get("packet_type")[0]
        self.in_ct = False  # within ct(exec(...)), which alone may set ct_mark and ct_label

    def require(self, field: Field) -> None:
        """The field's prerequisite holds for all packets of the flow, else MATCH_INCONSISTENT."""
        if not self.holds(field.prerequisite):
            raise OFError("OFPBAC_MATCH_INCONSISTENT", field.name)

    def source(self, field: Field) -> None:
        """require() of a field that is read."""
        if not self.holds(field.prerequisite):
            raise lacks("source", field)

    def destination(self, field: Field) -> None:
        """set_field() of a field that is told as the place for a result."""
        if not self.holds(field.prerequisite):
            raise lacks("destination", field)
        self.set_field(field)

    def require_after_10(self, field: Field) -> None:
        """The same, but in OpenFlow 1.0 such an action just does nothing to other packets."""
        if self.version > OF10:
            self.require(field)

    def holds(self, need) -> bool:
        """Whether a prerequisite holds for all packets of the flow."""
        if need is None or self.match is None:
            return True
        if need.special == "ethernet":
            return self.packet_type == 0
        if need.special == "vlan":
            return self.tags > 0
        if self.ethertype is not None and need.eth is not None:
            return self.ethertype in need.eth and need.proto is None
        return self.match.allows(need)

    def set_field(self, field: Field) -> None:
        """A field is written.  Raises OFError BAD_ARGUMENT where only ct() may do so."""
        self.check_owner(field)
        self.require(field)

    def check_owner(self, field: Field) -> None:
        """Only ct() may write what it owns."""
        if field.name in ("ct_mark", "ct_label") and not self.in_ct:
            raise Refusal("OFPBAC_BAD_SET_ARGUMENT", "cannot set CT fields outside of ct action")


def lacks(what: str, field: Field) -> OFError:
    """The error of a field, `what` of an action, that not all packets of the flow have."""
    text = f"{what} field {field.name} lacks correct prerequisites"
    return noted("OFPBAC_MATCH_INCONSISTENT", "meta_flow", text)


class EncodeContext:
    """What actions with `in_context` are told: whether packets have a VLAN tag by now, and the
    flow's IP protocol (-1: not matched)."""

    __slots__ = ("has_vlan", "nw_proto")

    def __init__(self, match=None):
        self.has_vlan = match is not None and match.holds(VLAN)
        self.nw_proto = -1 if match is None else match.nw_proto


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


def decode_actions(data: bytes, version: int, top: bool = False) -> list[Action]:
    """A run of actions.  Raises OFError OFPBAC_*.  `top`: they are those of a flow, among which
    write_metadata may be, which is an instruction."""
    actions, at, size = [], 0, len(data)
    while at < size:
        if size - at < 8:
            raise bad_length(data, at, version)
        kind, length = _HEAD.unpack_from(data, at)
        if length < 8 or length % 8 or at + length > size:
            raise bad_length(data, at, version)
        try:
            actions.append(_decode_one(kind, data[at + 4 : at + length], version, top))
        except OFError as error:
            bad_action(error, data, at, version, _wire_size(kind, data[at + 4 :], version))
            raise
        at += length
    return actions


class ActionList(list):
    """Decoded actions, not to be changed: equal bytes give the same object; `program`, when
    somebody compiled it, is a program.Program."""

    __slots__ = ("plain", "program")

    def __init__(self, actions, data=None):
        """`data`: the bytes that they were read from, where they were."""
        super().__init__(actions)
        self.program = None
        # Known to have no tunnel options
        self.plain = data is not None and not may_have_options(data)


SHARED_SIZE = 256  # bytes; longer ones are not kept


def decode_shared(data: bytes, version: int) -> ActionList:
    """decode_actions() of what is likely to come again."""
    if len(data) <= SHARED_SIZE:
        return _shared(data, version)
    return ActionList(decode_actions(data, version), data)


@lru_cache(1024)
def _shared(data, version):
    return ActionList(decode_actions(data, version), data)


def _wire_size(kind, body, version):
    """The length that an action has always, or None."""
    vendor = kind == OFPAT_VENDOR
    row = NX.get(int.from_bytes(body[4:6], "big")) if vendor else WIRE.get((version, kind))
    return row[1] + (10 if vendor else 4) if row and row[1] is not None else None


def _decode_one(kind, body, version, top):
    if kind == OFPAT_VENDOR:
        vendor, subtype = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:6], "big")
        if vendor == NX_VENDOR_ID:
            row = NX.get(subtype)
        elif vendor == ONF_VENDOR_ID and version == OF13:
            row = ONF.get(subtype)
        else:
            raise OFError("OFPBAC_BAD_VENDOR", f"vendor {vendor:#x}")
        if row is None:
            raise OFError("OFPBAC_BAD_VENDOR_TYPE", f"action {subtype} of vendor {vendor:#x}")
        body = body[6:]
    else:
        row = WIRE.get((version, kind))
        if row is None:
            raise OFError("OFPBAC_BAD_TYPE", f"action type {kind}")
    _cls, size, decode = row
    if not top and not issubclass(_cls, Action):
        raise noted(
            "OFPBIC_UNSUP_INST",
            "ofp_actions",
            "write_metadata instruction not allowed here",
            kind="ofp_actions instruction",
        )
    if size is not None and len(body) != size:
        raise OFError("OFPBAC_BAD_LEN", f"{_cls.__name__} of {len(body)} bytes")
    return decode(body, version)


def encode_actions(actions, version: int, match=None, lossy: bool = False) -> bytes:
    """A run of actions of a flow with this match.  `lossy`: what the version cannot say is left
    out, else OFError says so."""
    parts, context = [], None
    for action in actions:
        try:
            if not action.in_context:
                parts.append(action.encode(version))
                continue
            if context is None:
                context = EncodeContext(match)
            parts.append(action.encode_in(version, context))
        except OFError:
            if not lossy:
                raise
    return b"".join(parts)


def port_to_wire(port: int, version: int) -> bytes:
    """A port number: 2 bytes in OpenFlow 1.0, 4 later."""
    return port.to_bytes(2, "big") if version == OF10 else port_to_32(port).to_bytes(4, "big")


def port_from_wire(data: bytes) -> int:
    """A port number of 2 or 4 bytes; BAD_OUT_PORT when it is none of ours."""
    number = int.from_bytes(data, "big")
    if len(data) == 4:
        number = port_from_32(number)
        if number is None:
            raise bad_port("OFPBAC_BAD_OUT_PORT", int.from_bytes(data, "big"))
    return number


# Actions within actions

MAX_NESTING = odp.NESTING  # what cannot be executed is refused when it is told
_nesting = 0


@contextmanager
def nested(error: Exception):
    """One level deeper while in use; raises `error` where that is too deep."""
    global _nesting
    if _nesting >= MAX_NESTING:
        raise error
    _nesting += 1
    try:
        yield
    finally:
        _nesting -= 1


# Text

# They do not stand within the arguments of an action.
_INSTRUCTIONS = ("goto_table", "write_metadata", "write_actions", "clear_actions", "apply_actions")


def check_no_meter(name: str, argument: str | None) -> None:
    """Raises TextError where `meter` stands in the arguments of the action `name`."""
    if any(inner == "meter" for inner, _ in match_text.split_terms(argument or "")):
        raise TextError(f"{name} action doesn't support nested action meter")


def parse_actions(text: str, names=None) -> list[Action]:
    """Actions separated by commas or white space.  Raises TextError."""
    actions = []
    for name, argument in match_text.split_terms(text):
        if name == "drop":
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
    if name in _INSTRUCTIONS:
        raise TextError(f"{name} instruction not allowed here")
    if parse_port(name, names) is None:
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


def number(argument: str | None, what: str, bits: int, valid: int | None = None) -> int:
    """A number of 8 or 16 bits; above `valid` it is "not a valid `what`"."""
    found = parse_int(argument or "", what, bits)
    if valid is not None and found > valid:
        raise TextError(f"{argument}: not a valid {what}")
    return found


def long_number(argument: str | None, bits: int, what: str = "", valid: int = -1) -> int:
    """A number of 32 or 64 bits."""
    if not argument:
        raise TextError("missing required numeric argument")
    try:
        found = parse_int(argument, what, bits)
    except TextError:
        raise TextError(f"invalid numeric format {argument}") from None
    if found > valid >= 0:
        raise TextError(f"{argument}: not a valid {what}")
    return found


def port_number(text: str, names, what: str) -> int:
    port = parse_port(text, names)
    if port is None:
        raise TextError(f"{text}: {what} to unknown port")
    return port


def nothing(cls):
    """parse() of an action without argument."""

    def parse(argument, _names):
        if argument:
            raise TextError(f"{cls.__name__}: unexpected argument {argument}")
        return cls()

    return parse


class Plain(Action):
    """An action without argument: its text, its standard type and Nicira's subtype (None: has
    none), and the field that it is about."""

    text = ""
    number: int | None = None
    subtype: int | None = None
    field: str | None = None

    def __init_subclass__(cls):
        def decode(_body, _version):
            return cls()

        cls.WIRE = ((OF11, OF15, cls.number, 4, decode),) if cls.number else ()
        cls.NX = ((cls.subtype, 6, decode),) if cls.subtype else ()
        cls.TEXT = {cls.text: nothing(cls)}
        super().__init_subclass__()

    def encode(self, version):
        if version > OF10 and self.number:
            return standard(self.number, bytes(4))
        if self.subtype is None:
            raise unsupported(self, version)
        return nicira(self.subtype, b"")

    def format(self, names=None):
        return self.text

    def check(self, context):
        if self.field:
            context.require_after_10(BY_NAME[self.field])


_BITS = re.compile(r"\s*([0-9]{1,10})\s*(?:\.\.\s*([0-9]{1,10})\s*)?\Z")


def parse_subfield(text: str, whole: str | None = None) -> tuple[Field, int, int]:
    """`FIELD[start..end]`, `FIELD[bit]`, `FIELD[]` or `FIELD`: the field, first bit, bits.

    `whole`: the text of which it is a part, for errors.
    """
    name, bracket, rest = text.strip().partition("[")
    whole = text if whole is None else whole
    found = field_by_name(name)
    if found is None:
        raise TextError(f"{whole}: unknown field `{name}'")
    if not bracket or rest == "]":
        return found, 0, found.part_bits
    bits = _BITS.match(rest[:-1]) if rest.endswith("]") else None
    if bits is None:
        raise TextError(f"{whole}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    start = int(bits[1])
    end = int(bits[2] or start)
    if start > end:
        raise TextError(f"{whole}: starting bit {start} is after ending bit {end}")
    for which, bit in (("starting", start), ("ending", end)):
        if bit >= found.part_bits:
            raise TextError(
                f"{whole}: {which} bit {bit} is not valid because field is only "
                f"{found.part_bits} bits wide"
            )
    return found, start, end - start + 1


def format_subfield(field: Field, start: int, n_bits: int) -> str:
    name = field.nxm_name
    if start == 0 and n_bits == field.part_bits:
        return f"{name}[]"
    return f"{name}[{start}]" if n_bits == 1 else f"{name}[{start}..{start + n_bits - 1}]"


def format_subvalue(field: Field, start: int, n_bits: int, value: int) -> str:
    """A whole field's value as a match has it (an address, a port), that of some bits in hex."""
    if start == 0 and n_bits == field.part_bits and field.text != "hex":
        return match_text.format_value(field, value & field.mask)
    return f"{value:#x}" if value else "0"


__all__ = [name for name in globals() if not name.startswith("_")] + ["format_port"]
