"""Meters of the running switch: a rate is kept between containers, and through crashes."""

import contextlib
import hashlib
import re
import subprocess
import sys
import threading
import time

import pytest

from datapath.ipc.dpif import Dpif
from tests.daemons import DATAPATH, VSWITCHD, wait_until
from tests.datapath.dp_process import frame

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = pytest.mark.system


@pytest.fixture
def br0(switch):
    """A bridge with dummy ports p1 and p2."""
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    for number in (1, 2):
        switch.vsctl(
            *("add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}"),
            *("type=dummy", f"ofport_request={number}"),
        )
    return switch


class Sender(threading.Thread):
    """Sends frames into p1 without a pause, and counts what leaves by p2."""

    def __init__(self, switch):
        super().__init__()
        self.path = switch.directory / "datapath.sock"
        with contextlib.closing(Dpif(self.path)) as dpif:
            self.ports = {port.name: port.port_no for port in dpif.port_dump()}
        self.sent = self.received = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        with contextlib.closing(Dpif(self.path)) as dpif:
            while not self.over.is_set():
                dpif.port_inject(self.ports["p1"], frame(100))
                self.sent += 1
                self.received += len(dpif.port_drain(self.ports["p2"]))
                time.sleep(0.002)
            self.received += len(dpif.port_drain(self.ports["p2"]))

    def stop(self):
        self.over.set()
        self.join()


def stats(switch, meter="meter=1"):
    """(flows, packets, dropped packets)"""
    out = switch.ofctl("meter-stats", "br0", meter)
    head = re.search(r"flow_count:(\d+) packet_in_count:(\d+)", out)
    return int(head[1]), int(head[2]), int(re.search(r"0: packet_count:(\d+)", out)[1])


def test_killed_under_traffic(br0):
    """No packet passes unmetered, whatever the control plane does, and counters go on."""
    br0.ofctl("add-meter", "br0", "meter=9,pktps,band=type=drop,rate=1000")
    br0.ofctl("add-meter", "br0", "meter=1,pktps,burst,stats,band=type=drop,rate=10,burst_size=5")
    br0.ofctl("del-meter", "br0", "meter=9")
    br0.ofctl("add-flow", "br0", "in_port=1,actions=meter:1,2")
    started = time.monotonic()
    sender = Sender(br0)
    try:
        for _ in range(3):
            before = stats(br0)
            wait_until(lambda n=before[1]: stats(br0)[1] > n + 50, what="packets")
            br0.kill(VSWITCHD)
            n = sender.sent
            wait_until(lambda n=n: sender.sent > n + 50, what="packets without vswitchd")
            br0.start_daemon(VSWITCHD)
            assert stats(br0)[1] >= before[1] + 100
        assert "actions:meter(1)," in br0.dpctl("dump-flows")
    finally:
        sender.stop()
    # What the bucket gave, and what came into it: no more may have passed.
    assert 5 <= sender.received <= 5 + 10 * (time.monotonic() - started)
    flows, packets, dropped = stats(br0)
    assert flows == 1 and packets <= sender.sent
    assert packets - dropped == sender.received
    assert "meter_exceeded" in br0.dpctl("drops")
    assert "meter=1 pktps burst stats bands=" in br0.ofctl("dump-meters", "br0")


def test_a_new_datapath_has_the_meters(br0):
    br0.allow("datapath")
    br0.ofctl("add-meter", "br0", "meter=1,pktps,burst,band=type=drop,rate=1,burst_size=3")
    br0.ofctl("add-flow", "br0", "in_port=1,actions=meter:1,2")
    br0.kill(DATAPATH)

    def ready():
        with contextlib.suppress(OSError), contextlib.closing(Dpif(path)) as dpif:
            return len(dpif.port_dump()) == 3 and dpif.meter_dump()

    path = br0.directory / "datapath.sock"
    [meter] = wait_until(ready, seconds=20, what="ports and meters")
    assert (meter.owner, meter.bands) == ("br0:1", [(1, 3)])
    started = time.monotonic()
    sender = Sender(br0)
    try:
        wait_until(lambda: stats(br0)[2] > 20, what="packets")
    finally:
        sender.stop()
    assert 3 <= sender.received <= 3 + (time.monotonic() - started)
    assert stats(br0)[0] == 1


def test_between_containers(switch):
    """Real frames: of a flood of pings those pass that the meter lets."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    switch.ofctl("add-meter", "br0", "meter=3,kbps,burst,band=type=drop,rate=8,burst_size=8")
    switch.ofctl("add-flow", "br0", "in_port=1,icmp,actions=meter:3,normal")
    # 8 kbit are ten pings of 98 bytes; as many come back each second.
    started = time.monotonic()
    answers = one.ping("10.0.0.2", count=100, interval=0.002)
    seconds = time.monotonic() - started
    assert 10 <= answers <= 10.3 + 10.3 * seconds
    flows, packets, dropped = stats(switch, "meter=3")
    assert (flows, packets, packets - dropped) == (1, 100, answers)


SERVER = (
    "import hashlib, socket; s = socket.create_server(('10.0.0.2', 5001));"
    "print('ready', flush=True); c, _ = s.accept();"
    "print(hashlib.md5(c.makefile('rb').read()).hexdigest())"
)
CLIENT = (
    "import socket; s = socket.create_connection(('10.0.0.2', 5001));"
    "s.sendall(bytes(range(250)) * 4000); s.shutdown(1)"
)


def test_tcp_with_offloads(switch):
    """Segments are counted, however large the frames are that they come in; all data arrives."""
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    switch.ofctl("add-meter", "br0", "meter=1,pktps,burst,band=type=drop,rate=500,burst_size=50")
    switch.ofctl("add-flow", "br0", "in_port=1,tcp,actions=meter:1,normal")
    started = time.monotonic()
    with two.popen(sys.executable, "-c", SERVER, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        one.run(sys.executable, "-c", CLIENT)
        assert server.stdout.readline().strip() == hashlib.md5(bytes(range(250)) * 4000).hexdigest()
    _flows, packets, dropped = stats(switch)
    seconds = time.monotonic() - started
    assert packets - dropped >= 1_000_000 // 1460  # a megabyte
    assert packets - dropped <= 50 + 500 * seconds
