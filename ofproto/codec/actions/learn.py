"""learn: makes a flow of the packet that comes by (ovs-actions(7))."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.fields import Field
from ofproto.codec.match import Match
from ofproto.codec.match_text import (
    TextError,
    format_table,
    format_value,
    parse_int,
    parse_table,
    parse_value,
    split_terms,
)

from .base import Action, format_subfield, lacks, nicira, parse_subfield
from .set import check_bits, check_destination, check_writable, field_at, field_header

DEFAULT_PRIORITY = 0x8000
SEND_FLOW_REM, DELETE_LEARNED, WRITE_RESULT = 1, 2, 4  # flags
MATCH, LOAD, OUTPUT = range(3)  # what a clause does
_HEAD = Struct("!HHHQHBxHH")
_HEAD_2 = Struct("!IH2x")  # what learn2 has besides: the limit, first bit of the result
_IMMEDIATE, _KIND_SHIFT, _N_BITS = 1 << 13, 11, 0x7FF
_RESERVED = ~(_IMMEDIATE | 3 << _KIND_SHIFT | _N_BITS) & 0xFFFF
_LEARN, _LEARN_2 = 16, 45


class Clause:
    """A part of the new flow: bits [start, start + n_bits) of `field` are matched (MATCH) or loaded
    (LOAD), or the port in them is the output (OUTPUT, where they are the source).  `source`: a
    number, or (field, first bit) of the packet."""

    __slots__ = ("field", "kind", "n_bits", "source", "start")

    def __init__(self, kind, field, start, n_bits, source):
        self.kind, self.field, self.start, self.n_bits = kind, field, start, n_bits
        self.source = source

    def values(self):
        return (self.kind, self.field, self.start, self.n_bits, self.source)

    def __eq__(self, other):
        return type(other) is Clause and self.values() == other.values()

    def __hash__(self):
        return hash(self.values())

    def __repr__(self):
        return f"Clause{self.values()}"


class Learn(Action):
    """`table`, times, `priority`, `cookie` and `flags` are the new flow's; DELETE_LEARNED: it goes
    when this flow goes.  `limit`: flows with this cookie at most (0: any number); `result`
    (field, bit): where it is told whether the flow could be there."""

    FIELDS = (
        *("table", "clauses", "idle_timeout", "hard_timeout", "priority", "cookie", "flags"),
        *("fin_idle_timeout", "fin_hard_timeout", "limit", "result"),
    )
    DEFAULTS = (0, 0, DEFAULT_PRIORITY, 0, 0, 0, 0, 0, None)

    def encode(self, version):
        head = _HEAD.pack(
            self.idle_timeout, self.hard_timeout, self.priority, self.cookie, self.flags,
            self.table, self.fin_idle_timeout, self.fin_hard_timeout,
        )  # fmt: skip
        number = _LEARN
        if self.limit or self.result:
            number = _LEARN_2
            field, bit = self.result or (None, 0)
            head += _HEAD_2.pack(self.limit, bit)
            if field:
                head += field_header(self, field, version)
        return nicira(number, head + b"".join(self._clause(each, version) for each in self.clauses))

    def _clause(self, each, version):
        immediate = isinstance(each.source, int)
        head = each.kind << _KIND_SHIFT | each.n_bits | (_IMMEDIATE if immediate else 0)
        out = head.to_bytes(2, "big")
        if immediate:
            out += each.source.to_bytes((each.n_bits + 15) // 16 * 2, "big")
        else:
            field, start = each.source
            out += field_header(self, field, version) + start.to_bytes(2, "big")
        if each.kind == OUTPUT:
            return out
        return out + field_header(self, each.field, version) + each.start.to_bytes(2, "big")

    def decode(body, _version):
        if len(body) < _HEAD.size:
            raise OFError("OFPBAC_BAD_LEN", f"learn of {len(body)} bytes")
        return _decode(body, SEND_FLOW_REM | DELETE_LEARNED, _HEAD.size)

    def decode_2(body, _version):
        at = _HEAD.size + _HEAD_2.size
        if len(body) < at:
            raise OFError("OFPBAC_BAD_LEN", f"learn of {len(body)} bytes")
        return _decode(body, SEND_FLOW_REM | DELETE_LEARNED | WRITE_RESULT, at)

    NX = ((_LEARN, None, decode), (_LEARN_2, None, decode_2))

    def parse(argument, names):
        return _parse(argument or "", names)

    TEXT = {"learn": parse}

    def format(self, names=None):
        words = [f"table={format_table(self.table, names)}"]
        for name in ("idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"):
            if getattr(self, name):
                words.append(f"{name}={getattr(self, name)}")
        if self.priority != DEFAULT_PRIORITY:
            words.append(f"priority={self.priority}")
        for word, bit in _FLAGS.items():
            if self.flags & bit:
                words.append(word)
        if self.cookie:
            words.append(f"cookie={self.cookie:#x}")
        if self.limit:
            words.append(f"limit={self.limit}")
        if self.result:
            words.append(f"result_dst={format_subfield(*self.result, 1)}")
        words += [_format_clause(each, names) for each in self.clauses]
        return f"learn({','.join(words)})"

    def check(self, context):
        known = Match()  # what the new flow matches so far
        for each in self.clauses:
            if not isinstance(each.source, int):
                context.source(each.source[0])
            if each.kind == MATCH:
                if not known.holds(each.field.prerequisite):
                    raise lacks("source", each.field)
                whole = each.start == 0 and each.n_bits == each.field.part_bits
                if whole and isinstance(each.source, int):
                    known.set(each.field, each.source)
            elif each.kind == LOAD:
                check_destination(each.field, _Later(known))


class _Later:
    """What is known of packets of the new flow."""

    def __init__(self, match):
        self.match = match

    def destination(self, field):
        if not self.match.holds(field.prerequisite):
            raise lacks("destination", field)

    require = destination


_FLAGS = {"send_flow_rem": SEND_FLOW_REM, "delete_learned": DELETE_LEARNED}


def _decode(body, known, at):
    idle, hard, priority, cookie, flags, table, fin_idle, fin_hard = _HEAD.unpack_from(body)
    if body[_HEAD.size - 5] or flags & ~known or table == 0xFF:
        raise OFError("OFPBAC_BAD_ARGUMENT", f"learn: flags {flags:#x}, table {table}")
    limit, result = 0, None
    if at > _HEAD.size:
        limit, bit = _HEAD_2.unpack_from(body, _HEAD.size)
        if any(body[at - 2 : at]):
            raise OFError("NXBRC_MUST_BE_ZERO")
        if flags & WRITE_RESULT:
            field, at = field_at(body, at)
            check_bits(field, bit, 1)
            check_writable(field)
            result = (field, bit)
    clauses = []
    while len(body) - at >= 2:
        head = int.from_bytes(body[at : at + 2], "big")
        if not head:
            break
        each, at = _decode_clause(head, body, at + 2)
        clauses.append(each)
    if any(body[at:]):
        raise OFError("OFPBAC_BAD_ARGUMENT", "learn: padding is not zero")
    return Learn(
        table,
        tuple(clauses),
        idle,
        hard,
        priority,
        cookie,
        flags,
        fin_idle,
        fin_hard,
        limit,
        result,
    )


def _decode_clause(head, body, at):
    kind, n_bits = head >> _KIND_SHIFT & 3, head & _N_BITS
    if head & _RESERVED or kind > OUTPUT or (kind == OUTPUT and head & _IMMEDIATE):
        raise OFError("OFPBAC_BAD_ARGUMENT", f"learn: clause {head:#x}")
    if head & _IMMEDIATE:
        size = (n_bits + 15) // 16 * 2
        if at + size > len(body):
            raise OFError("OFPBAC_BAD_LEN", "truncated clause")
        source = int.from_bytes(body[at : at + size], "big") & (1 << n_bits) - 1
        at += size
    else:
        source, at = _subfield(body, at, n_bits)
    if kind == OUTPUT:
        return _output(*source, n_bits), at
    (field, start), at = _subfield(body, at, n_bits)
    if kind == LOAD:
        check_writable(field)
    return Clause(kind, field, start, n_bits, source), at


def _subfield(body, at, n_bits):
    field, at = field_at(body, at)
    if at + 2 > len(body):
        raise OFError("OFPBAC_BAD_LEN", "truncated clause")
    start = int.from_bytes(body[at : at + 2], "big")
    check_bits(field, start, n_bits)
    return (field, start), at + 2


def _output(field: Field, start: int, n_bits: int) -> Clause:
    return Clause(OUTPUT, field, start, n_bits, (field, start))


# Text


def _parse(text, names):
    values = {"table": 1}
    clauses, flags = [], 0
    for key, value in split_terms(text):
        if key in _FLAGS and not value:
            flags |= _FLAGS[key]
        elif key == "table":
            values[key] = _parse_table(value or "", names)
        elif key in _NUMBERS:
            values[key] = _number(key, value or "")
        elif key == "result_dst":
            field, start, n_bits = parse_subfield(value or "")
            if n_bits != 1:
                raise TextError("result_dst in 'learn' action must be a single bit")
            values["result"] = (field, start)
            flags |= WRITE_RESULT
        else:
            clauses.append(_parse_clause(key, value, names, text))
    if values["table"] == 0xFF:
        raise TextError(f"{text}: table id 255 not valid for `learn' action")
    values["flags"] = flags
    more = zip(Learn.FIELDS[2:], Learn.DEFAULTS, strict=True)
    rest = (values.get(name, default) for name, default in more)
    return Learn(values["table"], tuple(clauses), *rest)


_NUMBERS = {
    "idle_timeout": 16, "hard_timeout": 16, "priority": 16, "cookie": 64, "limit": 32,
    "fin_idle_timeout": 16, "fin_hard_timeout": 16,
}  # fmt: skip


def _number(key, value):
    return parse_int(value, key, _NUMBERS[key])


def _parse_table(text, names):
    found = parse_table(text, names)
    if found is None:
        raise TextError(f'unknown table "{text}"')
    return found


def _parse_clause(key, value, names, whole):
    if key == "load":
        return _parse_load(value or "")
    if key == "output":
        return _output(*parse_subfield(value or ""))
    try:
        field, start, n_bits = parse_subfield(key)
    except TextError:
        raise TextError(f"{whole}: unknown keyword {key}") from None
    if value is None:
        return Clause(MATCH, field, start, n_bits, (field, start))
    try:
        source, source_start, source_bits = parse_subfield(value)
    except TextError as error:
        return _parse_immediate(key, value, (field, start, n_bits), names, error)
    if source_bits != n_bits:
        raise TextError(
            f"{whole}: bit widths of {key} ({n_bits}) and {value} ({source_bits}) differ"
        )
    return Clause(MATCH, field, start, n_bits, (source, source_start))


def _parse_immediate(key, value, destination, names, error):
    field, start, n_bits = destination
    try:
        if start or n_bits != field.part_bits:
            number = parse_int(value, key, 128)
        else:
            number, mask = parse_value(field, value, names)
            if mask is not None:
                raise TextError(f"{key}: masks are not supported")
        if number >> n_bits:
            what = f"{key}={value}: value {number:#x}"
            raise TextError(f"{what} does not fit into {n_bits} bits")
    except TextError as other:
        raise TextError(
            f"{key}={value}: {key} value {value} cannot be parsed as a subfield ({error}) "
            f"or an immediate value ({other})"
        ) from None
    return Clause(MATCH, field, start, n_bits, number)


def _parse_load(text):
    source, arrow, destination = text.partition("->")
    if not arrow:
        raise TextError(f"load: missing `->' in `{text}'")
    field, start, n_bits = parse_subfield(destination)
    if not field.writable:
        raise TextError(f"{destination} is read-only")
    if source[:1].isdigit():
        number = parse_int(source, "load", 1024)
        if number >> 128:
            raise TextError(f"{text}: value does not fit into 128 bits")
        if number >> n_bits:
            raise TextError(f"{text}: value does not fit into {n_bits} bits")
        return Clause(LOAD, field, start, n_bits, number)
    src, src_start, src_bits = parse_subfield(source)
    if src_bits != n_bits:
        raise TextError(
            f"{text}: source field is {src_bits} bits wide but destination is {n_bits} bits wide"
        )
    return Clause(LOAD, field, start, n_bits, (src, src_start))


def _format_clause(each, names):
    own = format_subfield(each.field, each.start, each.n_bits)
    if each.kind == OUTPUT:
        return f"output:{own}"
    if isinstance(each.source, int):
        number = f"{each.source:#x}" if each.source else "0"  # as Open vSwitch writes it
        if each.kind == LOAD:
            return f"load:{number}->{own}"
        if each.start or each.n_bits != each.field.part_bits:
            return f"{own}={number}"
        return f"{each.field.name}={format_value(each.field, each.source, None, names)}"
    source = format_subfield(*each.source, each.n_bits)
    if each.kind == LOAD:
        return f"load:{source}->{own}"
    return own if each.source == (each.field, each.start) else f"{own}={source}"
