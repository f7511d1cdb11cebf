"""Which module has which messages, for those who load a module when it is first needed.

Without this each command would load the classes of all messages, which takes longer than what it
does.  `core` has no row: every connection needs it.
"""

from importlib import import_module
from types import ModuleType

# Where a message stands; base tells of them
MSG, REQUEST, REPLY = "msg", "request", "reply"
NX, NX_REQUEST, NX_REPLY = "nx", "nx_request", "nx_reply"
ONF, ONF_REQUEST, ONF_REPLY = "onf", "onf_request", "onf_reply"

# module -> (the names that the package gives, place -> numbers of its messages in any version)
HOMES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "bundle": (
        """
            BUNDLE_ATOMIC BUNDLE_ORDERED CLOSE_REPLY CLOSE_REQUEST COMMIT_REPLY
            COMMIT_REQUEST DISCARD_REPLY DISCARD_REQUEST OPEN_REPLY OPEN_REQUEST
            RF_GROUP_MOD RF_METER_MOD BundleAdd BundleControl RequestForward
            check_bundled
        """,
        {MSG: (32, 33, 34), NX: (132,), ONF: (2300, 2301, 2350)},
    ),
    "flow": (
        """
            ADD ALL_ONES ALL_TABLES CHECK_OVERLAP DELETE DELETE_STRICT MODIFY
            MODIFY_STRICT NO_BYT_COUNTS NO_GROUP NO_PKT_COUNTS RESET_COUNTS
            SEND_FLOW_REM AggregateReply AggregateRequest FlowMod FlowRemoved
            FlowStats FlowStatsReply FlowStatsRequest
        """,
        {
            MSG: (11, 14),
            NX: (13, 14),
            REQUEST: (1, 2),
            REPLY: (1, 2),
            NX_REQUEST: (0, 1),
            NX_REPLY: (0, 1),
        },
    ),
    "group": (
        """
            GROUP_ADD GROUP_ADD_OR_MODIFY GROUP_ALL GROUP_DELETE GROUP_FAST_FAILOVER
            GROUP_INDIRECT GROUP_INSERT_BUCKET GROUP_MODIFY GROUP_REMOVE_BUCKET
            GROUP_SELECT OFPG_ALL OFPG_ANY Bucket GroupDesc GroupDescReply
            GroupDescRequest GroupFeaturesReply GroupFeaturesRequest GroupMod
            GroupStats GroupStatsReply GroupStatsRequest
        """,
        {
            MSG: (15,),
            NX: (31,),
            REQUEST: (6, 7, 8),
            REPLY: (6, 7, 8),
            NX_REQUEST: (7, 8, 9),
            NX_REPLY: (7, 8, 9),
        },
    ),
    "group_15": (
        """
            BUCKET_ALL BUCKET_FIRST BUCKET_LAST
        """,
        {},
    ),
    "ipfix": (
        """
            IpfixBridgeReply IpfixBridgeRequest IpfixFlowReply IpfixFlowRequest
            IpfixStats
        """,
        {NX_REQUEST: (3, 4), NX_REPLY: (3, 4)},
    ),
    "meter": (
        """
            BAND_DROP BAND_DSCP_REMARK BAND_EXPERIMENTER METER_ADD METER_DELETE
            METER_MODIFY OFPM_ALL Band MeterConfig MeterConfigReply MeterConfigRequest
            MeterFeaturesReply MeterFeaturesRequest MeterMod MeterStats
            MeterStatsReply MeterStatsRequest
        """,
        {MSG: (29,), REQUEST: (9, 10, 11), REPLY: (9, 10, 11)},
    ),
    "monitor": (
        """
            EV_ABBREV EV_ADDED EV_INITIAL EV_MODIFIED EV_PAUSED EV_REMOVED EV_RESUMED
            FM_ADD FM_INITIAL FM_INSTRUCTIONS FM_MODIFY FM_NO_ABBREV FM_REMOVED
            MONITOR_ADD MONITOR_DELETE MONITOR_MODIFY FlowMonitorCancel
            FlowMonitorPaused FlowMonitorReply FlowMonitorRequest FlowMonitorResumed
            FlowUpdate Monitor
        """,
        {
            NX: (21, 22, 23),
            ONF: (1870, 1871, 1872),
            REQUEST: (16,),
            REPLY: (16,),
            NX_REQUEST: (2,),
            NX_REPLY: (2,),
            ONF_REQUEST: (1870,),
            ONF_REPLY: (1870,),
        },
    ),
    "nx": (
        """
            PACKET_IN_FORMATS TLV_ADD TLV_CLEAR TLV_DELETE CtFlush CtFlushZone CtTuple
            NxFlowAge NxFlowModTableId NxSetControllerId NxSetFlowFormat
            NxSetPacketInFormat TlvMap TlvTableMod TlvTableReply TlvTableRequest
        """,
        {NX: (12, 15, 16, 18, 20, 24, 25, 26, 29, 32)},
    ),
    "packet": (
        """
            NO_COOKIE PacketIn PacketOut Resume
        """,
        {MSG: (10, 13), NX: (17, 28, 30)},
    ),
    "port": (
        """
            C_ARP_MATCH_IP C_BUNDLES C_FLOW_MONITORING C_FLOW_STATS C_GROUP_STATS
            C_IP_REASM C_PORT_BLOCKED C_PORT_STATS C_QUEUE_STATS C_STP C_TABLE_STATS
            RFC2819 FeaturesReply PortDesc PortDescReply PortDescRequest PortMod
            PortStats PortStatsReply PortStatsRequest PortStatus
        """,
        {MSG: (6, 12, 15, 16), REQUEST: (4, 13), REPLY: (4, 13)},
    ),
    "queue": (
        """
            QueueDesc QueueDescReply QueueDescRequest QueueGetConfigReply
            QueueGetConfigRequest QueueStats QueueStatsReply QueueStatsRequest
        """,
        {MSG: (20, 21, 22, 23), REQUEST: (5, 15), REPLY: (5, 15)},
    ),
    "role": (
        """
            ASYNC_KINDS R_CONFIG R_EXPERIMENTER R_MASTER_REQUEST GetAsyncReply
            GetAsyncRequest RoleReply RoleRequest RoleStatus SetAsync
        """,
        {MSG: (24, 25, 26, 27, 28, 30), NX: (10, 11, 19, 27), ONF: (1911,)},
    ),
    "table": (
        """
            EVICT_IMPORTANCE EVICT_LIFETIME EVICT_OTHER MISS_CONTINUE MISS_CONTROLLER
            MISS_DROP MISS_MASK TC_EVICTION TC_VACANCY_EVENTS VACANCY_DOWN VACANCY_UP
            DescReply DescRequest TableDesc TableDescReply TableDescRequest TableMod
            TableStats TableStatsReply TableStatsRequest TableStatus
        """,
        {MSG: (17, 31), REQUEST: (0, 3, 14), REPLY: (0, 3, 14)},
    ),
    "table_features": (
        """
            PROPERTIES TableFeatures TableFeaturesReply TableFeaturesRequest
        """,
        {REQUEST: (12,), REPLY: (12,)},
    ),
}


def load(module: str) -> ModuleType:
    """The module of this package, loaded now if it was not."""
    return import_module(f".{module}", __package__)


def modules_by_name() -> dict[str, str]:
    return {name: module for module, (names, _) in HOMES.items() for name in names.split()}


def _by_number():
    found: dict[tuple[str, int], list[str]] = {}
    for module, (_, places) in HOMES.items():
        for place, numbers in places.items():
            for number in numbers:
                found.setdefault((place, number), []).append(module)
    return found


_BY_NUMBER = _by_number()


def load_message(place: str, number: int) -> bool:
    """Have the modules of messages of this number; whether there are any."""
    modules = _BY_NUMBER.get((place, number), ())
    for module in modules:
        load(module)
    return bool(modules)
