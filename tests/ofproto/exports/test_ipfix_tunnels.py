"""IPFIX of packets that came by tunnels, beside Open vSwitch's: the same records but for times."""

import struct
import sys

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from ofproto.exports import ipfix
from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

UNDERLAY_MAC = "aa:55:aa:55:00:00"
OUTER = Ether(src="f8:bc:12:44:34:b6", dst=UNDERLAY_MAC) / IP(src="1.1.2.92", dst="1.1.2.88")
OUTER_6 = Ether(src="f8:bc:12:44:34:b6", dst=UNDERLAY_MAC) / IPv6(
    src="2001:db8::92", dst="2001:db8::88"
)
INNER = Ether(src="50:54:00:00:00:09", dst="50:54:00:00:00:0a")
INNERS = (
    INNER
    / IP(src="10.0.0.2", dst="10.0.0.1")
    / TCP(sport=1000, dport=80, flags="PA")
    / (b"x" * 40),
    INNER / Dot1Q(vlan=11, prio=3) / IPv6(src="::1", dst="::2") / UDP(sport=53, dport=5300) / b"yy",
    INNER / IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(type=8),
)
KEY = 0x123456
# Type of the port -> its outer headers.
TUNNELS = {
    "vxlan": OUTER / UDP(sport=4321, dport=4789, chksum=0) / VXLAN(vni=KEY, flags=8),
    "geneve": OUTER / UDP(sport=4322, dport=6081, chksum=0) / GENEVE(vni=KEY, proto=0x6558),
    "gre": OUTER / GRE(proto=0x6558, key_present=1, key=KEY),
    "ip6": OUTER_6 / UDP(sport=4323, dport=4790) / VXLAN(vni=KEY, flags=8),
}
RECEIVER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 4739))
with open(sys.argv[1], "w", buffering=1) as out:
    print("ready", file=out)
    while True:
        print(sock.recv(65535).hex(), file=out)
"""
IPFIX = 'targets="127.0.0.1:4739" cache_max_flows=0'


def set_up(switch):
    switch.run(
        *f"""ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy
        other_config:hwaddr={UNDERLAY_MAC} -- add-port br0 p0 -- set interface p0 type=dummy
        ofport_request=1 -- add-br int -- set bridge int datapath_type=dummy fail_mode=secure
        other_config:hwaddr=aa:55:aa:55:00:01 -- add-port int p9 -- set interface p9 type=dummy
        ofport_request=9 -- --id=@b create IPFIX {IPFIX} sampling=1 obs_domain_id=1 obs_point_id=2
        -- set bridge int ipfix=@b -- --id=@i get bridge int -- --id=@f create IPFIX {IPFIX}
        -- create Flow_Sample_Collector_Set id=1 bridge=@i ipfix=@f""".split()
    )
    for number, kind in enumerate(TUNNELS, 10):
        remote = "2001:db8::92" if kind == "ip6" else "1.1.2.92"
        kind = "vxlan options:dst_port=4790" if kind == "ip6" else kind
        switch.run(
            *f"""ovs-vsctl add-port int t{number} -- set interface t{number} type={kind}
            options:remote_ip={remote} options:key=flow ofport_request={number}""".split()
        )
    switch.run("ovs-appctl", "netdev-dummy/ip4addr", "br0", "1.1.2.88/24")
    switch.run("ovs-appctl", "netdev-dummy/ip6addr", "br0", "2001:db8::88/64")
    for network in ("1.1.2.0/24", "2001:db8::/64"):
        switch.run("ovs-appctl", "ovs/route/add", network, "br0")
    switch.run("ovs-ofctl", "add-flow", "br0", "actions=normal")
    sample = "sample(probability=65535,collector_set_id=1,obs_domain_id=7,obs_point_id=8{})"
    switch.run(
        *("ovs-ofctl", "add-flow", "int"),
        f"actions={sample.format('')},{sample.format(',sampling_port=9')},output:9",
    )


def records(lines):
    """(domain, template, what names the flow) of all records but those of options: counts and times
    are looked at elsewhere."""
    found = []
    for line in lines:
        message = bytes.fromhex(line)
        domain = struct.unpack_from("!I", message, 12)[0]
        template, size = struct.unpack_from("!HH", message, 16)
        if template >= ipfix.FIRST_TEMPLATE and template != ipfix.OPTIONS_TEMPLATE:
            data = message[20 : 16 + size]
            l3, l4 = (template - ipfix.FIRST_TEMPLATE) // 4 // 5 % 3, (template - 256) // 4 % 5
            counts = len(data) - 113 - 80 * bool(l3) - 48 * (l4 == 1)
            found.append((domain, template, data[:counts].hex()))
    return sorted(found)


def told_of(switch, n):
    """Records of `n` packets of each kind, sent by now; then the file is emptied."""
    path = switch.rundir / "records"
    wait_until(lambda: len(records(path.read_text().split()[1:])) >= n, what=f"{n} records")
    return records(path.read_text().split()[1:])


def send(switch):
    for head in TUNNELS.values():
        for inner in INNERS:
            switch.run("ovs-appctl", "netdev-dummy/receive", "p0", bytes(head / inner).hex())


def test_what_came_by_a_tunnel(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        told = []
        for switch in both:
            path = switch.rundir / "records"
            receiver = switch.host.popen(sys.executable, "-c", RECEIVER, str(path))
            try:
                wait_until(
                    lambda at=path: at.exists() and "ready" in at.read_text(), what="receiver"
                )
                set_up(switch)
                send(switch)
                n = 4 * len(INNERS) * len(TUNNELS)  # bridge in and out, two sample actions
                told.append(told_of(switch, n))
            finally:
                receiver.kill()
                receiver.wait()
        assert told[0] == told[1]
        assert len({template for _, template, _ in told[0]}) >= 6
