"""How long a million connections that expire hold anything up.

    python -m bench ct_expiry [CONNECTIONS]

The table is filled by packets and swept in the largest pieces that the datapath's control thread
takes; after each piece goes a packet of a connection that lives on.  What is told is processor time
of one piece and of one packet, which other processes of the machine do not change.
"""

import os
import struct
import time

from bench.harness.shown import text
from datapath.actions.text import ct_text
from datapath.conntrack.connections import Connections
from datapath.conntrack.policies import DEFAULTS
from datapath.tracking import CT_MOST

COUNT = 1_000_000
PORTS = 50_000  # of one source address
MACS = bytes.fromhex("020000000002020000000001") + b"\x08\x00"
COMMIT = ct_text.parse_ct("commit")
LOOK = ct_text.parse_ct("")
START = 1_000_000  # ms


def udp(source: bytes, target: bytes, sport: int, dport: int) -> bytes:
    """A frame without checksums, which nobody looks at here."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, source, target)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return MACS + head + struct.pack("!HHHH", sport, dport, 8, 0)


def fill(table: Connections, count: int) -> None:
    target = bytes((10, 0, 0, 2))
    for number in range(count):
        source = struct.pack("!BBH", 10, 1, number // PORTS)
        table.track(udp(source, target, 1024 + number % PORTS, 9), COMMIT, START)


class Living:
    """A connection with packets in both directions."""

    def __init__(self, table: Connections):
        self.table = table
        here, there = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
        self.frames = udp(here, there, 5, 6), udp(there, here, 6, 5)
        self.table.track(self.frames[0], COMMIT, START)
        self.table.track(self.frames[1], LOOK, START)

    def packets(self, now: int) -> None:
        for frame in self.frames:
            _frame, told, lost = self.table.track(frame, LOOK, now)
            assert lost is None and not told["state"] & 1, (told, lost)  # not new


def timed(function, *arguments) -> float:
    """Milliseconds of this thread's processor time."""
    begin = time.thread_time_ns()
    function(*arguments)
    return (time.thread_time_ns() - begin) / 1e6


def expire(table: Connections, living: Living, now: int) -> tuple[list[float], list[float]]:
    """Sweep until the living connection is alone: ms of each piece, and of its packets."""
    pieces, packets = [], []
    while len(table) > 1:
        pieces.append(timed(table.sweep, CT_MOST, now))
        packets.append(timed(living.packets, now) / len(living.frames))
    return pieces, packets


def main(words: list[str]) -> None:
    count = int(words[0]) if words else COUNT
    table = Connections()
    table.limit = count + 1
    living = Living(table)
    fill(table, count)
    held = len(table)
    taken = os.fstat(table.fd).st_blocks * 512 / held
    later = START + (DEFAULTS["udp_single"] + 1) * 1000
    idle = sorted(timed(living.packets, START + 1000) / 2 for _ in range(1000))
    for now in range(START, later, 10_000):  # it has packets all the time
        living.packets(now)
    pieces, packets = expire(table, living, later)
    rows = {
        "connections": held,
        "bytes each": taken,
        "longest piece of the sweep, ms": max(pieces),
        "all pieces, ms": sum(pieces),
        "one packet before, p99, ms": idle[len(idle) * 99 // 100],
        "one packet meanwhile, longest, ms": max(packets),
    }
    for what, value in rows.items():
        print(f"  {what:36} {text(value):>12}")
