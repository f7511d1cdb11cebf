"""Bundles (1.4, and the ONF's extension 230 for 1.3), and REQUESTFORWARD: messages in messages."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OF10, OF12
from pyvs.record import record

from .base import (
    FROM14,
    HEADER,
    HEADER_SIZE,
    MSG,
    NX,
    ONF,
    ONLY13,
    Body,
    Layout,
    Message,
    find,
    row,
    wire,
)

(OPEN_REQUEST, OPEN_REPLY, CLOSE_REQUEST, CLOSE_REPLY, COMMIT_REQUEST, COMMIT_REPLY,
 DISCARD_REQUEST, DISCARD_REPLY) = range(8)  # fmt: skip
BUNDLE_ATOMIC, BUNDLE_ORDERED = 1, 2

_CONTROL = Layout("bundle_id:u32 type:u16 flags:u16")
_ADD = Struct("!I2xH")


def _read_control(cls, data, version):
    found = cls(**_CONTROL.unpack(data))
    if found.type > DISCARD_REPLY:
        raise OFError("OFPBFC_BAD_TYPE", f"type {found.type}")
    return found


_CONTROL_BODY = Body(_CONTROL.size, 8, _read_control, _CONTROL.write)


@wire(row(FROM14, MSG, 33, _CONTROL_BODY), row(ONLY13, ONF, 2300, _CONTROL_BODY))
@record
class BundleControl(Message):
    """`type`: OPEN_REQUEST ...; `flags`: BUNDLE_*."""

    bundle_id: int
    type: int
    flags: int = 0


def inner(raw: bytes, version: int, at: int, error: str) -> bytes:
    """The message that begins at `at`, of the same version.  Raises OFError `error`."""
    if len(raw) - at < HEADER_SIZE:
        raise OFError(error, "truncated message")
    length = int.from_bytes(raw[at + 2 : at + 4], "big")
    if raw[at] != version:
        raise OFError("OFPBFC_BAD_VERSION" if error.startswith("OFPBFC") else error, "version")
    if not HEADER_SIZE <= length <= len(raw) - at:
        raise OFError(error, f"message of {length} bytes in {len(raw) - at}")
    return raw[at : at + length]


def _read_add(cls, data, version):
    bundle, flags = _ADD.unpack_from(data)
    return cls(bundle, flags, inner(data, version, _ADD.size, "OFPBFC_MSG_BAD_LEN"))


def _check_version(raw, version):
    if raw[:1] != bytes((version,)):
        raise ValueError("the message within is of another version")


def _write_add(m, version):
    _check_version(m.message, version)
    return _ADD.pack(m.bundle_id, m.flags) + m.message


_ADD_BODY = Body(_ADD.size, 1, _read_add, _write_add)


@wire(row(FROM14, MSG, 34, _ADD_BODY), row(ONLY13, ONF, 2301, _ADD_BODY))
@record
class BundleAdd(Message):
    """`message`: the bytes of one, which has this one's xid (see check_bundled)."""

    bundle_id: int
    flags: int = 0
    message: bytes = b""


def check_bundled(raw: bytes, xid: int) -> type:
    """The class of a message in a bundle.  Raises OFError where it may not stand there."""
    if HEADER.unpack_from(raw)[3] != xid:
        raise OFError("OFPBFC_MSG_BAD_XID", "another xid")
    try:
        found = find(raw)[0].cls
    except OFError as error:
        raise OFError("OFPBFC_MSG_UNSUP", str(error)) from None
    if found.__name__ not in BUNDLED:
        raise OFError("OFPBFC_MSG_UNSUP", found.__name__)
    return found


BUNDLED = ("FlowMod", "GroupMod", "PortMod", "PacketOut")  # as in Open vSwitch

# REQUESTFORWARD

RF_GROUP_MOD, RF_METER_MOD = range(2)  # its reasons


def _read_forward(cls, data, version):
    return cls(inner(data, version, 0, "OFPBRC_BAD_LEN"))


def _write_forward(m, version):
    _check_version(m.message, version)
    return m.message


_FORWARD = Body(HEADER_SIZE, 8, _read_forward, _write_forward)


@wire(
    row(FROM14, MSG, 32, _FORWARD),
    row(ONLY13, ONF, 2350, _FORWARD),
    row((OF10, OF12), NX, 132, _FORWARD),
)
@record
class RequestForward(Message):
    """`message`: the bytes of the GROUP_MOD or METER_MOD that another controller sent."""

    message: bytes
