"""Nicira's extension actions, as ovs-actions(7) documents them."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.match_text import TextError, split_terms
from ofproto.codec.numbers import OFPP_CONTROLLER, OFPP_IN_PORT

from .base import (
    Action,
    decode_actions,
    encode_actions,
    format_actions,
    format_port,
    format_subfield,
    need,
    nested,
    nicira,
    number,
    parse_actions,
    parse_subfield,
    port_number,
)
from .output import MAX_LEN_WHOLE, Output
from .set import check_bits, check_set, check_writable, check_zero, field_at, field_header

_STACK_BODY = 14  # bytes: first bit, field, bits, zeros
_CONTROLLER = Struct("!HHBx")
_U16X2 = Struct("!HH")
ALL_TABLES = 255

REASONS = {
    "no_match": 0,
    "action": 1,
    "invalid_ttl": 2,
    "action_set": 3,
    "group": 4,
    "packet_out": 5,
}
_REASON_NAMES = {number_: name for name, number_ in REASONS.items()}


class Resubmit(Action):
    """Looks the packet up again, in `table` (None: the same), as from `port` (None: its own)."""

    FIELDS = ("port", "table")
    DEFAULTS = (None,)

    def encode(self, version):
        port = OFPP_IN_PORT if self.port is None else self.port
        table = ALL_TABLES if self.table is None else self.table
        return nicira(14, port.to_bytes(2, "big") + bytes((table, 0, 0, 0)))

    def decode(body, _version):
        return Resubmit(_in_port(body), None)

    def decode_table(body, _version):
        if any(body[3:]):
            raise OFError("OFPBAC_BAD_ARGUMENT", "resubmit: padding is not zero")
        table = body[2]
        return Resubmit(_in_port(body), None if table == ALL_TABLES else table)

    NX = ((1, 6, decode), (14, 6, decode_table))

    def parse(argument, names):
        port, _comma, table = (argument or "").partition(",")
        port, table = port.strip(), table.strip()
        found = port_number(port, names, "resubmit") if port else OFPP_IN_PORT
        if not table:
            table_id = ALL_TABLES
        elif not table.isdecimal() or int(table) > ALL_TABLES:
            raise TextError(f"{table}: resubmit to unknown table")
        else:
            table_id = int(table)
        if found == OFPP_IN_PORT and table_id == ALL_TABLES:
            raise TextError('at least one "in_port" or "table" must be specified on resubmit')
        return Resubmit(
            None if found == OFPP_IN_PORT else found, None if table_id == ALL_TABLES else table_id
        )

    TEXT = {"resubmit": parse}

    def format(self, names=None):
        if self.table is None:
            port = OFPP_IN_PORT if self.port is None else self.port
            return f"resubmit:{format_port(port, names)}"
        port = "" if self.port is None else format_port(self.port, names)
        return f"resubmit({port},{self.table})"


def _in_port(body):
    port = int.from_bytes(body[:2], "big")
    return None if port == OFPP_IN_PORT else port


class Controller(Action):
    """To the controllers with `controller_id`, with a reason."""

    FIELDS = ("max_len", "reason", "controller_id")
    DEFAULTS = (MAX_LEN_WHOLE, 1, 0)

    def encode(self, version):
        return nicira(20, _CONTROLLER.pack(self.max_len, self.controller_id, self.reason))

    def decode(body, _version):
        max_len, controller_id, reason = _CONTROLLER.unpack(body)
        if reason not in _REASON_NAMES:
            raise OFError("NXBRC_BAD_REASON", f"reason {reason}")
        return Controller(max_len, reason, controller_id)

    NX = ((20, 6, decode),)

    def parse(argument, _names):
        if not argument or argument.strip().isdigit():
            max_len = number(argument, "max_len", 16) if argument else MAX_LEN_WHOLE
            return Output(OFPP_CONTROLLER, max_len)
        words = {"max_len": MAX_LEN_WHOLE, "reason": "action", "id": 0}
        for name, value in split_terms(argument):
            if name not in words or value is None:
                raise TextError(f'unknown key "{name}" parsing controller action')
            words[name] = value if name == "reason" else number(value, name, 16)
        if words["reason"] not in REASONS:
            raise TextError(f'unknown reason "{words["reason"]}"')
        return Controller(words["max_len"], REASONS[words["reason"]], words["id"])

    TEXT = {"controller": parse, "CONTROLLER": parse}

    def format(self, names=None):
        if self.reason == 1 and not self.controller_id:
            return f"CONTROLLER:{self.max_len}"
        words = []
        if self.reason != 1:
            words.append(f"reason={_REASON_NAMES[self.reason]}")
        if self.max_len != MAX_LEN_WHOLE:
            words.append(f"max_len={self.max_len}")
        if self.controller_id:
            words.append(f"id={self.controller_id}")
        return f"controller({','.join(words)})"


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
        cls.TEXT = {cls.text: lambda a, n: cls(*parse_subfield(need(a, cls.text)))}
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
        context.require(self.field)


class StackPop(_Stack):
    """The topmost value of the stack goes to bits of a field."""

    text, subtype = "pop", 28

    def check_field(self):
        check_writable(self.field)

    def check(self, context):
        self.check_field()
        check_set(self.field, context)


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
            return Clone(tuple(parse_actions(argument or "", names)))

    TEXT = {"clone": parse}

    def format(self, names=None):
        return f"clone({format_actions(self.actions, names)})"

    def check(self, context):
        for action in self.actions:
            action.check(context)
