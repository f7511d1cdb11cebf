"""Flows, ports and entries of the kernel cache come and go; what the daemons hold stays."""

import random
import time
from typing import NamedTuple

from tests.daemons import DAEMONS, wait_until
from tests.datapath.wire import socket_in
from tests.soak.holdings import held

FLOWS = 500  # that a round adds and removes
CONVERSATIONS = 300  # entries of the kernel cache that a round makes
PACKETS = 12  # of each; the cache takes the fourth that comes to a worker
WARM_UP = 3  # rounds in which everything grows to its size
MEMORY = 1.10  # at the end, of what it was after the warm-up
MEMORY_FLOOR = 4096  # KiB that do not count


class Length(NamedTuple):
    """Of the churn: so many rounds, and at least so long."""

    rounds: int = 0
    seconds: float = 0

    def part(self, rounds, seconds):
        """How much of it is done, 1: all."""
        done = [self.rounds and rounds / self.rounds, self.seconds and seconds / self.seconds]
        return min((each for each, whole in zip(done, self, strict=True) if whole), default=1)


class Turnover:
    """On a switch with br0 and two containers, 10.0.0.1 and 10.0.0.2."""

    def __init__(self, switch, containers, seed):
        self.switch, self.containers = switch, containers
        self._random = random.Random(seed)
        self._flows = switch.directory / "turnover.flows"
        self.seen = []

    def _change_flows(self):
        lines = [
            f"table=7,priority={self._random.randrange(9, 999)},tcp,"
            f"nw_src=10.{n >> 8}.{n & 255}.0/24,tp_dst={self._random.randrange(65536)},actions=drop"
            for n in range(FLOWS)
        ]
        self._flows.write_text("\n".join(lines) + "\n")
        self.switch.ofctl("add-flows", "br0", str(self._flows))
        self.switch.ofctl("del-flows", "br0", "table=7")

    def _change_ports(self):
        run = self.switch.host.run
        run("ip", "link", "add", "churn0", "type", "veth", "peer", "name", "churn1")
        self.switch.vsctl("add-port", "br0", "churn0", "--", "add-port", "br0", "churn1")
        self.switch.vsctl("del-port", "churn0", "--", "del-port", "churn1")
        run("ip", "link", "delete", "churn0")
        inside = ("add-port", "br0", "within", "--", "set", "interface", "within", "type=internal")
        self.switch.vsctl(*inside)
        self.switch.vsctl("del-port", "within")

    def _converse(self):
        sock = socket_in(self.containers[0], 2, 2)
        with sock:
            for _ in range(PACKETS):
                for port in range(CONVERSATIONS):
                    sock.sendto(b"soak", ("10.0.0.2", 20000 + port))

    def round(self):
        for change in (self._change_flows, self._change_ports, self._converse):
            change()

    def run(self, length):
        """Iterator of (how much is done, holdings), one for each round after the warm-up."""
        for _ in range(WARM_UP):
            self.round()
        begin, part = time.monotonic(), 0
        while True:
            self.seen.append(held(self.switch))
            part = length.part(len(self.seen) - 1, time.monotonic() - begin)
            yield part, self.seen[-1]
            if part >= 1:
                return
            self.round()

    def judge(self):
        """Raises AssertionError when something grew."""
        first, last = self.seen[0], self.seen[-1]
        for name in DAEMONS:
            allowed = max(first.memory[name] * MEMORY, first.memory[name] + MEMORY_FLOOR)
            assert last.memory[name] <= allowed, f"{name}: {first.text()}\n{last.text()}"
        # A round may end between a link's end and vswitchd's notice of it.
        wait_until(lambda: self._same(first), 10, f"descriptors and maps of {first.text()}")

    def _same(self, first):
        now = held(self.switch)
        return now.descriptors == first.descriptors and len(now.bpf) == len(first.bpf)
