"""Forwarding between two containers: round-trip time, TCP in Gbit/s, 60-byte UDP in Mpps.

"core" is what a second of processor time of the switch's processes forwards: Gbit, and millions.
It does not depend on what else the machine does.

The peers stand side by side in one set of namespaces and are measured in turns, so that the
machine's moods strike all of them; the medians and their ratios to Open vSwitch's and the Linux
bridge's are printed.
"""

from bench.harness.peers import ALL
from bench.harness.shown import show
from bench.harness.traffic import MEASURES

ROUNDS = 3


def main(words: list[str]) -> None:
    """`words`: names of peers and measures to take; none means all."""
    names = [name for name in ALL if name in words] or list(ALL)
    peers = [ALL[name](name[0] + name[-1]) for name in names]
    chosen = [name for name in MEASURES if name in words] or list(MEASURES)
    peers = [peer for peer in peers if peer.available()]
    for peer in peers:
        peer.start()
    for name in chosen:
        rows = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                rows[peer.name].append(MEASURES[name](peer))
        show(name, rows, ("ovs" if "ovs" in rows else "ovs-tso", "bridge"))
