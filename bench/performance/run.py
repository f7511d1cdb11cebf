"""What docs/performance.md shows: python -m bench performance DIRECTORY [ROUNDS] [PEER ...].

pyvs with and without its kernel cache, Open vSwitch, the Linux bridge and a bare veth are measured
in alternating rounds in one run: rate, loss, latency, processor time.  Written are
performance.json, performance.md and, where matplotlib is installed, plots (page.py).  It
takes 7 minutes, of a machine that does nothing else.
"""

import json
import os
import platform
import re
import sys
import time
from pathlib import Path

from bench.harness.peers import ALL, Peer, sh
from bench.harness.traffic import mac, open_port, received, tcp
from bench.performance import page
from demo.lab import LabError, quiet
from pyvs.version import VERSION

PEERS = ("pyvs-kernel", "pyvs", "ovs", "ovs-xdp", "bridge", "wire")
ROUNDS = 9
MOST_SECONDS = 400  # then no further round begins
SECONDS = 2  # of a measure
PINGS = 150
FLOWS = 1000
KINDS = {"user": ("user", "nice"), "system": ("system",), "softirq": ("irq", "softirq")}
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")  # of proc(5)'s stat


def processor() -> dict[str, float]:
    """Seconds that all processors spent since the machine's start."""
    ticks = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    by_field = dict(zip(FIELDS, map(int, ticks), strict=False))
    hertz = os.sysconf("SC_CLK_TCK")
    return {kind: sum(by_field[each] for each in fields) / hertz for kind, fields in KINDS.items()}


class Cost:
    """Processor seconds of a piece of work, less what the machine takes when there is none."""

    def __init__(self) -> None:
        begin, start = time.monotonic(), processor()
        time.sleep(2)
        took = time.monotonic() - begin
        self.idle = {kind: (end - start[kind]) / took for kind, end in processor().items()}

    def of(self, work) -> tuple:
        """(what `work()` returns, seconds of each kind)."""
        begin, start = time.monotonic(), processor()
        result = work()
        took = time.monotonic() - begin
        used = {
            kind: max(end - start[kind] - self.idle[kind] * took, 0.0)
            for kind, end in processor().items()
        }
        return result, used


def measure_latency(peer: Peer, _cost: Cost) -> dict:
    """Of pings, one each 10 ms: percentiles of the round-trip time in ms, and loss in per cent."""
    output = sh(f"ip netns exec {peer.a} ping -c {PINGS} -i 0.01 -W 1 10.0.0.2 || true")
    times = sorted(float(each) for each in re.findall(r"time=([\d.]+)", output))
    if not times:
        return {"rtt_loss": 100.0}
    percentiles = {
        f"rtt_{n}": times[min(len(times) * n // 100, len(times) - 1)] for n in (50, 90, 99)
    }
    return {**percentiles, "rtt_loss": 100 * (1 - len(times) / PINGS)}


def measure_tcp(peer: Peer, cost: Cost) -> dict:
    """Gbit/s, and processor seconds for each gigabyte."""
    rate, used = cost.of(lambda: tcp(peer, SECONDS))
    if not rate:
        return {}
    gigabytes = rate * SECONDS / 8
    return {"tcp_rate": rate, **{f"tcp_{kind}": value / gigabytes for kind, value in used.items()}}


def measure_packets(peer: Peer, cost: Cost) -> dict:
    """Million packets a second that arrive, per cent lost, processor seconds for each million."""
    before = received(peer.b)
    command = (
        f"ip netns exec {peer.a} {sys.executable} -m bench.harness.generator eth0 {mac(peer.a)}"
        f" {mac(peer.b)} {FLOWS} {SECONDS}"
    )
    with open_port(peer.b):
        sent, used = cost.of(lambda: int(sh(command)))
    millions = (received(peer.b) - before) / 1e6
    if not millions:
        return {"udp_rate": 0.0, "udp_loss": 100.0}
    return {
        "udp_rate": millions / SECONDS,
        "udp_loss": max(100 * (1 - millions * 1e6 / sent), 0.0),
        **{f"udp_{kind}": value / millions for kind, value in used.items()},
    }


MEASURES = (measure_latency, measure_tcp, measure_packets)


def machine() -> dict[str, str]:
    """What a reader must know of where this was measured."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    ovs = quiet("ovs-vswitchd --version") if ALL["ovs"]("x").available() else None
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 2**20:.1f} GiB" if memory else "not known",
        "kernel": platform.release(),
        "pyvs": VERSION,
        "Open vSwitch": ovs.splitlines()[0].split()[-1] if ovs else "not installed",
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def started(names) -> tuple[list[Peer], dict[str, str]]:
    """The peers that work here, and why the others do not."""
    peers, absent = [], {}
    for name in names:
        peer = ALL[name](name[0] + name[-1])
        if not peer.available():
            absent[name] = "not installed"
            continue
        try:
            peer.start()
            peers.append(peer)
        except (LabError, RuntimeError) as error:
            absent[name] = str(error).strip().splitlines()[-1]
        print(f"{name}: {absent.get(name, 'ready')}", flush=True)
    return peers, absent


def run(names, rounds: int) -> dict:
    """All that the page is made of; `samples`: of each peer a dictionary for each round."""
    where = machine()
    peers, absent = started(names)
    cost = Cost()
    samples: dict[str, list] = {peer.name: [] for peer in peers}
    end = time.monotonic() + MOST_SECONDS
    for number in range(rounds):
        if time.monotonic() > end:
            break
        for peer in peers:
            samples[peer.name].append({})
        for measure in MEASURES:
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                samples[peer.name][-1].update(measure(peer, cost))
        print(f"round {number + 1} of {rounds}", flush=True)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "seconds": SECONDS,
        "machine": where,
        "idle": cost.idle,
        "absent": absent,
        "samples": samples,
    }


def main(words: list[str]) -> None:
    """`words`: a directory, how many rounds, names of peers."""
    rounds = next((int(word) for word in words if word.isdigit()), ROUNDS)
    names = [name for name in ALL if name in words] or PEERS
    places = [word for word in words if not word.isdigit() and word not in ALL]
    if len(places) != 1:
        sys.exit("performance: name the one directory that the results are written to")
    directory = Path(places[0])
    directory.mkdir(parents=True, exist_ok=True)
    made = run(names, rounds)
    (directory / page.DATA).write_text(json.dumps(made, indent=1) + "\n")
    page.write(directory)
    print((directory / page.PAGE).read_text())
