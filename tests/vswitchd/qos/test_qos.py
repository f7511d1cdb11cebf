"""QoS of ports with real daemons: the kernel's disciplines, rates as they are measured, DSCP."""

import re
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.daemons import DATAPATH, VSWITCHD, wait_until

pytestmark = pytest.mark.system
SECONDS = 4
FRAME_BITS = 1042 * 8  # of what SENDER sends, without FCS


def tc(switch, what, device):
    return switch.host.run("tc", what, "show", "dev", device, check=False)


def start(switch):
    switch.vsctl("add-br", "br0")
    made = [switch.container(f"c{n}", f"10.1.1.{n}/24", "br0") for n in (1, 2)]
    made[0].ping("10.1.1.2", 1)
    return made


SENDER = """
import socket, sys, time
rate, seconds = float(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start, sent = time.monotonic(), 0
while time.monotonic() < start + seconds:
    if sent * 1028 * 8 > (time.monotonic() - start) * rate:
        time.sleep(0.001)
        continue
    try:
        s.sendto(bytes(1000), (sys.argv[1], 9999))
    except OSError:
        pass
    sent += 1
"""
RECEIVER = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9999))
print("ready", flush=True)
s.settimeout(10)
s.recv(2000)
start = last = time.monotonic()
n = 0
s.settimeout(1.5)
try:
    while True:
        s.recv(2000)
        now = time.monotonic()
        if now > start + 1:   # the burst is over
            n += 1
            first = first if n > 1 else now
            last = now
except TimeoutError:
    pass
print((n - 1) * 1042 * 8 / (last - first), flush=True)
"""


def rate(sender, receiver, offered):
    """Bits per second that arrive, frames without FCS, after the first second."""
    with receiver.popen(sys.executable, "-c", RECEIVER, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        sender.run(sys.executable, "-c", SENDER, "10.1.1.2", str(offered), str(SECONDS))
        return float(child.stdout.readline())


@pytest.mark.alone
def test_htb_and_queues(switch):
    one, two = start(switch)
    switch.vsctl(
        "--", "set", "port", "c2", "qos=@q", "--", "--id=@q", "create", "qos", "type=linux-htb",
        "other_config:max-rate=3000000", "queues:0=@a", "queues:5=@b", "--", "--id=@a", "create",
        "queue", "other_config:min-rate=2000000", "other_config:max-rate=3000000",
        "other_config:burst=30000", "--", "--id=@b", "create", "queue", "dscp=12",
        "other_config:min-rate=1000000", "other_config:max-rate=1000000",
        "other_config:burst=30000",
    )  # fmt: skip
    wait_until(lambda: "htb 1:6" in tc(switch, "class", "c2"), what="classes")
    classes = tc(switch, "class", "c2")
    assert "class htb 1:1 parent 1:fffe prio 0 rate 2Mbit ceil 3Mbit" in classes, classes
    assert 2.85e6 < rate(one, two, 8e6) < 3.15e6
    number = switch.get("interface", "c2", "ofport")
    switch.ofctl("add-flow", "br0", f"priority=50000,udp,actions=enqueue:{number}:5")
    assert 0.95e6 < rate(one, two, 8e6) < 1.05e6
    stats = switch.ofctl("queue-stats", "br0", number, "5")
    assert "queue 5: bytes=" in stats and "bytes=0" not in stats, stats
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / IP(dst="10.1.1.2") / UDP(dport=7) / b"mark")
    with two.receiving(1.0) as frames:
        one.send(frame)
    assert [f[15] >> 2 for f in frames if f.endswith(b"mark")] == [12]
    switch.vsctl("clear", "port", "c2", "qos")
    wait_until(lambda: "htb" not in tc(switch, "qdisc", "c2"), what="no discipline")
    switch.vsctl(
        "--", "set", "port", "c2", "qos=@q", "--", "--id=@q", "create", "qos", "type=linux-htb",
        "other_config:max-rate=2000000",
    )  # fmt: skip
    wait_until(lambda: "htb 1:1 " in tc(switch, "class", "c2"), what="queue 0")
    assert 1.9e6 < rate(one, two, 8e6) < 2.1e6
    assert "queue 0: bytes=" in switch.ofctl("queue-stats", "br0", number)
    switch.vsctl("del-port", "c2")
    wait_until(lambda: "htb" not in tc(switch, "qdisc", "c2"), what="no discipline")


@pytest.mark.alone
@pytest.mark.parametrize(
    "columns, wanted",
    [
        ("rate=2000 burst=200", 2e6),
        ("kpkts_rate=1 kpkts_burst=1", 1000 * FRAME_BITS),
        ("rate=2000 burst=200 kpkts_rate=1 kpkts_burst=1", 2e6),
        ("rate=20000 burst=2000 kpkts_rate=1 kpkts_burst=1", 1000 * FRAME_BITS),
    ],
)
def test_ingress_policing(switch, columns, wanted):
    """Of two kinds of policing, the one that lets less through is felt."""
    one, two = start(switch)
    words = [f"ingress_policing_{each}" for each in columns.split()]
    switch.vsctl("set", "interface", "c1", *words)
    kinds = len([word for word in words if "rate=" in word])
    trace = ("ofproto/trace", "br0", "in_port=c1")
    wait_until(lambda: switch.appctl(*trace).count("meter(") == kinds, what="meters")
    assert 0.95 * wanted < rate(one, two, 4 * wanted) < 1.05 * wanted
    switch.vsctl("set", "interface", "c1", *(f"{w.partition('=')[0]}=0" for w in words))
    assert rate(one, two, 2 * wanted) > 1.5 * wanted


def test_numbers_that_are_too_large_or_too_small(switch):
    """What fits is done; nothing else of the bridge suffers."""
    start(switch)
    switch.allow("cannot|failed|left out")
    huge = "9" * 30
    cases = [
        (["type=linux-htb", "other_config:max-rate=1"], "htb 1:6"),
        (["type=linux-htb", f"other_config:max-rate={huge}"], "htb 1:6"),
        (["type=linux-hfsc", f"other_config:max-rate={huge}"], ""),
        (["type=egress-policer", "other_config:cir=1", f"other_config:cbs={huge}"], ""),
        (["type=linux-netem", "other_config:loss=99999", f"other_config:latency={huge}"], ""),
    ]
    queue = [f"other_config:{each}={huge}" for each in ("min-rate", "burst", "priority")]
    for qos, wanted in cases:
        switch.vsctl(
            "--", "set", "port", "c2", "qos=@q", "--", "--id=@q", "create", "qos", *qos,
            "queues:5=@a", "queues:65533=@a", "queues:4294967295=@a",
            "--", "--id=@a", "create", "queue", *queue,
        )  # fmt: skip
        if wanted:
            wait_until(lambda: wanted in tc(switch, "class", "c2"), what=wanted)  # noqa: B023
            shown = switch.appctl("qos/show", "c2")
            assert "Queue 5:" in shown and "Queue 65533:" not in shown, shown
    words = [f"ingress_policing_{each}={2**62}" for each in ("rate", "burst", "kpkts_rate")]
    switch.vsctl("set", "interface", "c1", *words)
    wait_until(lambda: "meter(" in switch.appctl("ofproto/trace", "br0", "in_port=c1"))
    switch.vsctl("del-port", "c1")
    assert not [line for _, line in switch.logs() if "unexpected error" in line]


FLOOD = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
head = bytes.fromhex("ffffffffffff02000000000" + sys.argv[1] + "88b5")
sys.stdin.readline()
for _ in range(20000):
    try:
        s.send(head + bytes(86))
    except OSError:
        pass
"""


def test_queues_of_several_workers(switch):
    """Each frame gets its own queue, whoever sends to the device beside it."""
    switch.allow("datapath|Connection|connection")
    for name in (VSWITCHD, DATAPATH):
        switch.kill(name)
    switch.start_daemon(DATAPATH, "--workers=2")
    switch.start_daemon(VSWITCHD)
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:kernel-cache=false")
    senders = start(switch)
    switch.container("c3", None, "br0")
    queues = [f"queues:{n}=@q{n}" for n in (1, 2)]
    words = []
    for n in (1, 2):
        words += ["--", f"--id=@q{n}", "create", "queue", "other_config:max-rate=10000000000"]
    switch.vsctl(
        "--", "set", "port", "c3", "qos=@q", "--", "--id=@q", "create", "qos", "type=linux-htb",
        "other_config:max-rate=10000000000", *queues, *words,
    )  # fmt: skip
    wait_until(lambda: "htb 1:3" in tc(switch, "class", "c3"), what="classes")
    for n in (1, 2):
        switch.ofctl("add-flow", "br0", f"dl_type=0x88b5,in_port=c{n},actions=enqueue:c3:{n}")
    children = [
        each.popen(sys.executable, "-c", FLOOD, str(n), stdin=subprocess.PIPE)
        for n, each in enumerate(senders, 1)
    ]
    for child in children:
        child.stdin.write(b"\n")
        child.stdin.flush()
    for child in children:
        child.communicate()

    def counted(n):
        flow = switch.ofctl("dump-flows", "br0", f"dl_type=0x88b5,in_port=c{n}")
        text = switch.host.run("tc", "-s", "class", "show", "dev", "c3", "classid", f"1:{n + 1}")
        sent, dropped = re.search(r"Sent \d+ bytes (\d+) pkt \(dropped (\d+)", text).groups()
        return int(re.search(r"n_packets=(\d+)", flow)[1]), int(sent) + int(dropped)

    def settled():
        return all(of_flow == of_class for of_flow, of_class in map(counted, (1, 2)))

    wait_until(settled, 20, what="what each queue counts")
    assert min(counted(1) + counted(2)) > 1000
