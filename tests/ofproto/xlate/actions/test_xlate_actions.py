"""Actions: the datapath actions that translation makes, run on a packet, against a plain
interpreter of the OpenFlow actions on scapy packets."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import ARP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw
from scapy.contrib.mpls import MPLS
from scapy.layers.l2 import Dot1AH

from datapath.actions.text import odp_text
from datapath.key import flow
from ofproto.text.flow_text import parse_flow
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.native.recorder import Recorder
from tests.ofproto.xlate_world import (
    ALL,
    FLOOD,
    IN_PORT,
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

A, B = "00:00:00:00:00:0a", "00:00:00:00:00:0b"


def mac(text):
    return int(text.replace(":", ""), 16)


def ip(text):
    return int.from_bytes(bytes(map(int, text.split("."))), "big")


def fresh(packet):
    """Parsed anew, with lengths and checksums computed again."""
    for layer, names in ((IP, ("chksum", "len")), (TCP, ("chksum",)), (UDP, ("chksum", "len"))):
        if packet.haslayer(layer):
            for name in names:
                delattr(packet[layer], name)
    return Ether(bytes(packet))


class Unspecified(Exception):
    """What the actions ask for means nothing."""


def l2_end(data):
    """Offset behind the VLAN tags."""
    at = 14
    while data[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at


def visible(packet, kind):
    """The first layer of a kind, or None; what labels and an I-TAG hide is not there."""
    layer = packet
    while layer and not isinstance(layer, kind):
        if isinstance(layer, Dot1AH) or (isinstance(layer, MPLS) and layer.s):
            return None
        layer = layer.payload
    return layer or None


class Interpreter:
    """Runs actions one after the other on a scapy packet; what it sends is in `sent`."""

    def __init__(self, packet, in_port, ports):
        self.packet = Ether(bytes(packet))
        self.in_port = in_port
        self.ports = ports
        self.sent = []

    def run(self, actions):
        for action in actions:
            name = type(action).__name__
            if getattr(self, name)(action) is False:
                break
        return self.sent

    def send(self, port):
        self.sent.append((port + ODP_BASE, bytes(fresh(self.packet.copy()))))

    def Output(self, action):
        if action.port in (FLOOD, ALL):
            for port in self.ports:
                if port != self.in_port:
                    self.send(port)
        elif action.port == IN_PORT:
            self.send(self.in_port)
        elif action.port != self.in_port and action.port in self.ports:
            self.send(action.port)

    def SetField(self, action):
        name, value = action.field.name, action.value
        mask = (1 << action.field.n_bits) - 1 if action.mask is None else action.mask
        layer, attribute, encode, decode = SETTERS[name](self.packet)
        if layer is not None:
            old = decode(getattr(layer, attribute))
            setattr(layer, attribute, encode((old & ~mask) | (value & mask)))

    def PushVlan(self, action):
        # VID and priority are those of the tag behind it, or 0.
        inner = self.packet.payload
        self.packet.remove_payload()
        tag = Dot1Q(vlan=0, type=self.packet.type)
        if isinstance(inner, Dot1Q):
            tag.vlan, tag.prio = inner.vlan, inner.prio
        self.packet.type = action.ethertype
        self.packet = self.packet / tag / inner

    def PopVlan(self, action):
        if isinstance(self.packet.payload, Dot1Q):
            tag = self.packet.payload
            inner = tag.payload
            self.packet.remove_payload()
            self.packet.type = tag.type
            self.packet = self.packet / inner

    def DecTtl(self, action):
        layer, name = ttl_of(self.packet)
        if layer is None:
            return True
        if getattr(layer, name) <= 1:
            return False
        setattr(layer, name, getattr(layer, name) - 1)
        return True

    def SetTtl(self, action):
        layer, name = ttl_of(self.packet)
        if layer is not None:
            setattr(layer, name, action.ttl)

    def PushMpls(self, action):
        data = bytes(fresh(self.packet))
        at = l2_end(data)
        label, tc, bottom, ttl = 0, 0, 1, 64
        if top := visible(self.packet, MPLS):
            label, tc, bottom, ttl = top.label, top.cos, 0, top.ttl
        elif top := visible(self.packet, IP):
            tc, ttl = top.tos >> 2 & 7, top.ttl
        elif top := visible(self.packet, IPv6):
            label, tc, ttl = 2, top.tc >> 2 & 7, top.hlim
        entry = (label << 12 | tc << 9 | bottom << 8 | ttl).to_bytes(4, "big")
        ethertype = action.ethertype.to_bytes(2, "big")
        self.packet = Ether(data[: at - 2] + ethertype + entry + data[at:])

    def PopMpls(self, action):
        top = visible(self.packet, MPLS)
        if top is None:
            return
        data = bytes(fresh(self.packet))
        at = l2_end(data)
        behind = {IP: 0x0800, IPv6: 0x86DD, ARP: 0x0806}.get(type(top.payload))
        if action.ethertype != (behind if top.s else 0x8847):
            raise Unspecified
        self.packet = Ether(data[: at - 2] + action.ethertype.to_bytes(2, "big") + data[at + 4 :])

    def DecMplsTtl(self, action):
        if top := visible(self.packet, MPLS):
            if top.ttl <= 1:
                return False
            top.ttl -= 1
        return True

    def SetMplsTtl(self, action):
        if top := visible(self.packet, MPLS):
            top.ttl = action.ttl

    def PushPbb(self, action):
        # OpenFlow 1.3.5, 5.12: the I-SID of an I-TAG that is there, the priority of a VLAN tag.
        data = bytes(fresh(self.packet))
        outer, tag = visible(self.packet, Dot1AH), self.packet.payload
        tci = (outer.isid if outer else 0) | (tag.prio << 29 if isinstance(tag, Dot1Q) else 0)
        i_tag = b"\x88\xe7" + tci.to_bytes(4, "big") + data[:12]
        self.packet = Ether(data[:12] + i_tag + data[12:])

    def PopPbb(self, action):
        if visible(self.packet, Dot1AH):
            data = bytes(fresh(self.packet))
            at = l2_end(data)
            self.packet = Ether(data[at + 4 : at + 16] + data[12 : at - 2] + data[at + 16 :])

    def Clone(self, action):
        other = Interpreter(self.packet, self.in_port, self.ports)
        self.sent += other.run(action.actions)

    def RegMove(self, action):
        src = SETTERS[action.src.name](self.packet)
        dst = SETTERS[action.dst.name](self.packet)
        if src[0] is None or dst[0] is None:
            return
        ones = (1 << action.n_bits) - 1
        bits = src[3](getattr(src[0], src[1])) >> action.src_start & ones
        old = dst[3](getattr(dst[0], dst[1])) & ~(ones << action.dst_start)
        setattr(dst[0], dst[1], dst[2](old | bits << action.dst_start))


def ttl_of(packet):
    if visible(packet, MPLS):
        return None, None
    if layer := visible(packet, IP):
        return layer, "ttl"
    if layer := visible(packet, IPv6):
        return layer, "hlim"
    return None, None


def setter(layer, attribute, encode=lambda v: v, decode=lambda v: v):
    def get(packet):
        return visible(packet, layer), attribute, encode, decode

    return get


def mac_text(value):
    return value.to_bytes(6, "big").hex(":")


def ip_text(value):
    return ".".join(map(str, value.to_bytes(4, "big")))


SETTERS = {
    "eth_src": setter(Ether, "src", mac_text, mac),
    "eth_dst": setter(Ether, "dst", mac_text, mac),
    "ip_src": setter(IP, "src", ip_text, ip),
    "ip_dst": setter(IP, "dst", ip_text, ip),
    "ip_dscp": setter(IP, "tos", lambda v: v << 2, lambda v: v >> 2),
    "arp_spa": setter(ARP, "psrc", ip_text, ip),
    "arp_op": setter(ARP, "op"),
    "arp_tha": setter(ARP, "hwdst", mac_text, mac),
    "tcp_src": setter(TCP, "sport"),
    "tcp_dst": setter(TCP, "dport"),
    "udp_dst": setter(UDP, "dport"),
    "vlan_vid": setter(Dot1Q, "vlan", lambda v: v & 0xFFF, lambda v: v),
    "vlan_pcp": setter(Dot1Q, "prio"),
    "mpls_label": setter(MPLS, "label"),
    "mpls_tc": setter(MPLS, "cos"),
    "pbb_isid": setter(Dot1AH, "isid"),
}


def packets(rng):
    made = Ether(src=A, dst=B)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        if rng.random() < 0.5:
            made /= Dot1Q(vlan=7, prio=rng.choice([0, 5]))
        made /= Dot1AH(isid=rng.choice([0, 0xABCDEF]), prio=1)
        made /= Ether(src=rng.choice([A, B]), dst=B)
    for _ in range(rng.choice([0, 0, 1, 2])):
        made /= Dot1Q(vlan=rng.choice([5, 10]), prio=rng.choice([0, 3]))
    labels = rng.choice([0, 0, 0, 1, 2])
    for number in range(labels):
        ttl = rng.choice([1, 9])
        made /= MPLS(label=16 + number, cos=rng.randrange(8), s=number + 1 == labels, ttl=ttl)
    kind = rng.randrange(4)
    if kind == 0:
        return made / ARP(psrc="10.0.0.1", pdst="10.0.0.2", hwsrc=A, hwdst=B)
    if kind == 1:
        made /= IPv6(src="fe80::1", dst="fe80::2", hlim=rng.choice([1, 9]))
    else:
        made /= IP(src="10.0.0.1", dst="10.0.0.2", ttl=rng.choice([1, 2, 64]), tos=4)
    made /= rng.choice([TCP, UDP])(sport=1000, dport=80)
    return made / Raw(bytes(range(rng.choice([10, 41, 255]))))


def actions(rng, deep=True):
    choices = [
        lambda: output(rng.choice([1, 2, 3, 9, FLOOD, ALL, IN_PORT])),
        lambda: output(rng.choice([2, 3])),
        lambda: set_field("eth_src", rng.randrange(1 << 48)),
        lambda: set_field("eth_dst", rng.randrange(1 << 48), 0xFFFFFF),
        lambda: set_field("ip_src", rng.randrange(1 << 32), rng.choice([None, 0xFF00FF])),
        lambda: set_field("ip_dst", rng.randrange(1 << 32)),
        lambda: set_field("arp_spa", rng.randrange(1 << 32)),
        lambda: set_field("arp_op", 2),
        lambda: set_field("arp_tha", rng.randrange(1 << 48)),
        lambda: set_field("tcp_src", rng.randrange(1 << 16)),
        lambda: set_field("tcp_dst", rng.randrange(1 << 16), 0xF0F),
        lambda: set_field("udp_dst", rng.randrange(1 << 16)),
        lambda: set_field("vlan_vid", 0x1000 | rng.randrange(4095)),
        lambda: set_field("vlan_pcp", rng.randrange(8)),
        lambda: move("ip_src", "ip_dst", 16, 0, 8),
        lambda: move("eth_src", "eth_dst", 48),
        lambda: move("tcp_src", "tcp_dst", 5, 3, 11),
        lambda: move("eth_dst", "ip_src", 24),
        lambda: act("PushVlan", ethertype=0x8100),
        lambda: act("PopVlan"),
        lambda: act("DecTtl"),
        lambda: act("SetTtl", ttl=33),
        lambda: act("PushMpls", ethertype=0x8847),
        lambda: act("PopMpls", ethertype=rng.choice([0x0800, 0x86DD, 0x8847])),
        lambda: act("PushPbb", ethertype=0x88E7),
        lambda: act("PopPbb"),
        lambda: set_field("pbb_isid", rng.randrange(1 << 24), rng.choice([None, 0xFF00])),
        lambda: move("pbb_isid", "eth_dst", 24, 0, 24),
        lambda: move("eth_src", "pbb_isid", 8, 0, 8),
        lambda: act("DecMplsTtl"),
        lambda: act("SetMplsTtl", ttl=rng.choice([1, 77])),
        lambda: set_field("mpls_label", rng.randrange(16, 1 << 20)),
        lambda: set_field("mpls_tc", rng.randrange(8)),
    ]
    if deep:
        choices.append(lambda: act("Clone", actions=[actions(rng, False) for _ in range(4)]))
    return rng.choice(choices)()


def sent_by(result, packet, in_port, world=None, recirc=None):
    """What leaves, by running the actions; packets sent round are translated on `world`."""
    sent = []
    for event in Recorder().run(packet, result.actions, in_port=in_port):
        if event[0] == "output":
            sent.append((event[1], bytes(fresh(Ether(event[2])))))
        elif event[0] == "recirculate":
            again = translate(world.bridge, event[3], recirc=recirc)
            sent += sent_by(again, event[2], in_port, world, recirc)
    return sent


def count_layers(made, kind):
    return sum(1 for layer in made.layers() if layer is kind)


def count_pushes(plan, name):
    inner = sum(count_pushes(a.actions, name) for a in plan if type(a).__name__ == "Clone")
    return inner + sum(type(a).__name__ == name for a in plan)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1 << 40))
def test_against_the_interpreter(seed):
    rng = random.Random(seed)
    packet = packets(rng)
    plan = [actions(rng) for _ in range(rng.randrange(1, 8))]
    if count_layers(packet, Dot1Q) + count_pushes(plan, "PushVlan") > 2:
        return  # the key knows of two tags; a third one is refused
    if count_layers(packet, MPLS) + count_pushes(plan, "PushMpls") > 3:
        return  # of three labels
    world, recirc = World(3), RecircTable()
    world.rule(plan)
    in_port = rng.choice([1, 2])
    raw = bytes(packet)
    try:
        expected = Interpreter(raw, in_port, [1, 2, 3]).run(plan)
    except Unspecified:
        return
    result = translate(world.bridge, key_of(raw, in_port), recirc=recirc)
    assert sent_by(result, raw, ODP_BASE + in_port, world, recirc) == expected, (
        odp_text.format_actions(result.actions),
        [type(a).__name__ for a in plan],
    )


def through(world, packet, in_port=1):
    return odp_text.format_actions(translate(world.bridge, key_of(packet, in_port)).actions)


TCP_PACKET = Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2", ttl=64) / TCP(dport=80)


def test_action_set_runs_in_the_order_of_the_spec():
    world = World(3)
    late = [output(2), act("DecTtl"), act("PushVlan", ethertype=0x8100), output(3)]
    world.rule([], instructions=[act("WriteActions", actions=late), act("GotoTable", table=1)])
    world.rule([], table=1, instructions=[act("WriteActions", actions=[set_field("vlan_pcp", 3)])])
    assert through(world, TCP_PACKET) == "set(ipv4(ttl=63)),push_vlan(vid=0,pcp=3),13"


def test_headers_that_say_nothing_stay_as_they_are():
    """IP protocol and ARP operation 0 are no packet's; the megaflow tells them from others."""
    world = World(2)
    world.rule([set_field("nw_dst", ip("9.9.9.9")), output(2)], match(eth_type=0x0800))
    world.rule([set_field("arp_sha", mac(A)), output(2)], match(eth_type=0x0806))
    ether = Ether(src=A, dst=B)
    for good, bad in ((IP(proto=1), IP(proto=0)), (ARP(op=1, hwsrc=B), ARP(op=0, hwsrc=B))):
        assert through(world, ether / good / Raw(bytes(40))).startswith("set(")
        made = translate(world.bridge, key_of(ether / bad / Raw(bytes(40)), 1))
        assert odp_text.format_actions(made.actions) == "12"
        assert made.mask[flow.MEMBERS["nw_proto"][0]] == 0xFF


def test_clear_actions():
    world = World(2)
    late = act("WriteActions", actions=[output(2)])
    world.rule([], instructions=[late, act("ClearActions")])
    assert through(world, TCP_PACKET) == "drop"


def test_a_group_hides_the_output():
    world = World(2)
    late = act("WriteActions", actions=[output(2), act("Group", group=1)])
    world.rule([], instructions=[late])
    assert through(world, TCP_PACKET) == "drop"


def test_exit_ends_the_action_set():
    world = World(3)
    late = act("WriteActions", actions=[output(2)])
    world.rule([resubmit(1), output(3)], instructions=[late])
    world.rule([act("Exit")], table=1)
    assert through(world, TCP_PACKET) == "drop"
    world.rule([], instructions=[late, act("GotoTable", table=1)], priority=0x9000)
    assert through(world, TCP_PACKET) == "drop"


def test_metadata_and_registers_reach_the_next_table():
    world = World(3)
    world.rule(
        [set_field("reg3", 7), move("tcp_dst", "reg4", 16)],
        instructions=[act("WriteMetadata", value=0x12, mask=0xFF), act("GotoTable", table=4)],
    )
    world.rule([output(2)], match(metadata=(2, 0xF), reg3=7, reg4=80), table=4)
    assert through(world, TCP_PACKET) == "12"


def test_resubmit_with_another_in_port():
    world = World(3)
    world.rule([resubmit(0, port=2), output(3)], match(in_port=1))
    world.rule([output(IN_PORT)], match(in_port=2))
    assert through(world, TCP_PACKET) == "11,13"


def test_statistics_of_all_tables():
    world = World(2)
    first = world.rule([resubmit(1)])
    second = world.rule([output(2)], table=1)
    size = len(bytes(TCP_PACKET))
    translate(world.bridge, key_of(TCP_PACKET, 1), side_effects=True, packet_size=size, now=77)
    assert (first.n_packets, first.n_bytes, first.used) == (1, size, 77)
    assert (second.n_packets, second.n_bytes, second.used) == (1, size, 77)
    assert [world.bridge.table(t).n_matched for t in (0, 1)] == [1, 1]


@pytest.mark.parametrize(
    ("actions_", "error"),
    [([resubmit(0)], "Recursion too deep"), ([resubmit(1), resubmit(1)], "Too many resubmits")],
)
def test_limits(actions_, error):
    world = World(1)
    world.rule(actions_)
    for table in range(1, 20):
        world.rule([resubmit(table + 1), resubmit(table + 1)], table=table)
    result = translate(world.bridge, key_of(TCP_PACKET, 1))
    assert result.error == error and result.actions == b""


def test_enqueue_and_set_queue():
    world = World(3)
    world.rule([act("Enqueue", port=2, queue=5), output(3), act("SetQueue", queue=1), output(2)])
    assert through(world, TCP_PACKET) == (
        "set(skb_priority(0x5)),12,set(skb_priority(0)),13,set(skb_priority(0x1)),12"
    )


def test_table_miss():
    world = World(1)
    world.bridge.table(0)
    assert through(world, TCP_PACKET) == "drop"
    world.bridge.miss_to_controller = True
    assert through(world, TCP_PACKET).startswith("userspace(")
    world.ports[1].config = 64  # NO_PACKET_IN
    assert through(world, TCP_PACKET) == "drop"


def test_mpls_pop_goes_round_and_on():
    """pop_mpls hides nothing any more, but what it hid must be parsed: recirculation."""
    world, recirc = World(2), RecircTable()
    world.rule([act("PopMpls", ethertype=0x0800), act("DecTtl"), output(2)])
    packet = bytes(
        Ether(src=A, dst=B) / MPLS(label=16, s=1, ttl=9) / IP(dst="10.0.0.9", ttl=5) / UDP()
    )
    first = translate(world.bridge, key_of(packet, 1), recirc=recirc)
    events = Recorder().run(packet, first.actions, in_port=11)
    kind, recirc_id, frame, key = events[-1]
    assert kind == "recirculate" and recirc_id
    second = translate(world.bridge, key, recirc=recirc)
    assert odp_text.format_actions(second.actions) == "set(ipv4(ttl=4)),12"
    assert sent_by(second, frame, 11) == [
        (12, bytes(fresh(Ether(src=A, dst=B) / IP(dst="10.0.0.9", ttl=4) / UDP())))
    ]
    # the same state has the same id in another daemon
    assert translate(world.bridge, key_of(packet, 1), recirc=RecircTable()).actions == first.actions


@pytest.mark.parametrize(
    "looks",
    [
        "multipath(symmetric_l4,0,modulo_n,4,0,NXM_NX_REG0[])",
        "bundle_load(nw_src,0,hrw,ofport,NXM_NX_REG0[],slaves:2,3)",
        "learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
        "fin_timeout(idle_timeout=1)",
        "check_pkt_larger(99)->NXM_NX_REG0[0]",
    ],
)
def test_behind_a_popped_label_headers_come_first(looks):
    """What the label hid is looked at by these, too; not before that they do their work."""
    (apply,) = parse_flow(f"actions=pop_mpls:0x0800,{looks},output:2").instructions
    world = World(3)
    world.rule(apply.actions)
    packet = Ether(src=A, dst=B) / MPLS(label=16, s=1, ttl=9) / IP(dst="10.0.0.9") / UDP()
    shown = odp_text.format_actions(
        translate(world.bridge, key_of(packet, 1), recirc=RecircTable()).actions
    )
    assert shown.startswith("pop_mpls(eth_type=0x800),recirc(") and shown.endswith(")")


def test_unknown_recirculation_id():
    with pytest.raises(LookupError):
        key = bytearray(key_of(TCP_PACKET, 1))
        key[0:4] = b"\0\0\0\7"
        translate(World(1).bridge, bytes(key), recirc=RecircTable())


def test_unsupported_action_is_refused():
    with pytest.raises(ValueError, match="not supported"):
        World(1).rule([act("Teleport")])


def test_a_third_tag_is_refused():
    world = World(2)
    world.rule([act("PushVlan", ethertype=0x8100), output(2)])
    packet = Ether(src=A, dst=B) / Dot1Q(vlan=1) / Dot1Q(vlan=2) / IP() / UDP()
    result = translate(world.bridge, key_of(packet, 1))
    assert result.error == "Too many VLAN tags" and result.actions == b""
