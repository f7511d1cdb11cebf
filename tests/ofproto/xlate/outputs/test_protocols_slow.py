"""Packets of protocols that listen on ports: past the tables, to their receivers."""

import itertools
import time

import pytest
from scapy.all import IP, LLC, UDP, Dot1Q, Dot3, Ether, IPv6, Raw

from datapath.actions import odp
from datapath.actions.text import odp_text
from datapath.key import flow
from ofproto.flows import inbox
from ofproto.flows.flows import Flows
from ofproto.flows.upcall import UpcallHandler
from ofproto.rules.compile import compile_actions
from ofproto.xlate import trace
from ofproto.xlate.bridges.xbridge import connect_patch
from ofproto.xlate.translate import translate
from pyvs import coverage
from tests.ofproto.flows.test_xlate_flows import MISS, NOTHING, FakeDpif
from tests.ofproto.xlate_world import NORMAL, World, key_of, output

BITS = {"cfm": odp.CFM, "bfd": odp.BFD, "lacp": odp.LACP, "stp": odp.STP, "lldp": odp.LLDP}
PORT = 1
SRC, CCM, OTHER = "00:00:00:00:00:07", "01:80:c2:00:00:30", "00:00:00:00:00:08"
STP, LACP = "01:80:c2:00:00:00", "01:80:c2:00:00:02"


def ether(dst, kind=None):
    return Ether(src=SRC, dst=dst, **({} if kind is None else {"type": kind}))


def bfd(dst=OTHER, ip="10.0.0.1", port=3784, **more):
    return ether(dst) / IP(dst=ip, **more) / UDP(sport=50000, dport=port) / Raw(bytes(24))


BPDU = Dot3(src=SRC, dst=STP) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(35))
# What comes, and whose it is.
PACKETS = [
    (ether(LACP, 0x8809) / Raw(bytes(46)), "lacp"),
    (ether(LACP) / Dot1Q(vlan=5, type=0x8809) / Raw(bytes(46)), "lacp"),
    (BPDU, "stp"),
    (ether(STP, 0x1234) / Raw(bytes(46)), None),
    (ether(CCM, 0x8902) / Raw(bytes(80)), "cfm"),
    (ether(OTHER, 0x8902) / Raw(bytes(80)), None),
    (bfd(), "bfd"),
    (bfd(frag=5), None),
    (bfd(ip="10.0.0.2"), None),
    (bfd(port=3785), None),
    (bfd(port=3784 ^ 0x8000), None),
    (bfd(proto=6), None),
    (ether(OTHER) / IPv6() / UDP(dport=3784), None),
    (ether("01:80:c2:00:00:0e", 0x88CC) / Raw(bytes(46)), "lldp"),
]


def listen(port, receive=print):
    for name, bit in BITS.items():
        port.listen(bit, receive, **({"dst": bytes.fromhex(CCM.replace(":", ""))}
                                     if name == "cfm" else
                                     {"nw_dst": 0x0A000001} if name == "bfd" else {}))  # fmt: skip


@pytest.fixture
def world():
    made = World()
    made.any = made.rule([output(NORMAL)])
    return made


def test_each_protocol_gets_its_own_and_nothing_else(world):
    listen(world.ports[PORT])
    keys = {i: key_of(packet, PORT) for i, (packet, _) in enumerate(PACKETS)}
    for (i, key), (j, other) in itertools.product(keys.items(), repeat=2):
        found = translate(world.bridge, key)
        found_slow = odp_text.slow_paths(found.slow)
        assert found_slow == ([PACKETS[i][1]] if PACKETS[i][1] else []), PACKETS[i]
        assert bool(found.actions) == (not found_slow and i not in (3,)), PACKETS[i]
        if PACKETS[i][1] != PACKETS[j][1]:  # the bits that tell them apart are in the mask
            joined = int.from_bytes(found.mask, "big") & (
                int.from_bytes(key, "big") ^ int.from_bytes(other, "big")
            )
            assert joined, (PACKETS[i], PACKETS[j])
    assert not translate(world.bridge, key_of(PACKETS[0][0], 2)).slow


def test_who_stops_listening_gets_nothing(world):
    key = key_of(PACKETS[0][0], PORT)
    before = world.bridge.generation.value
    listen(world.ports[PORT])
    assert world.bridge.generation.value > before
    assert translate(world.bridge, key).slow
    before = world.bridge.generation.value
    world.ports[PORT].unlisten(odp.LACP)
    assert world.bridge.generation.value > before
    assert not translate(world.bridge, key).slow
    before = world.bridge.generation.value
    world.ports[PORT].unlisten(odp.LACP)
    world.ports[PORT].listen(odp.STP, repr)  # as before, but for whom
    assert world.bridge.generation.value == before
    with pytest.raises(ValueError):
        world.ports[PORT].listen(odp.CFM | odp.BFD, print)


def test_trace_and_text(world):
    listen(world.ports[PORT])
    text = trace.trace_flow(world.bridge, "in_port=1,dl_dst=01:80:c2:00:00:02,dl_type=0x8809")
    assert text.endswith(
        "Datapath actions: drop\n"
        "This flow is handled by the userspace slow path because it:\n"
        "  - Consists of LACP packets.\n"
    )
    assert " 0. priority 32768\n\nFinal flow" in text  # its actions do not run
    for shown in ("cfm", "bfd", "lacp", "stp", "lldp", "action", "cfm,stp"):
        actions = odp_text.parse_actions(f"userspace(pid=0,slow_path({shown}))")
        assert odp_text.format_actions(actions) == f"userspace(pid=0,slow_path({shown}))"
    with pytest.raises(ValueError):
        odp_text.parse_actions("userspace(pid=0,slow_path(ospf))")


class Switch:
    """Two bridges, joined by patch ports 9, on a datapath that is a dictionary."""

    def __init__(self):
        self.flows = Flows(FakeDpif())
        self.worlds = [World(name=name, generation=self.flows.generation) for name in ("a", "b")]
        for number, world in enumerate(self.worlds):
            world.add_port(9, odp="none")
            world.any = world.rule([output(NORMAL)])
            self.flows.add_bridge(world.bridge)
            for port in range(1, 5):
                self.flows.port_set(100 * number + port, world.ports[port])
        connect_patch(*(world.ports[9] for world in self.worlds))
        self.handler = UpcallHandler(self.flows)
        self.got = []

    def receive(self, where):
        return lambda packet, now: self.got.append((where, packet, now))

    def comes(self, packet, odp_port=1, now=5):
        data = bytes(packet)
        self.handler.upcall(MISS, flow.extract(data, odp_port)[: flow.KEY_DP_SIZE], data, now)
        return data

    def shown(self):
        return [odp_text.format_actions(ukey.actions) for ukey in self.flows.ukeys()]


def test_each_packet_is_received_once_and_counts_for_its_rule():
    switch = Switch()
    a = switch.worlds[0]
    listen(a.ports[1], switch.receive("a1"))
    sent = [switch.comes(PACKETS[0][0]) for _ in range(3)]
    assert switch.shown() == ["userspace(pid=0,slow_path(lacp))"]
    assert a.any.n_packets == 3
    assert not switch.got and switch.flows.inbox
    switch.flows.inbox.run(7)
    assert switch.got == [("a1", data, 7) for data in sent]
    assert not switch.flows.inbox


def test_behind_a_patch_port_the_peer_receives_and_the_rest_goes_on():
    switch = Switch()
    listen(switch.worlds[1].ports[9], switch.receive("b9"))
    switch.worlds[0].bridge.forward_bpdu = True
    data = switch.comes(BPDU)
    assert switch.shown() == ["userspace(pid=0,slow_path(stp))"]
    switch.flows.inbox.run(1)
    assert switch.got == [("b9", data, 1)]
    # What is sent out of the patch port, too.
    program = compile_actions([output(9)])
    switch.flows.packet_out(switch.worlds[0].bridge, data, 0xFFFF, NOTHING, program, 2)
    switch.flows.inbox.run(3)
    assert switch.got[1:] == [("b9", data, 3)]
    assert switch.worlds[0].ports[9].tx_packets == 2


def test_a_flood_is_bounded_and_others_have_their_turn(monkeypatch):
    bugs = []
    monkeypatch.setattr(inbox.containment, "caught", lambda *place: bugs.append(place))
    switch = Switch()
    a = switch.worlds[0]
    listen(a.ports[1], lambda packet, now: 1 / 0)
    listen(a.ports[2], switch.receive("a2"))
    lost = coverage.read("protocol_packet_lost")
    for _ in range(inbox.WAITING + 10):
        switch.comes(PACKETS[0][0])
    switch.comes(PACKETS[0][0], 2)
    assert coverage.read("protocol_packet_lost") == lost + 10
    while switch.flows.inbox:
        switch.flows.inbox.run(1)
    assert [where for where, _, _ in switch.got] == ["a2"]
    assert bugs == [("protocol", "p1")] * inbox.WAITING
    # A port that goes meanwhile receives nothing.
    switch.comes(PACKETS[0][0], 2)
    a.ports[2].unlisten(odp.LACP)
    switch.flows.inbox.run(1)
    assert len(switch.got) == 1 and not switch.flows.inbox


def test_a_round_is_short_whatever_the_protocols_do_with_the_packets():
    switch = Switch()

    def slow(packet, now):
        time.sleep(inbox.ROUND_SECONDS / 4)
        switch.got.append(packet)

    listen(switch.worlds[0].ports[1], slow)
    for _ in range(20):
        switch.comes(PACKETS[0][0])
    rounds = 0
    while switch.flows.inbox:
        switch.flows.inbox.run(1)
        rounds += 1
        assert len(switch.got) <= 4 * rounds
    assert len(switch.got) == 20
