"""The control path: flow mods, dumps, packet-ins and packet-outs per second, memory per flow.

    python -m bench openflow [--flows N] [--dump N] [--seconds S] [--rounds N] [--only NAME]
                             [SWITCH...]

SWITCH: pyvs, ovs (Open vSwitch's userspace datapath, where it is installed).  The same client
speaks OpenFlow 1.3 to both, over the bridge's management socket.  Packets come in by a veth.
They are measured in turns; at the end stand the medians, and of the rounds' ratios, which a
machine that has other work to do spares, too.
"""

import argparse
import contextlib
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.harness.peers import OpenVSwitch, Pyvs
from ofproto.codec import messages as m
from ofproto.codec.hello import encode_hello
from ofproto.text import flow_text

OF13 = 4
BARRIER_REPLY, PACKET_IN = 21, 10
ETHERTYPE = b"\x88\xb5"  # for local experiments


class Connection:
    """A blocking connection; messages as bytes."""

    def __init__(self, path: str):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(120)
        self._input = b""
        self._at = 0
        self.read()
        self.sock.sendall(encode_hello({OF13}))
        self.barrier()

    def read(self) -> bytes:
        """The next message."""
        while True:
            rest = len(self._input) - self._at
            if rest >= 8:
                at = self._at
                length = int.from_bytes(self._input[at + 2 : at + 4], "big")
                if rest >= length:
                    self._at += length
                    return self._input[at : self._at]
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError("the switch closed the connection")
            self._input = self._input[self._at :] + data
            self._at = 0

    def barrier(self, stream: bytes = b"") -> float:
        """Send, and wait for the barrier behind it; returns the seconds."""
        begin = time.perf_counter()
        self.sock.sendall(stream + m.BarrierRequest().encode(OF13, 1))
        while (raw := self.read())[1] != BARRIER_REPLY:
            if raw[1] == 1:
                raise RuntimeError(f"the switch refuses: {m.decode(raw)}")
        return time.perf_counter() - begin

    def close(self) -> None:
        self.sock.close()


def mods(number: int, text: str, command: int = m.ADD) -> bytes:
    """FLOW_MODs with 0, 1, 2 ... in the place of the address 9.9.9.9."""
    mod = flow_text.parse_flow(text, command)
    raw = flow_text.encode_flow(mod, OF13)
    parts = raw.split(bytes([9, 9, 9, 9]))
    return b"".join(each.to_bytes(4, "big").join(parts) for each in range(number))


# No two of the flows do the same: a controller's seldom do.
ACTIONS = "set_field:9.9.9.9->nw_src,output:2"
FLOW = "priority=7,tcp,in_port=1,nw_src=10.0.0.0/8,nw_dst=9.9.9.9,tp_dst=80"


class Switch:
    """A running switch of bench.harness.peers; `rundir` has br0.mgmt."""

    def __init__(self, peer, rundir: str, pid_file: str):
        self.peer = peer
        self.rundir = rundir
        self._pid_file = os.path.join(rundir, pid_file)
        self.samples: dict[str, list[tuple[float, str, float]]] = {}  # value, unit, us of CPU each

    def connect(self) -> Connection:
        return Connection(os.path.join(self.rundir, "br0.mgmt"))

    @property
    def pid(self) -> int:
        with open(self._pid_file) as file:
            return int(file.read())

    def memory(self) -> int:
        """Resident bytes of the daemon."""
        with open(f"/proc/{self.pid}/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def cpu(self) -> float:
        """Seconds of processor time that the daemon has used."""
        return sum(
            int(Path(task, "schedstat").read_text().split()[0]) / 1e9
            for task in Path(f"/proc/{self.pid}/task").iterdir()
        )

    def show(self, what: str, value: float, unit: str, times: int = 0, cpu: float = 0) -> None:
        """A line; `times` things were done since cpu() was `cpu`."""
        each = (self.cpu() - cpu) / times * 1e6 if times else 0.0
        self.samples.setdefault(what, []).append((value, unit, each))
        told = f"   {each:7.1f} us of CPU each" if times else ""
        print(f"{self.peer.name:8} {what:32} {value:10,.0f}{unit:18}{told}", flush=True)


def flow_mods(switch: Switch, options: argparse.Namespace) -> None:
    number = options.flows
    connection = switch.connect()
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    for name, stream in (
        ("add", mods(number, f"{FLOW} actions=set_field:1->nw_ttl,{ACTIONS}")),
        ("replace", mods(number, f"{FLOW} actions={ACTIONS}")),
        ("modify strict", mods(number, FLOW + " actions=output:2", m.MODIFY_STRICT)),
        ("delete strict", mods(number, FLOW, m.DELETE_STRICT)),
    ):
        cpu = switch.cpu()
        seconds = connection.barrier(stream)
        switch.show(f"flow mods, {name}", number / seconds, "/s", number, cpu)
    connection.close()


def dump(switch: Switch, options: argparse.Namespace) -> None:
    number = options.dump
    connection = switch.connect()
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    before = switch.memory()
    connection.barrier(mods(number, f"{FLOW} actions={ACTIONS}"))
    switch.show("memory for one flow", (switch.memory() - before) / number, " bytes")
    cpu, begin = switch.cpu(), time.perf_counter()
    connection.sock.sendall(m.FlowStatsRequest().encode(OF13, 7))
    size = 0
    while True:
        raw = connection.read()
        size += len(raw)
        if not raw[11] & 1:
            break
    seconds = time.perf_counter() - begin
    switch.show(
        f"dump of {number} flows", seconds * 1000, f" ms ({size / 1e6:.1f} MB)", number, cpu
    )
    cpu = switch.cpu()
    seconds = connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    switch.show(f"deletion of {number} flows", seconds * 1000, " ms", number, cpu)
    connection.close()


def barriers(switch: Switch, options: argparse.Namespace) -> None:
    connection = switch.connect()
    times, cpu = [], switch.cpu()
    end = time.perf_counter() + options.seconds / 2
    while time.perf_counter() < end:
        times.append(connection.barrier())
    switch.show("barrier, round trip", statistics.median(times) * 1e6, " us", len(times), cpu)
    connection.close()


class Packets:
    """A raw socket in a container: what it sends comes in by the switch's first port."""

    def __init__(self, switch: Switch):
        namespace = os.open(f"/run/netns/{switch.peer.a}", os.O_RDONLY)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            os_setns(namespace)
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.sock.bind(("eth0", 0))
        finally:
            os_setns(own)
            os.close(namespace)
            os.close(own)

    def send(self, number: int) -> None:
        """A frame of a connection that was never seen."""
        source = b"\x02\1" + number.to_bytes(4, "big")
        self.sock.send(b"\x02\0\0\0\0\x63" + source + ETHERTYPE + bytes(50))


def os_setns(descriptor: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0):
        raise OSError(ctypes.get_errno(), "setns")


def ask_for_misses(switch: Switch) -> Connection:
    """A connection that gets the packets that no flow is for."""
    connection = switch.connect()
    connection.sock.sendall(m.SetConfig(0, 128).encode(OF13, 3))
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    flow = "priority=0 actions=CONTROLLER:128"
    connection.barrier(flow_text.encode_flow(flow_text.parse_flow(flow), OF13))
    time.sleep(0.5)
    return connection


def next_packet(connection: Connection) -> m.PacketIn:
    """The next PACKET_IN with one of our frames."""
    while True:
        raw = connection.read()
        if raw[1] == PACKET_IN:
            message = m.decode(raw)
            if message.packet[12:14] == ETHERTYPE:
                return message


def answer(connection: Connection, message: m.PacketIn, xid: int) -> None:
    actions = flow_text.parse_flow("actions=2").instructions[0].actions
    connection.sock.sendall(m.PacketOut(message.packet, message.in_port, actions).encode(OF13, xid))


def packet_ins(switch: Switch, options: argparse.Namespace) -> None:
    """cbench's question: how many packet-ins a controller can answer, one at a time and with so
    many under way."""
    for window in (1, 64):
        with contextlib.suppress(TimeoutError):
            _packet_ins(switch, options.seconds, window)


def _packet_ins(switch: Switch, seconds: float, window: int) -> None:
    connection = ask_for_misses(switch)
    packets = Packets(switch)
    sent = answered = 0
    cpu, begin = switch.cpu(), time.perf_counter()
    end = begin + seconds
    while time.perf_counter() < end:
        while sent - answered < window:
            packets.send(sent)
            sent += 1
        answer(connection, next_packet(connection), sent)
        answered += 1
    rate = answered / (time.perf_counter() - begin)
    switch.show(f"packet-in and -out, {window} at once", rate, "/s", answered, cpu)
    connection.close()
    packets.sock.close()


def packets_meanwhile(switch: Switch, options: argparse.Namespace) -> None:
    """While a controller writes all its flows, how long a packet takes to another one."""
    connection, packets = ask_for_misses(switch), Packets(switch)
    stream = mods(options.dump, f"{FLOW} actions={ACTIONS}")
    writer = multiprocessing.get_context("fork").Process(
        target=lambda: switch.connect().barrier(stream)
    )
    times: list[float] = []
    writer.start()
    while writer.is_alive():
        begin = time.perf_counter()
        packets.send(len(times))
        next_packet(connection)
        times.append(time.perf_counter() - begin)
        time.sleep(0.001)
    writer.join()
    times.sort()
    for name, at in (("half", 0.5), ("99 %", 0.99), ("all", 1)):
        took = times[min(int(len(times) * at), len(times) - 1)] * 1e6
        switch.show(f"packet-in during a sync, {name} in", took, " us")
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    connection.close()
    packets.sock.close()


def start(name: str) -> Switch:
    if name == "pyvs":
        peer = Pyvs("p")
        peer.start()
        return Switch(peer, os.environ.get("PYVS_RUNDIR", "/var/run/pyvs"), "pyvs-vswitchd.pid")
    peer = OpenVSwitch("o")
    peer.start()
    peer.sh(f"{peer.vsctl} set bridge br0 protocols=OpenFlow10,OpenFlow13")
    return Switch(peer, f"/run/{peer.name}", "ovs-vswitchd.pid")


# Which take a file of flows.
COMMANDS = {
    "add-flows": True,
    "--bundle replace-flows": True,
    "dump-flows": False,
    "del-flows": False,
}


def commands(switch: Switch, options: argparse.Namespace) -> None:
    """Open vSwitch's own client; what it takes itself is in the times of both."""
    if not shutil.which("ovs-ofctl"):
        return
    target = f"unix:{switch.rundir}/br0.mgmt"
    flow = f"{FLOW},actions={ACTIONS}\n".replace("9.9.9.9", "10.{0}.{1}.{2}")
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
        for number in range(2 * options.dump):
            file.write(flow.format(number >> 16, number >> 8 & 255, number & 255))
        file.flush()
        for command, takes_file in COMMANDS.items():
            words = ["ovs-ofctl", "-O", "OpenFlow13", *command.split(), target]
            words += [file.name] * takes_file
            cpu, begin = switch.cpu(), time.perf_counter()
            subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
            seconds = time.perf_counter() - begin
            switch.show(f"ovs-ofctl {command}", seconds * 1000, " ms", 2 * options.dump, cpu)


MEASURES = {
    each.__name__: each
    for each in (flow_mods, dump, barriers, packet_ins, packets_meanwhile, commands)
}


def compare(ours: Switch, theirs: Switch) -> None:
    """A line for each figure: medians, and how many times as fast we are."""
    for what, samples in ours.samples.items():
        pairs = list(zip(samples, theirs.samples.get(what, []), strict=False))
        if not pairs:
            continue
        is_rate = samples[0][1] == "/s"
        values = [[each[0] for each in side] for side in zip(*pairs, strict=True)]
        ratios = [a / b if is_rate else b / a for a, b in zip(*values, strict=True) if a and b]
        cpu = [statistics.median(each[2] for each in side) for side in zip(*pairs, strict=True)]
        told = f"   {cpu[0]:7.1f} us of CPU beside {cpu[1]:7.1f}" if cpu[0] else ""
        a, b = map(statistics.median, values)
        ratio = statistics.median(ratios) if ratios else 0
        print(f"{what:32} {a:10,.0f} beside {b:10,.0f}{samples[0][1]:18} {ratio:5.2f} x{told}")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench openflow", description=__doc__.splitlines()[0])
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--dump", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=MEASURES, action="append")
    parser.add_argument("switches", nargs="*", metavar="SWITCH")
    options = parser.parse_args(words)
    names = options.switches or ["pyvs", *(["ovs"] if shutil.which("ovs-vswitchd") else [])]
    switches = [start(name) for name in names]
    for _ in range(options.rounds):
        for name in options.only or MEASURES:
            for switch in switches:
                MEASURES[name](switch, options)
    if len(switches) == 2:
        compare(*switches)
