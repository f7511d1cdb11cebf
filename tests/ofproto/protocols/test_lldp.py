"""LLDP and Auto Attach: bytes beside scapy's and Open vSwitch's, neighbours, what is none."""

import random

import pytest
from scapy.contrib import lldp as scapy_lldp
from scapy.layers.l2 import Ether

from ofproto.protocols import lldp
from ofproto.protocols.lldp import Agent, Settings

MAC = bytes.fromhex("96abae0fd425")
WITH_MAPPINGS = Settings(MAC, "ca", "sysname", "thedesc", ((3, 4), (70000, 200)))
# What Open vSwitch 3.1 sends for the same.
OVS = bytes.fromhex(
    "02070496abae0fd4250403056361060200780a077379736e616d650c0774686564657363"
    "0e0400040004fe3200040d0b"
    + "00" * 32 + "3800000096abae0fd42500000000fe2e00040d0c"
    + "00" * 32 + "000400000300c80111700000"
)  # fmt: skip


def peer(n, ttl=120):
    pdu = scapy_lldp.LLDPDUChassisID(subtype=4, id=f"02:00:00:00:00:{n:02x}")
    pdu /= scapy_lldp.LLDPDUPortID(subtype=5, id="eth0") / scapy_lldp.LLDPDUTimeToLive(ttl=ttl)
    pdu /= scapy_lldp.LLDPDUSystemName(system_name="peer") / scapy_lldp.LLDPDUEndOfLLDPDU()
    return bytes(Ether(src="02:00:00:00:00:09") / pdu)[14:]


def test_bytes_are_open_vswitchs_and_scapy_reads_them():
    assert lldp.compose(WITH_MAPPINGS) == OVS
    found = lldp.parse(OVS)
    assert (found.name, found.description, found.ttl) == ("sysname", "thedesc", 120)
    assert (found.element, found.system_id) == (14, MAC + bytes(4))
    assert found.assignments == ((3, 4, 0), (70000, 200, 0))
    frame = Ether(lldp.ADDRESS + MAC + b"\x88\xcc" + OVS)
    assert frame[scapy_lldp.LLDPDUSystemName].system_name == b"sysname"
    assert frame[scapy_lldp.LLDPDUPortID].id == b"ca"
    assert frame[scapy_lldp.LLDPDUTimeToLive].ttl == 120


def test_neighbours_come_and_go():
    agent = Agent(WITH_MAPPINGS, 0)
    assert agent.run(4999) is None and agent.run(5000) == OVS and agent.next_run() == 10_000
    agent.receive(peer(1), 6000)
    agent.receive(peer(1), 7000)
    agent.receive(peer(2, ttl=3), 7000)
    agent.receive(peer(3), 7000)
    agent.receive(peer(3, ttl=0), 7100)
    counts = agent.counts
    assert (counts.received, counts.inserts, counts.deletes) == (5, 3, 1)
    assert agent.next_run() == 10_000
    agent.run(10_000)
    assert [found.name for found, _ in agent.neighbors.values()] == ["peer"]
    assert counts.ageouts == 1
    for n in range(2, 200):
        agent.receive(peer(n), 11_000)
    assert len(agent.neighbors) == lldp.MAX_NEIGHBORS and counts.drops > 100


def test_what_a_server_answers():
    agent = Agent(WITH_MAPPINGS, 0)
    assert set(agent.statuses.values()) == {lldp.PENDING}
    at = OVS.index(bytes.fromhex("0004000003"))
    answer = OVS[:at] + bytes.fromhex("2004000003" + "30c8011170") + bytes(2)
    agent.receive(answer, 0)
    assert agent.statuses == {(3, 4): lldp.ACTIVE, (70000, 200): lldp.REJECTED}
    agent.run(0)
    assert agent.trunks == {4: True} and agent.changed
    agent.changed = False
    for _ in range(100):  # one that cannot make up its mind
        agent.receive(OVS, 1)
        assert set(agent.statuses.values()) == {lldp.UNDEFINED}  # as Open vSwitch beside another
        agent.run(1)
        agent.receive(answer, 1)
        agent.run(1)
    agent.receive(OVS, 1)
    agent.run(999)
    assert agent.trunks == {4: True} and not agent.changed
    assert agent.next_run() == lldp.TRUNKS_INTERVAL
    agent.run(1000)
    assert agent.trunks == {4: False} and agent.changed
    agent.configure(WITH_MAPPINGS._replace(mappings=((5, 6),)), 100)
    assert agent.statuses == {(5, 6): lldp.PENDING}
    assert agent.next_run() == 1100


@pytest.mark.parametrize("cut", [0, 1, 2, 9, len(OVS) - 1])
def test_what_is_no_lldp(cut):
    agent = Agent(WITH_MAPPINGS, 0)
    agent.receive(OVS[:cut], 0)
    assert agent.counts.discarded == 1 and not agent.neighbors


def test_no_bytes_break_it():
    rng = random.Random(7)
    agent = Agent(WITH_MAPPINGS, 0)
    for now in range(5000):
        octets = bytearray(OVS if rng.random() < 0.7 else peer(rng.randrange(99)))
        for _ in range(rng.randint(0, 6)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        agent.receive(bytes(octets[: rng.randint(0, len(octets))] if now % 3 else octets), now)
        agent.run(now)
    assert agent.counts.discarded > 500 and agent.counts.inserts > 10
    assert len(agent.neighbors) <= lldp.MAX_NEIGHBORS
    assert all(found.name.isprintable() for found, _ in agent.neighbors.values())


def test_a_frame_of_very_many_tlvs_is_discarded():
    """A jumbo frame has room for 4,000 of them, each of which takes time."""
    agent = Agent(WITH_MAPPINGS, 0)
    head = lldp.compose(agent.settings)[:-2]
    for n, is_taken in ((lldp.MAX_TLVS - 8, True), (lldp.MAX_TLVS - 7, False), (4000, False)):
        agent.neighbors.clear()
        agent.receive(head + b"\x0a\x00" * n + bytes(2), 0)
        assert bool(agent.neighbors) is is_taken
    assert agent.counts.discarded == 2
