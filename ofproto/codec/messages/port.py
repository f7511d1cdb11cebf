"""Ports in messages: FEATURES, PORT_STATUS, PORT_MOD, port descriptions and statistics, queues.

Bits of config and state are those of ofproto/port.py, features those of OpenFlow 1.1 and later.
"""

from dataclasses import dataclass, field
from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.numbers import (
    OF10,
    OF11,
    OF12,
    OF13,
    OFPP_ALL,
    OFPP_MAX,
    OFPP_NONE,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_PORT_DOWN,
    port_to_32,
)

from .base import (
    EMPTY,
    FROM11,
    FROM13,
    MSG,
    ONLY10,
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


@dataclass(slots=True)
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


_P10, _P11 = _Port10(), _Port11()


# FEATURES_REPLY

# Capabilities: 1.3's bits, and two of 1.0 that later versions dropped, the second one moved.
C_FLOW_STATS, C_TABLE_STATS, C_PORT_STATS, C_GROUP_STATS = 1, 2, 4, 8
C_IP_REASM, C_QUEUE_STATS, C_ARP_MATCH_IP, C_PORT_BLOCKED = 32, 64, 128, 256
C_STP = 1 << 16
_C_BOTH = C_FLOW_STATS | C_TABLE_STATS | C_PORT_STATS | C_IP_REASM | C_QUEUE_STATS
_C_10 = _C_BOTH | C_ARP_MATCH_IP
_C_11 = _C_BOTH | C_GROUP_STATS | C_PORT_BLOCKED
_STP_10 = 8


@dataclass(slots=True)
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
            capabilities &= _C_11
        found = cls(dpid, n_buffers, n_tables, aux if version >= OF13 else 0, capabilities)
        found.actions = actions if version == OF10 else 0
        for at in range(size, len(data), port.size if port else 1):
            found.ports.append(port.read(PortDesc, data, version, at))
        return found

    def write(message, version):
        capabilities, actions = message.capabilities & _C_11, 0
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


@wire(row(ONLY10, MSG, 12, _status(_P10)), row(UP_TO_13, MSG, 12, _status(_P11)))
@dataclass(slots=True)
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


@wire(
    row(ONLY10, MSG, 15, _port_mod(_PORT_MOD_10, CONFIG_10, features_from_10, features_to_10)),
    row(UP_TO_13, MSG, 16, _port_mod(_PORT_MOD_11, CONFIG_11, int, int)),
)
@dataclass(slots=True)
class PortMod(Message):
    """Sets the bits of `mask` to those of `config`; `advertise` 0: no change."""

    port_no: int
    hw_addr: bytes = bytes(6)
    config: int = 0
    mask: int = 0
    advertise: int = 0


# Port descriptions and statistics


@wire(row((OF10, 5), REQUEST, 13, EMPTY))
@dataclass(slots=True)
class PortDescRequest(Message):
    """`port_no` (None: all) is of 1.5 only."""

    port_no: int | None = None


@wire(
    row(ONLY10, REPLY, 13, Items("ports", PortDesc, _P10)),
    row(UP_TO_13, REPLY, 13, Items("ports", PortDesc, _P11)),
)
@dataclass(slots=True)
class PortDescReply(Message):
    ports: list[PortDesc] = field(default_factory=list)
    more: bool = False


@dataclass(slots=True)
class PortStats:
    """Counters; None where the switch does not know.  Durations are of 1.3."""

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


_COUNTERS = (
    "rx_packets:u64? tx_packets:u64? rx_bytes:u64? tx_bytes:u64? rx_dropped:u64? tx_dropped:u64?"
    " rx_errors:u64? tx_errors:u64? rx_frame_err:u64? rx_over_err:u64? rx_crc_err:u64?"
    " collisions:u64?"
)
_DURATION = "duration_sec:u32? duration_nsec:u32?"
_PORT_STATS_10 = Layout(f"port_no:port16 pad:6 {_COUNTERS}")
_PORT_STATS_11 = Layout(f"port_no:port32 pad:4 {_COUNTERS}")
_PORT_STATS_13 = Layout(f"port_no:port32 pad:4 {_COUNTERS} {_DURATION}")


@wire(
    row(ONLY10, REQUEST, 4, Layout("port_no:port16? pad:6")),
    row(FROM11, REQUEST, 4, Layout("port_no:port32? pad:4")),
)
@dataclass(slots=True)
class PortStatsRequest(Message):
    """`port_no` None: all."""

    port_no: int | None = None


@wire(
    row(ONLY10, REPLY, 4, Items("ports", PortStats, _PORT_STATS_10)),
    row((OF11, OF12), REPLY, 4, Items("ports", PortStats, _PORT_STATS_11)),
    row((OF13, OF13), REPLY, 4, Items("ports", PortStats, _PORT_STATS_13)),
)
@dataclass(slots=True)
class PortStatsReply(Message):
    ports: list[PortStats] = field(default_factory=list)
    more: bool = False


# Queues


_QUEUES_10 = Layout("port_no:port16? pad:2 queue_id:u32?")


def _read_queues_10(cls, data, version):
    found = _QUEUES_10.read(cls, data, version)
    if found.port_no == OFPP_ALL:
        found.port_no = None
    return found


def _write_queues_10(m, version):
    port = OFPP_ALL if m.port_no is None else m.port_no
    return _QUEUES_10.pack(QueueStatsRequest(port, m.queue_id))


@wire(
    row(ONLY10, REQUEST, 5, Body(_QUEUES_10.size, 0, _read_queues_10, _write_queues_10)),
    row(FROM11, REQUEST, 5, Layout("port_no:port32? queue_id:u32?")),
)
@dataclass(slots=True)
class QueueStatsRequest(Message):
    """None: all."""

    port_no: int | None = None
    queue_id: int | None = None


@dataclass(slots=True)
class QueueStats:
    """Counters; None where the switch does not know.  Durations are of 1.3."""

    port_no: int
    queue_id: int
    tx_bytes: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    duration_sec: int | None = None
    duration_nsec: int | None = None


_QUEUE_COUNTERS = "tx_bytes:u64? tx_packets:u64? tx_errors:u64?"
_QUEUE_STATS_10 = Layout(f"port_no:port16 pad:2 queue_id:u32 {_QUEUE_COUNTERS}")
_QUEUE_STATS_11 = Layout(f"port_no:port32 queue_id:u32 {_QUEUE_COUNTERS}")
_QUEUE_STATS_13 = Layout(f"port_no:port32 queue_id:u32 {_QUEUE_COUNTERS} {_DURATION}")


@wire(
    row(ONLY10, REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_10)),
    row((OF11, OF12), REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_11)),
    row((OF13, OF13), REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_13)),
)
@dataclass(slots=True)
class QueueStatsReply(Message):
    queues: list[QueueStats] = field(default_factory=list)
    more: bool = False


def _one_port(layout):
    """A request about a physical port; from 1.1 on about all of them, too."""

    def read(cls, data, version):
        found = layout.read(cls, data, version)
        if found.port_no >= OFPP_MAX and (version == OF10 or found.port_no != OFPP_NONE):
            raise OFError("OFPQOFC_BAD_PORT", f"port {found.port_no:#x}")
        return found

    return Body(layout.size, 0, read, layout.write)


@wire(
    row(ONLY10, MSG, 20, _one_port(Layout("port_no:port16 pad:2"))),
    row(UP_TO_13, MSG, 22, _one_port(Layout("port_no:port32 pad:4"))),
)
@dataclass(slots=True)
class QueueGetConfigRequest(Message):
    """`port_no` OFPP_NONE: all (1.1 to 1.3)."""

    port_no: int = OFPP_NONE


_QUEUE_10, _QUEUE_12 = Struct("!IH2x"), Struct("!IIH6x")  # id, (port,) length
_PROPERTY, _RATE = Struct("!HH4x"), Struct("!HH4xH6x")
_MIN_RATE, _MAX_RATE = 1, 2
_NO_RATE = 0xFFFF


def _read_queue(data, version):
    """(queue id, minimum, maximum rate) in 1/10 %; None where there is no such property."""
    queue = int.from_bytes(data[:4], "big")
    rates, at = {}, (_QUEUE_10 if version < OF12 else _QUEUE_12).size
    while at < len(data):
        if len(data) - at < _PROPERTY.size:
            raise OFError("OFPBRC_BAD_LEN", "truncated queue property")
        kind, length = _PROPERTY.unpack_from(data, at)
        if length < _PROPERTY.size or at + length > len(data):
            raise OFError("OFPBRC_BAD_LEN", f"queue property of {length} bytes")
        if kind in (_MIN_RATE, _MAX_RATE):
            if length != _RATE.size:
                raise OFError("OFPBRC_BAD_LEN", f"queue rate of {length} bytes")
            rate = _RATE.unpack_from(data, at)[2]
            rates[kind] = None if rate == _NO_RATE else rate
        at += length
    return queue, rates.get(_MIN_RATE), rates.get(_MAX_RATE)


def _read_port_queue(data, version):
    """(port, queue) from 1.2 on."""
    return read_port32(int.from_bytes(data[4:8], "big")), _read_queue(data, version)


def _write_queue(queue, rates, version, port):
    body = b"".join(
        _RATE.pack(kind, _RATE.size, rate)
        for kind, rate in zip((_MIN_RATE, _MAX_RATE), rates, strict=True)
        if rate is not None
    )
    if version < OF12:
        return _QUEUE_10.pack(queue, _QUEUE_10.size + len(body)) + body
    return _QUEUE_12.pack(queue, port_to_32(port), _QUEUE_12.size + len(body)) + body


def _queue_config(head, read_queue, least, length_at):
    runs = Runs("queues", least, read_queue, None, head, length_at)

    def read(cls, data, version):
        found = runs.read(cls, data, version)
        if version >= OF12:
            pairs, found.queues = found.queues, [queue for _port, queue in found.queues]
            if found.port_no == OFPP_NONE:
                found.ports = [port for port, _queue in pairs]
        return found

    def write(m, version):
        ports = m.ports or [m.port_no] * len(m.queues)
        return head.pack(m) + b"".join(
            _write_queue(queue, rates, version, port)
            for port, (queue, *rates) in zip(ports, m.queues, strict=True)
        )

    return Body(runs.size, 1, read, write)


_CONFIG_10, _CONFIG_11 = Layout("port_no:port16 pad:6"), Layout("port_no:port32 pad:4")


@wire(
    row(ONLY10, MSG, 21, _queue_config(_CONFIG_10, _read_queue, 8, 4)),
    row((OF11, OF11), MSG, 23, _queue_config(_CONFIG_11, _read_queue, 8, 4)),
    row((OF12, OF13), MSG, 23, _queue_config(_CONFIG_11, _read_port_queue, 16, 8)),
)
@dataclass(slots=True)
class QueueGetConfigReply(Message):
    """`queues`: (queue id, minimum rate, maximum rate), in 1/10 % of the link's; None: none.
    `ports`: that of each queue, where they are of all ports (OFPP_NONE)."""

    port_no: int
    queues: list[tuple[int, int | None, int | None]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
