"""Streams between two containers, and the pauses in them."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.daemons import ROOT, Namespace, wait_until

PORTS = {"udp": 5601, "tcp": 5602}
_STREAM = (sys.executable, "-m", "tests.soak.stream")


class Pause(NamedTuple):
    """Seconds since the epoch, and seconds."""

    begin: float
    end: float
    length: float


class Stream:
    """`kind` is udp or tcp; its pauses are written to a file in `directory`."""

    def __init__(self, name, kind, sender, receiver, address, directory):
        self.name, self.kind = name, kind
        self._path = Path(directory) / f"{name}-{kind}.pauses"
        port = str(PORTS[kind])
        options = {"cwd": ROOT, "stderr": subprocess.PIPE}
        self._receiver = receiver.popen(*_STREAM, "receive", kind, port, str(self._path), **options)
        flag = kind[0]
        bound = f":{port}"
        wait_until(lambda: bound in receiver.run("ss", f"-Hln{flag}"), what=f"{kind} receiver")
        self._sender = sender.popen(*_STREAM, "send", kind, address, port, **options)

    def alive(self):
        return self._sender.poll() is None and self._receiver.poll() is None

    def pauses(self):
        lines = self._path.read_text().rpartition("\n")[0].splitlines()
        return [Pause(*map(float, line.split())) for line in lines]

    def longest(self, begin, end):
        """Seconds of the longest pause that touches this time; 0: none of 10 ms."""
        found = [each.length for each in self.pauses() if each.end >= begin and each.begin <= end]
        return max(found, default=0.0)

    def stop(self):
        for child in (self._sender, self._receiver):
            child.send_signal(signal.SIGKILL)
            child.communicate()


class LinuxBridge:
    """Two containers at a bridge of the kernel: what the machine's own moods do to a stream."""

    def __init__(self):
        self.host = Namespace()
        self.host.run("ip", "link", "add", "lb0", "type", "bridge")
        self.host.run("ip", "link", "set", "lb0", "up")
        self.containers = [self._container(number) for number in (1, 2)]

    def _container(self, number):
        made, port = Namespace(self.host), f"p{number}"
        for words in (
            f"link add {port} type veth peer name eth0 netns {made.pid}",
            f"link set {port} master lb0 up",
        ):
            self.host.run("ip", *words.split())
        made.run("ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
        made.run("ip", "link", "set", "eth0", "up")
        return made

    def close(self):
        for each in (*self.containers, self.host):
            each.close()


def both_kinds(name, containers, directory):
    """A stream of each kind from the first container to the second, 10.0.0.2."""
    sender, receiver = containers
    wait_until(lambda: sender.ping("10.0.0.2", count=1), what=f"{name}: a ping")
    # The streams' own packets are what is known: neighbours need not be asked for meanwhile.
    for container, neighbour in ((sender, "10.0.0.2"), (receiver, "10.0.0.1")):
        container.run("ip", "neigh", "change", neighbour, "dev", "eth0", "nud", "permanent")
    made = [Stream(name, kind, sender, receiver, "10.0.0.2", directory) for kind in PORTS]
    time.sleep(1)  # the start of a TCP stream is none of what is measured
    return made
