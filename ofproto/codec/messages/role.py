"""Roles of controllers, and which asynchronous messages they get."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.notes import noted
from ofproto.codec.numbers import OF10, OF12, OF13, OF14
from pyvs.record import field, record

from . import properties
from .base import ANY, EMPTY, FROM12, FROM13, FROM14, MSG, NX, ONF, ONLY13, Body, Message, row, wire

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
    known = generation != _NO_GENERATION
    if cls is RoleRequest:
        known = role in ("master", "slave") or (known and role != "nochange")
    return cls(role, generation if known else None)


def _write_role(message, version):
    generation = _NO_GENERATION if message.generation_id is None else message.generation_id
    number = _number(_ROLES, message.role, "role")
    return number.to_bytes(4, "big") + bytes(4) + generation.to_bytes(8, "big")


_ROLE = Body(16, 0, _read_role, _write_role)
_ROLE_NX = Body(
    4,
    0,
    lambda cls, data, version: cls(_role(_ROLES_NX, int.from_bytes(data, "big")), nicira=True),
    lambda m, version: _number(_ROLES_NX, m.role, "role").to_bytes(4, "big"),
)


class _Role:
    __slots__ = ()

    def form(self, version: int) -> str:
        return "nx" if self.nicira or version < OF12 else ""


@wire(row(FROM12, MSG, 24, _ROLE), row(ANY, NX, 10, _ROLE_NX, "nx"))
@record
class RoleRequest(_Role, Message):
    """`role`: nochange (1.2+), other (EQUAL), master, slave; `generation_id` of the latter two.
    `nicira`: in Nicira's form, which every version has."""

    role: str = "nochange"
    generation_id: int | None = None
    nicira: bool = field(default=False, compare=False, repr=False)


@wire(row(FROM12, MSG, 25, _ROLE), row(ANY, NX, 11, _ROLE_NX, "nx"))
@record
class RoleReply(_Role, Message):
    """`generation_id` None: none was ever given."""

    role: str = "other"
    generation_id: int | None = None
    nicira: bool = field(default=False, compare=False, repr=False)


R_MASTER_REQUEST, R_CONFIG, R_EXPERIMENTER = range(3)  # reasons of ROLE_STATUS
_STATUS = Struct("!IB3xQ")


def _read_status(cls, data, version):
    number, reason, generation = _STATUS.unpack_from(data)
    role = _role(_ROLES, number)
    if role == "nochange":
        raise OFError("OFPRRFC_BAD_ROLE", role)
    if reason > R_EXPERIMENTER:
        raise OFError("OFPBPC_BAD_VALUE", f"reason {reason}")
    return cls(role, reason, None if generation == _NO_GENERATION else generation)


def _write_status(m, version):
    generation = _NO_GENERATION if m.generation_id is None else m.generation_id
    return _STATUS.pack(_number(_ROLES, m.role, "role"), m.reason, generation)


@wire(
    row(FROM14, MSG, 30, Body(_STATUS.size, 8, _read_status, _write_status)),
    row(ONLY13, ONF, 1911, Body(_STATUS.size, 8, _read_status, _write_status)),
)
@record
class RoleStatus(Message):
    """The connection has another role now.  `reason`: R_MASTER_REQUEST, R_CONFIG ..."""

    role: str
    reason: int = R_MASTER_REQUEST
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


_PROPERTY_STEP = 8


def _read_async_properties(cls, data, version):
    """Properties of 1.4: type 2 * kind for slaves, the next odd one for masters."""
    masks = {}
    for number, value in properties.split(data):
        kind = _async_kind(number, value)
        if len(value) != 4:
            raise OFError("OFPBPC_BAD_LEN", f"property of {len(value)} bytes")
        mask, known = int.from_bytes(value, "big"), _known(kind, version)
        if mask & ~known:
            text = f"bad value {mask:#x} for {kind.upper()} (allowed mask {known:#x})"
            raise noted("OFPACFC_INVALID", "ofp_connection", text)
        master, slave = masks.get(kind, (None, None))
        mask = _widen(kind, mask, version)
        masks[kind] = (mask, slave) if number & 1 else (master, mask)
    return cls(masks)


def _async_kind(number, value):
    """What the property's mask is of."""
    if number >= properties.FIRST_EXPERIMENTER:
        vendor, kind = (int.from_bytes(value[at : at + 4], "big") for at in (0, 4))
        text = f"unknown async config property type for exp_id {vendor:#x}, exp_type {kind}"
        raise noted("OFPBPC_BAD_EXP_TYPE", "ofp_connection", text)
    if number // 2 >= len(ASYNC_KINDS):
        text = f"unknown async config property type {number}"
        raise noted("OFPACFC_UNSUPPORTED", "ofp_connection", text)
    return ASYNC_KINDS[number // 2]


def _read_async_2(cls, data, version):
    return cls(_read_async_properties(dict, data, version), True)


def _write_async_properties(message, version):
    out = b""
    for kind, masks in message.masks.items():
        number = 2 * _number(ASYNC_KINDS, kind, "asynchronous message")
        for offset, mask in ((0, masks[1]), (1, masks[0])):
            if mask is not None:
                mask &= _known(kind, version)
                out += (number + offset).to_bytes(2, "big") + b"\0\x08" + mask.to_bytes(4, "big")
    return out


_ASYNC = Body(24, 0, _read_async, _write_async)
_ASYNC_14 = Body(0, _PROPERTY_STEP, _read_async_properties, _write_async_properties)
_ASYNC_2 = Body(0, _PROPERTY_STEP, _read_async_2, _write_async_properties)


@wire(row(FROM13, MSG, 26, EMPTY))
@record
class GetAsyncRequest(Message):
    pass


@wire(row(ONLY13, MSG, 27, _ASYNC), row(FROM14, MSG, 27, _ASYNC_14))
@record
class GetAsyncReply(Message):
    """`masks`: kind -> (mask of master or other, mask of slave); reasons are 1.4's."""

    masks: dict[str, tuple[int, int]] = field(default_factory=dict)


@wire(
    row(ONLY13, MSG, 28, _ASYNC),
    row(FROM14, MSG, 28, _ASYNC_14),
    row(ANY, NX, 19, _ASYNC, "nx"),
    row((OF10, OF13), NX, 27, _ASYNC_2, "nx2"),
)
@record
class SetAsync(Message):
    """`masks` as in GetAsyncReply.  `nx2`: as NXT_SET_ASYNC_CONFIG2, which alone (before 1.4)
    leaves kinds that it does not name as they are."""

    masks: dict[str, tuple[int, int]] = field(default_factory=dict)
    nx2: bool = False

    def form(self, version: int) -> str:
        if self.nx2 and version < OF14:
            return "nx2"
        return "" if version >= OF13 else "nx"
