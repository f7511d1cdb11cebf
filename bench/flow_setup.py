"""Flow setup: packets that the datapath has no flow for yet, pyvs beside Open vSwitch.

A sender in one container, a receiver in the other.  Each frame has a destination of its own,
which floods: it needs an upcall, a translation and a new flow.  Measured in turns: the time of
a single first packet (with the idle switch that must wake up), how many a second arrive when a
window of them is always under way, and what a flow costs from its first packet until it is gone:
translation, installation, the looks at what it counted, and its removal when it is idle.
"""

import os
import socket
import statistics
import struct
import time

from pyroute2 import netns

from bench.harness.generator import Batch
from bench.harness.peers import ALL, Peer, cpu
from bench.harness.shown import show

ROUNDS = 5
FIRST_PACKETS = 100
WINDOW = 64
FRAME = 60  # bytes
A_SECOND = struct.pack("@ll", 1, 0)  # struct timeval
BURST = 6400
LIVES, BURSTS = 2, 4  # rounds of whole lives, and bursts in each
ALL_GONE = 14  # seconds after which the last flow, idle for 10, is gone
PEERS = ("pyvs", "ovs")
ETHERTYPE = 0x88B5  # for local experiments
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1


def raw_socket(container: str) -> socket.socket:
    """A socket on the container's eth0 that sees all frames of our Ethertype."""
    netns.pushns(container)
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        made.bind(("eth0", ETHERTYPE))
        promiscuous = struct.pack("iHH8s", socket.if_nametoindex("eth0"), PACKET_MR_PROMISC, 0, b"")
        made.setsockopt(263, PACKET_ADD_MEMBERSHIP, promiscuous)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, A_SECOND)
        return made
    finally:
        netns.popns()


class Traffic:
    """Frames from one container to the other, no two to the same station."""

    def __init__(self, peer: Peer) -> None:
        self.sender, self.receiver = raw_socket(peer.a), raw_socket(peer.b)
        self.pid_files = peer.pid_files
        self.number = 0
        self.lost = 0

        self._going = Batch([bytes(FRAME)] * (WINDOW // 2))
        self._come = Batch([bytes(FRAME)] * WINDOW)

    def _next_frame(self) -> bytes:
        self.number += 1
        dst = b"\x02\x00" + self.number.to_bytes(4, "big")
        src = b"\x02\xff\x00\x00\x00\x01"
        return dst + src + ETHERTYPE.to_bytes(2, "big") + bytes(FRAME - 14)

    def send(self) -> None:
        self.sender.send(self._next_frame())

    def receive(self) -> bool:
        try:
            return bool(self.receiver.recv(2048))
        except BlockingIOError:
            self.lost += 1
            return False

    def first_packet(self) -> dict[str, float]:
        """Microseconds from end to end, median, and of the switch's processor time."""
        before = cpu(self.pid_files)
        times = []
        for _ in range(FIRST_PACKETS):
            time.sleep(0.005)
            start = time.perf_counter()
            self.send()
            if self.receive():
                times.append(time.perf_counter() - start)
        return {
            "microseconds": statistics.median(times) * 1e6,
            "of processor time": (cpu(self.pid_files) - before) / FIRST_PACKETS * 1e6,
        }

    def per_second(self) -> dict[str, float]:
        """New flows a second with WINDOW under way; for a second of the switch's processor time.

        Half a window goes with a system call, so that the two ends, which share the processors
        with the switch, cost a few microseconds a flow.
        """
        before = cpu(self.pid_files)
        start = time.perf_counter()
        arrived = known = 0  # frames that came, and those that are known to have come or not
        sent = self._send_half() + self._send_half()
        while known < BURST:
            got = self._come.receive(self.receiver)
            arrived += got
            self.lost += 0 if got else sent - known
            known = known + got if got else sent
            while sent < BURST and sent - known <= WINDOW // 2:
                sent += self._send_half()
        rate = arrived / (time.perf_counter() - start)
        return {"flows/s": rate, "flows/s core": arrived / (cpu(self.pid_files) - before)}

    def _send_half(self) -> int:
        for buffer in self._going.buffers:
            buffer[:] = self._next_frame()
        return self._going.send(self.sender, 0, WINDOW // 2)

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


def whole_lives(traffic: dict[str, Traffic]) -> dict[str, list[dict[str, float]]]:
    """Microseconds of the switch's processor time for each flow, from the first packet till it is
    gone, less what the switch takes with no flows at all.  All peers wait together."""
    rows = {name: [] for name in traffic}
    time.sleep(ALL_GONE)
    start, before = time.monotonic(), {name: cpu(way.pid_files) for name, way in traffic.items()}
    time.sleep(3)
    took = time.monotonic() - start
    idle = {name: (cpu(way.pid_files) - before[name]) / took for name, way in traffic.items()}
    for _ in range(LIVES):
        start = time.monotonic()
        before = {name: cpu(way.pid_files) for name, way in traffic.items()}
        for _ in range(BURSTS):
            for way in traffic.values():
                way.per_second()
        time.sleep(ALL_GONE)
        took = time.monotonic() - start
        for name, way in traffic.items():
            used = cpu(way.pid_files) - before[name] - idle[name] * took
            rows[name].append({"microseconds": used / (BURSTS * BURST) * 1e6})
    return rows


def main(words: list[str]) -> None:
    """`words`: names of peers; none means pyvs and ovs."""
    peers = [ALL[name](name[0] + name[-1]) for name in words or PEERS]
    peers = [peer for peer in peers if peer.available()]
    for peer in peers:
        peer.start()
    traffic = {peer.name: Traffic(peer) for peer in peers}
    for title, measure in (
        ("first packet", Traffic.first_packet),
        (f"new flows, {WINDOW} under way", Traffic.per_second),
    ):
        rows = {name: [] for name in traffic}
        for _ in range(ROUNDS):
            for name, way in traffic.items():
                rows[name].append(measure(way))
        show(title, rows)
    show("a flow's whole life, of processor time", whole_lives(traffic))
    print("lost:", ", ".join(f"{name} {way.lost}" for name, way in traffic.items()))
    print(f"cores: {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    for way in traffic.values():
        way.close()
