"""The actions that send a packet to a port: that is named, or has its number in a field."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.match_text import TextError, parse_int, split_terms
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF15,
    OFPP_ALL,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_MAX,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
    OFPP_UNSET,
    PORT_NAMES,
)

from .base import (
    Action,
    format_port,
    format_subfield,
    nicira,
    number,
    parse_port,
    parse_subfield,
    port_from_wire,
    port_to_wire,
    standard,
)
from .set import check_bits, check_zero, field_at, field_header

_U16X2 = Struct("!HH")
_OUTPUT_REG = Struct("!HIH6x")
_TRUNC = Struct("!HI")
MAX_LEN_WHOLE = 0xFFFF

# The reserved ports that a packet may go to
_OUTPUT_PORTS = set(PORT_NAMES) - {OFPP_NONE, OFPP_UNSET}


class Output(Action):
    """To a port; max_len: bytes of a packet that go to the controller.  With other ports it means
    nothing, and is kept: a controller compares what it asks for with what it sent."""

    FIELDS = ("port", "max_len")

    def __init__(self, port, max_len=None):
        if max_len is None:
            max_len = MAX_LEN_WHOLE if port == OFPP_CONTROLLER else 0
        self.port = port
        self.max_len = max_len

    def encode(self, version):
        body = port_to_wire(self.port, version) + self.max_len.to_bytes(2, "big")
        return standard(0, body if version == OF10 else body + bytes(6))

    def most_bytes(self):
        return 16

    def decode(body, _version):
        size = 2 if len(body) == 4 else 4
        port = port_from_wire(body[:size])
        max_len = int.from_bytes(body[size : size + 2], "big")
        made = Output(port, max_len)
        made.check(None)
        return made

    WIRE = ((OF10, OF10, 0, 4, decode), (OF11, OF15, 0, 12, decode))

    def parse(argument, names):
        if "port=" in (argument or "") and "max_len=" in (argument or ""):
            return parse_trunc(argument, names)
        text, colon, max_len = (argument or "").partition(":")
        port = parse_port(text, names)
        if port is None or (colon and port != OFPP_CONTROLLER):
            try:
                return OutputReg(*parse_subfield(text), MAX_LEN_WHOLE)
            except TextError:
                raise TextError(f"{argument or ''}: output to unknown port") from None
        return Output(port, number(max_len, "max_len", 16) if colon else None)

    def format(self, names=None):
        if self.port == OFPP_CONTROLLER:
            return f"CONTROLLER:{self.max_len}"
        text = format_port(self.port, names)
        return text if self.port >= 0xFF00 else f"output:{text}"

    TEXT = {"output": parse}

    def check(self, context):
        if self.port >= OFPP_MAX and self.port not in _OUTPUT_PORTS:
            raise OFError("OFPBAC_BAD_OUT_PORT", f"port {self.port}")


class OutputReg(Action):
    """To the port whose number is in a field."""

    FIELDS = ("field", "start", "n_bits", "max_len")
    DEFAULTS = (MAX_LEN_WHOLE,)

    def encode(self, version):
        bits = self.start << 6 | self.n_bits - 1
        header = field_header(self, self.field, version)
        if len(header) == 4:
            return nicira(15, _OUTPUT_REG.pack(bits, int.from_bytes(header, "big"), self.max_len))
        return nicira(32, _U16X2.pack(bits, self.max_len) + header + bytes(2))

    def decode(body, _version):
        bits, _header, max_len = _OUTPUT_REG.unpack(body)
        check_zero(body[8:])
        return OutputReg.of_bits(bits, field_at(body, 2)[0], max_len)

    def decode_2(body, _version):
        """The form for fields of experimenters."""
        bits, max_len = _U16X2.unpack_from(body)
        field, at = field_at(body, 4)
        check_zero(body[at:])
        return OutputReg.of_bits(bits, field, max_len)

    @classmethod
    def of_bits(cls, bits, field, max_len):
        """`bits`: the first one in the upper 10 bits, their number less one below."""
        start, n_bits = bits >> 6, (bits & 0x3F) + 1
        check_bits(field, start, n_bits)
        return cls(field, start, n_bits, max_len)

    NX = ((15, 14, decode), (32, 14, decode_2))

    def format(self, names=None):
        return f"output:{format_subfield(self.field, self.start, self.n_bits)}"

    def check(self, context):
        context.source(self.field)


class OutputTrunc(Action):
    """To a port, cut to `max_len` bytes."""

    FIELDS = ("port", "max_len")

    def encode(self, version):
        return nicira(39, _TRUNC.pack(self.port, self.max_len))

    def decode(body, _version):
        port, max_len = _TRUNC.unpack(body)
        if max_len < MIN_TRUNC:
            raise OFError("OFPBAC_BAD_ARGUMENT", f"max_len {max_len}")
        return OutputTrunc(port, max_len)

    NX = ((39, 6, decode),)

    def format(self, names=None):
        return f"output(port={format_port(self.port, names)},max_len={self.max_len})"

    def check(self, context):
        if self.port in _NOT_TRUNCATED:
            raise OFError("OFPBAC_BAD_OUT_PORT", format_port(self.port))


MIN_TRUNC = 14
_NOT_TRUNCATED = (OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER)


def parse_trunc(text, names=None) -> OutputTrunc:
    """`port=P,max_len=N`.  Raises TextError."""
    port = max_len = None
    for key, value in split_terms(text):
        if key == "port":
            port = parse_port(value or "", names)
            if port is None:
                raise TextError(f"output to unknown truncate port: {value}")
            if port in _NOT_TRUNCATED:
                raise TextError(f"output to unsupported truncate port: {value}")
        elif key == "max_len":
            max_len = parse_int(value or "", "max_len", 32)
        else:
            raise TextError(f"invalid key '{key}' in output_trunc argument")
    if port is None or max_len is None:
        raise TextError("output(port=port,max_len=N) needs both")
    if max_len < MIN_TRUNC:
        raise TextError(f"max_len {max_len} is less than the minimum value {MIN_TRUNC}")
    return OutputTrunc(port, max_len)
