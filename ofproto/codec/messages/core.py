"""HELLO, ERROR, ECHO, CONFIG, BARRIER."""

from ofproto.codec import errors
from ofproto.codec.errors import OFError
from ofproto.codec.hello import decode_hello, encode_hello
from ofproto.codec.numbers import OF13
from pyvs.record import record

from .base import ANY, EMPTY, FROM11, HEADER, MSG, ONLY10, Body, Layout, Message, row, wire


def _bytes(name):
    """A body that is the bytes of one attribute."""
    return Body(
        0, 1, lambda cls, data, version: cls(**{name: data}), lambda m, version: getattr(m, name)
    )


def _read_hello(cls, data, version):
    return cls(frozenset(decode_hello(HEADER.pack(version, 0, 8 + len(data), 0) + data)))


@wire(row(ANY, MSG, 0, Body(0, 1, _read_hello, lambda m, v: encode_hello(m.versions)[8:])))
@record
class Hello(Message):
    """The versions that a peer speaks; a header's version is the highest of them."""

    versions: frozenset[int] = frozenset()

    def encode(self, version: int = 0, xid: int = 0) -> bytes:
        return encode_hello(self.versions, xid)


def _read_error(cls, data, version):
    name, rest = errors.decode_code(version, data)
    return cls(name, rest)


@wire(row(ANY, MSG, 1, Body(4, 1, _read_error, lambda m, v: m.body(v))))
@record
class Error(Message):
    """`name` as errors.decode_code has it; `data`: the offending message's first bytes, or text."""

    name: str
    data: bytes = b""

    def body(self, version: int) -> bytes:
        return errors.encode_code(self.name, version) + self.data

    def as_exception(self) -> OFError:
        return OFError(self.name, data=self.data)


@wire(row(ANY, MSG, 2, _bytes("data")))
@record
class EchoRequest(Message):
    data: bytes = b""


@wire(row(ANY, MSG, 3, _bytes("data")))
@record
class EchoReply(Message):
    data: bytes = b""


@record
class Experimenter(Message):
    """A vendor message that has no class here, as decode_any() gives it.  `data` starts behind
    the subtype."""

    vendor: int
    subtype: int
    data: bytes = b""

    def encode(self, version: int, xid: int = 0) -> bytes:
        body = self.vendor.to_bytes(4, "big") + self.subtype.to_bytes(4, "big") + self.data
        return HEADER.pack(version, 4, 8 + len(body), xid) + body


@wire(row(ANY, MSG, 5, EMPTY))
@record
class FeaturesRequest(Message):
    pass


@wire(row(ANY, MSG, 7, EMPTY))
@record
class GetConfigRequest(Message):
    pass


_CONFIG = Layout("flags:u16 miss_send_len:u16")
FRAG_MASK, INVALID_TTL_TO_CONTROLLER = 3, 4  # the latter up to 1.2


def _read_config(cls, data, version):
    found = _CONFIG.read(cls, data, version)
    if found.flags & ~(FRAG_MASK | (INVALID_TTL_TO_CONTROLLER if version < OF13 else 0)):
        raise OFError("OFPSCFC_BAD_FLAGS", f"flags {found.flags:#x}")
    return found


@wire(row(ANY, MSG, 8, _CONFIG))
@record
class GetConfigReply(Message):
    """`flags`: how fragments are handled (FRAG_MASK: 0 normal, 1 drop, 2 reassemble, 3 Nicira's
    nx-match), and INVALID_TTL_TO_CONTROLLER."""

    flags: int = 0
    miss_send_len: int = 128


@wire(row(ANY, MSG, 9, Body(_CONFIG.size, 0, _read_config, _CONFIG.write)))
@record
class SetConfig(Message):
    flags: int = 0
    miss_send_len: int = 128


@wire(row(ONLY10, MSG, 18, EMPTY), row(FROM11, MSG, 20, EMPTY))
@record
class BarrierRequest(Message):
    pass


@wire(row(ONLY10, MSG, 19, EMPTY), row(FROM11, MSG, 21, EMPTY))
@record
class BarrierReply(Message):
    pass
