"""The codec beside os-ken: it reads what a switch sends as we mean it, and what it writes as a
controller means the same here."""

import json
import subprocess
from pathlib import Path

import pytest

from ofproto.codec import messages as m
from ofproto.codec.actions import (
    Controller,
    DecTtl,
    Exit,
    Group,
    Output,
    OutputReg,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    RegLoad,
    RegMove,
    Resubmit,
    SetField,
    SetMplsTtl,
    SetQueue,
    SetTtl,
)
from ofproto.codec.errors import lookup
from ofproto.codec.fields import BY_NAME
from ofproto.codec.instructions import (
    ApplyActions,
    ClearActions,
    GotoTable,
    Meter,
    WriteActions,
    WriteMetadata,
)
from ofproto.codec.match import Match
from ofproto.codec.match_text import parse_match
from ofproto.codec.numbers import OFPP_CONTROLLER, OFPP_LOCAL, port_to_32
from tests.ofproto.codec_samples import CASES

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]


class Oracle:
    def __init__(self, process):
        self.process = process

    def ask(self, **question):
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def osken():
    installed = subprocess.run(
        [str(ROOT / ".ci" / "controllers"), "os-ken"], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"os-ken cannot be installed here: {installed.stderr[-200:]}")
    python = Path(installed.stdout.strip()).with_name("python")
    with subprocess.Popen(
        [python, Path(__file__).parent.with_name("osken_oracle.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        yield Oracle(process)
        process.stdin.close()


# What it reads.  Each function gives, from one of our messages, what must be in its object.


def port(desc, version):
    features = (desc.curr, desc.advertised, desc.supported, desc.peer)
    if version == 1:
        # 1.0 has neither 40 Gb/s and above, nor a gap where these are.
        features = [bits & 0x7F | bits >> 4 & 0xF80 for bits in features]
    names = ("curr", "advertised", "supported", "peer")
    found = {
        "port_no": number(desc.port_no, version),
        "hw_addr": desc.hw_addr.hex(":"),
        "name": desc.name,
        "config": desc.config,
        "state": desc.state,
        **dict(zip(names, features, strict=True)),
    }
    if version > 1:
        found |= {"curr_speed": desc.curr_speed, "max_speed": desc.max_speed}
    return {"OFPPhyPort" if version == 1 else "OFPPort": found}


def number(port_no, version):
    return port_no if version == 1 else port_to_32(port_no)


def counters(item, names):
    """Attributes of an item; what is not known is all ones, of whatever width."""
    return {
        name: getattr(item, name) if getattr(item, name) is not None else ONES for name in names
    }


ONES = object()
RX_TX = [
    f"{way}_{what}" for way in ("rx", "tx") for what in ("packets", "bytes", "dropped", "errors")
]
NAMES = {
    "in_port": "in_port", "in_port_oxm": "in_port", "eth_src": "eth_src", "eth_type": "eth_type",
    "vlan_vid": "vlan_vid", "ip_src": "ipv4_src", "nw_proto": "ip_proto", "tcp_dst": "tcp_dst",
    "ipv6_src": "ipv6_src", "reg1": "reg1", "tun_id": "tunnel_id", "metadata": "metadata",
}  # fmt: skip


def oxm_match(match):
    """Names, and plain integers, of an OXM match."""
    found = {}
    for field, value, _mask in match.fields():
        name = "vlan_vid" if field.name == "vlan_tci" else NAMES[field.name]
        found[name] = value if field.text in ("decimal", "hex", "port") else None
    return {"OFPMatch": {"oxm_fields": OxmFields(found)}}


class OxmFields:
    """Equal to os-ken's list of TLVs: the same names, the same numbers where they are plain."""

    def __init__(self, values):
        self.values = values

    def __eq__(self, other):
        theirs = {tlv["OXMTlv"]["field"]: tlv["OXMTlv"]["value"] for tlv in other}
        return theirs.keys() == self.values.keys() and all(
            value in (None, theirs[name]) for name, value in self.values.items()
        )


def match_10(match):
    found = {"OFPMatch": {}}
    for field, value, _mask in match.fields():
        name = {"eth_src": "dl_src", "eth_type": "dl_type", "ip_src": "nw_src",
                "tcp_dst": "tp_dst"}.get(field.name, field.name)  # fmt: skip
        if field.name == "vlan_tci":
            found["OFPMatch"]["dl_vlan"] = value & 0xFFF
        elif field.text in ("decimal", "hex", "port"):
            found["OFPMatch"][name] = value
    return found


def action(each, version):
    if type(each) is Output:
        port = number(each.port, version)
        return {"OFPActionOutput": {"port": port, "max_len": each.max_len}}
    if type(each) is Resubmit:
        return {"NXActionResubmitTable": {"table_id": each.table}}
    if type(each) is Controller:
        return {"NXActionController": {"controller_id": each.controller_id, "reason": 1}}
    raise AssertionError(each)


def instruction(each, version):
    if type(each) is ApplyActions:
        return {"OFPInstructionActions": {
            "type": 4, "actions": [action(a, version) for a in each.actions]}}  # fmt: skip
    if type(each) is WriteMetadata:
        return {"OFPInstructionWriteMetadata": {
            "metadata": each.value, "metadata_mask": each.mask}}  # fmt: skip
    return {"OFPInstructionGotoTable": {"table_id": each.table}}


def flow(item, version):
    found = {
        "table_id": item.table_id, "priority": item.priority, "cookie": item.cookie,
        "idle_timeout": item.idle_timeout, "hard_timeout": item.hard_timeout,
        "duration_sec": item.duration_sec, "duration_nsec": item.duration_nsec,
        "packet_count": item.n_packets, "byte_count": item.n_bytes,
    }  # fmt: skip
    if version == 1:
        actions = item.instructions[0].actions if item.instructions else []
        found |= {"match": match_10(item.match), "actions": [action(a, 1) for a in actions]}
    else:
        found |= {"match": oxm_match(item.match), "flags": item.flags,
                  "instructions": [instruction(i, 4) for i in item.instructions]}  # fmt: skip
    return {"OFPFlowStats": found}


def packet_in(message, version):
    found = {
        "buffer_id": 0xFFFFFFFF if message.buffer_id is None else message.buffer_id,
        "total_len": message.total_len, "data": message.packet.hex(),
        "reason": message.wire_reason(version),
    }  # fmt: skip
    if version == 1:
        return {"OFPPacketIn": found | {"in_port": message.in_port}}
    found |= {"table_id": message.table_id, "cookie": message.cookie}
    return {"OFPPacketIn": found | {"match": oxm_match(message.match)}}


def removed(message, version):
    found = {
        "priority": message.priority, "cookie": message.cookie, "reason": message.reason,
        "duration_sec": message.duration_sec, "duration_nsec": message.duration_nsec,
        "idle_timeout": message.idle_timeout, "packet_count": message.n_packets,
        "byte_count": message.n_bytes,
    }  # fmt: skip
    if message.nxm and version == 1:
        return {"OFPVendor": {"data": {"NXTFlowRemoved": found}}}
    if version == 1:
        return {"OFPFlowRemoved": found | {"match": match_10(message.match)}}
    found |= {"hard_timeout": message.hard_timeout, "table_id": message.table_id}
    return {"OFPFlowRemoved": found | {"match": oxm_match(message.match)}}


def error(message, version):
    vendor, kind, code = lookup(message.name, version)
    if vendor == 0:
        return {"OFPErrorMsg": {"type": kind, "code": code, "data": message.data.hex()}}
    if version == 1:  # os-ken knows no vendor errors of 1.0
        return {"OFPErrorMsg": {"type": 0xB0C2, "code": 0}}
    return {"OFPErrorMsg": {"type": 0xFFFF, "exp_type": code, "experimenter": vendor}}


def role(message, version):
    names = ("other", "master", "slave")
    if version == 1:
        return {"OFPVendor": {"data": {"NXTRoleReply": {"role": names.index(message.role)}}}}
    generation = (1 << 64) - 1 if message.generation_id is None else message.generation_id
    return {"OFPRoleReply": {"role": 1 + names.index(message.role), "generation_id": generation}}


def features(message, version):
    found = {"datapath_id": message.datapath_id, "n_buffers": message.n_buffers,
             "n_tables": message.n_tables, "capabilities": message.capabilities}  # fmt: skip
    if version == 1:
        ports = {str(p.port_no): port(p, 1) for p in message.ports}
        return {"OFPSwitchFeatures": found | {"actions": message.actions, "ports": ports}}
    return {"OFPSwitchFeatures": found | {"auxiliary_id": message.auxiliary_id}}


def aggregate(message, version):
    body = {"OFPAggregateStats": {
        "packet_count": message.n_packets if message.n_packets is not None else ONES,
        "byte_count": message.n_bytes, "flow_count": message.n_flows}}  # fmt: skip
    if message.nxm:
        return {"NXAggregateStatsReply": {"body": [
            {"NXAggregateStats": body["OFPAggregateStats"]}]}}  # fmt: skip
    return {"OFPAggregateStatsReply": {"body": [body] if version == 1 else body}}


def flow_stats(message, version):
    if message.nxm:
        return None  # it does not know Nicira's newer actions there
    body = [flow(item, version) for item in message.flows]
    return {"OFPFlowStatsReply": {"flags": int(message.more), "body": body}}


def masks(message, version):
    return {"OFPGetAsyncReply": {
        f"{kind}_mask": [mask & 7 if kind == "packet_in" else mask for mask in pair]
        for kind, pair in message.masks.items()}}  # fmt: skip


def queue_config(message, version):
    def queue(number_, *rates):
        names = ("OFPQueuePropMinRate", "OFPQueuePropMaxRate")
        return {"OFPPacketQueue": {"queue_id": number_, "properties": [
            {name: {"rate": rate}} for name, rate in zip(names, rates, strict=True)
            if rate is not None]}}  # fmt: skip

    if version == 1:
        return None  # it reads no maximum rate there
    queues = [queue(*q) for q in message.queues]
    return {"OFPQueueGetConfigReply": {"port": port_to_32(message.port_no), "queues": queues}}


def table_stats(message, version):
    def table(t):
        found = {"table_id": t.table_id, "active_count": t.active, "lookup_count": t.lookups,
                 "matched_count": t.matched}  # fmt: skip
        if version == 1:
            found |= {"name": t.name, "wildcards": t.wildcards, "max_entries": t.max_entries}
        return {"OFPTableStats": found}

    return {"OFPTableStatsReply": {"body": [table(t) for t in message.tables]}}


def table_features(message, version):
    return {"OFPTableFeaturesStatsReply": {"flags": int(message.more), "body": [
        {"OFPTableFeaturesStats": {
            "table_id": t.table_id, "name": t.name, "metadata_match": t.metadata_match,
            "metadata_write": t.metadata_write, "config": t.config,
            "max_entries": t.max_entries, "properties": Properties(t.properties)}}
        for t in message.tables]}}  # fmt: skip


class Properties:
    """Equal to os-ken's list of properties, as far as there are numbers in it."""

    KINDS = {0: "instructions", 2: "next_tables", 4: "write_actions", 6: "apply_actions",
             8: "match", 10: "wildcards", 12: "write_setfield",
             14: "apply_setfield"}  # fmt: skip

    def __init__(self, ours):
        self.ours = ours

    def __eq__(self, other):
        theirs = {}
        for each in other:
            (body,) = each.values()
            lists = [value for value in body.values() if isinstance(value, list)]
            theirs[self.KINDS[body["type"]]] = lists[0] if lists else []
        if theirs.keys() != self.ours.keys():
            return False
        return all(len(theirs[name]) == len(values) for name, values in self.ours.items())


def groups(message, version):
    return {"OFPGroupStatsReply": {"body": [
        {"OFPGroupStats": {
            "group_id": g.group_id, "ref_count": g.ref_count, "packet_count": g.n_packets,
            "byte_count": g.n_bytes, "duration_sec": g.duration_sec,
            "duration_nsec": g.duration_nsec, "bucket_stats": [
                {"OFPBucketCounter": {"packet_count": packets, "byte_count": size}}
                for packets, size in g.buckets]}}
        for g in message.groups]}}  # fmt: skip


def group_descs(message, version):
    return {"OFPGroupDescStatsReply": {"body": [
        {"OFPGroupDescStats": {"group_id": g.group_id, "type": g.type, "buckets": [
            {"OFPBucket": {"weight": b.weight, "watch_port": port_to_32(b.watch_port),
                           "watch_group": 0xFFFFFFFF, "actions": [action(a, 4) for a in b.actions]}}
            for b in g.buckets]}}
        for g in message.groups]}}  # fmt: skip


def meter_stats(message, version):
    return {"OFPMeterStatsReply": {"body": [
        {"OFPMeterStats": {
            "meter_id": x.meter_id, "flow_count": x.flow_count, "packet_in_count": x.n_packets,
            "byte_in_count": x.n_bytes, "duration_sec": x.duration_sec, "band_stats": [
                {"OFPMeterBandStats": {"packet_band_count": packets, "byte_band_count": size}}
                for packets, size in x.bands]}}
        for x in message.meters]}}  # fmt: skip


def meter_configs(message, version):
    def band(b):
        if b.type == m.BAND_DROP:
            return {"OFPMeterBandDrop": {"rate": b.rate, "burst_size": b.burst}}
        return {"OFPMeterBandDscpRemark": {
            "rate": b.rate, "burst_size": b.burst, "prec_level": b.prec_level}}  # fmt: skip

    return {"OFPMeterConfigStatsReply": {"body": [
        {"OFPMeterConfigStats": {
            "meter_id": x.meter_id, "flags": x.flags, "bands": [band(b) for b in x.bands]}}
        for x in message.meters]}}  # fmt: skip


READS = {
    m.Hello: lambda x, v: {"OFPHello": {}},
    m.Error: error,
    m.EchoRequest: lambda x, v: {"OFPEchoRequest": {"data": x.data.hex()}},
    m.EchoReply: lambda x, v: {"OFPEchoReply": {"data": x.data.hex()}},
    m.BarrierReply: lambda x, v: {"OFPBarrierReply": {}},
    m.FeaturesReply: features,
    m.GetConfigReply: lambda x, v: {
        "OFPGetConfigReply": {"flags": x.flags, "miss_send_len": x.miss_send_len}},
    m.RoleReply: role,
    m.GetAsyncReply: masks,
    m.PacketIn: lambda x, v: packet_in(x, v) if x.format == "standard" else None,
    m.PortStatus: lambda x, v: {"OFPPortStatus": {"reason": x.reason, "desc": port(x.port, v)}},
    m.FlowRemoved: removed,
    m.PortDescReply: lambda x, v: None if v == 1 else {
        "OFPPortDescStatsReply": {"flags": int(x.more), "body": [port(p, v) for p in x.ports]}},
    m.PortStatsReply: lambda x, v: {"OFPPortStatsReply": {"body": [
        {"OFPPortStats": {"port_no": number(p.port_no, v), **counters(p, [
            *RX_TX, "rx_frame_err", "rx_over_err", "rx_crc_err", "collisions",
            *(["duration_sec", "duration_nsec"] if v > 1 else [])])}} for p in x.ports]}},
    m.QueueStatsReply: lambda x, v: {"OFPQueueStatsReply": {"body": [
        {"OFPQueueStats": {"port_no": q.port_no, "queue_id": q.queue_id, **counters(
            q, ["tx_bytes", "tx_packets", "tx_errors"])}} for q in x.queues]}},
    m.QueueGetConfigReply: queue_config,
    m.DescReply: lambda x, v: {"OFPDescStatsReply": {"body": {"OFPDescStats": {
        "mfr_desc": x.mfr, "hw_desc": x.hw, "sw_desc": x.sw, "serial_num": x.serial,
        "dp_desc": x.dp}}}},
    m.FlowStatsReply: flow_stats,
    m.AggregateReply: aggregate,
    m.TableStatsReply: table_stats,
    m.TableFeaturesReply: table_features,
    m.GroupStatsReply: groups,
    m.GroupDescReply: group_descs,
    m.GroupFeaturesReply: lambda x, v: {"OFPGroupFeaturesStatsReply": {"body": {
        "OFPGroupFeaturesStats": {"types": x.types, "capabilities": x.capabilities,
                                  "max_groups": list(x.max_groups),
                                  "actions": list(x.actions)}}}},
    m.MeterStatsReply: meter_stats,
    m.MeterConfigReply: meter_configs,
    m.MeterFeaturesReply: lambda x, v: {"OFPMeterFeaturesStatsReply": {"body": [
        {"OFPMeterFeaturesStats": {
            "max_meter": x.max_meter, "band_types": x.band_types, "capabilities": x.capabilities,
            "max_bands": x.max_bands, "max_color": x.max_color}}]}},
}  # fmt: skip


def contains(theirs, ours, where="message"):
    """Everything in `ours` is in `theirs`."""
    if isinstance(ours, dict):
        for name, value in ours.items():
            assert name in theirs, (where, name, theirs)
            contains(theirs[name], value, f"{where}.{name}")
    elif isinstance(ours, list):
        assert len(theirs) == len(ours), where
        for i, pair in enumerate(zip(theirs, ours, strict=True)):
            contains(*pair, f"{where}[{i}]")
    elif ours is ONES:
        assert theirs in (0xFFFFFFFF, (1 << 64) - 1), where
    else:
        assert ours == theirs, where


REPLIES = [
    case
    for case in CASES
    if type(case[0]) in READS
    and READS[type(case[0])](case[0], case[1])
    # Those of 1.0 are Nicira's, which it does not know.
    and not (case[1] == 1 and type(case[0]).__name__.startswith("Group"))
]


@pytest.mark.parametrize(
    ("message", "version", "keywords"), REPLIES,
    ids=[f"{type(message).__name__}-{version}" for message, version, _ in REPLIES],
)  # fmt: skip
def test_it_reads(osken, message, version, keywords):
    expected = READS[type(message)](message, version)
    answer = osken.ask(parse=message.encode(version, 7, **keywords).hex())
    assert not answer.get("error")
    contains(answer["parsed"], expected)


def test_all_that_a_switch_sends_is_read():
    sent = {type(message) for message, _version, _keywords in CASES}
    names = {cls.__name__ for cls in sent - set(READS)}
    asked = {name for name in names if name.endswith("Request") or name.startswith("Nx")}
    assert names - asked == {"FlowMod", "GroupMod", "MeterMod", "PacketOut", "PortMod",
                             "SetAsync", "SetConfig", "TableMod"}  # fmt: skip


# What it writes


def field(name, value, mask=None):
    return SetField(BY_NAME[name], value, mask)


def legacy(name, value, action):
    return SetField(BY_NAME[name], value, None, action)


MAC = 0x001122334455
REG0, REG1 = BY_NAME["reg0"], BY_NAME["reg1"]
TCP = parse_match("tcp,in_port=3,vlan_vid=0x1007,eth_src=00:11:22:33:44:55,tp_dst=80,"
                  "nw_src=10.0.0.0/8")  # fmt: skip
TCP_13 = ("p.OFPMatch(in_port=3, eth_type=0x800, ip_proto=6, vlan_vid=0x1007, tcp_dst=80, "
          "eth_src='00:11:22:33:44:55', ipv4_src=('10.0.0.0', '255.0.0.0'))")  # fmt: skip
# What Open vSwitch does not have
RARE_13 = [
    ("in_port=3, in_phy_port=4", "in_port=3,in_phy_port=4"),
    ("eth_type=0x88e7, pbb_isid=5", "dl_type=0x88e7,pbb_isid=5"),
    ("eth_type=0x88e7, pbb_isid=(0x500, 0xff00)", "dl_type=0x88e7,pbb_isid=0x500/0xff00"),
    ("eth_type=0x86dd, ipv6_exthdr=0x50", "ipv6,ipv6_exthdr=frag|hop"),
    ("eth_type=0x86dd, ipv6_exthdr=(0x100, 0x180)", "ipv6,ipv6_exthdr=-unrep+unseq"),
]
ACTIONS_13 = [
    ("p.OFPActionOutput(3, 0)", Output(3)),
    ("p.OFPActionOutput(3, 99)", Output(3, 99)),
    ("p.OFPActionOutput(o.OFPP_CONTROLLER, 99)", Output(OFPP_CONTROLLER, 99)),
    ("p.OFPActionOutput(o.OFPP_LOCAL, 0)", Output(OFPP_LOCAL)),
    ("p.OFPActionSetField(eth_dst='00:11:22:33:44:55')", field("eth_dst", MAC)),
    ("p.OFPActionSetField(ipv4_src='1.2.3.4')", field("ip_src", 0x01020304)),
    ("p.OFPActionSetField(ipv6_src='::1')", field("ipv6_src", 1)),
    ("p.OFPActionSetField(vlan_vid=0x1005)", field("vlan_vid", 0x1005)),
    ("p.OFPActionSetField(vlan_pcp=5)", field("vlan_pcp", 5)),
    ("p.OFPActionSetField(ip_dscp=5)", field("ip_dscp", 5)),
    ("p.OFPActionSetField(ip_ecn=1)", field("nw_ecn", 1)),
    ("p.OFPActionSetField(tunnel_id=5)", field("tun_id", 5)),
    ("p.OFPActionSetField(tcp_src=80)", field("tcp_src", 80)),
    ("p.OFPActionSetField(mpls_label=5)", field("mpls_label", 5)),
    ("p.OFPActionSetField(arp_op=2)", field("arp_op", 2)),
    ("p.OFPActionSetField(metadata=2)", field("metadata", 2)),
    ("p.OFPActionSetField(reg0=2)", field("reg0", 2)),
    ("p.OFPActionPushVlan(0x8100)", PushVlan(0x8100)),
    ("p.OFPActionPopVlan()", PopVlan()),
    ("p.OFPActionPushMpls(0x8847)", PushMpls(0x8847)),
    ("p.OFPActionPopMpls(0x0800)", PopMpls(0x0800)),
    ("p.OFPActionPushPbb(0x88e7)", PushPbb(0x88E7)),
    ("p.OFPActionPopPbb()", PopPbb()),
    ("p.OFPActionSetField(pbb_isid=5)", field("pbb_isid", 5)),
    ("p.OFPActionSetMplsTtl(4)", SetMplsTtl(4)),
    ("p.OFPActionSetNwTtl(4)", SetTtl(4)),
    ("p.OFPActionDecNwTtl()", DecTtl()),
    ("p.OFPActionSetQueue(4)", SetQueue(4)),
    ("p.OFPActionGroup(4)", Group(4)),
    ("p.NXActionResubmitTable(0xfff8, 5)", Resubmit(None, 5)),
    ("p.NXActionRegLoad(8 << 6 | 7, 'reg0', 7)", RegLoad(REG0, 8, 8, 7)),
    ("p.NXActionRegMove('reg0', 'reg1', 16, 0, 16)", RegMove(REG0, 0, 16, REG1, 16)),
    ("p.NXActionOutputReg(ofs_nbits=31, src='reg0', max_len=99)", OutputReg(REG0, 0, 32, 99)),
    ("p.NXActionController(100, 7, 1)", Controller(100, 1, 7)),
    ("p.NXActionExit()", Exit()),
    ("p.NXActionDecTtl()", DecTtl()),
    ("p.NXActionRegLoad2('reg0', 0x5, 0xff)", field("reg0", 5, 0xFF)),
]  # fmt: skip
ACTIONS_10 = [
    ("p.OFPActionOutput(3, 0)", Output(3)),
    ("p.OFPActionOutput(3, 99)", Output(3, 99)),
    ("p.OFPActionOutput(o.OFPP_CONTROLLER, 99)", Output(OFPP_CONTROLLER, 99)),
    ("p.OFPActionVlanVid(5)", legacy("dl_vlan", 5, "mod_vlan_vid")),
    ("p.OFPActionVlanPcp(5)", legacy("dl_vlan_pcp", 5, "mod_vlan_pcp")),
    ("p.OFPActionStripVlan()", PopVlan(True)),
    ("p.OFPActionSetDlSrc('00:11:22:33:44:55')", legacy("eth_src", MAC, "mod_dl_src")),
    ("p.OFPActionSetDlDst('00:11:22:33:44:55')", legacy("eth_dst", MAC, "mod_dl_dst")),
    ("p.OFPActionSetNwSrc('1.2.3.4')", legacy("ip_src", 0x01020304, "mod_nw_src")),
    ("p.OFPActionSetNwDst('1.2.3.4')", legacy("ip_dst", 0x01020304, "mod_nw_dst")),
    ("p.OFPActionSetNwTos(8)", legacy("nw_tos", 8, "mod_nw_tos")),
    ("p.OFPActionSetTpSrc(80)", legacy("tcp_src", 80, "mod_tp_src")),
    ("p.OFPActionSetTpDst(80)", legacy("tcp_dst", 80, "mod_tp_dst")),
    ("p.NXActionResubmit(4)", Resubmit(4, None)),
    ("p.NXActionResubmitTable(0xfff8, 5)", Resubmit(None, 5)),
    ("p.NXActionSetTunnel(5)", legacy("tun_id", 5, "set_tunnel")),
    ("p.NXActionRegLoad(8 << 6 | 7, 'reg0', 7)", RegLoad(REG0, 8, 8, 7)),
    ("p.NXActionSetQueue(4)", SetQueue(4)),
    ("p.NXActionDecTtl()", DecTtl()),
]  # fmt: skip
MASKS = {"packet_in": (0x3F, 1), "port_status": (7, 0), "flow_removed": (15, 4)}
WRITES_13 = [
    ("p.OFPHello(d)", None),
    ("p.OFPEchoRequest(d, b'xy')", m.EchoRequest(b"xy")),
    ("p.OFPEchoReply(d, b'xy')", m.EchoReply(b"xy")),
    ("p.OFPErrorMsg(d, type_=1, code=6, data=b'abc')", m.Error("OFPBRC_BAD_LEN", b"abc")),
    ("p.OFPFeaturesRequest(d)", m.FeaturesRequest()),
    ("p.OFPGetConfigRequest(d)", m.GetConfigRequest()),
    ("p.OFPSetConfig(d, 1, 128)", m.SetConfig(1, 128)),
    ("p.OFPBarrierRequest(d)", m.BarrierRequest()),
    ("p.OFPRoleRequest(d, o.OFPCR_ROLE_MASTER, 9)", m.RoleRequest("master", 9)),
    ("p.OFPRoleRequest(d, o.OFPCR_ROLE_NOCHANGE, 0)", m.RoleRequest("nochange")),
    ("p.OFPGetAsyncRequest(d)", m.GetAsyncRequest()),
    ("p.OFPSetAsync(d, [7, 1], [7, 0], [15, 4])", m.SetAsync(MASKS)),
    ("p.OFPPacketOut(d, buffer_id=o.OFP_NO_BUFFER, in_port=o.OFPP_CONTROLLER, "
     "actions=[p.OFPActionOutput(3, 0)], data=bytes(60))",
     m.PacketOut(bytes(60), OFPP_CONTROLLER, [Output(3)])),
    (f"p.OFPFlowMod(d, match={TCP_13}, cookie=5, table_id=3, idle_timeout=7, hard_timeout=8, "
     "priority=9, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY, flags=o.OFPFF_SEND_FLOW_REM, "
     "instructions=["
     "p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [p.OFPActionOutput(2, 0)]), "
     "p.OFPInstructionMeter(4), p.OFPInstructionActions(o.OFPIT_CLEAR_ACTIONS, []), "
     "p.OFPInstructionActions(o.OFPIT_WRITE_ACTIONS, [p.OFPActionOutput(4, 0)]), "
     "p.OFPInstructionWriteMetadata(5, 7), p.OFPInstructionGotoTable(6)])",
     m.FlowMod(m.ADD, TCP, 9, 5, 0, None, 3, 7, 8, flags=m.SEND_FLOW_REM, instructions=[
         Meter(4), ApplyActions([Output(2)]), ClearActions(), WriteActions([Output(4)]),
         WriteMetadata(5, 7), GotoTable(6)])),
    *((f"p.OFPFlowMod(d, match=p.OFPMatch({theirs}), command=o.OFPFC_DELETE, "
       "table_id=o.OFPTT_ALL, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY)",
       m.FlowMod(m.DELETE, parse_match(ours))) for theirs, ours in RARE_13),
    (f"p.OFPFlowMod(d, match={TCP_13}, command=o.OFPFC_DELETE, table_id=o.OFPTT_ALL, cookie=5, "
     "cookie_mask=7, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY)",
     m.FlowMod(m.DELETE, TCP, cookie=5, cookie_mask=7)),
    ("p.OFPFlowMod(d, command=o.OFPFC_MODIFY_STRICT, out_port=o.OFPP_LOCAL, out_group=3)",
     m.FlowMod(m.MODIFY_STRICT, table_id=0, out_port=OFPP_LOCAL, out_group=3)),
    ("p.OFPPortMod(d, 4, '00:11:22:33:44:55', o.OFPPC_PORT_DOWN, 0x65, 0x2840)",
     m.PortMod(4, MAC.to_bytes(6, "big"), 1, 0x65, 0x2840)),
    ("p.OFPTableMod(d, 255, 3)", m.TableMod(None, 3)),
    ("p.OFPGroupMod(d, o.OFPGC_ADD, o.OFPGT_SELECT, 4, "
     "[p.OFPBucket(3, 5, o.OFPG_ANY, [p.OFPActionOutput(5, 0)])])",
     m.GroupMod(m.GROUP_ADD, m.GROUP_SELECT, 4, [m.Bucket(3, 5, None, [Output(5)])])),
    ("p.OFPMeterMod(d, o.OFPMC_ADD, o.OFPMF_KBPS, 4, [p.OFPMeterBandDrop(5, 6), "
     "p.OFPMeterBandDscpRemark(7, 8, 2)])",
     m.MeterMod(m.METER_ADD, 1, 4, [m.Band(1, 5, 6), m.Band(2, 7, 8, 2)])),
    ("p.OFPQueueGetConfigRequest(d, o.OFPP_ANY)", m.QueueGetConfigRequest()),
    ("p.OFPDescStatsRequest(d, 0)", m.DescRequest()),
    (f"p.OFPFlowStatsRequest(d, 0, 3, 4, o.OFPG_ANY, 5, 7, {TCP_13})",
     m.FlowStatsRequest(TCP, 3, 4, None, 5, 7)),
    ("p.OFPFlowStatsRequest(d)", m.FlowStatsRequest()),
    (f"p.OFPAggregateStatsRequest(d, 0, o.OFPTT_ALL, o.OFPP_ANY, 6, 0, 0, {TCP_13})",
     m.AggregateRequest(TCP, out_group=6)),
    ("p.OFPTableStatsRequest(d, 0)", m.TableStatsRequest()),
    ("p.OFPPortStatsRequest(d, 0, o.OFPP_ANY)", m.PortStatsRequest()),
    ("p.OFPPortStatsRequest(d, 0, 7)", m.PortStatsRequest(7)),
    ("p.OFPQueueStatsRequest(d, 0, o.OFPP_ANY, o.OFPQ_ALL)", m.QueueStatsRequest()),
    ("p.OFPGroupStatsRequest(d, 0, o.OFPG_ALL)", m.GroupStatsRequest()),
    ("p.OFPGroupDescStatsRequest(d, 0)", m.GroupDescRequest()),
    ("p.OFPGroupFeaturesStatsRequest(d, 0)", m.GroupFeaturesRequest()),
    ("p.OFPMeterStatsRequest(d, 0, 4)", m.MeterStatsRequest(4)),
    ("p.OFPMeterConfigStatsRequest(d, 0, o.OFPM_ALL)", m.MeterConfigRequest()),
    ("p.OFPMeterFeaturesStatsRequest(d, 0)", m.MeterFeaturesRequest()),
    ("p.OFPTableFeaturesStatsRequest(d, 0)", m.TableFeaturesRequest()),
    ("p.OFPPortDescStatsRequest(d, 0)", m.PortDescRequest()),
    *((f"p.OFPPacketOut(d, buffer_id=9, in_port=1, actions=[{text}], data=None)",
       m.PacketOut(b"", 1, [made], 9)) for text, made in ACTIONS_13),
]  # fmt: skip
RULE = "__import__('os_ken.ofproto.nx_match', fromlist=['x']).ClsRule()"
MATCH_10 = ("p.OFPMatch(in_port=3, dl_type=0x800, nw_proto=6, dl_vlan=7, tp_dst=80, "
            "dl_src=bytes.fromhex('001122334455'), nw_src='10.0.0.0', nw_src_mask=8)")  # fmt: skip
ADD_10 = m.FlowMod(m.ADD, TCP, 9, 5, idle_timeout=7, flags=m.SEND_FLOW_REM | m.RESET_COUNTS,
                   instructions=[ApplyActions([Output(2)])])  # fmt: skip
WRITES_10 = [
    ("p.OFPHello(d)", None),
    ("p.OFPEchoRequest(d, b'xy')", m.EchoRequest(b"xy")),
    ("p.OFPFeaturesRequest(d)", m.FeaturesRequest()),
    ("p.OFPGetConfigRequest(d)", m.GetConfigRequest()),
    ("p.OFPSetConfig(d, 1, 128)", m.SetConfig(1, 128)),
    ("p.OFPBarrierRequest(d)", m.BarrierRequest()),
    ("p.OFPPacketOut(d, buffer_id=0xffffffff, in_port=o.OFPP_NONE, "
     "actions=[p.OFPActionOutput(3, 0)], data=bytes(60))",
     m.PacketOut(bytes(60), 0xFFFF, [Output(3)])),
    (f"p.OFPFlowMod(d, {MATCH_10}, 5, o.OFPFC_ADD, idle_timeout=7, priority=9, "
     "flags=o.OFPFF_SEND_FLOW_REM, actions=[p.OFPActionOutput(2, 0)])", ADD_10),
    (f"p.OFPFlowMod(d, {MATCH_10}, 0, o.OFPFC_DELETE, out_port=4)",
     m.FlowMod(m.DELETE, TCP, out_port=4)),
    ("p.OFPPortMod(d, 4, '00:11:22:33:44:55', 1, 0x11, 0x2c0)",
     m.PortMod(4, MAC.to_bytes(6, "big"), 1, 0x11, 0x2840)),
    ("p.OFPQueueGetConfigRequest(d, 4)", m.QueueGetConfigRequest(4)),
    ("p.OFPDescStatsRequest(d, 0)", m.DescRequest()),
    (f"p.OFPFlowStatsRequest(d, 0, {MATCH_10}, 0xff, o.OFPP_NONE)", m.FlowStatsRequest(TCP)),
    (f"p.OFPAggregateStatsRequest(d, 0, {MATCH_10}, 3, 4)", m.AggregateRequest(TCP, 3, 4)),
    ("p.OFPTableStatsRequest(d, 0)", m.TableStatsRequest()),
    ("p.OFPPortStatsRequest(d, 0, o.OFPP_NONE)", m.PortStatsRequest()),
    ("p.OFPQueueStatsRequest(d, 0, o.OFPP_ALL, o.OFPQ_ALL)", m.QueueStatsRequest()),
    ("p.NXTSetFlowFormat(d, o.NXFF_NXM)", m.NxSetFlowFormat("nxm")),
    ("p.NXTFlowModTableId(d, 1)", m.NxFlowModTableId(True)),
    ("p.NXTSetPacketInFormat(d, o.NXPIF_NXM)", m.NxSetPacketInFormat("nxt_packet_in")),
    ("p.NXTRoleRequest(d, o.NX_ROLE_MASTER)", m.RoleRequest("master")),
    ("p.NXTSetAsyncConfig(d, [7, 1], [7, 0], [15, 4])", m.SetAsync(MASKS)),
    ("p.NXTSetControllerId(d, 7)", m.NxSetControllerId(7)),
    ("p.NXTFlowAge(d)", m.NxFlowAge()),
    (f"p.NXTFlowMod(d, 5, o.OFPFC_ADD, priority=9, rule={RULE}, "
     "actions=[p.OFPActionOutput(2, 0)])",
     m.FlowMod(m.ADD, Match(), 9, 5, flags=m.RESET_COUNTS,
               instructions=[ApplyActions([Output(2)])])),
    (f"p.NXFlowStatsRequest(d, 0, 4, 3, {RULE})", m.FlowStatsRequest(Match(), 3, 4, nxm=True)),
    (f"p.NXAggregateStatsRequest(d, 0, o.OFPP_NONE, 0xff, {RULE})", m.AggregateRequest(nxm=True)),
    *((f"p.OFPPacketOut(d, buffer_id=9, in_port=1, actions=[{text}], data=None)",
       m.PacketOut(b"", 1, [made], 9)) for text, made in ACTIONS_10),
]  # fmt: skip
WRITES = [(1, *row) for row in WRITES_10] + [(4, *row) for row in WRITES_13]


@pytest.mark.parametrize(("version", "expression", "message"), WRITES)
def test_it_writes(osken, version, expression, message):
    answer = osken.ask(make=expression, version=version)
    assert not answer.get("error")
    raw = bytes.fromhex(answer["bytes"])
    decoded = m.decode(raw)
    if message is None:
        assert version in decoded.versions
        return
    assert decoded == message
    assert (decoded.version, decoded.xid) == (version, 7)
