"""Connection tracking: ct, nat and ct_clear (ovs-actions(7))."""

import re
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from struct import Struct

from ofproto.codec.errors import OFError, Refusal
from ofproto.codec.fields import IP_ANY, IPV4, IPV6
from ofproto.codec.match_text import (
    TextError,
    format_table,
    parse_int,
    parse_table,
    split_terms,
)
from ofproto.codec.notes import noted

from .base import (
    Action,
    Plain,
    decode_actions,
    encode_actions,
    format_actions,
    format_subfield,
    nested,
    nicira,
    parse_actions,
    parse_subfield,
)
from .set import RegLoad, RegMove, SetField, check_bits, check_zero, field_at, field_header

COMMIT, FORCE = 1, 2
NO_TABLE = 0xFF
ALGS = {21: "ftp", 69: "tftp"}  # by the server's port
_ALG_L4 = {"ftp": 6, "tftp": 17}
_HEAD = Struct("!HIHB3xH")
SRC, DST, PERSISTENT, HASH, RANDOM = 1, 2, 4, 8, 16  # flags of nat
_NAT = Struct("!2xHH")
# range_present: bit, attribute of the range, index, bytes
_RANGES = ((1, 0, 4), (2, 1, 4), (4, 0, 16), (8, 1, 16), (16, 2, 2), (32, 3, 2))


class Ct(Action):
    """Tracks the packet's connection.  `flags`: COMMIT, FORCE; `zone`: a number, or (field, start,
    bits); `table`: where it goes on (None: nowhere); `alg`: ftp or tftp; `actions` are nat, and
    those of exec."""

    FIELDS = ("flags", "zone", "table", "alg", "actions")
    DEFAULTS = (0, 0, None, None, ())

    def encode(self, version):
        header, bits = 0, self.zone
        if not isinstance(self.zone, int):
            field, start, n_bits = self.zone
            header = int.from_bytes(field_header(self, field, version), "big")
            bits = start << 6 | n_bits - 1
        table = NO_TABLE if self.table is None else self.table
        alg = next((port for port, name in ALGS.items() if name == self.alg), 0)
        head = _HEAD.pack(self.flags, header, bits, table, alg)
        return nicira(35, head + encode_actions(self.actions, version))

    def decode(body, version):
        if len(body) < _HEAD.size:
            raise OFError("OFPBAC_BAD_LEN", f"ct of {len(body)} bytes")
        flags, header, bits, table, port = _HEAD.unpack_from(body)
        zone = bits
        if header:
            field, _at = field_at(body, 2)
            zone = (field, bits >> 6, (bits & 0x3F) + 1)
            check_bits(*zone)
            if zone[2] != 16:
                raise OFError("OFPBAC_BAD_SET_LEN", f"a zone of {zone[2]} bits")
        check_zero(body[9:12])
        if port and port not in ALGS:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"alg {port}")
        with nested(OFError("OFPBAC_TOO_MANY", "nested actions")):
            actions = decode_actions(body[_HEAD.size :], version)
        made = Ct(flags, zone, None if table == NO_TABLE else table, ALGS.get(port), tuple(actions))
        made.check_flags()
        return made

    NX = ((35, None, decode),)

    def parse(argument, names):
        return _parse_ct(argument or "", names)

    TEXT = {"ct": parse}

    def format(self, names=None):
        words = [name for name, bit in (("commit", COMMIT), ("force", FORCE)) if self.flags & bit]
        if self.table is not None:
            words.append(f"table={format_table(self.table, names)}")
        if not isinstance(self.zone, int):
            words.append(f"zone={format_subfield(*self.zone)}")
        elif self.zone:
            words.append(f"zone={self.zone}")
        words += [each.format(names) for each in self.actions if isinstance(each, Nat)]
        rest = [each for each in self.actions if not isinstance(each, Nat)]
        if rest:
            words.append(f"exec({format_actions(rest, names)})")
        if self.alg:
            words.append(f"alg={self.alg}")
        return f"ct({','.join(words)})"

    def check(self, context):
        _require_ip(context)
        self.check_flags()
        if not isinstance(self.zone, int):
            context.require(self.zone[0])
        if self.alg and context.match is not None and context.match.nw_proto != _ALG_L4[self.alg]:
            raise OFError("OFPBAC_MATCH_INCONSISTENT", f"{self.alg} of another protocol")
        before, context.in_ct = context.in_ct, True
        try:
            self.check_nested()
            for each in self.actions:
                each.check(context)
        finally:
            context.in_ct = before

    def check_flags(self) -> None:
        """What changes the connection wants `commit`.  Raises OFError."""
        if self.flags & FORCE and not self.flags & COMMIT:
            raise OFError("OFPBAC_BAD_ARGUMENT", "force without commit")
        bare = all(isinstance(each, Nat) and not each.flags for each in self.actions)
        if not self.flags & COMMIT and not bare:
            raise noted(
                "OFPBAC_BAD_ARGUMENT",
                "ofp_actions",
                "CT action requires commit flag if actions other than NAT without arguments are "
                "specified.",
            )

    def check_nested(self) -> None:
        _check_exec(self.actions)


def _check_exec(actions):
    """What stands in exec() sets fields of the connection.  Raises Refusal."""
    for each in actions:
        if isinstance(each, Nat):
            continue
        field = each.dst if isinstance(each, RegMove) else getattr(each, "field", None)
        sets = isinstance(each, RegMove | RegLoad | SetField)
        if not sets or getattr(each, "legacy", False):
            what = f"action {re.split('[:(]', each.format())[0]}"
        elif field.name not in ("ct_mark", "ct_label"):
            what = f"modification of {field.name}"
        else:
            continue
        raise Refusal("OFPBAC_BAD_ARGUMENT", f"ct action doesn't support nested {what}")


def _require_ip(context):
    if not context.holds(IP_ANY):
        raise OFError("OFPBAC_MATCH_INCONSISTENT", "ct of what may be no IP")


def _parse_ct(text, names):
    flags, zone, table, alg, nat, rest = 0, 0, None, None, [], []
    for key, value in split_terms(text):
        if key == "commit":
            flags |= COMMIT
        elif key == "force":
            flags |= FORCE
        elif key == "table":
            table = parse_table(value or "", names)
            if table is None:
                raise TextError(f"unknown table {value or ''}")
            if table == NO_TABLE:
                raise TextError("invalid table 0xff")
        elif key == "zone":
            zone = _parse_zone(value or "")
        elif key == "alg":
            if value not in ALGS.values():
                raise TextError(f'invalid conntrack helper "{value}"')
            alg = value
        elif key == "nat":
            nat = [Nat.parse(value, names)]
        elif key == "exec":
            with nested(TextError("actions are nested too deeply")):
                rest = parse_actions(value or "", names)
            _refuse_others(rest)
        else:
            raise TextError(f'invalid argument to "ct" action: `{key}\'')
    if flags & FORCE and not flags & COMMIT:
        raise TextError('"force" flag requires "commit" flag.')
    return Ct(flags, zone, table, alg, (*nat, *rest))


def _refuse_others(actions):
    """What exec() cannot have, before it is asked whether the action makes sense."""
    try:
        _check_exec(actions)
    except Refusal as error:
        raise TextError(error.detail) from None


def _parse_zone(text):
    if text[:1].isdigit():
        with suppress(TextError):
            return parse_int(text, "zone", 16)
    found = parse_subfield(text)
    if found[2] != 16:
        raise TextError(f"zone {text} must be a 16-bit subfield")
    return found


class Nat(Action):
    """Address translation within ct.  `flags`: SRC, DST and how ports are chosen; addresses are
    ipaddress objects or None, ports numbers or None."""

    FIELDS = ("flags", "first", "last", "first_port", "last_port")
    DEFAULTS = (0, None, None, None, None)

    def encode(self, version):
        present, out = 0, b""
        values = (self.first, self.last, self.first_port, self.last_port)
        for bit, index, size in _RANGES:
            value = values[index]
            if value is not None and (size == 2 or len(value.packed) == size):
                present |= bit
                out += value.to_bytes(2, "big") if size == 2 else value.packed
        return nicira(36, _NAT.pack(self.flags, present) + out)

    def decode(body, _version):
        if len(body) < _NAT.size:
            raise OFError("OFPBAC_BAD_LEN", f"nat of {len(body)} bytes")
        flags, present = _NAT.unpack_from(body)
        check_zero(body[:2])
        both = flags & (SRC | DST)
        if both == SRC | DST or flags & (HASH | RANDOM) == HASH | RANDOM:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"nat flags {flags:#x}")
        if (flags or present) and not both:
            raise OFError("OFPBAC_BAD_ARGUMENT", "nat without src or dst")
        if present >> 6 or (present & 3 and present & 12):
            raise OFError("OFPBAC_BAD_ARGUMENT", f"nat range {present:#x}")
        values, at = [None] * 4, _NAT.size
        for bit, index, size in _RANGES:
            if present & bit:
                data = body[at : at + size]
                if len(data) < size:
                    raise OFError("OFPBAC_BAD_LEN", "truncated nat")
                values[index] = _value(data)
                at += size
        _check_range(values)
        return Nat(flags, *values)

    NX = ((36, None, decode),)

    def parse(argument, _names):
        return _parse_nat(argument or "")

    TEXT = {"nat": parse}

    def format(self, names=None):
        if not self.flags & (SRC | DST):
            return "nat"
        words = ["src" if self.flags & SRC else "dst"]
        if self.first is not None or self.first_port is not None:
            words[0] += "=" + self._format_range()
        for name, bit in _NAT_WORDS.items():
            if self.flags & bit:
                words.append(name)
        return f"nat({','.join(words)})"

    def _format_range(self):
        text = ""
        for sign, address in (("", self.first), ("-", self.last)):
            if address is not None:
                wrapped = address.version == 6 and self.first_port is not None
                text += sign + (f"[{address}]" if wrapped else str(address))
        if self.first_port is not None:
            text += f":{self.first_port}"
            text += "" if self.last_port is None else f"-{self.last_port}"
        return text

    def check(self, context):
        if not context.in_ct:
            raise Refusal("OFPBAC_BAD_ARGUMENT", 'Cannot have NAT action outside of "ct" action')
        if self.first is not None:
            family = IPV4 if self.first.version == 4 else IPV6
            if not context.holds(family):
                raise OFError("OFPBAC_MATCH_INCONSISTENT", "nat to an address of another family")


_NAT_WORDS = {"persistent": PERSISTENT, "hash": HASH, "random": RANDOM}


def _value(data):
    if len(data) == 2:
        return int.from_bytes(data, "big")
    return IPv4Address(data) if len(data) == 4 else IPv6Address(data)


def _check_range(values):
    first, last, port, last_port = values
    if (last is not None and (first is None or last < first)) or (
        last_port is not None and (port is None or last_port < port)
    ):
        raise OFError("OFPBAC_BAD_ARGUMENT", "nat: the range ends before it begins")


_V4, _V6 = r"(\d+\.\d+\.\d+\.\d+)", r"([0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)"
_ANY_ADDRESS = rf"(?:\[([^\]]*)\]|{_V4}|{_V6})"
_RANGE = re.compile(rf"(?:{_ANY_ADDRESS}(?:-{_ANY_ADDRESS})?)?(?::(\d+)(?:-(\d+))?)?\Z")


def _parse_nat(text):
    flags, values = 0, [None] * 4
    for key, value in split_terms(text):
        if key in ("src", "dst"):
            if flags & (SRC | DST):
                raise TextError('May only specify one of "src" or "dst".')
            flags |= SRC if key == "src" else DST
            if value:
                values = _parse_range(value)
        elif key in _NAT_WORDS and value is None:
            flags |= _NAT_WORDS[key]
        else:
            raise TextError(f'invalid key "{key}" in "nat" argument')
    if flags and not flags & (SRC | DST):
        raise TextError('Flags allowed only with "src" or "dst".')
    if flags & HASH and flags & RANDOM:
        raise TextError('Both "hash" and "random" are not allowed.')
    return Nat(flags, *values)


def _parse_range(text):
    found = _RANGE.match(text)
    if found is None:
        raise TextError(f'garbage ("{text}") in nat range')
    try:
        first = _address(found[1] or found[2] or found[3])
        last = _address(found[4] or found[5] or found[6])
    except AddressValueError:
        raise TextError(f"{text}: bad address in nat range") from None
    ports = [None if port is None else parse_int(port, "port", 16) for port in found.groups()[6:]]
    values = [first, last, *ports]
    try:
        if first is not None and last is not None and first.version != last.version:
            raise OFError("OFPBAC_BAD_ARGUMENT")
        _check_range(values)
    except OFError:
        raise TextError(f'invalid nat range "{text}"') from None
    return values


def _address(text):
    if text is None:
        return None
    return IPv6Address(text) if ":" in text else IPv4Address(text)


class CtClear(Plain):
    """Forgets what the tracker found of the packet."""

    text, subtype = "ct_clear", 43
