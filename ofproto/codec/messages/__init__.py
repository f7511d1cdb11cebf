"""OpenFlow messages: bytes to objects and back.

One class per message, with one meaning for all versions; versions (wire numbers: 1 is OpenFlow
1.0, 4 is 1.3) differ in the codec only.  Port numbers are 16-bit inside.  The classes are in the
modules beside this one, which register their rows (see base) on import.  That is when one of
their names, or a message of theirs, is first needed (see homes), so that a command starts fast;
a daemon calls load_all() before its loop.

Sources: OpenFlow Switch Specification 1.0.1 and 1.3.5; Nicira's extensions as ovs-ofctl(8),
ovs-fields(7) and ovs-actions(7) tell of them and Open vSwitch 3.1 sends them.
"""
# ruff: noqa: F401 - the names that this module is imported for

from ofproto.codec import errors
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import (
    OFPPR_ADD,
    OFPPR_DELETE,
    OFPPR_MODIFY,
    OFPR_ACTION,
    OFPR_ACTION_SET,
    OFPR_GROUP,
    OFPR_INVALID_TTL,
    OFPR_NO_MATCH,
    OFPR_PACKET_OUT,
    OFPRR_DELETE,
    OFPRR_GROUP_DELETE,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
    OFPRR_METER_DELETE,
)

from . import base, homes
from .base import (
    HEADER,
    HEADER_SIZE,
    MAX_SIZE,
    NO_BUFFER,
    OFPT_FLOW_MOD,
    OFPT_PACKET_OUT,
    OFPT_VENDOR,
    Message,
    item_writer,
    multipart,
    multipart_rows,
)
from .core import (
    BarrierReply,
    BarrierRequest,
    EchoReply,
    EchoRequest,
    Error,
    Experimenter,
    FeaturesRequest,
    GetConfigReply,
    GetConfigRequest,
    Hello,
    SetConfig,
)

_MODULE_OF = homes.modules_by_name()


def __getattr__(name: str):
    """A name of a module that is not loaded so far (PEP 562)."""
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(homes.load(module), name)
    return found


def load_all() -> None:
    """Have all messages: nothing is loaded later."""
    for name in _MODULE_OF:
        __getattr__(name)


def decode(raw: bytes, flow_mod_table_id: bool = False) -> Message:
    """The message of whole bytes, from either side.  Raises OFError.

    `flow_mod_table_id`: the connection has NXT_FLOW_MOD_TABLE_ID on (OpenFlow 1.0).
    """
    message = base.read(raw)
    message.settle(flow_mod_table_id)
    return message


def kind(raw: bytes) -> type:
    """The class of a message whose length is one that it may have; nothing else was looked at.
    Raises OFError."""
    return base.kind(raw)


def decode_any(raw: bytes, flow_mod_table_id: bool = False) -> Message:
    """decode(), but an unknown vendor's message, or an unknown one of Nicira's, is an
    Experimenter."""
    try:
        return decode(raw, flow_mod_table_id)
    except OFError as e:
        if e.name not in ("OFPBRC_BAD_VENDOR", "OFPBRC_BAD_SUBTYPE") or raw[1] != OFPT_VENDOR:
            raise
        if len(raw) < HEADER_SIZE + 8:
            raise
    vendor, subtype = (int.from_bytes(raw[at : at + 4], "big") for at in (8, 12))
    version, _kind, _length, xid = HEADER.unpack_from(raw)
    return Experimenter(vendor, subtype, raw[16:], version=version, xid=xid)


def error(exc: OFError, raw: bytes, version: int) -> bytes:
    """The ERROR that answers `raw`: its xid, and as much of it as fits (or `exc.data`)."""
    body = errors.encode_code(exc.name, version)
    data = (exc.data or raw)[: MAX_SIZE - HEADER_SIZE - len(body)]
    xid = int.from_bytes(raw[4:8], "big")
    return HEADER.pack(version, 1, HEADER_SIZE + len(body) + len(data), xid) + body + data
