"""Meters: METER_MOD and their multipart messages."""

from struct import Struct

from ofproto.codec.errors import OFError
from pyvs.record import field, record

from .base import (
    EMPTY,
    FROM13,
    MSG,
    REPLY,
    REQUEST,
    Body,
    Layout,
    Message,
    Runs,
    row,
    wire,
)

METER_ADD, METER_MODIFY, METER_DELETE = range(3)
_RATES = 0x3  # of the two units of a rate one at most
BAND_DROP, BAND_DSCP_REMARK, BAND_EXPERIMENTER = 1, 2, 0xFFFF
OFPM_ALL = 0xFFFFFFFF
_COUNTER = Struct("!QQ")


@record
class Band:
    """`type`: BAND_*; `rate` and `burst` in the meter's units; `prec_level` of DSCP_REMARK."""

    type: int
    rate: int = 0
    burst: int = 0
    prec_level: int = 0


_BAND = Struct("!HHIIB3x")


def _read_band(data, version):
    kind, length, rate, burst, level = _BAND.unpack_from(data)
    if kind not in (BAND_DROP, BAND_DSCP_REMARK):
        raise OFError("OFPMMFC_BAD_BAND", f"band type {kind}")
    if length != _BAND.size:
        raise OFError("OFPBRC_BAD_LEN", f"band of {length} bytes")
    return Band(kind, rate, burst, level if kind == BAND_DSCP_REMARK else 0)


def _write_band(b, version):
    return _BAND.pack(b.type, _BAND.size, b.rate, b.burst, b.prec_level)


def _bands(head):
    return Runs("bands", _BAND.size, _read_band, _write_band, head, 2)


_METER_MOD = _bands(Layout("command:u16 flags:u16 meter_id:u32"))


def _read_meter_mod(cls, data, version):
    command = int.from_bytes(data[:2], "big")
    if command > METER_DELETE:
        raise OFError("OFPMMFC_BAD_COMMAND", f"command {command}")
    flags = int.from_bytes(data[2:4], "big")
    if command != METER_DELETE and flags & _RATES == _RATES:
        raise OFError("OFPMMFC_BAD_FLAGS", f"flags {flags:#x}")
    return _METER_MOD.read(cls, data, version)


@wire(row(FROM13, MSG, 29, Body(_METER_MOD.size, 8, _read_meter_mod, _METER_MOD.write)))
@record
class MeterMod(Message):
    """`command`: METER_ADD ... ."""

    command: int
    flags: int = 0
    meter_id: int = 0
    bands: list[Band] = field(default_factory=list)


_METER_REQUEST = Layout("meter_id:u32 pad:4")


@wire(row(FROM13, REQUEST, 9, _METER_REQUEST))
@record
class MeterStatsRequest(Message):
    """`meter_id` OFPM_ALL: all."""

    meter_id: int = OFPM_ALL


@record
class MeterStats:
    """`bands`: (packets, bytes) of each."""

    meter_id: int
    flow_count: int = 0
    n_packets: int = 0
    n_bytes: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    bands: list[tuple[int, int]] = field(default_factory=list)


_METER_STATS = Struct("!IH6xIQQII")


def _read_meter_stats(data, version):
    meter, _length, *values = _METER_STATS.unpack_from(data)
    if (len(data) - _METER_STATS.size) % _COUNTER.size:
        raise OFError("OFPBRC_BAD_LEN", f"meter of {len(data)} bytes")
    return MeterStats(meter, *values, list(_COUNTER.iter_unpack(data[_METER_STATS.size :])))


def _write_meter_stats(m, version):
    size = _METER_STATS.size + _COUNTER.size * len(m.bands)
    head = _METER_STATS.pack(
        m.meter_id, size, m.flow_count, m.n_packets, m.n_bytes, m.duration_sec, m.duration_nsec
    )
    return head + b"".join([_COUNTER.pack(*pair) for pair in m.bands])


_METERS = Runs("meters", _METER_STATS.size, _read_meter_stats, _write_meter_stats, length_at=4)


@wire(row(FROM13, REPLY, 9, _METERS))
@record
class MeterStatsReply(Message):
    meters: list[MeterStats] = field(default_factory=list)
    more: bool = False


@wire(row(FROM13, REQUEST, 10, _METER_REQUEST))
@record
class MeterConfigRequest(Message):
    """`meter_id` OFPM_ALL: all."""

    meter_id: int = OFPM_ALL


@record
class MeterConfig:
    meter_id: int
    flags: int = 0
    bands: list[Band] = field(default_factory=list)


_METER_CONFIG = Struct("!HHI")
_BANDS = _bands(EMPTY)


def _read_meter_config(data, version):
    _length, flags, meter = _METER_CONFIG.unpack_from(data)
    return MeterConfig(meter, flags, _BANDS.read_items(data, _METER_CONFIG.size, version))


def _write_meter_config(m, version):
    bands = _BANDS.write_items(m.bands, version)
    return _METER_CONFIG.pack(_METER_CONFIG.size + len(bands), m.flags, m.meter_id) + bands


_CONFIGS = Runs("meters", _METER_CONFIG.size, _read_meter_config, _write_meter_config)


@wire(row(FROM13, REPLY, 10, _CONFIGS))
@record
class MeterConfigReply(Message):
    meters: list[MeterConfig] = field(default_factory=list)
    more: bool = False


@wire(row(FROM13, REQUEST, 11, EMPTY))
@record
class MeterFeaturesRequest(Message):
    pass


_METER_FEATURES = Layout(
    "max_meter:u32 band_types:u32 capabilities:u32 max_bands:u8 max_color:u8 pad:2"
)


@wire(row(FROM13, REPLY, 11, _METER_FEATURES))
@record
class MeterFeaturesReply(Message):
    max_meter: int = 0
    band_types: int = 0
    capabilities: int = 0
    max_bands: int = 0
    max_color: int = 0
