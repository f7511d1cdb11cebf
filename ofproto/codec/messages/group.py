"""Groups: GROUP_MOD and their multipart messages."""

from struct import Struct
from typing import Any

from ofproto.codec.actions import decode_actions, encode_actions
from ofproto.codec.errors import OFError
from ofproto.codec.numbers import OF10, OF11, OF12, OFPP_NONE, port_from_32, port_to_32
from pyvs.record import field, record

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
    ONLY15,
    REPLY,
    REQUEST,
    UP_TO_14,
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


# Groups


@record
class Bucket:
    """`watch_group` None: watches none.  `bucket_id`: None, and not told, before 1.5, but in
    Nicira's messages of 1.0."""

    weight: int = 0
    watch_port: int = OFPP_NONE
    watch_group: int | None = None
    actions: list = field(default_factory=list)
    bucket_id: int | None = None
    # What the switch has made of it, so that one bucket more costs no work for those before: its
    # actions' Program, and its bytes in each form of GROUP_DESC.
    program: Any = field(default=None, compare=False, repr=False)
    sizes: tuple[int, ...] | None = field(default=None, compare=False, repr=False)


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
    found = _BUCKETS.read(cls, data, version)
    if kind > GROUP_FAST_FAILOVER:
        raise OFError("OFPGMFC_BAD_TYPE", f"group type {kind}")
    if command > GROUP_DELETE and command != GROUP_ADD_OR_MODIFY:
        raise OFError("OFPGMFC_BAD_COMMAND", f"command {command}")
    return found


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
    if bucket > BUCKET_MAX and bucket not in _BUCKETS_NAMED.get(command, (BUCKET_ALL,)):
        raise OFError("OFPGMFC_BAD_BUCKET", f"bucket {bucket:#x}")
    if bucket <= BUCKET_MAX and command not in _BUCKETS_NAMED:
        raise OFError("OFPGMFC_BAD_BUCKET", f"bucket {bucket}")
    if end > len(data):
        raise OFError("OFPBRC_BAD_LEN", f"{size} bytes of buckets")
    if kind > GROUP_FAST_FAILOVER:
        raise OFError("OFPGMFC_BAD_TYPE", f"group type {kind}")
    if command not in _COMMANDS_15:
        raise OFError("OFPGMFC_BAD_COMMAND", f"command {command}")
    buckets = group_15.read_buckets(data[_GROUP_MOD_15.size : end], kind, version)
    selection = group_15.read_group_properties(data[end:], kind)
    return cls(command, kind, group, [Bucket(**each) for each in buckets], bucket, **selection)


def _write_group_mod_15(m, version):
    buckets = group_15.write_buckets(m.buckets, m.type, version)
    head = (m.command, m.type, m.group_id, len(buckets), m.command_bucket_id)
    properties = group_15.write_group_properties(m, version)
    return _GROUP_MOD_15.pack(*head) + buckets + properties


def _write_group_mod(m, version):
    if m.command in (GROUP_INSERT_BUCKET, GROUP_REMOVE_BUCKET):
        raise ValueError("buckets are inserted and removed from OpenFlow 1.5 on")
    return _BUCKETS.write(m, version)


@wire(
    row(ONLY10, NX, 31, Body(_GROUP_MOD_15.size, 8, _read_group_mod_15, _write_group_mod_15)),
    row(UP_TO_14, MSG, 15, Body(_GROUP_MOD.size, 8, _read_group_mod, _write_group_mod)),
    row(ONLY15, MSG, 15, Body(_GROUP_MOD_15.size, 8, _read_group_mod_15, _write_group_mod_15)),
)
@record
class GroupMod(Message):
    """`command`: GROUP_ADD ...; `type`: GROUP_ALL ...; `command_bucket_id`: where to insert, or
    what to remove.  How select chooses can be said in 1.0 and 1.5 only: `method`, "" (the
    switch's choice), hash or dp_hash; its `parameter`; `fields`, (Field, mask) of those that
    count."""

    command: int
    type: int = GROUP_ALL
    group_id: int = 0
    buckets: list[Bucket] = field(default_factory=list)
    command_bucket_id: int = BUCKET_ALL
    method: str = ""
    parameter: int = 0
    fields: tuple = ()


_GROUP_REQUEST = Layout("group_id:u32 pad:4")


@wire(row(FROM11, REQUEST, 6, _GROUP_REQUEST), row(ONLY10, NX_REQUEST, 7, _GROUP_REQUEST))
@record
class GroupStatsRequest(Message):
    """`group_id` OFPG_ALL: all."""

    group_id: int = OFPG_ALL


@record
class GroupStats:
    """`buckets`: (packets, bytes) of each.  Durations are of 1.3; None before."""

    group_id: int
    ref_count: int = 0
    n_packets: int = 0
    n_bytes: int = 0
    duration_sec: int | None = 0
    duration_nsec: int | None = 0
    buckets: list[tuple[int, int]] = field(default_factory=list)


_GROUP_STATS_11, _GROUP_STATS_13 = Struct("!H2xII4xQQ"), Struct("!H2xII4xQQII")
_COUNTER = Struct("!QQ")


def _read_group_stats(data, version):
    head = _GROUP_STATS_11 if version in (OF11, OF12) else _GROUP_STATS_13
    _length, *values = head.unpack_from(data)
    if (len(data) - head.size) % _COUNTER.size:
        raise OFError("OFPBRC_BAD_LEN", f"group of {len(data)} bytes")
    if version in (OF11, OF12):
        values += (None, None)
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
@record
class GroupStatsReply(Message):
    groups: list[GroupStats] = field(default_factory=list)
    more: bool = False


@wire(
    row(UP_TO_14, REQUEST, 7, EMPTY),
    row(ONLY15, REQUEST, 7, _GROUP_REQUEST),
    row(ONLY10, NX_REQUEST, 8, _GROUP_REQUEST),
)
@record
class GroupDescRequest(Message):
    """`group_id` OFPG_ALL, as always from 1.1 to 1.4: all."""

    group_id: int = OFPG_ALL


@record
class GroupDesc:
    """As in GroupMod."""

    group_id: int
    type: int = GROUP_ALL
    buckets: list[Bucket] = field(default_factory=list)
    method: str = ""
    parameter: int = 0
    fields: tuple = ()


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
    selection = group_15.read_group_properties(data[end:], kind)
    return GroupDesc(group, kind, [Bucket(**each) for each in buckets], **selection)


def _write_group_desc_15(g, version):
    buckets = group_15.write_buckets(g.buckets, g.type, version, True)
    rest = buckets + group_15.write_group_properties(g, version)
    size = _GROUP_DESC_15.size + len(rest)
    return _GROUP_DESC_15.pack(size, g.type, g.group_id, len(buckets)) + rest


_DESCS_15 = Runs("groups", _GROUP_DESC_15.size, _read_group_desc_15, _write_group_desc_15)


@wire(
    row(UP_TO_14, REPLY, 7, _DESCS),
    row(ONLY15, REPLY, 7, _DESCS_15),
    row(ONLY10, NX_REPLY, 8, _DESCS_15),
)
@record
class GroupDescReply(Message):
    groups: list[GroupDesc] = field(default_factory=list)
    more: bool = False


@wire(row(FROM12, REQUEST, 8, EMPTY), row((OF10, OF11), NX_REQUEST, 9, EMPTY))
@record
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
@record
class GroupFeaturesReply(Message):
    """`types`: a bit per group type; most groups, and bits of action types, for each type."""

    types: int = 0
    capabilities: int = 0
    max_groups: tuple[int, ...] = (0, 0, 0, 0)
    actions: tuple[int, ...] = (0, 0, 0, 0)
