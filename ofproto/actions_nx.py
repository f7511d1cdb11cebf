"""Nicira's extension actions, as ovs-actions(7) documents them."""

from struct import Struct

from .action_base import (
    Action,
    decode_actions,
    encode_actions,
    format_actions,
    format_port,
    format_subfield,
    need,
    nicira,
    number,
    parse_actions,
    parse_subfield,
    port_number,
    unsupported,
)
from .actions_of import MAX_LEN_WHOLE, SetField
from .errors import OFError
from .fields import BY_CODE, BY_NAME, OFPP_IN_PORT
from .match_text import TextError, parse_int, split_terms

_REG_LOAD = Struct("!HIQ")
_REG_MOVE = Struct("!HHHII")
_OUTPUT_REG = Struct("!HIH6x")
_STACK = Struct("!HIH6x")
_CONTROLLER = Struct("!HHBx")
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


def _field(header: int):
    """The field of a 4-byte NXM or OXM header, as moves and loads carry it."""
    field = BY_CODE.get((header >> 16, 0, header >> 9 & 0x7F))
    if field is None or header >> 8 & 1 or header & 0xFF != field.n_bytes:
        raise OFError("OFPBAC_BAD_SET_TYPE", f"field {header:#x}")
    return field


def _header(action, field, version) -> int:
    header = field.oxm(version, False)
    if header is None or len(header) != 4:
        raise unsupported(action, version)
    return int.from_bytes(header, "big")


def _bits(field, start, n_bits):
    if start + n_bits > field.n_bits:
        raise OFError("OFPBAC_BAD_SET_LEN", f"bits {start}..{start + n_bits - 1} of {field.name}")


def _writable(field):
    if not field.writable:
        raise OFError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} is read-only")


class RegLoad(Action):
    """Sets bits [start, start + n_bits) of a field."""

    FIELDS = ("field", "start", "n_bits", "value")

    def encode(self, version):
        bits = self.start << 6 | self.n_bits - 1
        return nicira(7, _REG_LOAD.pack(bits, _header(self, self.field, version), self.value))

    def decode(body, _version):
        bits, header, value = _REG_LOAD.unpack(body)
        field, start, n_bits = _field(header), bits >> 6, (bits & 0x3F) + 1
        _bits(field, start, n_bits)
        _writable(field)
        if value >> n_bits:
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", f"{value:#x} in {n_bits} bits")
        return RegLoad(field, start, n_bits, value)

    NX = ((7, 14, decode),)

    def parse(argument, _names):
        text, arrow, destination = need(argument, "load").partition("->")
        if not arrow:
            raise TextError(f"{argument}: missing `->'")
        field, start, n_bits = parse_subfield(destination)
        if not field.writable:
            raise TextError(f"{destination} is read-only")
        value = parse_int(text, "load", 128)
        if value >> n_bits:
            raise TextError(f"{text} does not fit into {n_bits} bits")
        if n_bits > 64:
            return SetField(field, value << start, ((1 << n_bits) - 1) << start)
        return RegLoad(field, start, n_bits, value)

    TEXT = {"load": parse}

    def format(self, names=None):
        value = f"{self.value:#x}" if self.value else "0"
        return f"load:{value}->{format_subfield(self.field, self.start, self.n_bits)}"

    def check(self, context):
        context.require(self.field)


class RegMove(Action):
    """Copies bits from one field to another."""

    FIELDS = ("src", "src_start", "n_bits", "dst", "dst_start")

    def encode(self, version):
        src, dst = _header(self, self.src, version), _header(self, self.dst, version)
        return nicira(6, _REG_MOVE.pack(self.n_bits, self.src_start, self.dst_start, src, dst))

    def decode(body, _version):
        n_bits, src_start, dst_start, src, dst = _REG_MOVE.unpack(body)
        src, dst = _field(src), _field(dst)
        if not n_bits:
            raise OFError("OFPBAC_BAD_SET_LEN", "a move of no bits")
        _bits(src, src_start, n_bits)
        _bits(dst, dst_start, n_bits)
        _writable(dst)
        return RegMove(src, src_start, n_bits, dst, dst_start)

    NX = ((6, 14, decode),)

    def parse(argument, _names):
        source, arrow, destination = need(argument, "move").partition("->")
        if not arrow:
            raise TextError(f"{argument}: missing `->'")
        src, src_start, n_bits = parse_subfield(source)
        dst, dst_start, dst_bits = parse_subfield(destination)
        if n_bits != dst_bits:
            raise TextError(
                f"{argument}: source field is {n_bits} bits wide but destination is {dst_bits}"
            )
        if not dst.writable:
            raise TextError(f"{destination} is read-only")
        return RegMove(src, src_start, n_bits, dst, dst_start)

    TEXT = {"move": parse}

    def format(self, names=None):
        source = format_subfield(self.src, self.src_start, self.n_bits)
        return f"move:{source}->{format_subfield(self.dst, self.dst_start, self.n_bits)}"

    def check(self, context):
        context.require(self.src)
        context.require(self.dst)


class Resubmit(Action):
    """Looks the packet up again, in `table` (None: the same), as from `port` (None: its own)."""

    FIELDS = ("port", "table")
    DEFAULTS = (None,)

    def encode(self, version):
        port = (OFPP_IN_PORT if self.port is None else self.port).to_bytes(2, "big")
        if self.table is None:
            return nicira(1, port + bytes(4))
        return nicira(14, port + bytes((self.table, 0, 0, 0)))

    def decode(body, _version):
        return Resubmit(_in_port(body), None)

    def decode_table(body, _version):
        if any(body[3:]):
            raise OFError("OFPBAC_BAD_ARGUMENT", "resubmit: padding is not zero")
        table = body[2]
        return Resubmit(_in_port(body), None if table == ALL_TABLES else table)

    NX = ((1, 6, decode), (14, 6, decode_table))

    def parse(argument, names):
        text = need(argument, "resubmit")
        port, comma, table = text.partition(",")
        if not comma and ":" not in text and text.strip() == "":
            raise TextError("at least one of port and table must be given")
        found = port_number(port, names, "resubmit") if port.strip() else None
        return Resubmit(found, parse_int(table, "table", 8) if table.strip() else None)

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
        from .actions_of import Output
        from .fields import OFPP_CONTROLLER

        if not argument or argument.strip().isdigit():
            max_len = parse_int(argument, "max_len", 16) if argument else MAX_LEN_WHOLE
            return Output(OFPP_CONTROLLER, max_len)
        words = {"max_len": MAX_LEN_WHOLE, "reason": "action", "id": 0}
        for name, value in split_terms(argument.replace("=", "=")):
            if name not in words or value is None:
                raise TextError(f'unknown key "{name}" parsing controller action')
            words[name] = value if name == "reason" else parse_int(value, name, 16)
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


class OutputReg(Action):
    """To the port whose number is in a field."""

    FIELDS = ("field", "start", "n_bits", "max_len")
    DEFAULTS = (MAX_LEN_WHOLE,)

    def encode(self, version):
        bits = self.start << 6 | self.n_bits - 1
        return nicira(15, _OUTPUT_REG.pack(bits, _header(self, self.field, version), self.max_len))

    def decode(body, _version):
        bits, header, max_len = _OUTPUT_REG.unpack(body)
        field, start, n_bits = _field(header), bits >> 6, (bits & 0x3F) + 1
        _bits(field, start, n_bits)
        return OutputReg(field, start, n_bits, max_len)

    NX = ((15, 14, decode),)

    def format(self, names=None):
        return f"output:{format_subfield(self.field, self.start, self.n_bits)}"

    def check(self, context):
        context.require(self.field)


def _stack(name, subtype, text):
    """The class of a stack action: a field, its first bit, bits."""

    def encode(self, version):
        header = _header(self, self.field, version)
        return nicira(subtype, _STACK.pack(self.start, header, self.n_bits))

    def decode(body, _version):
        start, header, n_bits = _STACK.unpack(body)
        field = _field(header)
        if not n_bits:
            raise OFError("OFPBAC_BAD_SET_LEN", "no bits")
        _bits(field, start, n_bits)
        if text == "pop":
            _writable(field)
        return made(field, start, n_bits)

    def parse(argument, _names):
        return made(*parse_subfield(need(argument, text)))

    made = type(
        name,
        (Action,),
        {
            "__doc__": f"{text}: bits of a field, on the stack that lives as long as the packet.",
            "FIELDS": ("field", "start", "n_bits"),
            "NX": ((subtype, 14, decode),),
            "TEXT": {text: parse},
            "encode": encode,
            "format": lambda self, names=None: (
                f"{text}:{format_subfield(self.field, self.start, self.n_bits)}"
            ),
            "check": lambda self, context: context.require(self.field),
        },
    )
    return made


StackPush = _stack("StackPush", 27, "push")
StackPop = _stack("StackPop", 28, "pop")


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


class SetTunnel:
    """set_tunnel and set_tunnel64 are ways to say SetField of tun_id."""

    def decode(body, _version):
        return SetField(BY_NAME["tun_id"], int.from_bytes(body[-4:], "big"), None, True)

    def decode64(body, _version):
        return SetField(BY_NAME["tun_id"], int.from_bytes(body[-8:], "big"), None, True)

    def parse(argument, _names):
        return SetField(BY_NAME["tun_id"], number(argument, "set_tunnel", 64), None, True)


class Clone(Action):
    """Runs actions on a copy: what they change is not seen by what follows."""

    FIELDS = ("actions",)

    def encode(self, version):
        return nicira(42, bytes(6) + encode_actions(self.actions, version))

    def decode(body, version):
        if any(body[:6]):
            raise OFError("NXBRC_MUST_BE_ZERO")
        return Clone(tuple(decode_actions(body[6:], version)))

    NX = ((42, None, decode),)
    TEXT = {"clone": lambda a, n: Clone(tuple(parse_actions(a or "", n)))}

    def format(self, names=None):
        return f"clone({format_actions(self.actions, names) if self.actions else ''})"

    def check(self, context):
        for action in self.actions:
            action.check(context)


def _register_tunnel():
    from .action_base import NX, TEXT

    NX[2] = (SetField, 6, SetTunnel.decode)
    NX[9] = (SetField, 14, SetTunnel.decode64)
    TEXT["set_tunnel"] = TEXT["set_tunnel64"] = (SetField, SetTunnel.parse)


_register_tunnel()

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
