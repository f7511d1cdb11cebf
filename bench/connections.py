"""Connections through the switch that soon end: what the kernel cache takes for them, and saves.

A client in one container opens some a second, one after the other; each asks once, and a server
in the other answers and closes it.  Measured in turns: the time of one, the processor time that it
takes of the switch's processes, and of these with client and server (the kernel forwards in who
sends), and how often TCP got frames out of order, or sent again.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.harness.peers import ALL, Peer, cpu
from bench.harness.shown import show
from demo.lab import quiet, wait_for

ROUNDS, SECONDS = 5, 2
PORT = 8080
PEERS = ("pyvs", "pyvs-kernel")
REQUEST = 100  # bytes
LOADS = {"1 KB": (1000, 1000), "30 KB": (30_000, 1000), "1 MB": (1_000_000, 100)}  # bytes, a second
COUNTED = {"out of order": "TCPOFOQueue", "sent again": "RetransSegs"}  # of the kernel's TCP


def serve() -> None:
    """Answers each connection with as many bytes as it asks for, and closes it."""
    answer = bytes(max(size for size, _ in LOADS.values()))
    with socket.create_server(("10.0.0.2", PORT), backlog=1024) as listener:
        while True:
            with listener.accept()[0] as each:
                each.sendall(answer[: int(each.recv(REQUEST))])


def ask(size: int, rate: int) -> None:
    """Prints the median and the 90th percentile of the seconds that a connection took."""
    request = str(size).encode().ljust(REQUEST)
    buffer = bytearray(1 << 20)
    start = time.perf_counter()
    took = []
    for number in range(rate * SECONDS):
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        before = time.perf_counter()
        with socket.create_connection(("10.0.0.2", PORT)) as each:
            each.sendall(request)
            while each.recv_into(buffer):
                pass
        took.append(time.perf_counter() - before)
    took.sort()
    print(took[len(took) // 2], took[len(took) * 9 // 10])


def program(container: str, *words) -> list[str]:
    return ["ip", "netns", "exec", container, sys.executable, "-m", __spec__.name, *map(str, words)]


def counted(container: str) -> dict[str, int]:
    """The counters of a container's TCP: lines of names and of values in turns."""
    lines = quiet(f"ip netns exec {container} cat /proc/net/netstat /proc/net/snmp").splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found.update(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    return found


class Way:
    """A peer, and the server behind it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        peer.start()
        self.server = subprocess.Popen(program(peer.b, "serve"))
        self.server_pid = f"/run/{peer.name}-server.pid"
        Path(self.server_pid).write_text(str(self.server.pid))
        wait_for("the server", lambda: quiet(f"ip netns exec {peer.b} ss -Hltn sport = :{PORT}"))

    def tcp(self, name: str) -> int:
        return sum(counted(each)[name] for each in (self.peer.a, self.peer.b))

    def measure(self, size: int, rate: int) -> dict[str, float]:
        n = rate * SECONDS
        tcp = {title: self.tcp(name) for title, name in COUNTED.items()}
        switch, server = cpu(self.peer.pid_files), cpu((self.server_pid,))
        children = sum(os.times()[2:4])
        done = subprocess.run(
            program(self.peer.a, "ask", size, rate), check=True, capture_output=True
        )
        ends = cpu((self.server_pid,)) - server + sum(os.times()[2:4]) - children
        switch = cpu(self.peer.pid_files) - switch
        middle, slow = map(float, done.stdout.split())
        return {
            "median us": middle * 1e6,
            "90 % us": slow * 1e6,
            "switch us": switch / n * 1e6,
            "switch and ends us": (switch + ends) / n * 1e6,
            **{
                f"{title} of 1,000": (self.tcp(name) - tcp[title]) * 1000 / n
                for title, name in COUNTED.items()
            },
        }


def main(words: list[str]) -> None:
    """`words`: names of peers; none means pyvs without and with its kernel cache."""
    ways = {name: Way(ALL[name](name[0] + name[-1])) for name in words or PEERS}
    for title, load in LOADS.items():
        rows = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                rows[name].append(way.measure(*load))
        show(title, rows, (next(iter(ways)),))
    print(f"cores: {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    for way in ways.values():
        way.server.kill()


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*map(int, sys.argv[2:]))
