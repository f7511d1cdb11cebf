"""Workers that meet the same connections from both sides at once, while these expire, are flushed
and dumped: the table stays whole, and no packet is told what cannot be."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from scapy.all import ICMP, IP, TCP, UDP, Ether

from datapath.actions.text import ct_text
from datapath.conntrack.connections import Connections
from tests.native import ct_threads

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
NEW, EST, REL, RPL, INV, TRK, SNAT, DNAT = (1 << i for i in range(8))
ROUNDS, STEP = 60_000, 5  # packets of each worker, ms from one to the next
ACTIONS = [
    ct_text.parse_ct(text)
    for text in (
        "",
        "nat",
        "commit",
        "commit,nat(src=192.0.2.1:5000-5003)",
        "commit,nat(src=192.0.2.1:5000-5003)",
        "force_commit,zone=1,mark=7,nat(dst=10.0.0.2)",
    )
]


def frames():
    """Of a few hosts, so that everybody meets everybody, and what a translated one is answered."""
    found = []
    for a, b in (("10.0.0.1", "10.0.0.2"), ("10.0.0.3", "10.0.0.2"), ("192.0.2.1", "10.0.0.2")):
        for port in (5000, 5001, 5002):
            for src, dst, sport, dport in ((a, b, port, 53), (b, a, 53, port)):
                ip = IP(src=src, dst=dst)
                found += [ip / UDP(sport=sport, dport=dport)]
                found += [
                    ip / TCP(sport=sport, dport=dport, flags=flags, seq=9, ack=9)
                    for flags in ("S", "SA", "A", "FA", "R")
                ]
    found.append(IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=5))
    found.append(IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(type=0, id=5))
    inner = IP(src="192.0.2.1", dst="10.0.0.2") / UDP(sport=5000, dport=53)
    found.append(IP(src="10.0.0.9", dst="192.0.2.1") / ICMP(type=3) / inner)
    return [bytes(ETHER / each) for each in found]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_the_control_thread(workers):
    table, packets, running = Connections(), frames(), True

    def control():
        turn = 0
        while running:
            turn += 1
            table.sweep(1000, 1000 + turn * 20 % (ROUNDS * STEP))
            table.dump(0, 1000, None, 1000)
            if turn % 50 == 0:
                table.flush(0, 1000, {"zone": turn // 50 % 2})
            if turn % 70 == 0:
                table.set_policy("x", {"udp_single": turn % 5 + 1})
        return turn

    with ThreadPoolExecutor(workers + 1) as pool:
        turns = pool.submit(control)
        workers_done = [
            pool.submit(ct_threads.hammer, table, packets, ACTIONS, ROUNDS, seed + 1, 1000, STEP)
            for seed in range(workers)
        ]
        try:
            told = [each.result() for each in workers_done]
        finally:
            running = False
        assert turns.result() > 0
    for states, lost in told:
        assert sum(states.values()) + lost == ROUNDS
        for state in states:
            assert state & TRK
            assert not state & INV or state & ~(SNAT | DNAT) == INV | TRK
            assert state & (NEW | EST) != NEW | EST
            assert not (state & NEW and state & RPL)
        assert {EST | TRK, EST | RPL | TRK, NEW | TRK, NEW | SNAT | TRK} <= states.keys()
    n = ct_threads.whole(table)
    assert n == len(table) and table.sweep(1 << 20, 1 << 50) == n
    assert ct_threads.whole(table) == 0
