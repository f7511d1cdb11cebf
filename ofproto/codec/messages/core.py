"""HELLO, ERROR, ECHO, CONFIG, BARRIER, roles and asynchronous configuration, and
Nicira's settings of a connection."""

from dataclasses import dataclass, field

from ofproto.codec import errors
from ofproto.codec.errors import OFError
from ofproto.codec.hello import decode_hello, encode_hello
from ofproto.codec.numbers import OF13, OF14

from .base import (
    ANY,
    EMPTY,
    FROM11,
    FROM12,
    FROM13,
    HEADER,
    MSG,
    NX,
    ONLY10,
    Body,
    Layout,
    Message,
    row,
    wire,
)


def _bytes(name):
    """A body that is the bytes of one attribute."""
    return Body(
        0, 1, lambda cls, data, version: cls(**{name: data}), lambda m, version: getattr(m, name)
    )


def _read_hello(cls, data, version):
    return cls(frozenset(decode_hello(HEADER.pack(version, 0, 8 + len(data), 0) + data)))


@wire(row(ANY, MSG, 0, Body(0, 1, _read_hello, lambda m, v: encode_hello(m.versions)[8:])))
@dataclass(slots=True)
class Hello(Message):
    """The versions that a peer speaks; a header's version is the highest of them."""

    versions: frozenset[int] = frozenset()

    def encode(self, version: int = 0, xid: int = 0) -> bytes:
        return encode_hello(self.versions, xid)


def _read_error(cls, data, version):
    name, rest = errors.decode_code(version, data)
    return cls(name, rest)


@wire(row(ANY, MSG, 1, Body(4, 1, _read_error, lambda m, v: m.body(v))))
@dataclass(slots=True)
class Error(Message):
    """`name` as errors.decode_code has it; `data`: the offending message's first bytes, or text."""

    name: str
    data: bytes = b""

    def body(self, version: int) -> bytes:
        return errors.encode_code(self.name, version) + self.data

    def as_exception(self) -> OFError:
        return OFError(self.name, data=self.data)


@wire(row(ANY, MSG, 2, _bytes("data")))
@dataclass(slots=True)
class EchoRequest(Message):
    data: bytes = b""


@wire(row(ANY, MSG, 3, _bytes("data")))
@dataclass(slots=True)
class EchoReply(Message):
    data: bytes = b""


@dataclass(slots=True)
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
@dataclass(slots=True)
class FeaturesRequest(Message):
    pass


@wire(row(ANY, MSG, 7, EMPTY))
@dataclass(slots=True)
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
@dataclass(slots=True)
class GetConfigReply(Message):
    """`flags`: how fragments are handled (FRAG_MASK: 0 normal, 1 drop, 2 reassemble, 3 Nicira's
    nx-match), and INVALID_TTL_TO_CONTROLLER."""

    flags: int = 0
    miss_send_len: int = 128


@wire(row(ANY, MSG, 9, Body(_CONFIG.size, 0, _read_config, _CONFIG.write)))
@dataclass(slots=True)
class SetConfig(Message):
    flags: int = 0
    miss_send_len: int = 128


@wire(row(ONLY10, MSG, 18, EMPTY), row(FROM11, MSG, 20, EMPTY))
@dataclass(slots=True)
class BarrierRequest(Message):
    pass


@wire(row(ONLY10, MSG, 19, EMPTY), row(FROM11, MSG, 21, EMPTY))
@dataclass(slots=True)
class BarrierReply(Message):
    pass


# Roles

_ROLES = ("nochange", "other", "master", "slave")
_ROLES_NX = ("other", "master", "slave")
_NO_GENERATION = (1 << 64) - 1


def _role(names, number):
    if number >= len(names):
        raise OFError("OFPRRFC_BAD_ROLE", f"role {number}")
    return names[number]


def _number(names, value, what):
    """The number of a name; ValueError when there is none."""
    if value not in names:
        raise ValueError(f"{what} {value!r}")
    return names.index(value)


def _read_role(cls, data, version):
    role = _role(_ROLES, int.from_bytes(data[:4], "big"))
    generation = int.from_bytes(data[8:16], "big")
    known = role in ("master", "slave") if cls is RoleRequest else generation != _NO_GENERATION
    return cls(role, generation if known else None)


def _write_role(message, version):
    generation = _NO_GENERATION if message.generation_id is None else message.generation_id
    number = _number(_ROLES, message.role, "role")
    return number.to_bytes(4, "big") + bytes(4) + generation.to_bytes(8, "big")


_ROLE = Body(16, 0, _read_role, _write_role)
_ROLE_NX = Body(
    4,
    0,
    lambda cls, data, version: cls(_role(_ROLES_NX, int.from_bytes(data, "big"))),
    lambda m, version: _number(_ROLES_NX, m.role, "role").to_bytes(4, "big"),
)


class _Role:
    __slots__ = ()

    def form(self, version: int) -> str:
        return "" if version >= OF13 - 1 else "nx"


@wire(row(FROM12, MSG, 24, _ROLE), row(ANY, NX, 10, _ROLE_NX, "nx"))
@dataclass(slots=True)
class RoleRequest(_Role, Message):
    """`role`: nochange (1.2+), other (EQUAL), master, slave; `generation_id` of the latter two."""

    role: str = "nochange"
    generation_id: int | None = None


@wire(row(FROM12, MSG, 25, _ROLE), row(ANY, NX, 11, _ROLE_NX, "nx"))
@dataclass(slots=True)
class RoleReply(_Role, Message):
    """`generation_id` None: none was ever given."""

    role: str = "other"
    generation_id: int | None = None


# Asynchronous messages: which a connection gets, as (mask as master or other, mask as slave), a
# bit for each reason.  A None (properties of 1.4 alone) leaves that mask as it is.

# kind -> the reasons that there are, as 1.4 numbers them
_REASONS = {
    "packet_in": 0x3F,
    "port_status": 0x07,
    "flow_removed": 0x3F,
    "role_status": 0x07,
    "table_status": 0x18,
    "requestforward": 0x03,
}
ASYNC_KINDS = tuple(_REASONS)
_ACTION, _ACTIONS_14 = 1 << 1, 0x38  # 1.4 tells ACTION_SET, GROUP and PACKET_OUT from ACTION


def _known(kind, version):
    """The reasons that a version has."""
    known = _REASONS[kind]
    return known & ~_ACTIONS_14 if kind == "packet_in" and version < OF14 else known


def _widen(kind, mask, version):
    """A mask of the wire in 1.4's numbers."""
    if kind == "packet_in" and version < OF14 and mask & _ACTION:
        return mask | _ACTIONS_14
    return mask


def _read_async(cls, data, version):
    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, 24, 4)]
    masks = {}
    for i, kind in enumerate(ASYNC_KINDS[:3]):
        known = _known(kind, version)
        pair = words[2 * i : 2 * i + 2]
        masks[kind] = tuple(_widen(kind, word & known, version) for word in pair)
    return cls(masks)


def _write_async(message, version):
    out = b""
    for kind in ASYNC_KINDS[:3]:
        for mask in message.masks.get(kind, (0, 0)):
            out += (mask & _known(kind, version)).to_bytes(4, "big")
    return out


_PROPERTY = 8  # bytes: type, length, mask


def _read_async_properties(cls, data, version):
    """Properties of 1.4: type 2 * kind for slaves, the next odd one for masters."""
    masks = {}
    for at in range(0, len(data), _PROPERTY):
        number, length = int.from_bytes(data[at : at + 2], "big"), data[at + 2 : at + 4]
        if length != b"\0\x08":
            raise OFError("OFPBPC_BAD_LEN", f"property of {int.from_bytes(length, 'big')} bytes")
        if number // 2 >= len(ASYNC_KINDS):
            raise OFError("OFPACFC_UNSUPPORTED", f"property {number}")
        kind, mask = ASYNC_KINDS[number // 2], int.from_bytes(data[at + 4 : at + 8], "big")
        if mask & ~_known(kind, version):
            raise OFError("OFPACFC_INVALID", f"{kind} {mask:#x}")
        master, slave = masks.get(kind, (None, None))
        mask = _widen(kind, mask, version)
        masks[kind] = (mask, slave) if number & 1 else (master, mask)
    return cls(masks)


def _read_async_2(cls, data, version):
    return cls(_read_async_properties(dict, data, version), True)


def _write_async_properties(message, version):
    out = b""
    for kind, masks in message.masks.items():
        number = 2 * _number(ASYNC_KINDS, kind, "asynchronous message")
        for offset, mask in ((1, masks[0]), (0, masks[1])):
            if mask is not None:
                mask &= _known(kind, version)
                out += (number + offset).to_bytes(2, "big") + b"\0\x08" + mask.to_bytes(4, "big")
    return out


_ASYNC = Body(24, 0, _read_async, _write_async)
_ASYNC_14 = Body(0, _PROPERTY, _read_async_properties, _write_async_properties)
_ASYNC_2 = Body(0, _PROPERTY, _read_async_2, _write_async_properties)


@wire(row(FROM13, MSG, 26, EMPTY))
@dataclass(slots=True)
class GetAsyncRequest(Message):
    pass


@wire(row((OF13, OF13), MSG, 27, _ASYNC), row((OF14, OF14 + 1), MSG, 27, _ASYNC_14))
@dataclass(slots=True)
class GetAsyncReply(Message):
    """`masks`: kind -> (mask of master or other, mask of slave); reasons are 1.4's."""

    masks: dict[str, tuple[int, int]] = field(default_factory=dict)


@wire(
    row((OF13, OF13), MSG, 28, _ASYNC),
    row((OF14, OF14 + 1), MSG, 28, _ASYNC_14),
    row(ANY, NX, 19, _ASYNC, "nx"),
    row(ANY, NX, 27, _ASYNC_2, "nx2"),
)
@dataclass(slots=True)
class SetAsync(Message):
    """`masks` as in GetAsyncReply.  `nx2`: as NXT_SET_ASYNC_CONFIG2, which alone (before 1.4)
    leaves kinds that it does not name as they are."""

    masks: dict[str, tuple[int, int]] = field(default_factory=dict)
    nx2: bool = False

    def form(self, version: int) -> str:
        if self.nx2:
            return "nx2"
        return "" if version >= OF13 else "nx"


# Nicira's settings of a connection


def _enum(name, names, error):
    """A body of one 32-bit number that stands for a name."""

    def read(cls, data, version):
        number = int.from_bytes(data, "big")
        if number not in names:
            raise OFError(error, f"{name} {number}")
        return cls(**{name: names[number]})

    def write(message, version):
        for number, each in names.items():
            if each == getattr(message, name):
                return number.to_bytes(4, "big")
        raise ValueError(f"{name} {getattr(message, name)!r}")

    return Body(4, 0, read, write)


@wire(row(ONLY10, NX, 12, _enum("format", {0: "openflow10", 2: "nxm"}, "OFPBRC_EPERM")))
@dataclass(slots=True)
class NxSetFlowFormat(Message):
    """Which forms FLOW_REMOVED takes, and FLOW_MODs are expected in."""

    format: str = "nxm"


@wire(row(ANY, NX, 15, Layout("enable:flag8 pad:7")))
@dataclass(slots=True)
class NxFlowModTableId(Message):
    """Whether the upper byte of a FLOW_MOD's command is a table."""

    enable: bool = True


PACKET_IN_FORMATS = {0: "standard", 1: "nxt_packet_in", 2: "nxt_packet_in2"}


@wire(row(ANY, NX, 16, _enum("format", PACKET_IN_FORMATS, "OFPBRC_EPERM")))
@dataclass(slots=True)
class NxSetPacketInFormat(Message):
    format: str = "standard"


@wire(row(ANY, NX, 18, EMPTY))
@dataclass(slots=True)
class NxFlowAge(Message):
    """Asks for idle_age and hard_age in NXST_FLOW replies, which have them anyway."""


@wire(row(ANY, NX, 20, Layout("pad:6 controller_id:u16")))
@dataclass(slots=True)
class NxSetControllerId(Message):
    controller_id: int = 0
