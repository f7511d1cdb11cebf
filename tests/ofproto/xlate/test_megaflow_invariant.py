"""The megaflow invariant: a packet that differs only in wildcarded bits is treated the same.

Random tables and packets; the bits that translation left wildcarded are taken from other packets,
and translation must give the same datapath actions.
"""

import random
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.all import ARP, IP, TCP, UDP, Dot1Q, Ether, IPv6
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1AH

from datapath.actions.text.odp_text import format_actions
from datapath.key import flow
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.messages import GROUP_ALL, GROUP_FAST_FAILOVER, GROUP_SELECT, Bucket
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.native.recorder import Recorder
from tests.ofproto.xlate_world import (
    ALL,
    CONTROLLER,
    FLOOD,
    IN_PORT,
    NORMAL,
    ODP_BASE,
    World,
    act,
    key_of,
    match,
    move,
    output,
    resubmit,
    set_field,
)

MACS = ["00:00:00:00:00:01", "00:00:00:00:00:02", "01:80:c2:00:00:00", "ff:ff:ff:ff:ff:ff"]
IPS = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.168.3.4"]
GROUPS = [1, 2, 3, 99]  # the last one is not there
IP6S = ["fe80::1", "2001:db8::2"]
VLAN_TCI, VLAN0_TPID = flow.MEMBERS["vlan0_tci"][0], flow.MEMBERS["vlan0_tpid"][0]
ETH = flow.MEMBERS["eth_dst"][0]
TYPE_AT = flow.MEMBERS["packet_type"][0]
CT_TUPLE = flow.MEMBERS["ct_nw_src"][0]
ETH_TYPE = flow.MEMBERS["eth_type"][0]
VLAN1 = flow.MEMBERS["vlan1_tpid"][0]
NW_PROTO = flow.MEMBERS["nw_proto"][0]


def packet(rng):
    made = Ether(src=rng.choice(MACS[:2]), dst=rng.choice(MACS))
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        if rng.random() < 0.5:
            made /= Dot1Q(vlan=5, prio=rng.choice([0, 5]))
        made /= Dot1AH(isid=rng.choice([5, 6]), prio=rng.choice([0, 1]))
        made /= Ether(src=rng.choice(MACS[:2]), dst=rng.choice(MACS))
    for _ in range(rng.choice([0, 0, 0, 0, 0, 0, 1, 2])):
        made /= NSH(
            mdtype=rng.choice([1, 2]), ttl=rng.choice([1, 9]), spi=rng.choice([5, 6]), nextproto=3
        )
        made /= Ether(src=rng.choice(MACS[:2]), dst=rng.choice(MACS))
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        made /= Dot1Q(vlan=rng.choice([0, 5, 10]), prio=rng.choice([0, 3]))
    kind = rng.randrange(6)
    if kind == 0:
        return made / ARP(psrc=rng.choice(IPS), pdst=rng.choice(IPS), op=rng.choice([1, 2]))
    if kind == 1:
        made /= IPv6(src=rng.choice(IP6S), dst=rng.choice(IP6S), hlim=rng.choice([1, 64]))
        for _ in range(rng.choice([0, 0, 1, 2])):
            made /= rng.choice([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment])()
    elif kind == 2:
        for label in range(rng.choice([1, 2, 3])):
            made /= MPLS(label=rng.choice([0, 16, 17]), ttl=rng.choice([0, 1, 9]), s=label == 2)
        made.getlayer(MPLS, made.layers().count(MPLS)).s = rng.random() < 0.7
        return made / rng.choice([IP(), b"", bytes(8)])
    else:
        made /= IP(
            src=rng.choice(IPS),
            dst=rng.choice(IPS),
            ttl=rng.choice([1, 2, 64]),
            tos=rng.choice([0, 8, 0xB8]),
            frag=rng.choice([0, 0, 0, 100]),
        )
    return made / rng.choice([TCP, UDP])(sport=rng.choice([80, 1000]), dport=rng.choice([80, 443]))


def ip(text):
    return int.from_bytes(bytes(map(int, text.split("."))), "big")


def mac(text):
    return int(text.replace(":", ""), 16)


def matching(rng):
    fields = {}
    if rng.random() < 0.4:
        fields["in_port"] = rng.choice([1, 2, 3, 6])
        if rng.random() < 0.3:
            fields["in_phy_port"] = rng.choice([fields["in_port"], 2])
    if rng.random() < 0.3:
        fields["eth_dst"] = rng.choice([mac(rng.choice(MACS)), (1 << 40, 1 << 40)])
    if rng.random() < 0.3:
        fields["vlan_tci"] = rng.choice([(0x1005, 0x1FFF), (0, 0xFFFF), (0x1000, 0x1000)])
    kind = rng.randrange(5)
    if kind == 0:
        fields["eth_type"] = 0x0800
        fields["ip_dst"] = (ip("10.0.0.0"), rng.choice([0xFF000000, 0xFFFF0000, 0xFFFFFFFF]))
        if rng.random() < 0.5:
            fields["nw_proto"] = 6
            fields["tcp_dst"] = rng.choice([80, (0x1BB, 0xFFF0)])
    elif kind == 1:
        fields["eth_type"] = rng.choice([0x0806, 0x86DD, 0x8847, 0x88E7, 0x894F])
        if fields["eth_type"] == 0x894F and rng.random() < 0.7:
            fields["nsh_spi"] = rng.choice([5, 6])
            fields["nsh_mdtype"] = rng.choice([1, 2])
        if fields["eth_type"] == 0x86DD and rng.random() < 0.7:
            fields["ipv6_exthdr"] = rng.choice([0, 8, (8, 8), (0, 0x50), (0x40, 0x1C0)])
        if fields["eth_type"] == 0x88E7 and rng.random() < 0.7:
            fields["pbb_isid"] = rng.choice([5, 0, (4, 0xFFFFFC)])
    elif kind == 2:
        fields["reg1"] = rng.choice([7, 5])
    elif kind == 3:
        fields["metadata"] = (1, 3)
    elif rng.random() < 0.2:
        number = rng.choice([0x0800, 0x894F, 0x8847])
        fields = {"packet_type": 1 << 16 | number}
        if number == 0x894F:
            fields["nsh_ttl"] = rng.choice([1, 9])
    if rng.random() < 0.3:
        fields["ct_state"] = rng.choice([(0x21, 0x21), (0x22, 0x23), (0x20, 0x20), (0, 0x20), 0x21])
        if rng.random() < 0.5:
            fields.update(rng.choice([{"ct_zone": 1}, {"ct_mark": (1, 5)}, {"ct_label": (0, 7)}]))
        if fields.get("eth_type") == 0x0800 and rng.random() < 0.5:
            fields["ct_nw_dst"] = (ip("10.0.0.0"), 0xFFFF0000)
    return match(**fields)


def action(rng, table):
    port = rng.choice([1, 2, 3, 4, 6, NORMAL, NORMAL, FLOOD, ALL, IN_PORT, CONTROLLER])
    choices = [
        lambda: output(port),
        lambda: output(port),
        lambda: set_field("eth_src", mac(rng.choice(MACS))),
        lambda: set_field("eth_dst", rng.randrange(1 << 48), 0xFF00FF),
        lambda: set_field("ip_dst", ip(rng.choice(IPS)), rng.choice([None, 0xFF])),
        lambda: set_field("vlan_vid", 0x1005),
        lambda: set_field("dl_vlan", 5),
        lambda: set_field("dl_vlan_pcp", 3),
        lambda: set_field("tcp_dst", 443),
        lambda: set_field("arp_op", 2),
        lambda: set_field("ip_dscp", 2),
        lambda: set_field("reg1", rng.choice([5, 7])),
        lambda: set_field("ipv6_dst", 5, 0xFF),
        lambda: set_field("mpls_label", 17),
        lambda: set_field("vlan_tci", rng.choice([0, 0x1005, 0x300A])),
        lambda: move("ip_src", "ip_dst", 32),
        lambda: move("vlan_vid", "reg1", 12),
        lambda: move("eth_src", "eth_dst", 16, 8, 0),
        lambda: move("tcp_src", "reg1", 16),
        lambda: move("reg1", "nw_ttl", 4),
        lambda: act("PushVlan", ethertype=0x8100),
        lambda: act("PopVlan"),
        lambda: act("PushMpls", ethertype=0x8847),
        lambda: act("PopMpls", ethertype=rng.choice([0x0800, 0x8847])),
        lambda: act("PushPbb", ethertype=0x88E7),
        lambda: act("PopPbb"),
        lambda: set_field("pbb_isid", rng.choice([5, 6]), rng.choice([None, 1])),
        lambda: move("pbb_isid", "reg1", 8),
        lambda: move("ipv6_exthdr", "reg1", 9),
        lambda: act("DecTtl"),
        lambda: act("DecMplsTtl"),
        lambda: act("SetTtl", ttl=64),
        lambda: act("SetQueue", queue=1),
        lambda: act("Clone", actions=[action(rng, table) for _ in range(2)]),
        lambda: act("OutputReg", field=_field("reg1"), start=0, n_bits=16, max_len=0),
        lambda: resubmit(rng.choice([table, 1, 2]), rng.choice([None, 1, 2])),
        lambda: act("Group", group=rng.choice(GROUPS)),
        lambda: parsed(rng.choice(SPREAD)),
        lambda: parsed(LEARN),
        lambda: parsed(rng.choice(HEADERS)),
        lambda: parsed(rng.choice(HEADERS)),
        lambda: set_field("nsh_spi", rng.choice([5, 6])),
        lambda: set_field("nsh_c1", 5, rng.choice([None, 1])),
        lambda: move("nsh_ttl", "reg1", 6),
        lambda: act("Group", group=rng.choice(GROUPS)),
        lambda: parsed(rng.choice(CT)),
        lambda: parsed(rng.choice(CT)),
        lambda: act("Resubmit", port=None, table=rng.choice([1, 2]), ct=True),
        lambda: move("ct_nw_src", "ip_src", 32),
        lambda: move("ct_mark", "reg1", 8),
    ]
    return rng.choice(choices)()


SPREAD = (
    "multipath(symmetric_l4,0,modulo_n,4,0,NXM_NX_REG1[0..15])",
    "multipath(nw_dst,0,iter_hash,3,0,NXM_NX_REG1[0..15])",
    "bundle(symmetric_l3l4+udp,0,hrw,ofport,members:1,2,3)",
    "bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG1[0..15],members:1,2,4)",
    "bundle(nw_src,0,active_backup,ofport,members:1,2)",
)
MOST_PASSES = 5  # ct can send a packet round for ever
CT = (
    "ct(table=1)",
    "ct(commit,table=2,zone=1,nat(src=10.0.0.9))",
    "ct(table=2,zone=NXM_NX_CT_LABEL[0..15])",
    "ct(commit,zone=NXM_NX_REG1[0..15],exec(set_field:5/7->ct_mark,load:1->NXM_NX_CT_LABEL[3..5]))",
    "ct(commit,table=1,exec(move:NXM_OF_IP_SRC[0..7]->NXM_NX_CT_MARK[8..15]))",
    "ct(commit,table=2,exec(move:NXM_NX_REG1[]->NXM_NX_CT_LABEL[0..31]))",
    "ct_clear",
)
LEARN = "learn(table=2,NXM_OF_ETH_DST[0..7]=NXM_OF_ETH_SRC[8..15],result_dst=NXM_NX_REG1[0])"


HEADERS = ("encap(nsh)", "encap(nsh(md_type=2,tlv(1,2,0x33)))", "encap(ethernet)", "encap(mpls)",
           "decap()", "decap()", "decap(packet_type(ns=0,type=0))", "dec_nsh_ttl",
           "copy_ttl_in", "copy_ttl_out")  # fmt: skip


def parsed(text):
    return parse_instructions(text)[0].actions[0]


def add_groups(rng, world):
    """Of all types; they may lead to each other and in circles."""
    for number in GROUPS[:-1]:
        kind = rng.choice([GROUP_ALL, GROUP_SELECT, GROUP_SELECT, GROUP_FAST_FAILOVER])
        buckets = []
        for _ in range(rng.randrange(1, 4)):
            steps = [action(rng, 0) for _ in range(rng.randrange(1, 4))]
            bucket = Bucket(weight=rng.choice([0, 1, 1, 3, 2000]), actions=steps)
            if kind != GROUP_ALL and rng.random() < 0.5:
                bucket.watch_port = rng.choice([1, 2, 9])
            if kind != GROUP_ALL and rng.random() < 0.3:
                bucket.watch_group = rng.choice(GROUPS)
            buckets.append(bucket)
        world.group(number, kind, buckets)
    world.ports[1].up = rng.random() < 0.5


def _field(name):
    return set_field(name, 0).field


def instructions(rng, table):
    made = []
    if rng.random() < 0.2:
        made.append(act("WriteMetadata", value=1, mask=3))
    if rng.random() < 0.3:
        late = [a for a in (action(rng, table) for _ in range(3)) if allowed_late(a)]
        made.append(act("WriteActions", actions=late))
    if table < 2 and rng.random() < 0.4:
        made.append(act("GotoTable", table=table + 1))
    return made


def allowed_late(made):
    no = ("Clone", "Resubmit", "Multipath", "Bundle", "Learn", "Ct", "CtClear")
    return type(made).__name__ not in no


def random_world(rng, generation=None):
    world = World(0, generation=generation)
    modes = [{}, {"tag": 5}, {"trunks": [5, 10]}, {"mode": "native-untagged", "tag": 10}]
    for number in range(1, 5):
        more = {"priority_tags": rng.choice(["never", "if-nonzero", "always"])}
        world.add_port(number, **rng.choice([*modes, {"mode": "dot1q-tunnel", "tag": 10}]), **more)
        world.ports[number].config = rng.choice([0, 0, 0, 0, 4, 8, 16, 32, 64])
    other = World(0, "br1", world.bridge.generation)
    patch, peer = world.add_port(6, odp="none"), other.add_port(1, odp="none")
    connect_patch(patch, peer)
    other.add_port(8, **rng.choice(modes))
    for made, prioritys in ((world, 12), (other, 3)):
        for priority in range(prioritys):
            table = rng.choice([0, 0, 1, 2]) if made is world else 0
            made.rule(
                [action(rng, table) for _ in range(rng.randrange(1, 5))],
                matching(rng),
                priority,
                table,
                instructions(rng, table),
            )
    add_groups(rng, world)
    for vlan in (0, 5, 10):
        bundle = rng.choice(list(world.bundles.values()))
        world.bridge.mac.add(vlan, bytes.fromhex("000000000002"), bundle, 0)
    world.bridge.miss_to_controller = rng.random() < 0.5
    return world


def mixed(key, other, mask):
    """`key` with the bits outside `mask` of `other`, or None where that is no packet's key: TCI,
    CFI and TPID of a VLAN tag go together.  Members that such a packet does not have are 0."""
    made = bytearray((k & m) | (o & ~m & 0xFF) for k, o, m in zip(key, other, mask, strict=True))
    for tpid in (VLAN0_TPID, VLAN1):
        present = bool(made[tpid + 2] & 0x10)
        if any(bool(made[at] or made[at + 1]) != present for at in (tpid, tpid + 2)):
            return None
    if made[VLAN1] and not made[VLAN0_TPID]:
        return None
    if key[NW_PROTO] and not made[NW_PROTO]:
        return None  # headers of no protocol are not written; they need not be told apart
    meaning = flow.wildcards_for(bytes(made))
    meant = zip(made[CT_TUPLE:], meaning[CT_TUPLE:], strict=True)
    made[CT_TUPLE:] = bytes(a & b for a, b in meant)
    return bytes(made)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_wildcarded_bits_do_not_matter(seed):
    rng = random.Random(seed)
    world = random_world(rng)
    recirc = RecircTable()
    in_ports = [1, 2, 3, 4]
    for _ in range(6):
        raw = bytes(packet(rng))
        for key, result in passes(world, raw, rng.choice(in_ports), recirc, rng):
            for _ in range(8):
                other = with_hash(key_of(packet(rng), rng.choice(in_ports)), rng)
                if rng.random() < 0.7:
                    other = tracked(other, rng)
                changed = mixed(key, other, result.mask)
                if changed is None or changed == key:
                    continue
                again = translate(world.bridge, changed, recirc=recirc)
                assert format_actions(again.actions) == format_actions(result.actions)
                assert again.error == result.error


@pytest.mark.parametrize("acts", [("PopMpls", 0x0800), ("PushMpls", 0x8847), ("PopMpls", 0x8847)])
def test_labels_without_a_bottom_are_counted_by_what_is_matched(acts):
    """A label of nothing but zeros is one where another is behind it, and none otherwise."""
    world = World(2)
    name, ethertype = acts
    world.rule([act(name, ethertype=ethertype), output(2)])
    ethernet = bytes(Ether(src=MACS[0], dst=MACS[1], type=0x8847))
    words = [0, 5 << 12 | 64, 6 << 12]
    stacks = [
        b"".join(lse.to_bytes(4, "big") for lse in stack) for stack in product(words, repeat=3)
    ]
    keys = [key_of(ethernet + stack, 1) for stack in stacks]
    results = [translate(world.bridge, key) for key in keys]
    assert len({result.actions for result in results}) > 2
    for key, result in zip(keys, results, strict=True):
        for other, its in zip(keys, results, strict=True):
            if mixed(key, other, result.mask) == other:
                assert (its.actions, its.error) == (result.actions, result.error)


def with_hash(key, rng):
    """The key of a packet that the datapath has hashed."""
    offset, size = flow.MEMBERS["dp_hash"]
    return key[:offset] + rng.randbytes(size) + key[offset + size :]


def tracked(key, rng):
    """The key of a packet that the tracker has found something of."""
    made = bytearray(key)
    v4 = key[ETH_TYPE : ETH_TYPE + 2] == b"\x08\x00"
    values = {
        "ct_state": rng.choice([0x21, 0x22, 0x2A, 0x30, 0xA2]),
        "ct_zone": rng.choice([0, 1]),
        "ct_mark": rng.choice([0, 1, 5]),
        "ct_label": rng.choice([0, 8]),
        "ct_nw_proto": rng.choice([6, 17]),
        "ct_tp_src": rng.choice([80, 443]),
        "ct_nw_src" if v4 else "ct_ipv6_src": ip(rng.choice(IPS)),
        "ct_nw_dst" if v4 else "ct_ipv6_dst": ip(rng.choice(IPS)),
    }
    for name, value in values.items():
        start, size = flow.MEMBERS[name]
        made[start : start + size] = value.to_bytes(size, "big")
    return bytes(made)


def passes(world, raw, in_port, recirc, rng):
    """(key, translation) of a packet as it comes in, and of what is sent round from there."""
    waiting = [(key_of(raw, in_port), raw)]
    for _ in range(MOST_PASSES):
        if not waiting:
            break
        key, frame = waiting.pop()
        result = translate(world.bridge, key, recirc=recirc)
        yield key, result
        kind = int.from_bytes(key[TYPE_AT : TYPE_AT + 4], "big")
        recorder = Recorder(tracker=lambda _action, key: tracked(key, rng))
        in_odp = in_port + ODP_BASE
        for event in recorder.run(frame, result.actions, in_port=in_odp, packet_type=kind):
            if event[0] == "recirculate":
                waiting.append((event[3], event[2]))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_flipping_one_field_at_a_time(seed):
    """Finer than whole packets: single bits of members the mask leaves out."""
    rng = random.Random(seed)
    world = random_world(rng)
    recirc = RecircTable()
    key = key_of(packet(rng), rng.choice([1, 2, 3, 4]))
    result = translate(world.bridge, key, recirc=recirc)
    meaningful = flow.wildcards_for(key)
    for at in range(flow.KEY_PACKET_SIZE):
        free = meaningful[at] & ~result.mask[at] & 0xFF
        for bit in (1 << i for i in range(8) if free >> i & 1):
            changed = bytearray(key)
            changed[at] ^= bit
            if mixed(bytes(changed), bytes(changed), result.mask) is None:
                continue
            again = translate(world.bridge, bytes(changed), recirc=recirc)
            assert format_actions(again.actions) == format_actions(result.actions), at


def test_the_test_can_fail():
    """A translation that forgot a bit would be found: mask out one that matters."""
    world = World(2)
    world.rule([output(2)], match(eth_type=0x0800, ip_dst=ip("10.0.0.1")))
    key = key_of(Ether() / IP(dst="10.0.0.1") / TCP(), 1)
    other = key_of(Ether() / IP(dst="10.0.0.2") / TCP(), 1)
    result = translate(world.bridge, key)
    mask = bytearray(result.mask)
    start, size = flow.MEMBERS["nw_dst"]
    assert bytes(mask[start : start + size]) == b"\xff" * 4
    mask[start : start + size] = bytes(4)
    changed = mixed(key, other, mask)
    with pytest.raises(AssertionError):
        assert translate(world.bridge, changed).actions == result.actions
