"""Which counters Interface.statistics has, by type, and what of multicast, beside OVS 3.1."""

import re
import sys

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

TYPES = {
    "m0": "system",
    "i0": "internal",
    "t0": "tap",
    "d0": "dummy",
    "pa": "patch options:peer=pb",
    "x0": "vxlan options:remote_ip=192.0.2.1",
}
MULTICAST = "01005e000001" + "020000000001" + "88b5" + "00" * 46
N_SENT = 5
SEND = f"""
import socket
device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
device.bind(("v0", 0))
for _ in range({N_SENT}):
    device.send(bytes.fromhex("{MULTICAST}"))
"""


def statistics(switch, name):
    text = switch.run("ovs-vsctl", "get", "interface", name, "statistics")
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", text)}


def test_counters_by_type(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy") as both:
        for switch in both:
            switch.host.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
            # macvlan is a driver that counts multicast, which veth is not.
            switch.host.run("ip", "link", "add", "m0", "link", "v1", "type", "macvlan")
            for name in ("v0", "v1", "m0"):
                switch.host.run("ip", "link", "set", name, "up")
            words = "set open . other_config:stats-update-interval=5000"
            words += " -- add-br br0 -- set bridge br0 datapath_type=netdev"
            for name, kind in TYPES.items():
                words += f" -- add-port br0 {name} -- set interface {name} type={kind}"
            switch.run("ovs-vsctl", *words.split())
            switch.host.run(sys.executable, "-c", SEND)
        for switch in both:
            wait_until(lambda it=switch: statistics(it, "m0").get("rx_multicast_packets") == N_SENT)
            wait_until(lambda it=switch: all(statistics(it, name) for name in TYPES))
        for name in ("br0", *TYPES):
            mine, theirs = (statistics(switch, name).keys() for switch in both)
            assert mine == theirs, name
