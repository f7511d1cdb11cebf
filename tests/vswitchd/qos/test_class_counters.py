"""Counters of traffic classes, read from the kernel in one go."""

import json
import struct
import subprocess
import sys

import pytest

from vswitchd.qos import class_counters, tc

SCRIPT = """
set -e
ip link add d0 type veth peer name d1
ip link set d0 up; ip link set d1 up
ip addr add 10.9.9.1/24 dev d0
ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:02 dev d0
tc qdisc add dev d0 root handle 1: htb default 1
i=1
while [ $i -le 300 ]; do
    echo "class add dev d0 parent 1: classid 1:$(printf %x $i) htb rate 1gbit"
    i=$((i + 1))
done | tc -batch -
exec "$0" -c "$1"
"""
READ = """
import json, socket
from vswitchd.qos import class_counters, tc
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(50):
    sock.sendto(b"x" * 500, ("10.9.9.2", 9))
index = socket.if_nametoindex("d0")
def counters(index):
    steps, n = tc.counters(index), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, n
        n += 1
print(json.dumps([*counters(index), dict(class_counters.read(index)), *counters(9999)]))
"""


@pytest.mark.system
def test_what_the_kernel_counts():
    """Several datagrams of it."""
    words = ("unshare", "--net", "sh", "-c", SCRIPT, sys.executable, READ)
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    queues, steps, classes, *none = json.loads(said)
    assert len(queues) == len(classes) == 300 and none == [{}, 0]
    assert steps == 300 // tc.CLASSES_AT_ONCE  # others are served in between
    assert queues["0"]["tx_packets"] >= 50 and queues["0"]["tx_bytes"] >= 50 * 542
    assert queues["299"] == {"tx_packets": 0, "tx_bytes": 0, "tx_errors": 0}
    assert classes[str(0x10001)][0] == queues["0"]["tx_packets"]


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


@pytest.mark.parametrize(
    "stats, wanted",
    [
        (attribute(1, struct.pack("=QI4x", 1000, 7))
         + attribute(3, struct.pack("=5I", 1, 2, 9, 4, 5)),
         (7, 1000, 9)),
        (attribute(1, b"short"), (0, 0, 0)),
        (struct.pack("=HH", 2, 1), (0, 0, 0)),
        (b"", (0, 0, 0)),
    ],
)  # fmt: skip
def test_statistics_of_any_length(stats, wanted):
    data = b"head" + attribute(3, b"x") + attribute(7, stats)
    assert class_counters._counted(data, 4, len(data)) == wanted
