"""Nicira's extension actions, as ovs-actions(7) documents them."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.fields import CT
from ofproto.codec.match_text import (
    ALL_TABLES,
    TextError,
    format_table,
    parse_table,
    split_terms,
)
from ofproto.codec.numbers import OFPP_CONTROLLER, OFPP_IN_PORT

from .base import (
    Action,
    check_no_meter,
    decode_actions,
    encode_actions,
    format_actions,
    format_port,
    format_subfield,
    long_number,
    nested,
    nicira,
    number,
    parse_actions,
    parse_subfield,
    port_number,
)
from .output import MAX_LEN_WHOLE, Output
from .set import check_bits, check_destination, check_writable, check_zero, field_at, field_header

_STACK_BODY = 14  # bytes: first bit, field, bits, zeros
_CONTROLLER = Struct("!HHBx")
_U16X2 = Struct("!HH")

REASONS = {
    "no_match": 0,
    "action": 1,
    "invalid_ttl": 2,
    "action_set": 3,
    "group": 4,
    "packet_out": 5,
}
_OF_THE_SWITCH = {6: "", 7: ""}  # of its own rules in table 254
_REASON_NAMES = {number_: name for name, number_ in REASONS.items()} | _OF_THE_SWITCH


class Resubmit(Action):
    """Looks the packet up again, in `table` (None: the same), as from `port` (None: its own).
    `ct`: with its original addresses, as conntrack has them."""

    FIELDS = ("port", "table", "ct")
    DEFAULTS = (None, False)

    def encode(self, version):
        port = OFPP_IN_PORT if self.port is None else self.port
        table = ALL_TABLES if self.table is None else self.table
        return nicira(44 if self.ct else 14, port.to_bytes(2, "big") + bytes((table, 0, 0, 0)))

    def decode(body, _version):
        return Resubmit(_in_port(body), None)

    def decode_table(body, _version):
        if any(body[3:]):
            raise OFError("OFPBAC_BAD_ARGUMENT", "resubmit: padding is not zero")
        table = body[2]
        return Resubmit(_in_port(body), None if table == ALL_TABLES else table)

    def decode_ct(body, version):
        made = Resubmit.decode_table(body, version)
        made.ct = True
        return made

    NX = ((1, 6, decode), (14, 6, decode_table), (44, 6, decode_ct))

    def parse(argument, names):
        port, table, ct, *more = (
            [word.strip() for word in (argument or "").split(",")] + [""] * 2
        )[: max(3, (argument or "").count(",") + 1)]
        if more or ct not in ("", "ct"):
            raise TextError(f"{ct}: unknown parameter")
        found = port_number(port, names, "resubmit") if port else OFPP_IN_PORT
        table_id = parse_table(table, names) if table else ALL_TABLES
        if table_id is None:
            raise TextError(f"{table}: resubmit to unknown table")
        if found == OFPP_IN_PORT and table_id == ALL_TABLES:
            raise TextError('at least one "in_port" or "table" must be specified on resubmit')
        return Resubmit(
            None if found == OFPP_IN_PORT else found,
            None if table_id == ALL_TABLES else table_id,
            bool(ct),
        )

    TEXT = {"resubmit": parse}

    def format(self, names=None):
        if self.table is None and not self.ct:
            port = OFPP_IN_PORT if self.port is None else self.port
            return f"resubmit:{format_port(port, names)}"
        port = "" if self.port is None else format_port(self.port, names)
        table = "" if self.table is None else format_table(self.table, names)
        return f"resubmit({port},{table}{',ct' if self.ct else ''})"

    def check(self, context):
        if self.ct and not context.holds(CT):
            raise OFError("OFPBAC_MATCH_INCONSISTENT", "resubmit of what may not be tracked")


def _in_port(body):
    port = int.from_bytes(body[:2], "big")
    return None if port == OFPP_IN_PORT else port


class Controller(Action):
    """To the controllers with `controller_id`, with a reason.  `userdata` goes to them, too;
    `pause`: the packet waits for their answer; `meter`: how often this may be (None: not told)."""

    FIELDS = ("max_len", "reason", "controller_id", "userdata", "pause", "meter")
    DEFAULTS = (MAX_LEN_WHOLE, 1, 0, b"", False, None)

    def encode(self, version):
        if not self.userdata and not self.pause and self.meter is None:
            body = _CONTROLLER.pack(self.max_len, self.controller_id, self.reason)
            return nicira(20, body)
        rows = [
            (_MAX_LEN, self.max_len, MAX_LEN_WHOLE),
            (_CONTROLLER_ID, self.controller_id, 0),
            (_REASON, self.reason, REASONS["action"]),
            (_USERDATA, self.userdata, b""),
            (_PAUSE, b"" if self.pause else None, None),
            (_METER, self.meter, None),
        ]
        body = b"".join(_property(kind, value) for kind, value, default in rows if value != default)
        return nicira(37, bytes(6) + body)

    def decode(body, _version):
        max_len, controller_id, reason = _CONTROLLER.unpack(body)
        return Controller(max_len, reason, controller_id)

    def decode_2(body, _version):
        check_zero(body[:6])
        made = Controller()
        for kind, value in _properties(body[6:]):
            if kind not in _PROPERTIES:
                raise OFError("OFPBPC_BAD_TYPE", f"controller property {kind}")
            name, size = _PROPERTIES[kind]
            if size is not None and len(value) != size:
                raise OFError("OFPBPC_BAD_LEN", f"controller property of {len(value)} bytes")
            if kind in _SHORT:
                value = value[:2]
            if kind == _USERDATA:
                made.userdata = value
            else:
                setattr(made, name, int.from_bytes(value, "big") if size else True)
        return made

    NX = ((20, 6, decode), (37, None, decode_2))

    def parse(argument, _names):
        if not argument or argument.strip().isdigit():
            max_len = number(argument, "max_len", 16) if argument else MAX_LEN_WHOLE
            return Output(OFPP_CONTROLLER, max_len)
        made = Controller()
        for name, value in split_terms(argument):
            if name == "pause" and value is None:
                made.pause = True
                continue
            setter = _KEYS.get(name)
            if setter is None or value is None:
                raise TextError(f'unknown key "{name}" parsing controller action')
            setattr(made, *setter(value))
        if made == Controller(made.max_len):
            return Output(OFPP_CONTROLLER, made.max_len)
        return made

    TEXT = {"controller": parse, "CONTROLLER": parse}

    def format(self, names=None):
        if self == Controller(self.max_len):
            return f"CONTROLLER:{self.max_len}"
        words = []
        if self.reason != 1:
            words.append(f"reason={_REASON_NAMES.get(self.reason, self.reason)}")
        if self.max_len != MAX_LEN_WHOLE:
            words.append(f"max_len={self.max_len}")
        if self.controller_id:
            words.append(f"id={self.controller_id}")
        if self.userdata:
            words.append(f"userdata={self.userdata.hex('.')}")
        if self.pause:
            words.append("pause")
        if self.meter is not None:
            words.append(f"meter_id={self.meter}")
        return f"controller({','.join(words)})"


_MAX_LEN, _CONTROLLER_ID, _REASON, _USERDATA, _PAUSE, _METER = range(6)
_PROPERTIES = {
    _MAX_LEN: ("max_len", 4),  # 16 bits, and 16 of nothing
    _CONTROLLER_ID: ("controller_id", 4),
    _REASON: ("reason", 1),
    _USERDATA: ("userdata", None),
    _PAUSE: ("pause", 0),
    _METER: ("meter", 4),
}


_SHORT = (_MAX_LEN, _CONTROLLER_ID)


def _property(kind, value):
    size = 2 if kind in _SHORT else _PROPERTIES[kind][1]
    data = value if isinstance(value, bytes) else value.to_bytes(size, "big")
    data += bytes(2) if kind in _SHORT else b""
    body = _U16X2.pack(kind, 4 + len(data)) + data
    return body + bytes(-len(body) % 8)


def _properties(data):
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise OFError("OFPBPC_BAD_LEN", "truncated controller property")
        kind, length = _U16X2.unpack_from(data, at)
        end = at + (length + 7) // 8 * 8
        if length < 4 or end > len(data):
            raise OFError("OFPBPC_BAD_LEN", f"controller property of {length} bytes")
        yield kind, data[at + 4 : at + length]
        at = end


def _parse_reason(value):
    if value not in REASONS:
        raise TextError(f'unknown reason "{value}"')
    return "reason", REASONS[value]


def _parse_userdata(value):
    try:
        return "userdata", bytes.fromhex(value.replace(".", ""))
    except ValueError:
        raise TextError("bad hex digit in `controller' action `userdata'") from None


_KEYS = {
    "max_len": lambda value: ("max_len", number(value, "max_len", 16)),
    "reason": _parse_reason,
    "id": lambda value: ("controller_id", number(value, "id", 16)),
    "userdata": _parse_userdata,
    "meter_id": lambda value: ("meter", long_number(value, 32)),
}


class _Stack(Action):
    """Moves bits of a field to or from the stack that lives as long as the packet."""

    FIELDS = ("field", "start", "n_bits")
    text = ""
    subtype = 0

    def __init_subclass__(cls):
        def decode(body, _version):
            start = int.from_bytes(body[:2], "big")
            field, at = field_at(body, 2)
            n_bits = int.from_bytes(body[at : at + 2], "big")
            check_zero(body[at + 2 :])
            check_bits(field, start, n_bits)
            made = cls(field, start, n_bits)
            made.check_field()
            return made

        cls.NX = ((cls.subtype, _STACK_BODY, decode),)
        cls.TEXT = {cls.text: lambda a, n: cls(*parse_subfield(a or ""))}
        super().__init_subclass__()

    def encode(self, version):
        header = field_header(self, self.field, version)
        body = self.start.to_bytes(2, "big") + header + self.n_bits.to_bytes(2, "big")
        return nicira(self.subtype, body + bytes(_STACK_BODY - len(body)))

    def check_field(self):
        """Raises OFError where it cannot be this field."""

    def format(self, names=None):
        return f"{self.text}:{format_subfield(self.field, self.start, self.n_bits)}"


class StackPush(_Stack):
    """Bits of a field go onto the stack."""

    text, subtype = "push", 27

    def check(self, context):
        context.source(self.field)


class StackPop(_Stack):
    """The topmost value of the stack goes to bits of a field."""

    text, subtype = "pop", 28

    @property
    def destination(self):
        return self.field, self.start, self.n_bits

    def check_field(self):
        check_writable(self.field)

    def check(self, context):
        self.check_field()
        check_destination(self.field, context)


class Note(Action):
    """Bytes for people, without effect."""

    FIELDS = ("data",)

    def encode(self, version):
        return nicira(8, self.data)

    def decode(body, _version):
        return Note(bytes(body))

    NX = ((8, None, decode),)

    def parse(argument, _names):
        digits = (argument or "").replace(".", "")
        try:
            data = bytes.fromhex(digits)
        except ValueError:
            raise TextError("bad hex digit in `note' argument") from None
        return Note(data + bytes(-(10 + len(data)) % 8))

    TEXT = {"note": parse}

    def format(self, names=None):
        return f"note:{'.'.join(f'{byte:02x}' for byte in self.data)}"


class Clone(Action):
    """Runs actions on a copy: what they change is not seen by what follows."""

    FIELDS = ("actions",)

    def encode(self, version):
        return nicira(42, bytes(6) + encode_actions(self.actions, version))

    def decode(body, version):
        check_zero(body[:6])
        with nested(OFError("OFPBAC_TOO_MANY", "nested actions")):
            return Clone(tuple(decode_actions(body[6:], version)))

    NX = ((42, None, decode),)

    def parse(argument, names):
        with nested(TextError("actions are nested too deeply")):
            check_no_meter("clone", argument)
            return Clone(tuple(parse_actions(argument or "", names)))

    TEXT = {"clone": parse}

    def format(self, names=None):
        return f"clone({format_actions(self.actions, names)})"

    def check(self, context):
        for action in self.actions:
            action.check(context)
