"""Packets out to bonds, and in from them."""

from collections import Counter

import pytest
from scapy.all import ARP, TCP, Dot1Q, Ether

from datapath.actions.text import odp_text
from datapath.key import flow
from ofproto.xlate.bridges.xbond import BOND_ACTIVE_BACKUP, BOND_SLB, BOND_TCP, XBond, bucket_of
from ofproto.xlate.bridges.xbridge import XBundle, connect_patch
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.translate import translate
from tests.ofproto.xlate.outputs.test_xlate_normal import BROADCAST, A, B, frame, run
from tests.ofproto.xlate_world import NORMAL, World, key_of, match, output

PORTS = (1, 2, 3)


class BondWorld(World):
    """Ports 1 to 3 are a bond's, 4 and 5 have bundles of their own, that of 5 comes last."""

    def __init__(self, mode, active=1, **more):
        super().__init__(5)
        for number in (*PORTS, 5):
            self.bridge.bundle_del(self.bundles[number])
        self.bundle = XBundle("bond0")
        self.bundle.set_vlan()
        self.bridge.bundle_set(self.bundle, [self.ports[number] for number in PORTS])
        self.bond = XBond()
        carriers = [self.ports[PORTS[i % len(PORTS)]] for i in range(256)]
        self.bond.set(mode, self.ports[active], carriers, **more)
        self.bridge.bond_set(self.bundle, self.bond)
        self.bridge.bundle_set(self.bundles[5], [self.ports[5]])
        self.rule([output(NORMAL)], priority=0)


def test_active_backup_uses_and_hears_one_member():
    world = BondWorld(BOND_ACTIVE_BACKUP, active=2)
    assert run(world, frame(A, B), 4) == "12,15"
    assert run(world, frame(B, A), 2, learn=True) == "14,15"
    assert run(world, frame(B, A), 1) == run(world, frame(B, BROADCAST), 3) == "drop"
    assert run(world, frame(A, B), 4) == "12"
    world.bond.set(BOND_ACTIVE_BACKUP, world.ports[3])
    assert run(world, frame(A, B), 4) == "13"  # what was learned is the bond's
    world.bond.set(BOND_ACTIVE_BACKUP, None)
    assert run(world, frame(A, B), 4) == "drop"


def test_stations_stay_behind_a_bond_that_lost_a_port():
    world = BondWorld(BOND_ACTIVE_BACKUP, active=2)
    run(world, frame(B, A), 2, learn=True)
    world.bond.set(BOND_ACTIVE_BACKUP, world.ports[3])
    world.bridge.port_del(world.ports[2])
    assert run(world, frame(A, B), 4) == "13"
    world.bridge.bundle_set(world.bundle, [world.ports[3]])
    assert run(world, frame(A, B), 4) == "13"
    world.bridge.port_del(world.ports[1])
    world.bridge.port_del(world.ports[3])
    assert run(world, frame(A, B), 4) == "15"  # flooded


def test_slb_goes_by_source_and_vlan():
    world = BondWorld(BOND_SLB, basis=7)
    seen = Counter()
    for i in range(64):
        source, vid = f"00:00:00:00:01:{i:02x}", i % 3
        bucket = bucket_of(bytes.fromhex(source.replace(":", "")), vid, 7)
        packet = frame(source, B, vid or None)
        taken = run(world, packet, 4, learn=True).replace("15", "").replace("14", "").strip(",")
        assert taken == str(11 + bucket % 3)
        seen[taken] += 1
        assert world.bond.loads()[bucket] >= len(packet)
    assert len(seen) == 3 and sum(world.bond.loads()) == 64 * len(frame()) + 4 * 42


def test_slb_hears_broadcasts_once():
    world = BondWorld(BOND_SLB)
    assert run(world, frame(B, BROADCAST), 1) == "14,15"
    assert run(world, frame(B, BROADCAST), 2) == "drop"
    assert run(world, frame(B, A), 2) == "14,15"  # the switch behind it may have flooded it
    world = BondWorld(BOND_SLB, all_members_active=True)
    assert run(world, frame(B, BROADCAST), 2) == "14,15"


def arp(source, op, spa="10.0.0.1", tpa="10.0.0.1"):
    return bytes(Ether(src=source, dst=BROADCAST) / ARP(op=op, hwsrc=source, psrc=spa, pdst=tpa))


def test_slb_does_not_hear_itself():
    world = BondWorld(BOND_SLB)
    run(world, frame(A, BROADCAST), 4, learn=True, now=1000)
    for packet in (frame(A, BROADCAST), frame(A, B), arp(A, 1, tpa="10.0.0.2")):
        assert run(world, packet, 1, now=2000) == "drop"
    # A station that has come to the other side says so ...
    for packet in (arp(A, 1), arp(A, 2, tpa="10.0.0.9")):
        assert run(world, packet, 1, now=2000) == "14,15"
    # ... but not at once after it has said so on this side: that comes back by the bond.
    run(world, arp(A, 1), 4, learn=True, now=3000)
    assert run(world, arp(A, 1), 1, now=7999) == "drop"
    assert run(world, arp(A, 1), 1, learn=True, now=8000) == "14,15"
    assert run(world, frame(B, A), 4, now=8000) == "11"


@pytest.mark.parametrize("tagged", [False, True])
def test_tcp_has_the_datapath_hash(tagged):
    world = BondWorld(BOND_TCP, basis=5)
    world.bundle.set_vlan(tag=None if tagged else 9)
    world.bundles[4].set_vlan(tag=9)
    world.bridge.bundle_del(world.bundles[5])
    recirc = RecircTable()
    packet = bytes(Ether(src=A, dst=B) / frame_ip())
    first = translate(world.bridge, key_of(packet, 4), recirc=recirc)
    push = "push_vlan(vid=9,pcp=0)," if tagged else ""
    (number,) = recirc.states
    assert odp_text.format_actions(first.actions) == f"{push}hash(l4(5)),recirc({number:#x})"
    seen = Counter()
    for bucket in range(256):
        key = with_hash(key_of(packet, 4), number, bucket | 0xABC00)
        again = translate(
            world.bridge, key, recirc=recirc, side_effects=True, packet_size=len(packet)
        )
        offset, size = flow.MEMBERS["dp_hash"]
        assert again.mask[offset : offset + size] == b"\0\0\0\xff"
        seen[odp_text.format_actions(again.actions)] += 1
    assert seen == {"11": 86, "12": 85, "13": 85}
    assert world.bond.loads() == [len(packet)] * 256


def frame_ip():
    from scapy.all import IP

    return IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2)


def with_hash(key, recirc_id, dp_hash):
    for name, value in (("recirc_id", recirc_id), ("dp_hash", dp_hash)):
        offset, size = flow.MEMBERS[name]
        key = key[:offset] + value.to_bytes(size, "big") + key[offset + size :]
    return key


def test_the_datapath_chooses():
    """One action for all flows, and members may fail without a change of it."""
    world = BondWorld(BOND_TCP, lb_id=9)
    packet = frame(A, B, None)
    assert run(world, packet, 4, learn=True) == "lb_output(9),15"
    world.bond.set(BOND_TCP, None, [None] * 256, lb_id=9)
    assert run(world, packet, 4) == "lb_output(9),15"
    world.bond.set(BOND_SLB, world.ports[1], [world.ports[1]] * 256)
    assert "lb_output" not in run(world, packet, 4)


def test_tcp_over_patch_ports_goes_by_source():
    """No port of the datapath is there to be chosen by its hash."""
    world = BondWorld(BOND_TCP, basis=7)
    other = World(1, "br1", world.bridge.generation)
    for number in PORTS:
        connect_patch(world.ports[number], other.add_port(20 + number, "none"))
        other.rule([output(30 + number)], match(in_port=20 + number))
        other.add_port(30 + number)
    taken = set()
    for i in range(16):
        source = f"00:00:00:00:01:{i:02x}"
        bucket = bucket_of(bytes.fromhex(source.replace(":", "")), 0, 7)
        actions = run(world, frame(source, B), 4)
        assert actions == f"{41 + bucket % 3},15"
        taken.add(actions)
    assert len(taken) == 3


def test_tcp_hears_all_members_and_not_itself():
    world = BondWorld(BOND_TCP)
    assert run(world, frame(B, BROADCAST), 1) == run(world, frame(B, A), 3) == "14,15"
    run(world, frame(A, B), 4, learn=True)
    assert run(world, frame(A, BROADCAST), 2) == "drop"


def test_a_tag_is_part_of_what_slb_hashes():
    world = BondWorld(BOND_SLB)
    taken = {run(world, bytes(Ether(src=A, dst=B) / Dot1Q(vlan=vid)), 4) for vid in range(1, 30)}
    assert len(taken) == 3
