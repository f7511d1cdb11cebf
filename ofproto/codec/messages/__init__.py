"""OpenFlow messages: bytes to objects and back.

One class per message, with one meaning for all versions; versions (wire numbers: 1 is OpenFlow
1.0, 4 is 1.3) differ in the codec only.  Port numbers are 16-bit inside.  The classes are in the
modules beside this one, which register their rows (see base) on import.

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

from . import base
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
from .bundle import (
    BUNDLE_ATOMIC,
    BUNDLE_ORDERED,
    CLOSE_REPLY,
    CLOSE_REQUEST,
    COMMIT_REPLY,
    COMMIT_REQUEST,
    DISCARD_REPLY,
    DISCARD_REQUEST,
    OPEN_REPLY,
    OPEN_REQUEST,
    RF_GROUP_MOD,
    RF_METER_MOD,
    BundleAdd,
    BundleControl,
    RequestForward,
    check_bundled,
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
from .flow import (
    ADD,
    ALL_ONES,
    ALL_TABLES,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    MODIFY,
    MODIFY_STRICT,
    NO_BYT_COUNTS,
    NO_GROUP,
    NO_PKT_COUNTS,
    RESET_COUNTS,
    SEND_FLOW_REM,
    AggregateReply,
    AggregateRequest,
    FlowMod,
    FlowRemoved,
    FlowStats,
    FlowStatsReply,
    FlowStatsRequest,
)
from .group import (
    GROUP_ADD,
    GROUP_ADD_OR_MODIFY,
    GROUP_ALL,
    GROUP_DELETE,
    GROUP_FAST_FAILOVER,
    GROUP_INDIRECT,
    GROUP_INSERT_BUCKET,
    GROUP_MODIFY,
    GROUP_REMOVE_BUCKET,
    GROUP_SELECT,
    OFPG_ALL,
    OFPG_ANY,
    Bucket,
    GroupDesc,
    GroupDescReply,
    GroupDescRequest,
    GroupFeaturesReply,
    GroupFeaturesRequest,
    GroupMod,
    GroupStats,
    GroupStatsReply,
    GroupStatsRequest,
)
from .group_15 import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
)
from .ipfix import (
    IpfixBridgeReply,
    IpfixBridgeRequest,
    IpfixFlowReply,
    IpfixFlowRequest,
    IpfixStats,
)
from .meter import (
    BAND_DROP,
    BAND_DSCP_REMARK,
    BAND_EXPERIMENTER,
    METER_ADD,
    METER_DELETE,
    METER_MODIFY,
    OFPM_ALL,
    Band,
    MeterConfig,
    MeterConfigReply,
    MeterConfigRequest,
    MeterFeaturesReply,
    MeterFeaturesRequest,
    MeterMod,
    MeterStats,
    MeterStatsReply,
    MeterStatsRequest,
)
from .monitor import (
    EV_ABBREV,
    EV_ADDED,
    EV_INITIAL,
    EV_MODIFIED,
    EV_PAUSED,
    EV_REMOVED,
    EV_RESUMED,
    FM_ADD,
    FM_INITIAL,
    FM_INSTRUCTIONS,
    FM_MODIFY,
    FM_NO_ABBREV,
    FM_REMOVED,
    MONITOR_ADD,
    MONITOR_DELETE,
    MONITOR_MODIFY,
    FlowMonitorCancel,
    FlowMonitorPaused,
    FlowMonitorReply,
    FlowMonitorRequest,
    FlowMonitorResumed,
    FlowUpdate,
    Monitor,
)
from .nx import (
    PACKET_IN_FORMATS,
    TLV_ADD,
    TLV_CLEAR,
    TLV_DELETE,
    CtFlush,
    CtFlushZone,
    CtTuple,
    NxFlowAge,
    NxFlowModTableId,
    NxSetControllerId,
    NxSetFlowFormat,
    NxSetPacketInFormat,
    TlvMap,
    TlvTableMod,
    TlvTableReply,
    TlvTableRequest,
)
from .packet import NO_COOKIE, PacketIn, PacketOut, Resume
from .port import (
    C_ARP_MATCH_IP,
    C_BUNDLES,
    C_FLOW_MONITORING,
    C_FLOW_STATS,
    C_GROUP_STATS,
    C_IP_REASM,
    C_PORT_BLOCKED,
    C_PORT_STATS,
    C_QUEUE_STATS,
    C_STP,
    C_TABLE_STATS,
    RFC2819,
    FeaturesReply,
    PortDesc,
    PortDescReply,
    PortDescRequest,
    PortMod,
    PortStats,
    PortStatsReply,
    PortStatsRequest,
    PortStatus,
)
from .queue import (
    QueueDesc,
    QueueDescReply,
    QueueDescRequest,
    QueueGetConfigReply,
    QueueGetConfigRequest,
    QueueStats,
    QueueStatsReply,
    QueueStatsRequest,
)
from .role import (
    ASYNC_KINDS,
    R_CONFIG,
    R_EXPERIMENTER,
    R_MASTER_REQUEST,
    GetAsyncReply,
    GetAsyncRequest,
    RoleReply,
    RoleRequest,
    RoleStatus,
    SetAsync,
)
from .table import (
    EVICT_IMPORTANCE,
    EVICT_LIFETIME,
    EVICT_OTHER,
    MISS_CONTINUE,
    MISS_CONTROLLER,
    MISS_DROP,
    MISS_MASK,
    TC_EVICTION,
    TC_VACANCY_EVENTS,
    VACANCY_DOWN,
    VACANCY_UP,
    DescReply,
    DescRequest,
    TableDesc,
    TableDescReply,
    TableDescRequest,
    TableMod,
    TableStats,
    TableStatsReply,
    TableStatsRequest,
    TableStatus,
)
from .table_features import (
    PROPERTIES,
    TableFeatures,
    TableFeaturesReply,
    TableFeaturesRequest,
)


def decode(raw: bytes, flow_mod_table_id: bool = False, part: bool = False) -> Message:
    """The message of whole bytes, from either side.  Raises OFError.

    `flow_mod_table_id`: the connection has NXT_FLOW_MOD_TABLE_ID on (OpenFlow 1.0); `part`: it
    may be one of several that are a request.
    """
    message = base.read(raw)
    if not part:
        base.check_whole(raw)
    if type(message) is FlowMod:
        message.settle(flow_mod_table_id)
    return message


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
