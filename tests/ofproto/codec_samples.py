"""A message of each class, for the codec's tests: SAMPLES are (message, wire versions, keywords
of encode())."""

from ofproto.codec import messages as m
from ofproto.codec.actions import Controller, Output, PopVlan, Resubmit, SetField
from ofproto.codec.fields import BY_NAME
from ofproto.codec.instructions import ApplyActions, GotoTable, WriteMetadata
from ofproto.codec.match_text import parse_match
from ofproto.codec.numbers import OFPP_CONTROLLER, OFPP_LOCAL, OFPP_NONE

BOTH, OF10, OF11, OF12, OF13, OF15 = (1, 4), (1,), (2,), (3,), (4,), (6,)
FROM13, FROM14, NUMBERED = (4, 5, 6), (5, 6), (1, 6)  # the last: where buckets have numbers
TCP = "tcp,in_port=3,dl_vlan=7,dl_src=02:00:00:00:00:01,nw_src=10.0.0.0/8,tp_dst=80"
NXM = "tcp6,in_port=3,ipv6_src=2001:db8::/32,tp_dst=0x50/0xfff0,reg1=7/0xff,tun_id=9"
OUTPUT = [ApplyActions([Output(4), Output(OFPP_CONTROLLER, 100)])]
SET_10 = [
    ApplyActions([SetField(BY_NAME["eth_dst"], 0x020000000007, None, "mod_dl_dst"), Output(2)])
]
SET_13 = [ApplyActions([SetField(BY_NAME["eth_dst"], 0x020000000007), Output(2)])]
TO_CONTROLLER = [ApplyActions([PopVlan(), Output(OFPP_CONTROLLER, 128)])]
PIPELINE = [ApplyActions([Output(1)]), WriteMetadata(5, 0xFF), GotoTable(7)]
NX_ACTIONS = [ApplyActions([Resubmit(None, 4), Controller(100, 1, 7)])]


def match(text):
    return parse_match(text)


PORT = m.PortDesc(
    5, b"\x02\0\0\0\0\x05", "eth5", 0x21, 1, 0x0840, 0x20, 0x2840, 1, 10_000_000, 10_000_000
)
LOCAL = m.PortDesc(OFPP_LOCAL, b"\x02\0\0\0\0\xfe", "br0", 1, 1)
COUNTERS = dict(zip(m.PortStats.__slots__[1:13], range(1, 13), strict=True))
FLOW = {"priority": 7, "table_id": 3, "cookie": 0x1234, "duration_sec": 9, "duration_nsec": 8,
        "idle_timeout": 5, "hard_timeout": 6, "n_packets": 1, "n_bytes": 60}  # fmt: skip
MASKS = {"packet_in": (0x3F, 1), "port_status": (7, 0), "flow_removed": (15, 4)}
_OXMS = [(BY_NAME["ip_src"], False), (BY_NAME["dp_hash"], False)]
FEATURES = {
    "instructions": [1, 3, 4],
    "next_tables": [4, 5, 6],
    "write_actions": [22],
    "apply_actions": [0, 25],
    "match": [(BY_NAME["ip_src"], True), (BY_NAME["in_port_oxm"], False), (0x80007E00, False)],
    "wildcards": [(BY_NAME["ip_src"], False)],
    "write_setfield": _OXMS,
    "apply_setfield": _OXMS[:1],
}
BAND = m.Band(m.BAND_DSCP_REMARK, 1000, 100, 2)
BUCKET = m.Bucket(3, 7, None, [Output(7)])


def flow_mods():
    yield m.FlowMod(match=match(TCP), instructions=OUTPUT, cookie=1, flags=7), OF10, {}
    yield m.FlowMod(match=match(TCP), instructions=SET_10, flags=4), OF10, {}
    yield m.FlowMod(match=match(TCP), table_id=0, instructions=SET_13), OF13, {}
    times = {"idle_timeout": 3, "hard_timeout": 4, "buffer_id": 5}
    arp = match("arp,dl_vlan=5,arp_op=1")
    yield m.FlowMod(m.ADD, arp, 1, 2, table_id=9, **times, instructions=TO_CONTROLLER), OF13, {}
    yield m.FlowMod(m.ADD, match(NXM), flags=4, instructions=NX_ACTIONS), OF10, {"nxm": True}
    for command in (m.MODIFY, m.MODIFY_STRICT, m.DELETE, m.DELETE_STRICT):
        yield m.FlowMod(command, match(TCP), out_port=4, instructions=OUTPUT), OF10, {}
        yield m.FlowMod(command, match(TCP), table_id=0, out_port=4, instructions=OUTPUT), OF13, {}
        yield m.FlowMod(command, match(TCP), cookie=1, cookie_mask=3, table_id=1), OF13, {}
        yield m.FlowMod(command, match(TCP), cookie=1, cookie_mask=3), OF10, {"nxm": True}
    yield m.FlowMod(m.MODIFY, match(TCP), new_cookie=9), OF10, {}
    yield m.FlowMod(m.MODIFY, match(TCP), 5, 1, 1, new_cookie=9), OF10, {"nxm": True}
    yield m.FlowMod(m.DELETE, match(TCP), out_group=4, flags=0x1F), OF13, {}
    yield m.FlowMod(match=match(TCP), table_id=0, instructions=PIPELINE, flags=0x1F), OF13, {}


def packets():
    data = bytes(range(60))
    yield m.PacketOut(data, OFPP_CONTROLLER, [Output(3)]), BOTH, {}
    yield m.PacketOut(b"", 3, [Output(1), Output(2)], 77), BOTH, {}
    port = match("in_port=3")
    yield m.PacketIn(data, 99, m.OFPR_ACTION, in_port=3, match=port, buffer_id=8), OF10, {}
    pipeline = match("in_port=3,reg1=4,metadata=9,tun_id=2")
    more = {"table_id": 4, "cookie": 6, "in_port": 3, "match": pipeline}
    yield m.PacketIn(data, 60, m.OFPR_NO_MATCH, **more), OF13, {}
    yield m.PacketIn(data, 60, m.OFPR_INVALID_TTL, **more, format="nxt_packet_in"), BOTH, {}
    yield m.PacketIn(data, 60, **more, format="nxt_packet_in2"), BOTH, {}
    yield m.PacketIn(data, 61, **more, buffer_id=1, format="nxt_packet_in2", userdata=b"\1\2",
                     continuation=b"\0\5\0\5\1\0\0\0"), BOTH, {}  # fmt: skip


def flows():
    for nxm in (False, True):
        yield m.FlowStatsRequest(match(TCP), 3, 4, nxm=nxm), OF10, {}
        yield m.AggregateRequest(match(""), nxm=nxm), OF10, {}
        yield m.AggregateReply(1, 2, 3, nxm=nxm), OF10, {}
    yield m.FlowStatsRequest(match(NXM), 3, 4, None, 5, 7, nxm=True), OF10, {}
    yield m.FlowStatsRequest(match(TCP), None, 4, 5, 6, 7), OF13, {}
    yield m.AggregateRequest(match(TCP), 5, cookie=1, cookie_mask=m.ALL_ONES), OF13, {}
    yield m.AggregateReply(None, 2, 3), OF13, {}
    stats = m.FlowStats(match(TCP), **FLOW, instructions=OUTPUT)
    yield m.FlowStatsReply([stats, m.FlowStats(match(""))], True), BOTH, {}
    stats = m.FlowStats(match(NXM), **FLOW, idle_age=0, hard_age=4, instructions=NX_ACTIONS)
    yield m.FlowStatsReply([stats], nxm=True), OF10, {}
    stats = m.FlowStats(match(NXM), **FLOW, flags=3, instructions=PIPELINE)
    yield m.FlowStatsReply([stats]), OF13, {}
    yield m.FlowRemoved(match(TCP), 5, 6, m.OFPRR_DELETE, None, 1, 2, 3, 0, 4, 5), OF10, {}
    yield m.FlowRemoved(match(NXM), 5, 6, m.OFPRR_DELETE, 8, 1, 2, 3, 0, 4, 5, True), OF10, {}
    yield m.FlowRemoved(match(NXM), 5, 6, m.OFPRR_HARD_TIMEOUT, 8, 1, 2, 3, 9, 4, 5), OF13, {}


def ports():
    fast = m.PortDesc(6, bytes(6), "eth6", curr=0x2840, supported=0x2820,
                      curr_speed=10_000_000, max_speed=1_000_000)  # fmt: skip
    yield m.FeaturesReply(0x123, 256, 254, 0, 0xC7, 0xFFF, [fast, LOCAL]), OF10, {}
    yield m.FeaturesReply(0x123, 256, 254, 3, 0x6F), OF13, {}
    yield m.PortStatus(m.OFPPR_MODIFY, PORT), OF13, {}
    yield m.PortStatus(m.OFPPR_ADD, fast), BOTH, {}
    yield m.PortMod(5, b"\x02\0\0\0\0\x05", 0x20, 0x21, 0x2840), BOTH, {}
    yield m.PortMod(5, b"\x02\0\0\0\0\x05", 0x10, 0x10), OF10, {}
    yield m.PortDescRequest(), BOTH, {}
    yield m.PortDescReply([fast, LOCAL], True), BOTH, {}
    yield m.PortStatsRequest(4), BOTH, {}
    yield m.PortStatsRequest(), BOTH, {}
    yield m.PortStatsReply([m.PortStats(1), m.PortStats(OFPP_LOCAL, **COUNTERS)]), BOTH, {}
    stats = m.PortStats(1, **COUNTERS, duration_sec=4, duration_nsec=5)
    yield m.PortStatsReply([stats]), OF13, {}
    yield m.QueueStatsRequest(), BOTH, {}
    yield m.QueueStatsRequest(4, 5), BOTH, {}
    yield m.QueueStatsReply([m.QueueStats(1, 2, 3, 4, 5), m.QueueStats(1, 2)]), BOTH, {}
    yield m.QueueStatsReply([m.QueueStats(1, 2, 3, 4, 5, 6, 7)]), OF13, {}
    yield m.QueueGetConfigRequest(4), BOTH, {}
    yield m.QueueGetConfigRequest(OFPP_NONE), OF13, {}
    yield m.QueueGetConfigReply(OFPP_NONE, [(1, 5, None), (1, 6, 7)], [3, OFPP_LOCAL]), OF13, {}
    yield m.QueueGetConfigReply(4, [(1, 100, None), (2, None, None), (3, 5, 900)]), BOTH, {}


def groups():
    yield m.GroupMod(m.GROUP_ADD, m.GROUP_SELECT, 9, [BUCKET, m.Bucket(0, 4, 8)]), OF13, {}
    numbered = m.Bucket(3, 5, 6, [Output(5)], 7)
    yield m.GroupMod(m.GROUP_MODIFY, m.GROUP_SELECT, 9, [numbered]), OF10, {}
    plain = m.Bucket(0, actions=[Output(5)], bucket_id=1)
    yield m.GroupMod(m.GROUP_INSERT_BUCKET, 0, 9, [plain], m.BUCKET_LAST), OF10, {}
    yield m.GroupMod(m.GROUP_REMOVE_BUCKET, 0, 9, [], 4), OF10, {}
    yield m.GroupStatsRequest(), BOTH, {}
    yield m.GroupDescRequest(8), OF10, {}
    yield m.GroupDescReply([m.GroupDesc(9, 1, [numbered]), m.GroupDesc(4)]), OF10, {}
    yield m.GroupStatsReply([m.GroupStats(9, 1, 2, 3, 4, 5, [(1, 2)])]), OF10, {}
    yield m.GroupFeaturesRequest(), OF10, {}
    yield m.GroupFeaturesReply(15, 3, (1, 2, 3, 4), (5, 6, 7, 8)), OF10, {}
    stats = m.GroupStats(9, 1, 2, 3, 4, 5, [(1, 2), (3, 4)])
    yield m.GroupStatsReply([stats, m.GroupStats(1)], True), OF13, {}
    yield m.GroupDescRequest(), OF13, {}
    yield m.GroupDescReply([m.GroupDesc(9, 1, [BUCKET, BUCKET]), m.GroupDesc(4)]), OF13, {}
    yield m.GroupFeaturesRequest(), OF13, {}
    yield m.GroupFeaturesReply(15, 3, (1, 2, 3, 4), (5, 6, 7, 8)), OF13, {}
    yield m.MeterMod(m.METER_ADD, 5, 7, [BAND, m.Band(m.BAND_DROP, 8, 9)]), OF13, {}
    yield m.MeterStatsRequest(4), OF13, {}
    yield m.MeterStatsReply([m.MeterStats(7, 1, 2, 3, 4, 5, [(1, 2)])]), OF13, {}
    yield m.MeterConfigRequest(), OF13, {}
    yield m.MeterConfigReply([m.MeterConfig(7, 5, [BAND]), m.MeterConfig(8)]), OF13, {}
    yield m.MeterFeaturesRequest(), OF13, {}
    yield m.MeterFeaturesReply(1, 6, 15, 4, 3), OF13, {}


def tables():
    yield m.DescRequest(), BOTH, {}
    yield m.DescReply("a", "b", "c", "d", "e"), BOTH, {}
    yield m.TableMod(None, 3), OF13, {}
    yield m.TableMod(4), OF13, {}
    yield m.TableStatsRequest(), BOTH, {}
    yield m.TableStatsReply([m.TableStats(0, "classifier", 0x3FFFFF, 9, 1, 2, 3)]), OF10, {}
    yield m.TableStatsReply([m.TableStats(0, active=1, lookups=2, matched=3)]), OF13, {}
    yield m.TableFeaturesRequest(), OF13, {}
    features = m.TableFeatures(3, "table3", 1, 2, 3, 4, FEATURES)
    yield m.TableFeaturesRequest([features], True), OF13, {}
    more = m.TableFeatures(4, properties=FEATURES)
    yield m.TableFeaturesReply([features, more], True), OF13, {}


def core():
    yield m.Hello(frozenset({1, 4})), BOTH, {}
    yield m.Error("OFPFMFC_OVERLAP", b"abc"), BOTH, {}
    yield m.Error("NXBRC_MUST_BE_ZERO", b"abc"), BOTH, {}
    yield m.EchoRequest(b"x"), BOTH, {}
    yield m.EchoReply(b"xy"), BOTH, {}
    for cls in (m.FeaturesRequest, m.GetConfigRequest, m.BarrierRequest, m.BarrierReply,
                m.NxFlowAge):  # fmt: skip
        yield cls(), BOTH, {}
    yield m.GetConfigReply(1, 0xFFFF), BOTH, {}
    yield m.SetConfig(2, 128), BOTH, {}
    yield m.RoleRequest("other"), BOTH, {}
    yield m.RoleRequest("nochange"), OF13, {}
    yield m.RoleRequest("master"), OF10, {}
    yield m.RoleRequest("slave", 1 << 63), OF13, {}
    yield m.RoleReply("slave"), BOTH, {}
    yield m.RoleReply("master", 5), OF13, {}
    yield m.GetAsyncRequest(), OF13, {}
    yield m.GetAsyncReply(MASKS), OF13, {}
    yield m.SetAsync(MASKS), BOTH, {}
    yield m.SetAsync({"packet_in": (0x3F, 4), "role_status": (None, 1)}, nx2=True), BOTH, {}
    for name in ("openflow10", "nxm"):
        yield m.NxSetFlowFormat(name), OF10, {}
    for name in ("standard", "nxt_packet_in", "nxt_packet_in2"):
        yield m.NxSetPacketInFormat(name), BOTH, {}
    for enable in (True, False):
        yield m.NxFlowModTableId(enable), BOTH, {}
    yield m.NxSetControllerId(77), BOTH, {}


def ports_14():
    yield m.PortStatus(m.OFPPR_MODIFY, PORT), FROM14, {}
    yield m.PortMod(5, b"\x02\0\0\0\0\x05", 0x20, 0x21, 0x2840), FROM14, {}
    yield m.PortMod(5, b"\x02\0\0\0\0\x05", 0x20, 0x21), FROM14, {}
    yield m.PortDescRequest(4), OF15, {}
    yield m.PortDescReply([PORT, LOCAL], True), FROM14, {}
    counted = m.PortStats(1, **COUNTERS, duration_sec=4, duration_nsec=5)
    counted.rfc2819 = {name: i for i, name in enumerate(m.RFC2819) if i % 5}
    counted.custom = {"a": 1, "queue_0_bytes": 1 << 63}
    yield m.PortStatsReply([m.PortStats(2), counted]), FROM14, {}
    yield m.QueueStatsReply([m.QueueStats(1, 2, 3, 4, 5, 6, 7), m.QueueStats(1, 2)]), FROM14, {}
    yield m.QueueDescRequest(), FROM14, {}
    yield m.QueueDescRequest(3, 4), FROM14, {}
    queues = [m.QueueDesc(1, 2, 500, None), m.QueueDesc(1, 3), m.QueueDesc(2, 2, 1, 1000)]
    yield m.QueueDescReply(queues), FROM14, {}
    yield m.FeaturesReply(0x123, 256, 254, 0, 0x8F, ports=[LOCAL]), OF11, {}
    yield m.FeaturesReply(0x123, 256, 254, 0, 0x10F, ports=[LOCAL]), OF12, {}


def tables_14():
    on = m.TC_EVICTION | m.TC_VACANCY_EVENTS
    yield m.TableMod(5, 1), (2, 3), {}
    yield m.TableMod(5, on, None, (10, 20)), FROM14, {}
    yield m.TableMod(None, m.TC_EVICTION), FROM14, {}
    yield m.TableDescRequest(), FROM14, {}
    full = m.TableDesc(4, on, m.EVICT_OTHER | m.EVICT_IMPORTANCE, (10, 20, 15))
    yield m.TableDescReply([m.TableDesc(3), full]), FROM14, {}
    yield m.TableStatus(m.VACANCY_DOWN, full), FROM14, {}
    more = {"active": 1, "lookups": 2, "matched": 3, "max_entries": 77, "wildcards": 0x30FF}
    told = {
        "match": 0x1F,
        "instructions": 0x3E,
        "write_actions": 1,
        "apply_actions": 3,
        "config": 1,
    }
    told["config"] = 1
    yield m.TableStatsReply([m.TableStats(3, "x", **more, features=told)]), OF11, {}
    told = told | {
        "write_setfield": 6,
        "apply_setfield": 6,
        "metadata_match": 1,
        "metadata_write": 2,
    }
    yield m.TableStatsReply([m.TableStats(3, "x", **more, features=told)]), OF12, {}


def groups_15():
    selection = ((BY_NAME["ip_src"], 0xFFFFFF00), (BY_NAME["tcp_dst"], 0xFFFF))
    hashed = {"method": "hash", "parameter": 7, "fields": selection}
    numbered = m.Bucket(3, 5, 6, [Output(5)], 7)
    yield m.GroupMod(m.GROUP_ADD, m.GROUP_SELECT, 9, [numbered], **hashed), NUMBERED, {}
    yield m.GroupMod(m.GROUP_ADD, m.GROUP_SELECT, 9, [numbered], method="dp_hash"), NUMBERED, {}
    yield m.GroupMod(m.GROUP_REMOVE_BUCKET, 0, 9, [], 4), NUMBERED, {}
    yield m.GroupDescRequest(8), OF15, {}
    hashed["fields"] = selection[:1]
    yield m.GroupDescReply([m.GroupDesc(9, 1, [numbered], **hashed), m.GroupDesc(4)]), NUMBERED, {}
    yield m.GroupStatsReply([m.GroupStats(9, 1, 2, 3, None, None, [(1, 2)])]), (2, 3), {}


def flows_15():
    stats = m.FlowStats(match(TCP), **FLOW, importance=8, flags=3, idle_age=3, instructions=OUTPUT)
    yield m.FlowStatsReply([stats, m.FlowStats(match(""))], True), OF15, {}
    yield m.FlowStatsReply([m.FlowStats(match(TCP), n_packets=None, n_bytes=None)]), OF15, {}
    yield m.AggregateReply(1, 2, 3), OF15, {}
    yield m.FlowRemoved(match(NXM), 5, 6, m.OFPRR_METER_DELETE, 8, 1, 2, 3, 9, 4, 5), FROM14, {}
    yield m.FlowMod(match=match(TCP), table_id=0, importance=7, instructions=OUTPUT), FROM14, {}
    yield m.PacketIn(bytes(60), 60, table_id=3, in_port=3, match=match("in_port=3")), (2, 3), {}
    physical = match("in_port=3,in_phy_port=4")
    yield m.PacketIn(bytes(60), 60, table_id=3, in_port=3, match=physical), OF11, {}
    pipeline = match("metadata=5,reg1=7")
    yield m.PacketOut(bytes(20), 3, [Output(3)], None, pipeline), OF15, {}
    resumed = m.PacketIn(
        bytes(60), 60, in_port=3, match=match("in_port=3"), format="nxt_packet_in2"
    )
    yield m.Resume(resumed), BOTH, {}


def connections():
    yield m.RoleStatus("slave", m.R_CONFIG, 5), FROM13, {}
    yield m.RoleStatus("other", m.R_EXPERIMENTER), FROM13, {}
    flow = m.FlowMod(match=match(TCP), table_id=0, instructions=OUTPUT)
    for version in FROM13:
        yield m.BundleControl(4, m.OPEN_REQUEST, 3), (version,), {}
        yield m.BundleControl(4, m.COMMIT_REPLY), (version,), {}
        yield m.BundleAdd(4, 1, flow.encode(version, 0x1234)), (version,), {}
    for version in range(1, 7):
        group = m.GroupMod(m.GROUP_DELETE, 0, 9).encode(version, 3)
        yield m.RequestForward(group), (version,), {}
    changes = m.FM_ADD | m.FM_REMOVED | m.FM_MODIFY
    monitor = m.Monitor(7, changes, match(TCP), 5, 3)
    whole = m.Monitor(8, changes | m.FM_INITIAL | m.FM_INSTRUCTIONS, match(""))
    yield m.FlowMonitorRequest([monitor, whole]), (1, 2, 3, 4), {}
    wanted = m.Monitor(9, m.FM_ADD, match(TCP), 5, 3, 6)
    yield m.FlowMonitorRequest([wanted, m.Monitor(4, command=m.MONITOR_DELETE)]), FROM14, {}
    update = m.FlowUpdate(m.EV_ADDED, match(TCP), 5, 3, 0x99, 0, 4, 5, OUTPUT)
    gone = m.FlowUpdate(m.EV_REMOVED, match(""), 5, 3, 0, m.OFPRR_DELETE, instructions=[])
    abbreviated = m.FlowUpdate(m.EV_ABBREV, xid=0x77)
    yield m.FlowMonitorReply([update, gone, abbreviated]), range(1, 7), {}
    initial = m.FlowUpdate(m.EV_INITIAL, match(TCP), 5, 3, 0x99, instructions=OUTPUT)
    paused = [m.FlowUpdate(m.EV_PAUSED), m.FlowUpdate(m.EV_RESUMED)]
    yield m.FlowMonitorReply([initial, *paused]), FROM14, {}
    yield m.FlowMonitorCancel(4), (1, 2, 3, 4), {}
    for cls in (m.FlowMonitorPaused, m.FlowMonitorResumed):
        yield cls(), (1, 2, 3, 4), {}


def nicira():
    maps = [m.TlvMap(0x102, 3, 4, 5), m.TlvMap(0xFFFF, 0x80, 16, 63)]
    yield m.TlvTableMod(m.TLV_ADD, maps), BOTH, {}
    yield m.TlvTableMod(m.TLV_DELETE, maps[:1]), BOTH, {}
    yield m.TlvTableMod(m.TLV_CLEAR), BOTH, {}
    yield m.TlvTableRequest(), BOTH, {}
    yield m.TlvTableReply(256, 64, maps), BOTH, {}
    yield m.TlvTableReply(), BOTH, {}
    yield m.CtFlushZone(13), BOTH, {}
    mapped = 0xFFFF << 32 | 0x01020304
    yield m.CtFlush(17, 5, m.CtTuple(mapped, None, 1, 2), m.CtTuple(dst=mapped)), BOTH, {}
    yield m.CtFlush(58, None, m.CtTuple(1, 2, icmp_id=3, icmp_type=4, icmp_code=5)), BOTH, {}
    for request in (m.IpfixBridgeRequest, m.IpfixFlowRequest):
        yield request(), BOTH, {}
    counters = m.IpfixStats(*range(1, 12))
    yield m.IpfixBridgeReply([counters]), BOTH, {}
    yield m.IpfixFlowReply([counters, m.IpfixStats()]), BOTH, {}


_OLD = [
    *core(), *ports(), *packets(), *flow_mods(), *flows(), *tables(), *groups(),
]  # fmt: skip
LATER = [
    *ports_14(), *tables_14(), *groups_15(), *flows_15(), *connections(), *nicira(),
]  # fmt: skip
SAMPLES = _OLD + LATER
CASES = [
    (message, version, keywords) for message, versions, keywords in _OLD for version in versions
]  # of 1.0 and 1.3


def case_id(value):
    return type(value).__name__ if isinstance(value, m.Message) else str(value)
