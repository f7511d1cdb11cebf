"""Ukeys and revalidation, against a datapath that is a dict."""

import os
import random
from functools import partial
from types import SimpleNamespace

import pytest
from scapy.all import ARP, IP, TCP, Ether
from scapy.contrib.mpls import MPLS

from datapath.actions.text import odp_text
from datapath.ipc import protocol
from datapath.ipc.doorbell import make_doorbell
from datapath.ipc.dpif import DpifError
from datapath.ipc.flow_records import FlowRecords
from datapath.ipc.ring import Ring, create_memory
from datapath.ipc.upcall_rings import UpcallRings
from datapath.key import flow
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.flows.flows import Flows
from ofproto.flows.revalidator import Revalidator
from ofproto.flows.upcall import UpcallHandler
from ofproto.rules.compile import compile_actions
from ofproto.xlate.bridges.xbridge import NO_ODP_PORT
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from pyvs import coverage
from tests.native.recorder import Recorder
from tests.ofproto.xlate_world import (
    CONTROLLER,
    NORMAL,
    World,
    act,
    key_of,
    match,
    output,
    resubmit,
    set_field,
)

A, B, C = (f"00:00:00:00:00:{i:02x}" for i in (0xA, 0xB, 0xC))
BROADCAST = "ff:ff:ff:ff:ff:ff"
MISS, ACTION = 0, 1
USERSPACE_CONTROLLER = 2
NOTHING = Match().key_bytes


def record_of(found, actions_size=0):
    counters = found.packets, found.bytes, found.used, found.earlier_packets, found.earlier_bytes
    return protocol.FLOW.pack(found.ufid, *counters, found.tcp_flags, 0, actions_size)


class FakeDpif:
    """Keeps flows; `executed` has the packets of execute()."""

    def __init__(self):
        self.flows = {}
        self.executed = []
        self.fail = None

    def install(self, ukey):
        self.flows[ukey.ufid] = SimpleNamespace(
            ufid=ukey.ufid,
            key=bytes(a & b for a, b in zip(ukey.key, ukey.mask, strict=True)),
            mask=ukey.mask,
            actions=ukey.actions,
            packets=0,
            bytes=0,
            used=0,
            tcp_flags=0,
            earlier_packets=0,
            earlier_bytes=0,
        )

    def hit(self, ukey, packets, now, size=100):
        found = self.flows[ukey.ufid]
        found.packets += packets
        found.bytes += packets * size
        found.used = now

    def flow_dump(self, terse=False, since=0):
        for piece in self.flow_pieces(terse, since):
            yield from piece

    def flow_pieces(self, terse=False, since=0, keys=True):
        for found in list(self.flows.values()):
            actions = b"" if terse else found.actions
            data = record_of(found, len(actions))
            if keys and not terse:
                data += found.key + found.mask
            yield FlowRecords(data + actions + bytes(-len(actions) % 8), terse, keys)

    def flow_put(self, key, mask, actions, ufid=None):
        if self.fail:
            raise self.fail
        found = self.flows[ufid]
        found.actions = actions
        found.earlier_packets, found.earlier_bytes = found.packets, found.bytes
        return ufid

    def flow_del_many(self, ufids):
        gone = [record_of(self.flows.pop(ufid)) for ufid in ufids if ufid in self.flows]
        return FlowRecords(b"".join(gone), terse=True)

    def flow_flush(self):
        self.flows.clear()

    def execute_soon(self, packet, actions, in_port=0, packet_type=0, key=b""):
        return False

    def execute(self, packet, actions, in_port=0, **metadata):
        self.executed.append((packet, odp_text.format_actions(actions), in_port))


def is_for(ukey, key):
    """Whether the datapath would take this flow for a packet."""
    pairs = zip(key, ukey.mask, ukey.key, strict=False)
    return all((k ^ seen) & m == 0 for k, m, seen in pairs)


class Switch:
    """World, flows, revalidator and fake datapath together."""

    def __init__(self, n_ports=3, dpif=None):
        self.dpif = dpif or FakeDpif()
        self.flows = Flows(self.dpif)
        self.world = World(n_ports, generation=self.flows.generation)
        self.bridge = self.world.bridge
        self.flows.add_bridge(self.bridge)
        for port in self.world.ports.values():
            self.flows.port_set(port.odp_port, port)
        self.handler = UpcallHandler(self.flows)
        self.revalidator = Revalidator(self.flows)

    def packet(self, src, dst, in_port, now=1000):
        """One packet through datapath and upcall; the ukey of its flow."""
        packet = bytes(Ether(src=src, dst=dst) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP())
        ukey = self.miss(key_of(packet, in_port + 10), packet, now)
        if ukey is not None and ukey.ufid not in self.dpif.flows:
            self.dpif.install(ukey)
        return ukey

    def miss(self, key, packet, now):
        """An upcall for a packet without a flow; the ukey of its flow, or None."""
        self.handler.upcall(MISS, key, packet, now)
        fits = [ukey for ukey in self.flows.ukeys() if is_for(ukey, key)]
        assert len(fits) <= 1, "of flows that overlap none may be found first"
        return fits[0] if fits else None

    def deliver(self, key, packet, userdata):
        """An upcall of a packet that a flow sent to the controllers."""
        self.handler.upcall(ACTION, key, packet, 5, reason=USERSPACE_CONTROLLER, userdata=userdata)

    def settle(self, now):
        for _ in range(100):
            if not self.revalidator.run(now):
                return
        raise AssertionError("the revalidator finds no end")

    def actions(self, ukey):
        return odp_text.format_actions(self.dpif.flows[ukey.ufid].actions)


@pytest.fixture
def switch():
    made = Switch()
    made.rule = made.world.rule([output(NORMAL)], priority=0)
    return made


def test_statistics_reach_the_rule(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    assert (switch.rule.n_packets, switch.rule.n_bytes, switch.rule.used) == (1, 54, 1000)
    switch.dpif.hit(ukey, 10, 1400)
    switch.settle(1500)
    assert (switch.rule.n_packets, switch.rule.n_bytes, switch.rule.used) == (11, 1054, 1400)
    switch.settle(2000)
    assert switch.rule.n_packets == 11
    assert switch.bridge.table(0).n_matched == 11


def test_idle_flows_go(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    switch.dpif.hit(ukey, 1, 5000)
    switch.settle(11000)
    assert len(switch.flows) == 1
    switch.settle(15000)
    assert len(switch.flows) == 0 and not switch.dpif.flows


def test_each_flow_goes_when_it_is_idle(switch):
    """Whatever the rounds, uses and limits between: as if each flow were asked each time."""
    rng = random.Random(7)
    used, now, made = {}, 1000, 0
    for _ in range(150):
        now += rng.choice((100, 500, 700, 3000))
        for _ in range(rng.randrange(3)):
            made += 1
            ukey = switch.packet(A, f"02:00:00:00:{made >> 8:02x}:{made & 255:02x}", 1, now=now)
            used[ukey.ufid] = now
        for ukey in rng.sample(switch.flows.ukeys(), min(2, len(switch.flows))):
            hit = now - rng.randrange(90)
            switch.dpif.hit(ukey, 1, hit)
            used[ukey.ufid] = max(hit, used[ukey.ufid])
        switch.revalidator.max_idle = rng.choice((10000, 10000, 10000, 2000, 200000))
        switch.revalidator.sync(now)
        idle = switch.revalidator.max_idle
        used = {ufid: when for ufid, when in used.items() if now - when < idle}
        assert {ukey.ufid for ukey in switch.flows.ukeys()} == set(used) == set(switch.dpif.flows)


def test_last_packets_of_a_deleted_flow_are_counted(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    switch.settle(1000)
    switch.dpif.hit(ukey, 5, 1100)
    switch.bridge.port_del(switch.world.ports[1])
    switch.settle(1200)
    assert switch.rule.n_packets == 6 and not switch.dpif.flows


def test_a_new_rule_changes_the_flow(switch):
    ukey = switch.packet(A, B, 1)
    assert switch.actions(ukey) == "12,13"
    switch.world.rule([output(3)], match(in_port=1), priority=5)
    switch.bridge.touch()
    switch.settle(1001)
    assert switch.actions(ukey) == "13"


def test_a_narrower_match_deletes_the_flow(switch):
    switch.packet(A, B, 1)
    switch.world.rule([], match(eth_type=0x800, nw_proto=6, tcp_dst=22), priority=5)
    switch.bridge.touch()
    switch.settle(1001)
    assert not switch.dpif.flows and not len(switch.flows)


def test_nothing_to_do_is_said(switch):
    switch.packet(A, B, 1)
    switch.settle(1000)
    assert switch.revalidator.next_run(1100) == 400
    switch.bridge.touch()
    assert switch.revalidator.next_run(1100) == 0


def test_learning_turns_a_flood_into_one_output(switch):
    flood = switch.packet(A, B, 1)
    switch.settle(1000)
    checked = switch.revalidator.counts["checked"]
    others = [switch.packet(A, f"00:00:00:00:01:{i:02x}", 1) for i in range(20)]
    switch.packet(B, A, 2)
    assert switch.revalidator.next_run(1100) == 0
    switch.settle(1100)
    assert switch.actions(flood) == "12"
    assert switch.actions(others[0]) == "12,13"
    assert switch.revalidator.counts["checked"] - checked <= 4, "only the flows concerned"


HURRIED = 30


def mac(text):
    return int(text.replace(":", ""), 16)


def fresh_actions(switch, ukey):
    """What a packet of the flow would get now."""
    at, size = flow.MEMBERS["in_port"]
    port = int.from_bytes(ukey.key[at : at + size], "big") - 10
    key = ukey.key[:at] + port.to_bytes(size, "big") + ukey.key[at + size :]
    made = translate(switch.bridge, key.ljust(flow.KEY_SIZE, b"\0"), now=1001)
    return odp_text.format_actions(made.actions)


def test_in_a_hurry_only_flows_that_may_meet_a_changed_rule_are_checked(switch):
    """Whatever was rewritten on the way to the rule's table: packets say what they would get."""
    switch.world.rule([resubmit(2)], table=1)
    for number in range(HURRIED):
        to = f"00:00:00:00:02:{number:02x}"
        switch.world.rule([set_field("ip_dst", number), resubmit(1)], match(eth_dst=mac(to)), 9)
        switch.packet(A, to, 1)
    switch.settle(1000)
    ukeys, checked = list(switch.flows.ukeys()), switch.revalidator.counts["checked"]

    def hurry(rule):
        switch.bridge.touch_rule(rule)
        assert switch.revalidator.reached < switch.flows.generation.value
        switch.revalidator.hurry(1001)
        assert switch.revalidator.reached == switch.flows.generation.value
        n = switch.revalidator.counts["checked"] - checked
        for ukey in ukeys:  # before all are looked at: none is stale
            assert switch.actions(ukey) == fresh_actions(switch, ukey)
        return n

    # By what they came as: one.
    there = match(eth_dst=mac("00:00:00:00:02:07"))
    assert hurry(switch.world.rule([output(2)], there, 5, table=2)) == 1
    # None: no packet has this address; nor was anything looked up in that table.
    assert hurry(switch.world.rule([output(2)], match(eth_dst=mac(C)), 5, table=2)) == 1
    assert hurry(switch.world.rule([output(2)], table=3)) == 1
    # By what they became on the way: those of that word, which were all rewritten.
    became = match(eth_type=0x800, ip_dst=9)
    assert hurry(switch.world.rule([output(3)], became, 7, table=2)) == 1 + HURRIED


@pytest.mark.parametrize("in_use", [True, False])
def test_a_station_that_moved(switch, in_use):
    to_a = switch.packet(B, A, 2)
    from_a = switch.packet(A, B, 1)
    switch.settle(1000)
    assert switch.actions(to_a) == "11"
    if in_use:
        switch.dpif.hit(from_a, 1, 1020)
        switch.settle(2000)
    switch.dpif.hit(from_a, 3, 2050)
    switch.packet(A, BROADCAST, 3, now=2100)
    switch.settle(2100)
    assert switch.actions(to_a) == "13"
    # Gone, so that it is learned at once when it goes back; else with the counters.
    assert (from_a.ufid in switch.dpif.flows) == (not in_use)
    switch.settle(3000)
    # the packets counted late did not move it back
    assert switch.bridge.mac.find(0, bytes.fromhex("00000000000a")).bundle.name == "p3"


def test_entry_that_ages_floods_again(switch):
    switch.packet(A, BROADCAST, 1, now=1000)
    to_a = switch.packet(B, A, 2, now=299_000)
    switch.settle(299_000)
    assert switch.actions(to_a) == "11"
    switch.dpif.hit(to_a, 1, 301_900)
    switch.settle(302_000)
    assert switch.actions(to_a) == "11,13"


def test_traffic_keeps_an_entry(switch):
    flood = switch.packet(A, BROADCAST, 1, now=1000)
    for now in range(6000, 400_000, 6000):
        switch.dpif.hit(flood, 1, now)
        switch.settle(now)
    assert len(switch.bridge.mac) == 1


def test_flows_of_an_earlier_daemon_stay(switch):
    to_a = switch.packet(B, A, 2, now=1000)
    switch.packet(A, B, 1, now=1000)
    switch.settle(1000)
    before = {ufid: f.actions for ufid, f in switch.dpif.flows.items()}
    again = Switch(dpif=switch.dpif)
    again.world.rule([output(NORMAL)], priority=0)
    again.settle(20_000)
    assert len(again.flows) == 0 and {u: f.actions for u, f in again.dpif.flows.items()} == before
    again.revalidator.ready = True
    again.settle(20_500)
    assert len(again.flows) == 2 and {u: f.actions for u, f in again.dpif.flows.items()} == before
    assert again.actions(to_a) == "11", "learned from the other flow, not flooding"


def test_flows_that_the_new_configuration_does_not_want_go(switch):
    switch.packet(A, B, 1)
    again = Switch(dpif=switch.dpif)
    again.world.rule([output(2)], match(eth_type=0x800, nw_proto=6), priority=3)
    again.revalidator.ready = True
    again.settle(5000)
    assert not again.dpif.flows


def test_flows_that_the_datapath_lost_are_forgotten(switch):
    switch.packet(A, B, 1)
    switch.dpif.flows.clear()
    switch.settle(1500)
    switch.settle(9000)
    assert len(switch.flows) == 0


def test_a_dump_that_breaks_off_loses_nothing(switch):
    switch.packet(A, B, 1)
    switch.settle(1000)

    def broken(terse=False, since=0, keys=True):
        yield from ()
        raise ConnectionError

    whole, switch.dpif.flow_pieces = switch.dpif.flow_pieces, broken
    with pytest.raises(ConnectionError):
        switch.revalidator.run(8000)
    switch.dpif.flow_pieces = whole
    assert len(switch.flows) == 1
    switch.settle(8500)
    assert len(switch.flows) == 1 and switch.revalidator.counts["lost"] == 0


def test_a_datapath_that_refuses_a_change(switch):
    switch.packet(A, B, 1)
    switch.dpif.fail = DpifError(5, "no")
    switch.world.rule([output(3)], match(in_port=1), priority=5)
    switch.bridge.touch()
    switch.settle(1001)
    assert switch.revalidator.counts["dpif_errors"] == 1 and len(switch.flows) == 0


def test_packets_of_unknown_ports_are_counted(switch):
    packet = bytes(Ether() / ARP())
    assert switch.miss(key_of(packet, 99), packet, 0).actions == b""
    assert switch.flows.stats()["unknown_port"] == 1


def test_packet_in(switch):
    events = []
    switch.bridge.packet_in = events.append
    switch.world.rule([resubmit(3)], match(in_port=1), priority=9)
    switch.world.rule([output(CONTROLLER, 200)], table=3, cookie=0xABC, priority=4)
    packet = bytes(Ether(src=A, dst=B) / ARP())
    ukey = switch.miss(key_of(packet, 11), packet, 5)
    ((kind, _reason, userdata, frame, key),) = Recorder().run(packet, ukey.actions, in_port=11)
    assert kind == "userspace"
    switch.deliver(key, frame, userdata)
    (event,) = events
    assert (event.packet, event.reason, event.table_id) == (packet, 1, 3)
    assert (event.cookie, event.in_port) == (0xABC, 1)
    offset, size = flow.MEMBERS["in_port"]
    assert event.key[offset : offset + size] == b"\0\0\0\1" and len(event.key) == flow.KEY_SIZE


def test_table_miss_flow_says_so(switch):
    events = []
    switch.bridge.packet_in = events.append
    switch.bridge.table(0).remove(switch.rule)
    switch.world.rule([output(CONTROLLER)], priority=0)
    packet = bytes(Ether(src=A, dst=B) / ARP())
    ukey = switch.miss(key_of(packet, 11), packet, 5)
    ((_, _, userdata, frame, key),) = Recorder().run(packet, ukey.actions, in_port=11)
    switch.deliver(key, frame, userdata)
    assert events[0].reason == 0 and events[0].miss == "flow"


@pytest.mark.parametrize("userdata", [b"", b"\xff" * 24, b"\xff" * 7])
def test_userdata_that_nobody_knows_is_counted(switch, userdata):
    packet = bytes(Ether() / ARP())
    switch.deliver(key_of(packet, 11), packet, userdata)
    assert switch.flows.stats()["unknown_state"] == 1


def test_packet_out(switch):
    packet = bytes(Ether(src=A, dst=B) / ARP())
    switch.flows.packet_out(switch.bridge, packet, 1, NOTHING, compile_actions([output(NORMAL)]), 7)
    assert switch.dpif.executed == [(packet, "12,13", 11)]
    assert len(switch.bridge.mac) == 1
    program = compile_actions([output(0xFFF9)])  # TABLE
    switch.flows.packet_out(switch.bridge, packet, 0xFFFD, NOTHING, program, 8)
    assert switch.dpif.executed[1:] == [(packet, "11,12,13", 0)]
    assert switch.rule.n_packets == 1


def test_reconnect_forgets(switch):
    switch.packet(A, B, 1)
    switch.flows.set_dpif(None)
    assert len(switch.flows) == 0
    assert not switch.revalidator.run(5)


def test_many_flows_of_a_lost_datapath_are_forgotten_in_turns(switch):
    packet = bytes(Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP())
    for number in range(20_000):
        frame = bytes([2, 0]) + number.to_bytes(4, "big") + packet[6:]
        switch.handler.upcall(MISS, key_of(frame, 11), frame, 1000)
    ukeys = switch.flows.ukeys()
    assert switch.rule.n_flows == len(ukeys) == 20_000
    switch.flows.set_dpif(None)
    assert len(switch.flows) == 0 and switch.flows.forgetting
    turns = 1
    while switch.flows.forget_lost():
        turns += 1
        assert switch.rule.n_flows > 0
    assert turns > 2 and not switch.flows.forgetting
    assert switch.rule.n_flows == 0 and all(ukey.dead for ukey in ukeys)


def test_flows_sent_round_twice_are_taken_over(switch):
    """Each is known only after the one that sends to it; a dump has them in any order."""
    plan = [act("PopMpls", ethertype=0x800), act("DecTtl"), act("PushMpls", ethertype=0x8847)]
    plan += [output(2), act("PopMpls", ethertype=0x800), act("DecTtl"), output(3)]

    def rule(made):
        return made.world.rule(plan, match(eth_type=0x8847), 9)

    rule(switch)
    frame = bytes(Ether(src=A, dst=B) / MPLS(label=16, s=1, ttl=9) / IP(ttl=9) / TCP())
    key = key_of(frame, 11)
    while key is not None:
        ukey = switch.miss(key, frame, 1000)
        switch.dpif.install(ukey)
        events = Recorder().run(frame, ukey.actions, in_port=11)
        key, frame = next(((e[3], e[2]) for e in events if e[0] == "recirculate"), (None, frame))
    assert len(switch.dpif.flows) == 3
    for order in (list, lambda flows: list(reversed(flows))):
        switch.dpif.flows = dict(order(switch.dpif.flows.items()))
        before = dict(switch.dpif.flows)
        again = Switch(dpif=switch.dpif)
        rule(again)
        again.revalidator.ready = True
        again.settle(2000)
        assert again.dpif.flows == before and len(again.flows) == 3
        assert again.revalidator.counts["adopted"] == 3


class FullRing(UpcallRings, FakeDpif):
    """Takes changes by a ring, which has room for one or two of them; `drain()` makes room."""

    def __init__(self):
        FakeDpif.__init__(self)
        memories = [create_memory(4096) for _ in range(2)]
        bells = make_doorbell()
        self.new_rings(bells[0])
        self.add_rings([(0, None)], [*memories, bells[1]])
        self.reader = Ring(memories[1])
        for fd in (*memories, *bells):
            os.close(fd)

    def drain(self):
        while self.reader.pop() is not None:
            pass


def test_adopted_flows_count_though_their_change_waits(switch):
    """What they have counted is not forgotten while the ring is full."""
    for number in range(8):
        switch.packet(A, f"00:00:00:00:01:{number:02x}", 1)
    ring = FullRing()
    for found in switch.dpif.flows.values():
        found.packets, found.bytes, found.used = 5, 500, 1000
        found.actions = b""
        ring.flows[found.ufid] = found
    again = Switch(dpif=ring)
    rule = again.world.rule([output(NORMAL)], priority=0)
    again.revalidator.ready = True
    again.revalidator.run(2000)
    assert again.revalidator.counts["modified"] < 8
    for now in range(2000, 9000, 500):
        ring.drain()
        again.revalidator.run(now)
    assert again.revalidator.counts["modified"] >= 8
    assert rule.n_packets == 8 * 5


def test_each_run_is_a_bounded_piece(switch):
    for number in range(60):
        switch.packet(A, f"00:00:00:00:01:{number:02x}", 1)
    switch.revalidator.step = 10
    switch.revalidator.run(1000)
    switch.bridge.touch()
    for _ in range(5):
        before = switch.revalidator.counts["checked"]
        assert switch.revalidator.run(1000)
        assert switch.revalidator.counts["checked"] - before <= 10
    switch.settle(1000)
    assert switch.revalidator.counts["checked"] == 60


def test_a_gateway_that_moves_concerns_many_flows_a_few_at_a_time(switch):
    switch.packet(A, BROADCAST, 1)
    flows = [switch.packet(f"00:00:00:00:01:{number:02x}", A, 2) for number in range(60)]
    switch.settle(1000)
    assert {switch.actions(ukey) for ukey in flows} == {"11"}
    switch.packet(A, BROADCAST, 3, now=1100)
    switch.revalidator.step = 30  # 20 of which the deletion of A's own flow takes, when it is first
    switch.revalidator.run(1100)
    assert {switch.actions(ukey) for ukey in flows} == {"11", "13"}
    switch.settle(1100)
    assert {switch.actions(ukey) for ukey in flows} == {"13"}


def test_another_port_under_the_same_datapath_number(switch):
    """An interface that went and came back, perhaps in another bundle."""
    ukey = switch.packet(A, B, 1)
    to_a = switch.packet(B, A, 2)
    switch.settle(1000)
    assert switch.actions(to_a) == "11"
    old = switch.world.ports[1]
    switch.bridge.port_del(old)
    switch.flows.port_del(11)
    new = switch.world.add_port(7, odp="none", tag=5)
    switch.flows.port_set(11, new)
    switch.settle(1001)
    assert switch.actions(ukey) == "push_vlan(vid=5,pcp=0),12,13"
    assert switch.actions(to_a) == "13", "the station's port is gone: it floods"
    assert switch.packet(A, B, 1) is not None and switch.rule.n_packets == 3


def test_a_port_keeps_one_number(switch):
    port = switch.world.ports[1]
    switch.flows.port_set(40, port)
    assert switch.flows.port_get(11) is None and port.odp_port == 40
    switch.flows.port_set(40, switch.world.ports[2])
    assert port.odp_port == NO_ODP_PORT and switch.flows.port_get(12) is None


def test_dump_that_is_not_terse_repairs_actions(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    switch.dpif.flows[ukey.ufid].actions = b""
    for now in range(1000, 6000, 500):
        switch.dpif.hit(ukey, 1, now)
        switch.settle(now)
    assert switch.actions(ukey) == "12,13"


def test_foreign_flows_go(switch):
    """Somebody put a flow into the datapath by hand."""
    switch.revalidator.ready = True
    ukey = switch.packet(A, B, 1, now=1000)
    switch.settle(1000)
    stranger = SimpleNamespace(**vars(switch.dpif.flows[ukey.ufid]))
    stranger.ufid, stranger.actions = b"x" * 16, b""
    stranger.key = bytes(key_of(Ether() / ARP(), 12))[: flow.KEY_DP_SIZE]
    stranger.mask = b"\0" * flow.KEY_DP_SIZE
    switch.dpif.flows[stranger.ufid] = stranger
    switch.settle(1500)
    switch.settle(2000)
    assert stranger.ufid not in switch.dpif.flows and ukey.ufid in switch.dpif.flows


def test_packets_belong_to_the_rules_that_they_matched(switch):
    """A rule takes another's place: what the datapath had counted is the old one's, what it
    counts from then on the new one's, whether their actions differ or not."""
    for actions in ([output(NORMAL)], [output(3)]):
        switch = Switch()
        old = switch.world.rule([output(NORMAL)], priority=0)
        ukey = switch.packet(A, B, 1, now=1000)
        switch.settle(1000)
        switch.dpif.hit(ukey, 5, 1040)
        new = switch.world.rule(actions, match(in_port=1), priority=5)
        switch.bridge.touch()
        switch.revalidator.run(1050)
        switch.dpif.hit(ukey, 7, 1060)
        assert old.n_flows == 1 and new.n_flows == 1
        wanted = switch.revalidator.collect()
        switch.settle(1200)
        assert switch.revalidator.collected >= wanted
        assert (old.n_packets, new.n_packets) == (6, 7)
        assert (old.n_bytes, new.n_bytes) == (554, 700)
        assert old.n_flows == 0 and new.n_flows == 1


def test_counters_are_collected_when_asked_for(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    switch.settle(1000)
    switch.dpif.hit(ukey, 5, 1010)
    switch.settle(1020)
    assert switch.rule.n_packets == 1, "no round is due"
    rounds = switch.revalidator.counts["rounds"]
    wanted = {switch.revalidator.collect() for _ in range(10)}
    switch.settle(1020)
    assert switch.rule.n_packets == 6
    assert wanted == {switch.revalidator.collected}
    assert switch.revalidator.counts["rounds"] == rounds + 1, "one for all who ask"


def test_what_a_forgotten_flow_counted_is_collected_too(switch):
    """One that did not fit into all workers' rings is not known here until a whole round."""
    switch.revalidator.ready = True
    ukey = switch.packet(A, B, 1)
    switch.settle(1000)
    whole = switch.dpif.flows[ukey.ufid]
    switch.revalidator.run(1100)
    switch.flows.flush()
    switch.dpif.flows[ukey.ufid] = whole
    switch.dpif.hit(ukey, 9, 1150)
    ticket = switch.revalidator.collect()
    for now in range(1160, 1200):
        switch.revalidator.run(now)
        if switch.revalidator.collected >= ticket:
            break
    assert len(switch.flows) == 1 and switch.flows.ukeys()[0].packets == 9


def test_several_who_wait_for_all_flows_keep_nobody_from_it(switch):
    """A round is of four turns here; who comes meanwhile does not have it begin anew."""
    switch.revalidator.ready = True
    flows = [switch.packet(A, f"00:00:00:00:04:{number:02x}", 1) for number in range(4)]
    switch.settle(1000)
    switch.revalidator.step = 1
    for ukey in flows:
        switch.dpif.hit(ukey, 7, 1050)
    waiting = []
    for now in range(2000, 2100):
        waiting.append(switch.revalidator.sync_pieces(partial(int, now)))
        ended = [next(each, "over") == "over" for each in waiting]
        if any(ended):
            break
    assert [ukey.packets for ukey in flows] == [7] * 4 and len(waiting) < 20


def test_a_round_that_takes_long_forgets_no_new_flow(switch):
    for number in range(40):
        switch.packet(A, f"00:00:00:00:01:{number:02x}", 1, now=1000)
    switch.settle(1000)
    switch.revalidator.step = 1
    switch.revalidator.run(6000)  # a whole round begins
    late = switch.packet(C, B, 2, now=6100)
    del switch.dpif.flows[late.ufid]  # its installation is on the way
    for now in range(6200, 12_000, 100):
        switch.revalidator.run(now)
    assert not late.dead and switch.revalidator.counts["lost"] == 0


def test_what_flows_counted_before_a_restart_is_their_rules(switch):
    ukey = switch.packet(A, B, 1, now=1000)
    switch.dpif.hit(ukey, 5, 1100)
    again = Switch(dpif=switch.dpif)
    rule = again.world.rule([output(NORMAL)], priority=0)
    again.revalidator.ready = True
    again.settle(2000)
    assert rule.n_packets == 5
    again.flows.set_dpif(again.dpif)  # a connection that broke and came back
    again.revalidator.reset()
    again.dpif.hit(ukey, 2, 2100)
    again.settle(3000)
    assert rule.n_packets == 7


def test_many_that_do_not_come_back_are_forgotten_piece_by_piece(switch):
    for number in range(200):
        ukey = switch.packet(A, f"00:00:00:00:03:{number:02x}", 1)
        switch.dpif.hit(ukey, 5, 1000)
    switch.settle(2000)
    lost, before = dict(switch.dpif.flows), switch.rule.n_packets
    switch.dpif.flows.clear()
    switch.flows.set_dpif(switch.dpif)
    switch.revalidator.reset()
    assert list(switch.revalidator.steps(True, True)) == [1, 1, 1]
    switch.revalidator.ready = True
    switch.dpif.flows.update(lost)  # counted again: nobody knows any more that they were
    switch.settle(3000)
    assert switch.rule.n_packets == before + 5 * 200


def test_a_fault_costs_one_packet_or_flow(switch):
    """Whatever goes wrong in a translation is contained, and the others are served."""
    before = coverage.read("fault_contained") or 0
    ukey = switch.packet(A, B, 1)
    other = switch.packet(B, A, 2)
    broken = switch.world.rule([act("Meter", meter=5)], match(in_port=1), priority=5)
    switch.bridge.meters[5] = "no number"
    switch.bridge.touch()
    switch.settle(1001)
    assert coverage.read("fault_contained") > before
    assert ukey.dead and not other.dead and broken.n_flows == 0


def test_a_table_that_moves_all_the_time(switch):
    """More changes of MAC entries than anybody looks at: all flows are checked instead."""
    flows = [switch.packet(A, f"00:00:00:00:02:{number:02x}", 1) for number in range(100)]
    switch.settle(1000)
    for number in range(1000):
        for port in (1, 2):
            mac = bytes.fromhex("00000000000a")
            switch.bridge.mac.add(0, mac, switch.world.bundles[port], 1001 + number)
    assert switch.bridge.mac.too_many
    checked = switch.revalidator.counts["checked"]
    switch.settle(2500)
    assert switch.revalidator.counts["checked"] - checked <= 2 * len(flows)


def test_a_flood_of_one_port_leaves_room_for_the_others(switch):
    switch.flows.flow_limit = 20
    for number in range(200):
        switch.packet(f"00:00:00:00:{number >> 8:02x}:{number & 255:02x}", B, 1)
    assert len(switch.flows) == 20
    assert switch.packet(C, B, 2).ufid in switch.dpif.flows
    for number in range(200):
        switch.packet(f"00:00:00:01:{number >> 8:02x}:{number & 255:02x}", B, 2)
    assert len(switch.flows) < 40


def test_who_is_left_of_a_crowd_goes_in_time(switch):
    """Of a crowd some are deleted at once, and those that are left wait as long as usual."""
    for number in range(400):
        switch.packet(A, f"00:00:00:00:{number >> 8:02x}:{number & 255:02x}", 1 + number % 3, 1000)
    switch.settle(1000)
    assert len(switch.flows) == 400
    switch.flows.flow_limit = 200
    switch.revalidator.step = 10  # few are deleted before there is no crowd any more
    for now in range(9_000, 10_900, 10):
        switch.revalidator.run(now)
    assert 0 < len(switch.flows) <= 200
    for now in range(11_000, 14_000, 10):
        switch.revalidator.run(now)
    assert not len(switch.flows)


def test_no_more_flows_than_a_second_goes_through(switch):
    """As Open vSwitch's flow limit: shrunk by rounds that take long, grown by quick ones."""
    for number in range(5):
        switch.packet(A, f"00:00:00:00:01:{number:02x}", 1)
    switch.settle(1000)
    switch.revalidator.max_idle = 1 << 40
    switch.revalidator.step = 1
    for now in range(10_000, 100_000, 1000):
        switch.revalidator.run(now)
    small = switch.flows.flow_limit
    assert small < switch.flows.max_flows
    switch.revalidator.step = 500
    for now in range(150_000, 160_000, 500):
        switch.settle(now)
    assert small < switch.flows.flow_limit <= switch.flows.max_flows


def test_states_have_a_bound():
    """Registers are part of a state: packets can make as many as there are addresses."""
    world = World(2)
    move_to_register = act(
        "RegMove",
        src=BY_NAME["eth_src"],
        dst=BY_NAME["xreg0"],
        src_start=0,
        dst_start=0,
        n_bits=48,
    )
    world.rule([move_to_register, output(CONTROLLER)])
    table = RecircTable()
    key = bytearray(key_of(bytes(Ether(src=A, dst=B) / ARP()), 1))
    at, _ = flow.MEMBERS["eth_src"]
    for number in range(70_000):
        key[at + 2 : at + 6] = number.to_bytes(4, "big")
        assert translate(world.bridge, bytes(key), recirc=table).error is None
    assert len(table) == 65536
