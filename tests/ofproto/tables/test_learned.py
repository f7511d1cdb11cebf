"""Learned flows: learn actions as text, packets through translation, and what the tables have."""

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether

from datapath.key import flow
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import format_match
from ofproto.codec.numbers import OFPRR_DELETE
from ofproto.rules.classifier import Rule
from ofproto.tables import learned
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import DELETE_STRICT, MODIFY_STRICT, FlowTables
from ofproto.text.flow_text import parse_flow
from ofproto.xlate.trace import trace_flow
from ofproto.xlate.translate import translate
from tests.ofproto.xlate_world import World, key_of

MAC_LEARNING = (
    "table=0,actions=learn(table=1,hard_timeout=10,idle_timeout=7,cookie=0x9,NXM_OF_VLAN_TCI[0..11],"
    "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],"
    "output:NXM_OF_IN_PORT[]),resubmit(,1)"
)
A, B = "50:54:00:00:00:0a", "50:54:00:00:00:0b"
FIN, RST, ACK = 1, 4, 16


class Switch:
    """Flow tables, and a world of four ports that translates by them."""

    def __init__(self):
        self.world = World(4)
        self.gone = []
        self.tables = FlowTables(self.world.bridge, lambda rule, why: self.gone.append((rule, why)))
        self.changed = []
        self.tables.learned.changed = self.changed.append

    def flow(self, text, command=0, now=0, version=1):
        self.tables.flow_mod(parse_flow(text, command), version, now)

    def packet(self, port, frame=None, now=0, real=True):
        frame = Ether(src=A, dst=B) / IP() / TCP(flags=ACK) if frame is None else frame
        key = key_of(frame, port)
        return translate(self.world.bridge, key, side_effects=real, packet_size=99, now=now)

    def flows(self, table):
        return sorted(
            f"{format_match(rule.match)} {format_instructions(rule.actions)}"
            for rule in self.tables.rules()
            if rule.table_id == table
        )

    def only(self, table) -> Rule:
        (found,) = (rule for rule in self.tables.rules() if rule.table_id == table)
        return found


@pytest.fixture
def switch():
    return Switch()


def test_a_packet_teaches(switch):
    switch.flow(MAC_LEARNING)
    switch.packet(3, Ether(src=A, dst=B) / Dot1Q(vlan=5, prio=3) / IP(), real=False)
    assert switch.flows(1) == []
    switch.packet(3, Ether(src=A, dst=B) / Dot1Q(vlan=5, prio=3) / IP(), now=1000)
    assert switch.flows(1) == [
        f"vlan_tci=0x0005/0x0fff,dl_dst={A} load:0x3->NXM_NX_REG0[0..15],output:3"
    ]
    rule = switch.only(1)
    assert (rule.hard_timeout, rule.idle_timeout, rule.cookie, rule.created) == (10, 7, 9, 1000)
    assert switch.changed == [rule]
    # What is learned is there for what follows in the same packet.
    switch.packet(2, Ether(src=B, dst=B) / IP(), now=2000)
    assert switch.world.bridge.table(1).n_matched == 1


def test_megaflow_of_learn_matches_its_sources(switch):
    switch.flow("actions=learn(table=1,NXM_OF_ETH_DST[0..7]=NXM_OF_ETH_SRC[8..15])")
    mask = switch.packet(1).mask
    plain = Switch()
    plain.flow("actions=drop")
    before = plain.packet(1).mask
    assert [at for at, bits in enumerate(mask) if bits != before[at]] == [
        flow.MEMBERS["eth_src"][0] + 4
    ]


def test_refresh_and_expiry(switch):
    switch.flow(MAC_LEARNING)
    switch.packet(3, now=1000)
    switch.packet(3, now=8000)
    rule = switch.only(1)
    assert (rule.created, rule.modified) == (1000, 8000)
    switch.tables.expire(14999)
    assert switch.only(1) is rule
    switch.tables.expire(18000)
    assert switch.flows(1) == []


def test_what_moves_is_learned_anew_and_late_packets_are_not(switch):
    switch.flow(MAC_LEARNING)
    switch.packet(3, now=1000)
    generation = switch.world.bridge.generation.value
    switch.packet(3, now=1500)
    assert switch.world.bridge.generation.value == generation, "the same again changes nothing"
    switch.packet(2, now=2000)
    assert switch.flows(1)[0].endswith("output:2")
    assert switch.world.bridge.generation.value > generation
    switch.packet(3, now=1700)
    assert switch.flows(1)[0].endswith("output:2")
    assert switch.only(1).modified == 2000


def test_limit_and_result(switch):
    switch.flow(
        "actions=learn(table=1,limit=2,cookie=0x5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
        "result_dst=NXM_NX_REG1[3])"
    )
    at = flow.MEMBERS["reg1"][0] + 3
    results = []
    for last in (1, 2, 3, 1):
        final = switch.packet(1, Ether(src=f"00:00:00:00:00:0{last}") / IP()).final_key
        results.append(final[at])
    assert len(switch.flows(1)) == 2
    assert results == [8, 8, 0, 8]
    # As many as there may be with that cookie, whoever made them.
    switch.flow("table=1,cookie=0x5/-1,dl_dst=00:00:00:00:00:01", DELETE_STRICT)
    switch.packet(1, Ether(src="00:00:00:00:00:03") / IP())
    assert len(switch.flows(1)) == 2


def test_tables_have_a_bound(switch, monkeypatch):
    monkeypatch.setattr(learned, "MAX_LEARNED", 3)
    switch.flow("actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])")
    before = learned.FULL.count
    for last in range(9):
        switch.packet(1, Ether(src=f"00:00:00:00:00:0{last}") / IP())
    assert len(switch.flows(1)) == 3
    assert learned.FULL.count == before + 6


def test_delete_learned(switch):
    """With the last action of this table and cookie go its flows, and what these taught."""
    teach = "learn(table={},cookie={},delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"
    switch.flow("in_port=1,actions=" + teach.format(1, 5))
    switch.flow("in_port=2,actions=clone(" + teach.format(1, 5) + ")")
    switch.flow("table=1,cookie=5,tcp,actions=" + teach.format(2, 6))
    switch.flow("table=1,cookie=7,udp,actions=drop")
    switch.flow("table=2,cookie=6,udp,actions=drop")
    switch.packet(1)
    assert len(switch.flows(1)) == 3
    switch.flow("in_port=1", DELETE_STRICT)
    assert len(switch.flows(1)) == 3
    switch.flow("in_port=2,actions=drop", MODIFY_STRICT)
    assert switch.flows(1) == ["udp drop"]
    assert switch.flows(2) == []
    assert [why for _rule, why in switch.gone] == [OFPRR_DELETE] * 4


def test_replacing_the_teacher_keeps_what_was_learned(switch):
    text = "actions=learn(table=1,cookie=5,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"
    switch.flow(text)
    switch.packet(1)
    switch.flow(text + ",output:2")
    assert len(switch.flows(1)) == 1


def test_self_modifying_flow(switch):
    """A learned flow stands above the one that made it."""
    switch.flow(
        "actions=load:3->NXM_NX_REG0[0..15],learn(table=0,priority=65535,NXM_OF_ETH_SRC[],"
        "output:NXM_NX_REG0[0..15]),output:2"
    )
    assert switch.packet(1).actions != switch.packet(1).actions


def test_fin_timeout(switch):
    switch.flow(
        "tcp,actions=learn(table=1,idle_timeout=50,fin_idle_timeout=3,fin_hard_timeout=4,"
        "eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]),fin_timeout(idle_timeout=9),resubmit(,1)"
    )
    teacher = switch.only(0)
    switch.packet(1)
    rule = switch.only(1)
    assert (rule.idle_timeout, rule.hard_timeout, teacher.idle_timeout) == (50, 0, 0)
    switch.packet(1, Ether(src=A, dst=B) / IP() / TCP(flags=FIN | ACK))
    assert (rule.idle_timeout, rule.hard_timeout, teacher.idle_timeout) == (3, 4, 9)
    switch.packet(1, Ether(src=A, dst=B) / IP() / TCP(flags=RST), now=100)
    assert (rule.idle_timeout, rule.hard_timeout, teacher.idle_timeout) == (3, 4, 9)
    switch.tables.expire(4200)
    assert switch.flows(1) == []


def test_trace(switch):
    switch.flow(MAC_LEARNING)
    text = f"in_port=2,dl_src={A},dl_dst={B},dl_type=0x1234"
    assert " >> suppressing side effects, so learn action ignored" in trace_flow(
        switch.world.bridge, text
    )
    shown = trace_flow(switch.world.bridge, text, learn=True, now=9)
    assert (
        f"     -> table=1 vlan_tci=0x0000/0x0fff,dl_dst={A} priority=32768 cookie=0x9 "
        "idle=7 hard=10 actions=load:0x2->NXM_NX_REG0[0..15],output:2\n"
    ) in shown
    assert switch.only(1).created == 9
    assert switch.only(0).n_packets == 0


def test_journal(switch, tmp_path):
    log = FlowLog(str(tmp_path / "flows"), switch.tables)
    log.restore(0)
    log.cleared(b"s", 0)
    switch.tables.learned.changed = lambda rule: log.added(rule, 5)
    switch.flow(MAC_LEARNING)
    switch.packet(3)
    switch.packet(2)
    log.close()
    again = Switch()
    other = FlowLog(str(tmp_path / "flows"), again.tables)
    other.restore(0)
    assert again.flows(1) == switch.flows(1)
    assert again.only(1).program.signature() == switch.only(1).program.signature()
    other.close(delete=True)
