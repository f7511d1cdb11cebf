"""Forwarding between two containers: round-trip time, TCP, and small packets per second.

The peers stand side by side in one set of namespaces and are measured in turns, so that the
machine's moods strike all of them; the medians and their ratios to Open vSwitch's and the Linux
bridge's are printed.
"""

import json
import re
import statistics
import subprocess
import sys

from bench.peers import ALL, Peer, sh
from demo.lab import quiet, wait_for

ROUNDS = 3


def rtt(peer: Peer) -> float:
    """Median round-trip time of 200 pings, in milliseconds."""
    output = sh(f"ip netns exec {peer.a} ping -c 200 -i 0.01 10.0.0.2")
    return statistics.median(float(time) for time in re.findall(r"time=([\d.]+)", output))


TCP_SECONDS = 3


def tcp(peer: Peer, seconds: int = TCP_SECONDS) -> float | None:
    """Gbit/s of one iperf3 stream with the containers' offloads left on; None: no connection."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", peer.b, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
    )
    try:
        listening = f"ip netns exec {peer.b} ss -Hltn sport = :5201"
        wait_for("iperf3", lambda: quiet(listening))
        output = quiet(
            f"timeout 12 ip netns exec {peer.a} iperf3 -c 10.0.0.2 -t {seconds} -J"
            " --connect-timeout 3000"
        )
        end = json.loads(output)["end"] if output else {}
        return end["sum_received"]["bits_per_second"] / 1e9 if "sum_received" in end else None
    finally:
        server.kill()
        server.wait()


def mac(container: str) -> str:
    return json.loads(sh(f"ip -j -n {container} link show eth0"))[0]["address"]


def received(container: str) -> int:
    link = json.loads(sh(f"ip -j -s -n {container} link show eth0"))[0]
    return link["stats64"]["rx"]["packets"]


def packets(peer: Peer) -> float:
    """Million 60-byte UDP frames per second that reach the other container, 1,000 flows."""
    before = received(peer.b)
    sh(
        f"ip netns exec {peer.a} {sys.executable} -m bench.generator eth0 {mac(peer.a)}"
        f" {mac(peer.b)} 1000 3"
    )
    return (received(peer.b) - before) / 3 / 1e6


MEASURES = {
    "rtt": ("RTT, median", "ms", rtt),
    "tcp": ("TCP, one stream", "Gbit/s", tcp),
    "packets": ("UDP, 60 bytes", "Mpps", packets),
}


def median(values: list) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def text(value: float | None) -> str:
    return "fails" if value is None else f"{value:.3f}"


def main(words: list[str]) -> None:
    """`words`: names of peers and measures to take; none means all."""
    peers = [cls(name[0] + name[-1]) for name, cls in ALL.items() if name in words or not words]
    if not any(word in ALL for word in words):
        peers = [cls(name[0] + name[-1]) for name, cls in ALL.items()]
    chosen = [name for name in MEASURES if name in words] or list(MEASURES)
    peers = [peer for peer in peers if peer.available()]
    for peer in peers:
        peer.start()
    for name in chosen:
        title, unit, measure = MEASURES[name]
        values = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                values[peer.name].append(measure(peer))
        medians = {peer: median(rows) for peer, rows in values.items()}
        print(f"{title} ({unit})")
        for peer, value in medians.items():
            rows = " ".join(text(row) for row in values[peer])
            ovs = medians.get("ovs") or medians.get("ovs-tso")
            ratios = [
                f"{value / base:.2f} x {name}" if value and base else ""
                for name, base in (("ovs", ovs), ("bridge", medians.get("bridge")))
            ]
            print(
                f"  {peer:11} {text(value):>8}  {ratios[0]:12} {ratios[1]:14} ({rows})", flush=True
            )
