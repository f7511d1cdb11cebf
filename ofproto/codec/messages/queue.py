"""Queues in messages: their statistics, and what they are configured to."""

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
    port_from_32,
    port_to_32,
)
from pyvs.record import field, record

from .base import (
    FROM11,
    FROM14,
    MSG,
    ONLY10,
    ONLY13,
    REPLY,
    REQUEST,
    UP_TO_13,
    Body,
    Items,
    Layout,
    Message,
    Runs,
    read_port32,
    row,
    wire,
)
from .properties import make, split

_DURATION = "duration_sec:u32? duration_nsec:u32?"

# Statistics


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
@record
class QueueStatsRequest(Message):
    """None: all."""

    port_no: int | None = None
    queue_id: int | None = None


@record
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


_HEAD_14 = Struct("!H6x")


def _read_stats_14(data, version):
    return _QUEUE_STATS_13.read(QueueStats, data[_HEAD_14.size :], version)


def _write_stats_14(q, version):
    return _HEAD_14.pack(_HEAD_14.size + _QUEUE_STATS_13.size) + _QUEUE_STATS_13.pack(q)


_QUEUES_14 = Runs("queues", _HEAD_14.size + _QUEUE_STATS_13.size, _read_stats_14, _write_stats_14)


@wire(
    row(ONLY10, REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_10)),
    row((OF11, OF12), REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_11)),
    row(ONLY13, REPLY, 5, Items("queues", QueueStats, _QUEUE_STATS_13)),
    row(FROM14, REPLY, 5, _QUEUES_14),
)
@record
class QueueStatsReply(Message):
    queues: list[QueueStats] = field(default_factory=list)
    more: bool = False


# Configuration


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
@record
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
    """(port, queue) from 1.2 on; which port matters only in a reply about all of them."""
    port = port_from_32(int.from_bytes(data[4:8], "big"))
    return OFPP_NONE if port is None else port, _read_queue(data, version)


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
        try:
            return settled(runs.read(cls, data, version), version)
        except OFError as error:
            if error.partial is not None:
                settled(error.partial, version)
            raise

    def settled(found, version):
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

    return Body(runs.size, 8, read, write)


_CONFIG_10, _CONFIG_11 = Layout("port_no:port16 pad:6"), Layout("port_no:port32 pad:4")


@wire(
    row(ONLY10, MSG, 21, _queue_config(_CONFIG_10, _read_queue, 8, 4)),
    row((OF11, OF11), MSG, 23, _queue_config(_CONFIG_11, _read_queue, 8, 4)),
    row((OF12, OF13), MSG, 23, _queue_config(_CONFIG_11, _read_port_queue, 16, 8)),
)
@record
class QueueGetConfigReply(Message):
    """`queues`: (queue id, minimum rate, maximum rate), in 1/10 % of the link's; None: none.
    `ports`: that of each queue, where they are of all ports (OFPP_NONE)."""

    port_no: int
    queues: list[tuple[int, int | None, int | None]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)


# 1.4 and later: a multipart message of descriptions


@wire(row(FROM14, REQUEST, 15, Layout("port_no:port32? queue_id:u32?")))
@record
class QueueDescRequest(Message):
    """None: all."""

    port_no: int | None = None
    queue_id: int | None = None


@record
class QueueDesc:
    """Rates in 1/10 % of the link's; None: none."""

    port_no: int
    queue_id: int
    min_rate: int | None = None
    max_rate: int | None = None


_DESC = Struct("!IIH6x")
_RATE_14 = Struct("!H2x")


def _read_desc(data, version):
    port, queue, _length = _DESC.unpack_from(data)
    rates = {}
    for kind, value in split(data[_DESC.size :]):
        if kind in (_MIN_RATE, _MAX_RATE):
            if len(value) != _RATE_14.size:
                raise OFError("OFPBPC_BAD_LEN", f"queue rate of {len(value)} bytes")
            rate = _RATE_14.unpack(value)[0]
            rates[kind] = None if rate == _NO_RATE else rate
    return QueueDesc(read_port32(port), queue, rates.get(_MIN_RATE), rates.get(_MAX_RATE))


def _write_desc(q, version):
    rates = ((_MIN_RATE, q.min_rate), (_MAX_RATE, q.max_rate))
    rest = b"".join(make(kind, _RATE_14.pack(rate)) for kind, rate in rates if rate is not None)
    return _DESC.pack(port_to_32(q.port_no), q.queue_id, _DESC.size + len(rest)) + rest


@wire(row(FROM14, REPLY, 15, Runs("queues", _DESC.size, _read_desc, _write_desc, length_at=8)))
@record
class QueueDescReply(Message):
    queues: list[QueueDesc] = field(default_factory=list)
    more: bool = False
