"""The control path: flow mods, dumps, packet-ins and packet-outs per second, memory per flow.

    python -m bench openflow [--flows N] [--dump N] [--seconds S] [SWITCH...]

SWITCH: pyvs, ovs (Open vSwitch's userspace datapath, where it is installed).  The same client
speaks OpenFlow 1.3 to both, over the bridge's management socket.  Packets come in by a veth.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import time

from bench.peers import OpenVSwitch, Pyvs
from ofproto.codec import messages as m
from ofproto.codec.hello import encode_hello
from ofproto.text import flow_text

OF13 = 4
BARRIER_REPLY, PACKET_IN, PACKET_OUT = 21, 10, 13


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
    before, after = raw.split(bytes([9, 9, 9, 9]))
    return b"".join(before + each.to_bytes(4, "big") + after for each in range(number))


FLOW = "priority=7,tcp,in_port=1,nw_src=10.0.0.0/8,nw_dst=9.9.9.9,tp_dst=80"


class Switch:
    """A running switch of bench.peers; `rundir` has br0.mgmt."""

    def __init__(self, peer, rundir: str, pid_file: str):
        self.peer = peer
        self.rundir = rundir
        self._pid_file = os.path.join(rundir, pid_file)

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
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def show(self, what: str, value: float, unit: str, times: int = 0, cpu: float = 0) -> None:
        """A line; `times` things were done since cpu() was `cpu`."""
        each = f"   {(self.cpu() - cpu) / times * 1e6:7.1f} us of CPU each" if times else ""
        print(f"{self.peer.name:8} {what:32} {value:10,.0f}{unit:18}{each}", flush=True)


def flow_mods(switch: Switch, number: int) -> None:
    connection = switch.connect()
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    for name, stream in (
        ("add", mods(number, FLOW + " actions=set_field:1->nw_ttl,output:2")),
        ("replace", mods(number, FLOW + " actions=output:1")),
        ("modify strict", mods(number, FLOW + " actions=output:2", m.MODIFY_STRICT)),
        ("delete strict", mods(number, FLOW, m.DELETE_STRICT)),
    ):
        cpu = switch.cpu()
        seconds = connection.barrier(stream)
        switch.show(f"flow mods, {name}", number / seconds, "/s", number, cpu)
    connection.close()


def dump(switch: Switch, number: int) -> None:
    connection = switch.connect()
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    before = switch.memory()
    connection.barrier(mods(number, FLOW + " actions=output:2"))
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


def barriers(switch: Switch, seconds: float) -> None:
    connection = switch.connect()
    times, cpu = [], switch.cpu()
    end = time.perf_counter() + seconds
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
        self.sock.send(b"\x02\0\0\0\0\x63" + source + b"\x88\xb5" + bytes(50))


def os_setns(descriptor: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0):
        raise OSError(ctypes.get_errno(), "setns")


def packet_ins(switch: Switch, seconds: float, window: int) -> None:
    """cbench's question: how many packet-ins a controller can answer, `window` under way."""
    connection = switch.connect()
    connection.sock.sendall(m.SetConfig(0, 128).encode(OF13, 3))
    connection.barrier(m.FlowMod(m.DELETE).encode(OF13))
    flow = "priority=0 actions=CONTROLLER:128"
    connection.barrier(flow_text.encode_flow(flow_text.parse_flow(flow), OF13))
    time.sleep(0.5)
    packets = Packets(switch)
    sent = answered = 0
    cpu, begin = switch.cpu(), time.perf_counter()
    end = begin + seconds
    while time.perf_counter() < end:
        while sent - answered < window:
            packets.send(sent)
            sent += 1
        raw = connection.read()
        if raw[1] != PACKET_IN:
            continue
        message = m.decode(raw)
        if message.packet[12:14] != b"\x88\xb5":
            continue
        out = m.PacketOut(
            message.packet,
            message.in_port,
            flow_text.parse_flow("actions=2").instructions[0].actions,
        )
        connection.sock.sendall(out.encode(OF13, sent))
        answered += 1
    rate = answered / (time.perf_counter() - begin)
    switch.show(f"packet-in and -out, {window} at once", rate, "/s", answered, cpu)
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


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench openflow", description=__doc__.splitlines()[0])
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--dump", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("switches", nargs="*", metavar="SWITCH")
    options = parser.parse_args(words)
    names = options.switches or ["pyvs", *(["ovs"] if shutil.which("ovs-vswitchd") else [])]
    for name in names:
        switch = start(name)
        flow_mods(switch, options.flows)
        dump(switch, options.dump)
        barriers(switch, options.seconds / 2)
        for window in (1, 64):
            with contextlib.suppress(TimeoutError):
                packet_ins(switch, options.seconds, window)
