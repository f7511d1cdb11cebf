"""Nicira's settings of a connection, tunnel options, and connection tracking's."""

from struct import Struct

from ofproto.codec.errors import OFError
from pyvs.record import field, record

from .base import ANY, EMPTY, NX, ONLY10, Body, Items, Layout, Message, row, wire
from .properties import make, split

# Settings


def _enum(name, names, error):
    """A body of one 32-bit number that stands for a name."""

    def read(cls, data, version):
        number = int.from_bytes(data, "big")
        if number not in names:
            refused = OFError(error, f"{name} {number}")
            refused.partial = cls(**{name: "(unknown)"})
            raise refused
        return cls(**{name: names[number]})

    def write(message, version):
        for number, each in names.items():
            if each == getattr(message, name):
                return number.to_bytes(4, "big")
        raise ValueError(f"{name} {getattr(message, name)!r}")

    return Body(4, 0, read, write)


@wire(row(ONLY10, NX, 12, _enum("format", {0: "openflow10", 2: "nxm"}, "OFPBRC_EPERM")))
@record
class NxSetFlowFormat(Message):
    """Which forms FLOW_REMOVED takes, and FLOW_MODs are expected in."""

    format: str = "nxm"


@wire(row(ANY, NX, 15, Layout("enable:flag8 pad:7")))
@record
class NxFlowModTableId(Message):
    """Whether the upper byte of a FLOW_MOD's command is a table."""

    enable: bool = True


PACKET_IN_FORMATS = {0: "standard", 1: "nxt_packet_in", 2: "nxt_packet_in2"}


@wire(row(ANY, NX, 16, _enum("format", PACKET_IN_FORMATS, "OFPBRC_EPERM")))
@record
class NxSetPacketInFormat(Message):
    format: str = "standard"


@wire(row(ANY, NX, 18, EMPTY))
@record
class NxFlowAge(Message):
    """Asks for idle_age and hard_age in NXST_FLOW replies, which have them anyway."""


def _last_number(name):
    """A body of a 16-bit number behind six bytes of zeros."""
    layout = Layout(f"pad:6 {name}:u16")

    def read(cls, data, version):
        if any(data[:6]):
            raise OFError("NXBRC_MUST_BE_ZERO", f"bytes before {name}")
        return layout.read(cls, data, version)

    return Body(layout.size, 0, read, layout.write)


@wire(row(ANY, NX, 20, _last_number("controller_id")))
@record
class NxSetControllerId(Message):
    controller_id: int = 0


# Options of Geneve tunnels, and the field tun_metadataN that each is

TLV_ADD, TLV_DELETE, TLV_CLEAR = range(3)


@record
class TlvMap:
    """`length` in bytes; `index` N of tun_metadataN."""

    option_class: int
    option_type: int
    length: int
    index: int


_MAP = Layout("option_class:u16 option_type:u8 length:u8 index:u16 pad:2")
_TLV_MOD = Items("maps", TlvMap, _MAP, Layout("command:u16 pad:6"))


def _read_tlv_mod(cls, data, version):
    found = _TLV_MOD.read(cls, data, version)
    if found.command > TLV_CLEAR:
        raise OFError("NXTTMFC_BAD_COMMAND", f"command {found.command}")
    return _check_maps(found)


def _check_maps(found):
    for each in found.maps:
        if each.length % 4 or each.length > MAX_TLV_LENGTH:
            raise OFError("NXTTMFC_BAD_OPT_LEN", f"{each.length} bytes")
        if each.index >= MAX_TLV_FIELDS:
            raise OFError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{each.index}")
    return found


MAX_TLV_FIELDS, MAX_TLV_LENGTH = 64, 124


@wire(row(ANY, NX, 24, Body(_TLV_MOD.size, _TLV_MOD.step, _read_tlv_mod, _TLV_MOD.write)))
@record
class TlvTableMod(Message):
    """`command`: TLV_ADD ...; CLEAR has no `maps`."""

    command: int
    maps: list[TlvMap] = field(default_factory=list)


@wire(row(ANY, NX, 25, EMPTY))
@record
class TlvTableRequest(Message):
    pass


_TLV_REPLY = Items("maps", TlvMap, _MAP, Layout("space:u32 fields:u16 pad:10"))
_TLV_REPLY_BODY = Body(
    _TLV_REPLY.size,
    _TLV_REPLY.step,
    lambda cls, data, version: _check_maps(_TLV_REPLY.read(cls, data, version)),
    _TLV_REPLY.write,
)


@wire(row(ANY, NX, 26, _TLV_REPLY_BODY))
@record
class TlvTableReply(Message):
    """Bytes and number of options that there may be, and those that there are."""

    space: int = 256
    fields: int = MAX_TLV_FIELDS
    maps: list[TlvMap] = field(default_factory=list)


# Connection tracking


@wire(row(ANY, NX, 29, _last_number("zone")))
@record
class CtFlushZone(Message):
    zone: int = 0


@record
class CtTuple:
    """Addresses are IPv6 ones (IPv4 mapped); None: any.  `src_port` and `dst_port`, or the three
    of ICMP."""

    src: int | None = None
    dst: int | None = None
    src_port: int | None = None
    dst_port: int | None = None
    icmp_id: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


# By type: name and bytes
_TUPLE = (("src", 16), ("dst", 16), ("src_port", 2), ("dst_port", 2), ("icmp_id", 2),
          ("icmp_type", 1), ("icmp_code", 1))  # fmt: skip
_ORIGINAL, _REPLY, _ZONE = range(3)
_CT_HEAD = Struct("!B7x")


def _read_tuple(data):
    found = CtTuple()
    for kind, value in split(data):
        if kind >= len(_TUPLE):
            raise OFError("OFPBPC_BAD_TYPE", f"tuple property {kind}")
        name, size = _TUPLE[kind]
        if len(value) != size:
            raise OFError("OFPBPC_BAD_LEN", f"{name} of {len(value)} bytes")
        setattr(found, name, int.from_bytes(value, "big"))
    return found


def _write_tuple(each):
    out = b""
    for kind, (name, size) in enumerate(_TUPLE):
        value = getattr(each, name)
        if value is not None:
            out += make(kind, value.to_bytes(size, "big"))
    return out


def _read_flush(cls, data, version):
    if any(data[1 : _CT_HEAD.size]):
        raise OFError("NXBRC_MUST_BE_ZERO")
    found = cls(data[0])
    for kind, value in split(data[_CT_HEAD.size :]):
        if kind == _ORIGINAL:
            found.original = _read_tuple(_nested(value))
        elif kind == _REPLY:
            found.reply = _read_tuple(_nested(value))
        elif kind != _ZONE:
            raise OFError("OFPBPC_BAD_TYPE", f"property {kind}")
        elif len(value) != 2:
            raise OFError("OFPBPC_BAD_LEN", f"zone of {len(value)} bytes")
        else:
            found.zone = int.from_bytes(value, "big")
    return found


def _nested(value):
    """Properties within one stand at a multiple of 8 from its head."""
    return value[4:] if len(value) >= 4 else value


def _write_flush(m, version):
    out = _CT_HEAD.pack(m.protocol)
    for kind, each in ((_ORIGINAL, m.original), (_REPLY, m.reply)):
        if each is not None:
            out += make(kind, bytes(4) + _write_tuple(each))
    return out if m.zone is None else out + make(_ZONE, m.zone.to_bytes(2, "big"))


@wire(row(ANY, NX, 32, Body(_CT_HEAD.size, 8, _read_flush, _write_flush)))
@record
class CtFlush(Message):
    """Forgets connections: of this IP `protocol` (0: any), `zone` (None: any), and tuples."""

    protocol: int = 0
    zone: int | None = None
    original: CtTuple | None = None
    reply: CtTuple | None = None
