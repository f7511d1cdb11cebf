"""Extraction and lookup in memory: packets per second of one core, no port involved.

Bursts of 60-byte UDP frames run through flow_extract and the exact-match cache, or through
flow_extract and the megaflow table with 1, 10 and 50 subtables that all flows are spread over.
"""

import statistics
import struct
import time

from datapath.key import flow, key_text
from tests.native.classifier import Classifier

ROUNDS = 5
PACKETS = 2_000_000


def frames(count: int) -> list[bytes]:
    """UDP frames of that many flows; they differ in their destination address."""
    made = []
    for i in range(count):
        ethernet = bytes.fromhex("020000000002020000000001 0800")
        ip = struct.pack(
            "!BBHHHBBH4sI", 0x45, 0, 46, 0, 0, 64, 17, 0, b"\x0a\0\0\1", 0x0B000000 + i
        )
        made.append(ethernet + ip + struct.pack("!HHHH", 1000, 2000, 26, 0) + bytes(18))
    return made


def mask_of(number: int) -> bytes:
    """A mask as a rule on the destination address makes it, each with another bit."""
    text = (
        "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=0:0:0:0:0:0,dst=0:0:0:0:0:0),"
        "eth_type(0x0800),ipv4(dst=0.0.0.0,frag=no)"
    )
    mask = bytearray(key_text.parse_key(text)[1])
    offset, _ = flow.MEMBERS["tp_src"]
    mask[offset : offset + 2] = (number << 1).to_bytes(2, "big")
    return bytes(mask)


def classifier(found: list[bytes], subtables: int) -> Classifier:
    """All flows installed, spread evenly over subtables."""
    made = Classifier()
    masks = [mask_of(number) for number in range(subtables)]
    for i, frame in enumerate(found):
        made.insert(flow.extract(frame, in_port=1), masks[i % subtables])
    return made


def rate(made: Classifier, found: list[bytes], cached: bool) -> float:
    """Median of millions of packets per second."""
    rounds = max(PACKETS // len(found), 1)
    rates = []
    made.classify_frames(found, 1, cached)
    for _ in range(ROUNDS):
        start = time.thread_time()  # others may be busy
        hits = made.classify_frames(found, rounds, cached)
        rates.append(hits / (time.thread_time() - start) / 1e6)
        if hits != rounds * len(found):
            raise AssertionError("a flow was not found")
    return statistics.median(rates)


def main(words: list[str]) -> None:
    print(f"{'':38}{'Mpps':>8}")
    for count in (32, 1000, 8000):
        found = frames(count)
        made = classifier(found, 1)
        print(f"exact-match cache, {count:>5} flows{'':8}{rate(made, found, True):>12.1f}")
    for count in (8000, 400_000):
        found = frames(count)
        for subtables in (1, 10):
            for signatures in (False, True):
                made = classifier(found, subtables)
                made.tune(1, signatures)
                text = f"{count:>7} flows, {subtables:>2} subtables, smc {signatures}"
                print(f"{text:<38}{rate(made, found, True):>8.1f}", flush=True)
    for subtables in (1, 10, 50):
        found = frames(1000)
        made = classifier(found, subtables)
        text = f"megaflow table, {subtables:>2} subtables, 1000 flows"
        print(f"{text:<38}{rate(made, found, False):>8.1f}")


if __name__ == "__main__":
    main([])
