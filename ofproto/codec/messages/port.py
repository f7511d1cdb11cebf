"""Ports in messages: FEATURES, PORT_STATUS, PORT_MOD, port descriptions and statistics.

Bits of config and state are those of ofproto/port.py, features those of OpenFlow 1.1 and later.
"""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF12,
    OF13,
    OF14,
    OF15,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_PORT_DOWN,
    port_to_32,
)
from pyvs.record import field, record

from .base import (
    EMPTY,
    FROM11,
    FROM13,
    FROM14,
    MSG,
    ONLY10,
    ONLY13,
    ONLY15,
    REPLY,
    REQUEST,
    UP_TO_13,
    Body,
    Items,
    Layout,
    Message,
    Runs,
    read_port32,
    read_string,
    row,
    wire,
    write_string,
)
from .properties import EXPERIMENTER, Fixed, make, split

CONFIG_10 = 0x7F
CONFIG_11 = OFPPC_PORT_DOWN | OFPPC_NO_RECV | OFPPC_NO_FWD | OFPPC_NO_PACKET_IN
STATE_10, STATE_11 = 0x301, 0x7  # 1.0's bits 8 and 9 are a number, the STP state
_FEATURES_LOW, _FEATURES_SHIFT = 0x7F, 4  # 1.0 has COPPER and those behind it 4 bits lower
# Speed in kbit/s of the feature bits from bit 0
_SPEEDS = (10, 10, 100, 100, 1000, 1000, 10_000, 40_000, 100_000, 1_000_000)


def features_to_10(bits: int) -> int:
    """Feature bits as OpenFlow 1.0 has them."""
    return bits & _FEATURES_LOW | bits >> _FEATURES_SHIFT & 0xF80


def features_from_10(bits: int) -> int:
    return bits & _FEATURES_LOW | (bits & 0xF80) << _FEATURES_SHIFT


def features_speed(bits: int) -> int:
    """The highest speed of feature bits, in kbit/s; 0 when they name none."""
    speeds = [speed for i, speed in enumerate(_SPEEDS) if bits >> i & 1]
    return max(speeds, default=0) * 1000


@record
class PortDesc:
    """A port.  Speeds in kbit/s; decoded from 1.0, which has none, they follow from features."""

    port_no: int
    hw_addr: bytes = bytes(6)
    name: str = ""
    config: int = 0
    state: int = 0
    curr: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed: int = 0
    max_speed: int = 0

    @classmethod
    def of_port(cls, port) -> "PortDesc":
        """That of a ofproto.port.OfPort."""
        return cls(
            port.number, port.hw_addr, port.name, port.config, port.state, port.curr,
            port.advertised, port.supported, port.peer_features, port.curr_speed, port.max_speed,
        )  # fmt: skip


_PORT_10 = Struct("!H6s16sIIIIII")
_PORT_11 = Struct("!I4x6s2x16sIIIIIIII")


class _Port10:
    """struct ofp_phy_port of 1.0."""

    step, size = 0, _PORT_10.size

    def read(self, cls, data, version, at=0):
        number, mac, name, config, state, *features = _PORT_10.unpack_from(data, at)
        curr, advertised, supported, peer = map(features_from_10, features)
        return cls(
            number, mac, read_string(name), config & CONFIG_10, state & STATE_10, curr, advertised,
            supported, peer, features_speed(curr), features_speed(supported),
        )  # fmt: skip

    def write(self, port, version):
        features = (port.curr, port.advertised, port.supported, port.peer)
        return _PORT_10.pack(
            port.port_no, port.hw_addr, write_string(port.name, 16), port.config & CONFIG_10,
            port.state & STATE_10, *map(features_to_10, features),
        )  # fmt: skip


class _Port11:
    """struct ofp_port of 1.1 to 1.3."""

    step, size = 0, _PORT_11.size

    def read(self, cls, data, version, at=0):
        number, mac, name, config, state, *bits = _PORT_11.unpack_from(data, at)
        return cls(
            read_port32(number), mac, read_string(name), config & CONFIG_11, state & STATE_11, *bits
        )

    def write(self, port, version):
        return _PORT_11.pack(
            port_to_32(port.port_no), port.hw_addr, write_string(port.name, 16),
            port.config & CONFIG_11, port.state & STATE_11, port.curr, port.advertised,
            port.supported, port.peer, port.curr_speed, port.max_speed,
        )  # fmt: skip


_PORT_14 = Struct("!IH2x6s2x16sII")
_ETHERNET = 0  # type of the only property that counts here
_SPEEDS_14 = Struct("!4xIIIIII")
_FEATURES_11 = 0xFFFF


def _put_speeds(port, *values):
    port.curr, port.advertised, port.supported, port.peer = (v & _FEATURES_11 for v in values[:4])
    port.curr_speed, port.max_speed = values[4:]


_PORT_PROPERTIES = Fixed({_ETHERNET: (_SPEEDS_14, _put_speeds)}, loose=True)


def _read_port_14(data, version):
    number, _length, mac, name, config, state = _PORT_14.unpack_from(data)
    port = PortDesc(
        read_port32(number), mac, read_string(name), config & CONFIG_11, state & STATE_11
    )
    _PORT_PROPERTIES.read(data[_PORT_14.size :], port)
    return port


def _write_port_14(port, version):
    speeds = _SPEEDS_14.pack(
        port.curr, port.advertised, port.supported, port.peer, port.curr_speed, port.max_speed
    )
    rest = make(_ETHERNET, speeds)
    return _PORT_14.pack(
        port_to_32(port.port_no), _PORT_14.size + len(rest), port.hw_addr,
        write_string(port.name, 16), port.config & CONFIG_11, port.state & STATE_11,
    ) + rest  # fmt: skip


_P10, _P11 = _Port10(), _Port11()
_PORTS_14 = Runs("ports", _PORT_14.size, _read_port_14, _write_port_14, length_at=4)


# FEATURES_REPLY

# Capabilities: 1.3's bits, and two of 1.0 that later versions dropped, the second one moved.
C_FLOW_STATS, C_TABLE_STATS, C_PORT_STATS, C_GROUP_STATS = 1, 2, 4, 8
C_IP_REASM, C_QUEUE_STATS, C_ARP_MATCH_IP, C_PORT_BLOCKED = 32, 64, 128, 256
C_BUNDLES, C_FLOW_MONITORING = 512, 1024  # of 1.5
C_STP = 1 << 16
_C_BOTH = C_FLOW_STATS | C_TABLE_STATS | C_PORT_STATS | C_IP_REASM | C_QUEUE_STATS
_C_10 = _C_BOTH | C_ARP_MATCH_IP
_C_13 = _C_BOTH | C_GROUP_STATS | C_PORT_BLOCKED
_CAPABILITIES = {
    OF10: _C_10,
    OF11: _C_10 | C_GROUP_STATS,
    OF14: _C_13 | C_BUNDLES,  # as Open vSwitch says it
    OF15: _C_13 | C_BUNDLES | C_FLOW_MONITORING,
}
_STP_10 = 8


@record
class FeaturesReply(Message):
    """`capabilities`: C_* bits; `actions` (a bit for each of 1.0's action types) is of 1.0,
    `ports` up to 1.2, `auxiliary_id` from 1.3."""

    datapath_id: int = 0
    n_buffers: int = 0
    n_tables: int = 0
    auxiliary_id: int = 0
    capabilities: int = 0
    actions: int = 0
    ports: list = field(default_factory=list)


_FEATURES = Struct("!QIBB2xII")


def _features(port):
    """The body with ports of layout `port` (None: without)."""
    size = _FEATURES.size

    def read(cls, data, version):
        dpid, n_buffers, n_tables, aux, capabilities, actions = _FEATURES.unpack_from(data)
        if version == OF10:
            stp = C_STP if capabilities & _STP_10 else 0
            capabilities = capabilities & _C_10 | stp
        else:
            capabilities &= _CAPABILITIES.get(version, _C_13)
        found = cls(dpid, n_buffers, n_tables, aux if version >= OF13 else 0, capabilities)
        found.actions = actions if version == OF10 else 0
        for at in range(size, len(data), port.size if port else 1):
            found.ports.append(port.read(PortDesc, data, version, at))
        return found

    def write(message, version):
        capabilities, actions = message.capabilities & _CAPABILITIES.get(version, _C_13), 0
        if version == OF10:
            stp = _STP_10 if message.capabilities & C_STP else 0
            capabilities, actions = message.capabilities & _C_10 | stp, message.actions
        aux = message.auxiliary_id if version >= OF13 else 0
        head = _FEATURES.pack(
            message.datapath_id, message.n_buffers, message.n_tables, aux, capabilities, actions
        )
        return head + b"".join(port.write(each, version) for each in message.ports if port)

    return Body(size, port.size if port else 0, read, write)


wire(
    row(ONLY10, MSG, 6, _features(_P10)),
    row((OF11, OF12), MSG, 6, _features(_P11)),
    row(FROM13, MSG, 6, _features(None)),
)(FeaturesReply)


# Changes of ports


def _status(port):
    def read(cls, data, version):
        return cls(data[0], port.read(PortDesc, data, version, 8))

    return Body(
        8 + port.size,
        0,
        read,
        lambda m, version: bytes((m.reason, *bytes(7))) + port.write(m.port, version),
    )


def _read_status_14(cls, data, version):
    size = int.from_bytes(data[12:14], "big")  # what follows is passed over, as in Open vSwitch
    ports = _PORTS_14.read_items(data[: 8 + size], 8, version)
    if not ports:
        raise OFError("OFPBRC_BAD_LEN", "a port of no bytes")
    return cls(data[0], ports[0])


_STATUS_14 = Body(
    8 + _PORT_14.size,
    8,
    _read_status_14,
    lambda m, version: bytes((m.reason, *bytes(7))) + _write_port_14(m.port, version),
)


@wire(
    row(ONLY10, MSG, 12, _status(_P10)),
    row(UP_TO_13, MSG, 12, _status(_P11)),
    row(FROM14, MSG, 12, _STATUS_14),
)
@record
class PortStatus(Message):
    """`reason`: OFPPR_*."""

    reason: int
    port: PortDesc


_PORT_MOD_10 = Layout("port_no:port16 hw_addr:mac config:u32 mask:u32 advertise:u32 pad:4")
_PORT_MOD_11 = Layout(
    "port_no:port32 pad:4 hw_addr:mac pad:2 config:u32 mask:u32 advertise:u32 pad:4"
)


def _port_mod(layout, allowed, features_in, features_out):
    def read(cls, data, version):
        found = cls(**layout.unpack(data))
        found.config &= allowed
        found.mask &= allowed
        found.advertise = features_in(found.advertise)
        return found

    def write(m, version):
        return layout.pack(
            PortMod(
                m.port_no,
                m.hw_addr,
                m.config & allowed,
                m.mask & allowed,
                features_out(m.advertise),
            )
        )

    return Body(layout.size, 0, read, write)


_PORT_MOD_14 = Layout("port_no:port32 pad:4 hw_addr:mac pad:2 config:u32 mask:u32")
_U32 = Struct("!I")


def _put_advertise(mod, bits):
    mod.advertise = bits


_MOD_PROPERTIES = Fixed({_ETHERNET: (_U32, _put_advertise)})


def _read_port_mod_14(cls, data, version):
    found = cls(**_PORT_MOD_14.unpack(data))
    found.config &= CONFIG_11
    found.mask &= CONFIG_11
    _MOD_PROPERTIES.read(data[_PORT_MOD_14.size :], found)
    return found


def _write_port_mod_14(m, version):
    mod = PortMod(m.port_no, m.hw_addr, m.config & CONFIG_11, m.mask & CONFIG_11)
    advertise = make(_ETHERNET, _U32.pack(m.advertise)) if m.advertise else b""
    return _PORT_MOD_14.pack(mod) + advertise


@wire(
    row(FROM14, MSG, 16, Body(_PORT_MOD_14.size, 8, _read_port_mod_14, _write_port_mod_14)),
    row(ONLY10, MSG, 15, _port_mod(_PORT_MOD_10, CONFIG_10, features_from_10, features_to_10)),
    row(UP_TO_13, MSG, 16, _port_mod(_PORT_MOD_11, CONFIG_11, int, int)),
)
@record
class PortMod(Message):
    """Sets the bits of `mask` to those of `config`; `advertise` 0: no change."""

    port_no: int
    hw_addr: bytes = bytes(6)
    config: int = 0
    mask: int = 0
    advertise: int = 0


# Port descriptions and statistics


@wire(
    row((OF10, OF14), REQUEST, 13, EMPTY), row(ONLY15, REQUEST, 13, Layout("port_no:port32? pad:4"))
)
@record
class PortDescRequest(Message):
    """`port_no` (None: all) is of 1.5 only."""

    port_no: int | None = None


@wire(
    row(ONLY10, REPLY, 13, Items("ports", PortDesc, _P10)),
    row(UP_TO_13, REPLY, 13, Items("ports", PortDesc, _P11)),
    row(FROM14, REPLY, 13, _PORTS_14),
)
@record
class PortDescReply(Message):
    ports: list[PortDesc] = field(default_factory=list)
    more: bool = False


@record
class PortStats:
    """Counters; None where the switch does not know.  Durations are of 1.3; `rfc2819` (names as in
    RFC2819) and `custom`, counters by name, of 1.4."""

    port_no: int
    rx_packets: int | None = None
    tx_packets: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    rx_dropped: int | None = None
    tx_dropped: int | None = None
    rx_errors: int | None = None
    tx_errors: int | None = None
    rx_frame_err: int | None = None
    rx_over_err: int | None = None
    rx_crc_err: int | None = None
    collisions: int | None = None
    duration_sec: int | None = None
    duration_nsec: int | None = None
    rfc2819: dict[str, int] = field(default_factory=dict)
    custom: dict[str, int] = field(default_factory=dict)


_COUNTERS = (
    "rx_packets:u64? tx_packets:u64? rx_bytes:u64? tx_bytes:u64? rx_dropped:u64? tx_dropped:u64?"
    " rx_errors:u64? tx_errors:u64? rx_frame_err:u64? rx_over_err:u64? rx_crc_err:u64?"
    " collisions:u64?"
)
_DURATION = "duration_sec:u32? duration_nsec:u32?"
_PORT_STATS_10 = Layout(f"port_no:port16 pad:6 {_COUNTERS}")
_PORT_STATS_11 = Layout(f"port_no:port32 pad:4 {_COUNTERS}")
_PORT_STATS_13 = Layout(f"port_no:port32 pad:4 {_COUNTERS} {_DURATION}")


# 1.4

_LENGTH = Struct("!H2x")
_HEAD_14 = Layout(
    "port_no:port32 duration_sec:u32? duration_nsec:u32? rx_packets:u64?"
    " tx_packets:u64? rx_bytes:u64? tx_bytes:u64? rx_dropped:u64? tx_dropped:u64?"
    " rx_errors:u64? tx_errors:u64?"
)
_ETHERNET_14 = Layout("pad:4 rx_frame_err:u64? rx_over_err:u64? rx_crc_err:u64? collisions:u64?")
# Counters of RFC 2819 in a property of Intel's, in their order there
RFC2819 = (
    *("rx_1_to_64_packets", "rx_65_to_127_packets", "rx_128_to_255_packets"),
    *("rx_256_to_511_packets", "rx_512_to_1023_packets", "rx_1024_to_1522_packets"),
    "rx_1523_to_max_packets",
    *("tx_1_to_64_packets", "tx_65_to_127_packets", "tx_128_to_255_packets"),
    *("tx_256_to_511_packets", "tx_512_to_1023_packets", "tx_1024_to_1522_packets"),
    "tx_1523_to_max_packets",
    *("tx_multicast_packets", "rx_broadcast_packets", "tx_broadcast_packets"),
    *("rx_undersized_errors", "rx_oversize_errors", "rx_fragmented_errors", "rx_jabber_errors"),
)
_INTEL, _INTEL_RFC2819, _INTEL_CUSTOM = 0xAA01, 1, 2
_VENDOR = Struct("!II")  # vendor and type of a property
_RFC2819 = Struct(f"!4x{len(RFC2819)}Q")
_UNKNOWN_64 = (1 << 64) - 1


def _read_stats_14(data, version):
    found = PortStats(**_HEAD_14.unpack(data, _LENGTH.size))
    for kind, value in split(data[_LENGTH.size + _HEAD_14.size :]):
        if kind == _ETHERNET:
            if len(value) != _ETHERNET_14.size:
                raise OFError("OFPBPC_BAD_LEN", f"ethernet of {len(value)} bytes")
            for name, number in _ETHERNET_14.unpack(value).items():
                setattr(found, name, number)
        elif kind == EXPERIMENTER and len(value) >= _VENDOR.size:
            _read_vendor_stats(found, *_VENDOR.unpack_from(value), value[_VENDOR.size :])
    return found


def _read_vendor_stats(found, vendor, kind, data):
    if (vendor, kind) == (_INTEL, _INTEL_RFC2819):
        if len(data) != _RFC2819.size:
            raise OFError("OFPBPC_BAD_LEN", f"RFC 2819 counters of {len(data)} bytes")
        found.rfc2819 = {
            name: value
            for name, value in zip(RFC2819, _RFC2819.unpack(data), strict=True)
            if value != _UNKNOWN_64
        }
    elif (vendor, kind) == (_INTEL, _INTEL_CUSTOM):
        found.custom = _read_custom(data)


def _read_custom(data):
    """Their number, behind 2 bytes; of each the length of its name, the name, 64 bits."""
    if len(data) < 4:
        raise OFError("OFPBPC_BAD_LEN", "truncated counters")
    found, at = {}, 4
    for _ in range(int.from_bytes(data[2:4], "big")):
        size = data[at] if at < len(data) else 0
        end = at + 1 + size
        if not size or end + 8 > len(data):
            raise OFError("OFPBPC_BAD_LEN", "truncated counter")
        found[read_string(data[at + 1 : end] + b"\0")] = int.from_bytes(data[end : end + 8], "big")
        at = end + 8
    return found


def _write_stats_14(p, version):
    rest = make(_ETHERNET, _ETHERNET_14.pack(p))
    if p.rfc2819:
        values = _RFC2819.pack(*(p.rfc2819.get(name, _UNKNOWN_64) for name in RFC2819))
        rest += make(EXPERIMENTER, _VENDOR.pack(_INTEL, _INTEL_RFC2819) + values)
    if p.custom:
        data = len(p.custom).to_bytes(4, "big")
        for name, value in p.custom.items():
            text = name.encode()[:255]
            data += bytes((len(text),)) + text + value.to_bytes(8, "big")
        rest += make(EXPERIMENTER, _VENDOR.pack(_INTEL, _INTEL_CUSTOM) + data)
    rest = _HEAD_14.pack(p) + rest
    return _LENGTH.pack(_LENGTH.size + len(rest)) + rest


_STATS_14 = Runs("ports", _LENGTH.size + _HEAD_14.size, _read_stats_14, _write_stats_14)


@wire(
    row(ONLY10, REQUEST, 4, Layout("port_no:port16? pad:6")),
    row(FROM11, REQUEST, 4, Layout("port_no:port32? pad:4")),
)
@record
class PortStatsRequest(Message):
    """`port_no` None: all."""

    port_no: int | None = None


@wire(
    row(ONLY10, REPLY, 4, Items("ports", PortStats, _PORT_STATS_10)),
    row((OF11, OF12), REPLY, 4, Items("ports", PortStats, _PORT_STATS_11)),
    row(ONLY13, REPLY, 4, Items("ports", PortStats, _PORT_STATS_13)),
    row(FROM14, REPLY, 4, _STATS_14),
)
@record
class PortStatsReply(Message):
    ports: list[PortStats] = field(default_factory=list)
    more: bool = False
