"""The figures of `bench performance`: what is measured of which peer, and their medians."""

import statistics
from typing import NamedTuple

NAMES = {
    "pyvs-kernel": "pyvs",
    "pyvs": "pyvs, no kernel cache",
    "ovs": "Open vSwitch, AF_PACKET",
    "ovs-xdp": "Open vSwitch, AF_XDP",
    "bridge": "Linux bridge",
    "wire": "one veth, no switch",
}


class Figure(NamedTuple):
    title: str
    unit: str
    digits: int


FIGURES = {
    "tcp_rate": Figure("TCP, one stream", "Gbit/s", 2),
    "udp_rate": Figure("UDP, 60 bytes", "Mpps", 3),
    "udp_loss": Figure("UDP, lost", "%", 1),
    "rtt_50": Figure("RTT, median", "ms", 3),
    "rtt_90": Figure("RTT, 90 %", "ms", 3),
    "rtt_99": Figure("RTT, 99 %", "ms", 3),
    "rtt_loss": Figure("pings, lost", "%", 1),
}
KINDS = ("user", "system", "softirq")
COSTS = {
    "tcp": Figure("Processor seconds for a gigabyte of TCP", "s/GB", 3),
    "udp": Figure("Processor seconds for a million packets of 60 bytes", "s/M", 3),
}


class Results:
    """Medians of all rounds; ratios are medians of the rounds' own ratios."""

    def __init__(self, made: dict):
        self.made = made
        self.samples = made["samples"]
        for rows in self.samples.values():
            for row in rows:
                for what in COSTS:
                    parts = [row[f"{what}_{kind}"] for kind in KINDS if f"{what}_{kind}" in row]
                    if parts:
                        row[f"{what}_cost"] = sum(parts)

    def of(self, peer: str, key: str) -> float | None:
        found = [row[key] for row in self.samples.get(peer, ()) if key in row]
        return statistics.median(found) if found else None

    def ratio(self, key: str, peer: str, other: str) -> float | None:
        rows = zip(self.samples.get(peer, ()), self.samples.get(other, ()), strict=False)
        found = [one[key] / two[key] for one, two in rows if one.get(key) and two.get(key)]
        return statistics.median(found) if found else None

    @property
    def rounds(self) -> int:
        return max(map(len, self.samples.values()), default=0)
