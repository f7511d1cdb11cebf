"""Groups and meters: GROUP_MOD, METER_MOD, and their multipart messages."""

from dataclasses import dataclass, field
from struct import Struct

from ofproto.codec.actions import decode_actions, encode_actions
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OF10, OF11, OF12, OFPP_NONE, port_from_32, port_to_32

from . import group_15
from .base import (
    EMPTY,
    FROM11,
    FROM12,
    FROM13,
    MSG,
    NX,
    NX_REPLY,
    NX_REQUEST,
    ONLY10,
    REPLY,
    REQUEST,
    UP_TO_13,
    Body,
    Layout,
    Message,
    Runs,
    row,
    wire,
)
from .group_15 import BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX

GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = range(3)
GROUP_INSERT_BUCKET, GROUP_REMOVE_BUCKET = 3, 5
GROUP_ADD_OR_MODIFY = 0x8000  # Open vSwitch's own
GROUP_ALL, GROUP_SELECT, GROUP_INDIRECT, GROUP_FAST_FAILOVER = range(4)
OFPG_ALL, OFPG_ANY = 0xFFFFFFFC, 0xFFFFFFFF
METER_ADD, METER_MODIFY, METER_DELETE = range(3)
_RATES = 0x3  # of the two units of a rate one at most
BAND_DROP, BAND_DSCP_REMARK, BAND_EXPERIMENTER = 1, 2, 0xFFFF
OFPM_ALL = 0xFFFFFFFF


# Groups


@dataclass(slots=True)
class Bucket:
    """`watch_group` None: watches none.  `bucket_id`: None, and not told, before 1.5, but in
    Nicira's messages of 1.0."""

    weight: int = 0
    watch_port: int = OFPP_NONE
    watch_group: int | None = None
    actions: list = field(default_factory=list)
    bucket_id: int | None = None


_BUCKET = Struct("!HHII4x")


def _read_bucket(data, version):
    _length, weight, port, group = _BUCKET.unpack_from(data)
    watched = port_from_32(port)
    if watched is None:
        raise OFError("OFPGMFC_BAD_WATCH", f"port {port:#x}")
    actions = decode_actions(data[_BUCKET.size :], version)
    return Bucket(weight, watched, None if group == OFPG_ANY else group, actions)


def _write_bucket(bucket, version, lossy=False):
    actions = encode_actions(bucket.actions, version, lossy=lossy)
    group = OFPG_ANY if bucket.watch_group is None else bucket.watch_group
    port = port_to_32(bucket.watch_port)
    return _BUCKET.pack(_BUCKET.size + len(actions), bucket.weight, port, group) + actions


_GROUP_MOD = Layout("command:u16 type:u8 pad:1 group_id:u32")
_BUCKETS = Runs("buckets", _BUCKET.size, _read_bucket, _write_bucket, _GROUP_MOD)
_BUCKETS.bad_length = "OFPGMFC_BAD_BUCKET"


def _read_group_mod(cls, data, version):
    command, kind = int.from_bytes(data[:2], "big"), data[2]
    if command > GROUP_DELETE and command != GROUP_ADD_OR_MODIFY:
        raise OFError("OFPGMFC_BAD_COMMAND", f"command {command}")
    if kind > GROUP_FAST_FAILOVER:
        raise OFError("OFPGMFC_BAD_TYPE", f"group type {kind}")
    return _BUCKETS.read(cls, data, version)


_GROUP_MOD_15 = Struct("!HBxIH2xI")
_COMMANDS_15 = (*range(GROUP_INSERT_BUCKET + 1), GROUP_REMOVE_BUCKET, GROUP_ADD_OR_MODIFY)
# Which of the reserved numbers a command may name.
_BUCKETS_NAMED = {
    GROUP_INSERT_BUCKET: (BUCKET_FIRST, BUCKET_LAST),
    GROUP_REMOVE_BUCKET: (BUCKET_FIRST, BUCKET_LAST, BUCKET_ALL),
}


def _read_group_mod_15(cls, data, version):
    command, kind, group, size, bucket = _GROUP_MOD_15.unpack_from(data)
    end = _GROUP_MOD_15.size + size
    if command not in _COMMANDS_15:
        raise OFError("OFPGMFC_BAD_COMMAND", f"command {command}")
    if kind > GROUP_FAST_FAILOVER:
        raise OFError("OFPGMFC_BAD_TYPE", f"group type {kind}")
    if end > len(data):
        raise OFError("OFPBRC_BAD_LEN", f"{size} bytes of buckets")
    if bucket > BUCKET_MAX and bucket not in _BUCKETS_NAMED.get(command, (BUCKET_ALL,)):
        raise OFError("OFPGMFC_BAD_BUCKET", f"bucket {bucket:#x}")
    if bucket <= BUCKET_MAX and command not in _BUCKETS_NAMED:
        raise OFError("OFPGMFC_BAD_BUCKET", f"bucket {bucket}")
    buckets = group_15.read_buckets(data[_GROUP_MOD_15.size : end], kind, version)
    group_15.check_group_properties(data[end:])
    return cls(command, kind, group, [Bucket(**each) for each in buckets], bucket)


def _write_group_mod_15(m, version):
    buckets = group_15.write_buckets(m.buckets, m.type, version)
    head = (m.command, m.type, m.group_id, len(buckets), m.command_bucket_id)
    return _GROUP_MOD_15.pack(*head) + buckets


def _write_group_mod(m, version):
    if m.command in (GROUP_INSERT_BUCKET, GROUP_REMOVE_BUCKET):
        raise ValueError("buckets are inserted and removed from OpenFlow 1.5 on")
    return _BUCKETS.write(m, version)


@wire(
    row(ONLY10, NX, 31, Body(_GROUP_MOD_15.size, 8, _read_group_mod_15, _write_group_mod_15)),
    row(UP_TO_13, MSG, 15, Body(_GROUP_MOD.size, 8, _read_group_mod, _write_group_mod)),
)
@dataclass(slots=True)
class GroupMod(Message):
    """`command`: GROUP_ADD ...; `type`: GROUP_ALL ...; `command_bucket_id`: where to insert, or
    what to remove."""

    command: int
    type: int = GROUP_ALL
    group_id: int = 0
    buckets: list[Bucket] = field(default_factory=list)
    command_bucket_id: int = BUCKET_ALL


_GROUP_REQUEST = Layout("group_id:u32 pad:4")


@wire(row(FROM11, REQUEST, 6, _GROUP_REQUEST), row(ONLY10, NX_REQUEST, 7, _GROUP_REQUEST))
@dataclass(slots=True)
class GroupStatsRequest(Message):
    """`group_id` OFPG_ALL: all."""

    group_id: int = OFPG_ALL


@dataclass(slots=True)
class GroupStats:
    """`buckets`: (packets, bytes) of each.  Durations are of 1.3."""

    group_id: int
    ref_count: int = 0
    n_packets: int = 0
    n_bytes: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    buckets: list[tuple[int, int]] = field(default_factory=list)


_GROUP_STATS_11, _GROUP_STATS_13 = Struct("!H2xII4xQQ"), Struct("!H2xII4xQQII")
_COUNTER = Struct("!QQ")


def _read_group_stats(data, version):
    head = _GROUP_STATS_11 if version in (OF11, OF12) else _GROUP_STATS_13
    _length, *values = head.unpack_from(data)
    if (len(data) - head.size) % _COUNTER.size:
        raise OFError("OFPBRC_BAD_LEN", f"group of {len(data)} bytes")
    if version in (OF11, OF12):
        values += (0, 0)
    return GroupStats(*values, list(_COUNTER.iter_unpack(data[head.size :])))


def _write_group_stats(g, version):
    old = version in (OF11, OF12)
    head = _GROUP_STATS_11 if old else _GROUP_STATS_13
    times = () if old else (g.duration_sec, g.duration_nsec)
    size = head.size + _COUNTER.size * len(g.buckets)
    counters = b"".join([_COUNTER.pack(*pair) for pair in g.buckets])
    return head.pack(size, g.group_id, g.ref_count, g.n_packets, g.n_bytes, *times) + counters


def _stats(head):
    return Runs("groups", head.size, _read_group_stats, _write_group_stats)


@wire(
    row((OF11, OF12), REPLY, 6, _stats(_GROUP_STATS_11)),
    row(FROM13, REPLY, 6, _stats(_GROUP_STATS_13)),
    row(ONLY10, NX_REPLY, 7, _stats(_GROUP_STATS_13)),
)
@dataclass(slots=True)
class GroupStatsReply(Message):
    groups: list[GroupStats] = field(default_factory=list)
    more: bool = False


@wire(row((OF11, 5), REQUEST, 7, EMPTY), row(ONLY10, NX_REQUEST, 8, _GROUP_REQUEST))
@dataclass(slots=True)
class GroupDescRequest(Message):
    """`group_id` OFPG_ALL, as always from 1.1 to 1.4: all."""

    group_id: int = OFPG_ALL


@dataclass(slots=True)
class GroupDesc:
    group_id: int
    type: int = GROUP_ALL
    buckets: list[Bucket] = field(default_factory=list)


_GROUP_DESC = Struct("!HBxI")


def _read_group_desc(data, version):
    _length, kind, group = _GROUP_DESC.unpack_from(data)
    return GroupDesc(group, kind, _BUCKETS.read_items(data, _GROUP_DESC.size, version))


def _write_group_desc(g, version):
    buckets = b"".join([_write_bucket(bucket, version, True) for bucket in g.buckets])
    return _GROUP_DESC.pack(_GROUP_DESC.size + len(buckets), g.type, g.group_id) + buckets


_DESCS = Runs("groups", _GROUP_DESC.size, _read_group_desc, _write_group_desc)


_GROUP_DESC_15 = Struct("!HBxIH6x")


def _read_group_desc_15(data, version):
    _length, kind, group, size = _GROUP_DESC_15.unpack_from(data)
    end = _GROUP_DESC_15.size + size
    if end > len(data):
        raise OFError("OFPBRC_BAD_LEN", f"{size} bytes of buckets")
    buckets = group_15.read_buckets(data[_GROUP_DESC_15.size : end], kind, version)
    return GroupDesc(group, kind, [Bucket(**each) for each in buckets])


def _write_group_desc_15(g, version):
    buckets = group_15.write_buckets(g.buckets, g.type, version, True)
    size = _GROUP_DESC_15.size + len(buckets)
    return _GROUP_DESC_15.pack(size, g.type, g.group_id, len(buckets)) + buckets


_DESCS_15 = Runs("groups", _GROUP_DESC_15.size, _read_group_desc_15, _write_group_desc_15)


@wire(row(UP_TO_13, REPLY, 7, _DESCS), row(ONLY10, NX_REPLY, 8, _DESCS_15))
@dataclass(slots=True)
class GroupDescReply(Message):
    groups: list[GroupDesc] = field(default_factory=list)
    more: bool = False


@wire(row(FROM12, REQUEST, 8, EMPTY), row((OF10, OF11), NX_REQUEST, 9, EMPTY))
@dataclass(slots=True)
class GroupFeaturesRequest(Message):
    pass


_GROUP_FEATURES = Struct("!II4I4I")


def _read_group_features(cls, data, version):
    types, capabilities, *rest = _GROUP_FEATURES.unpack(data)
    return cls(types, capabilities, tuple(rest[:4]), tuple(rest[4:]))


def _write_group_features(m, version):
    return _GROUP_FEATURES.pack(m.types, m.capabilities, *m.max_groups, *m.actions)


_FEATURES = Body(_GROUP_FEATURES.size, 0, _read_group_features, _write_group_features)


@wire(row(FROM12, REPLY, 8, _FEATURES), row((OF10, OF11), NX_REPLY, 9, _FEATURES))
@dataclass(slots=True)
class GroupFeaturesReply(Message):
    """`types`: a bit per group type; most groups, and bits of action types, for each type."""

    types: int = 0
    capabilities: int = 0
    max_groups: tuple[int, ...] = (0, 0, 0, 0)
    actions: tuple[int, ...] = (0, 0, 0, 0)


# Meters


@dataclass(slots=True)
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


@wire(row(FROM13, MSG, 29, Body(_METER_MOD.size, 1, _read_meter_mod, _METER_MOD.write)))
@dataclass(slots=True)
class MeterMod(Message):
    """`command`: METER_ADD ... ."""

    command: int
    flags: int = 0
    meter_id: int = 0
    bands: list[Band] = field(default_factory=list)


_METER_REQUEST = Layout("meter_id:u32 pad:4")


@wire(row(FROM13, REQUEST, 9, _METER_REQUEST))
@dataclass(slots=True)
class MeterStatsRequest(Message):
    """`meter_id` OFPM_ALL: all."""

    meter_id: int = OFPM_ALL


@dataclass(slots=True)
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
@dataclass(slots=True)
class MeterStatsReply(Message):
    meters: list[MeterStats] = field(default_factory=list)
    more: bool = False


@wire(row(FROM13, REQUEST, 10, _METER_REQUEST))
@dataclass(slots=True)
class MeterConfigRequest(Message):
    """`meter_id` OFPM_ALL: all."""

    meter_id: int = OFPM_ALL


@dataclass(slots=True)
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
@dataclass(slots=True)
class MeterConfigReply(Message):
    meters: list[MeterConfig] = field(default_factory=list)
    more: bool = False


@wire(row(FROM13, REQUEST, 11, EMPTY))
@dataclass(slots=True)
class MeterFeaturesRequest(Message):
    pass


_METER_FEATURES = Layout(
    "max_meter:u32 band_types:u32 capabilities:u32 max_bands:u8 max_color:u8 pad:2"
)


@wire(row(FROM13, REPLY, 11, _METER_FEATURES))
@dataclass(slots=True)
class MeterFeaturesReply(Message):
    max_meter: int = 0
    band_types: int = 0
    capabilities: int = 0
    max_bands: int = 0
    max_color: int = 0
