"""Extraction and lookup in memory: packets per second of one core, no port involved.

Bursts of 60-byte UDP frames run through flow_extract and the exact-match cache, or through
flow_extract and the megaflow table with 1, 10 and 50 subtables that all flows are spread over.
"""

import statistics
import struct
import time

from datapath import flow
from datapath.emc import Classifier

ROUNDS = 5
PACKETS = 2_000_000


def frames(count: int) -> list[bytes]:
    """UDP frames of that many flows; they differ in their source address."""
    made = []
    for i in range(count):
        ethernet = bytes.fromhex("020000000002020000000001 0800")
        ip = struct.pack(
            "!BBHHHBBH4sI", 0x45, 0, 46, 0, 0, 64, 17, 0, b"\x0a\0\0\1", 0x0B000000 + i
        )
        made.append(ethernet + ip + struct.pack("!HHHH", 1000, 2000, 26, 0) + bytes(18))
    return made


def classifier(found: list[bytes], subtables: int) -> Classifier:
    """All flows installed; the masks differ in a bit that is zero in every frame."""
    made = Classifier()
    for i, frame in enumerate(found):
        key = flow.extract(frame, in_port=1)
        mask = bytearray(flow.wildcards_for(key))
        offset, _ = flow.MEMBERS["nd_target"]
        bit = i % subtables
        if bit:
            mask[offset + bit // 8] |= 1 << bit % 8
        made.insert(key, bytes(mask))
    return made


def rate(made: Classifier, found: list[bytes], cached: bool) -> float:
    """Median of millions of packets per second."""
    rounds = max(PACKETS // len(found), 1)
    rates = []
    made.classify_frames(found, 1, cached)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        hits = made.classify_frames(found, rounds, cached)
        rates.append(hits / (time.perf_counter() - start) / 1e6)
        if hits != rounds * len(found):
            raise AssertionError("a flow was not found")
    return statistics.median(rates)


def main(words: list[str]) -> None:
    print(f"{'':38}{'Mpps':>8}")
    for count in (32, 1000, 4000):
        found = frames(count)
        made = classifier(found, 1)
        print(f"exact-match cache, {count:>5} flows{'':8}{rate(made, found, True):>12.1f}")
    for subtables in (1, 10, 50):
        found = frames(1000)
        made = classifier(found, subtables)
        text = f"megaflow table, {subtables:>2} subtables, 1000 flows"
        print(f"{text:<38}{rate(made, found, False):>8.1f}")


if __name__ == "__main__":
    main([])
