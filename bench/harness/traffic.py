"""Traffic from one container of a peer to the other, and what of it arrives."""

import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys

from pyroute2 import netns

from bench.harness.peers import Peer, cpu, sh
from demo.lab import quiet, wait_for


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


UDP_PORT = 9  # that bench.harness.generator sends to


@contextlib.contextmanager
def open_port(container: str, port: int = UDP_PORT):
    """A UDP port that nobody reads: what comes ends in its full buffer, and no ICMP error answers.

    Of a closed one, the errors come back through the switch and are part of what is measured.
    """
    netns.pushns(container)
    try:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        netns.popns()
    with receiver:
        receiver.bind(("", port))
        yield


PACKET_SECONDS = 3


def packets(peer: Peer) -> float:
    """Million 60-byte UDP frames per second that reach the other container, 1,000 flows."""
    with open_port(peer.b):
        before = received(peer.b)
        sh(
            f"ip netns exec {peer.a} {sys.executable} -m bench.harness.generator eth0 {mac(peer.a)}"
            f" {mac(peer.b)} 1000 {PACKET_SECONDS}"
        )
        return (received(peer.b) - before) / PACKET_SECONDS / 1e6


def costing(name: str, measure, seconds: int):
    """`measure` as one that tells what a second of the switch's processor time forwards, too."""

    def measured(peer: Peer) -> dict[str, float | None]:
        before = cpu(peer.pid_files)
        rate = measure(peer)
        took = cpu(peer.pid_files) - before
        return {name: rate, f"{name} core": rate * seconds / took if rate and took else None}

    return measured


MEASURES = {
    "rtt": lambda peer: {"RTT ms": rtt(peer)},
    "tcp": costing("TCP", tcp, TCP_SECONDS),
    "packets": costing("UDP", packets, PACKET_SECONDS),
}
