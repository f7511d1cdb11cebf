"""in_phy_port, ipv6_exthdr, pbb_isid, push_pbb and pop_pbb, with daemons, dummy ports and veths."""

import json
import re
import socket
import struct
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Dot1AD, Dot1AH, Dot1Q, Ether
from scapy.utils import checksum

from tests.daemons import CommandFailed, wait_until
from tests.system.traffic import Transfer

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = pytest.mark.system
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
HEAD = Ether(src=A, dst=B)
V6 = IPv6(src="fd00::1", dst="fd00::2")


@pytest.fixture
def dummies(switch):
    """br0 with dummy ports p1, p2 and p3, which are up."""
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    for number in (1, 2, 3):
        name = f"p{number}"
        request = f"ofport_request={number}"
        switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, "type=dummy", request)
        switch.ofctl("mod-port", "br0", name, "up")
    return switch


def flows(switch, *texts):
    switch.ofctl("del-flows", "br0")
    for text in texts:
        switch.ofctl("-OOpenFlow13", "add-flow", "br0", text)


def trace(switch, flow, packet=None):
    words = [flow, *([bytes(packet).hex()] if packet is not None else [])]
    return switch.appctl("ofproto/trace", "br0", *words)


def outputs(text):
    return text.split("Datapath actions: ")[1].strip()


def test_extension_headers_choose_the_port(dummies):
    flows(
        dummies,
        "priority=9,ipv6,ipv6_exthdr=+unseq actions=drop",
        "priority=8,ipv6,ipv6_exthdr=dest|hop actions=2",
        "priority=7,ipv6,ipv6_exthdr=+router actions=3",
        "priority=1,ipv6 actions=in_port",
    )
    listed = dummies.ofctl("-OOpenFlow13", "dump-flows", "br0")
    assert "ipv6,ipv6_exthdr=+unseq actions=drop" in listed
    assert "ipv6,ipv6_exthdr=dest|hop actions=output:2" in listed
    cases = [
        (V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop(), "drop"),
        (V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(), "2"),
        (V6 / IPv6ExtHdrRouting(addresses=["fd00::3"]) / IPv6ExtHdrDestOpt(), "3"),
        (V6, "1"),
    ]
    ports = port_numbers(dummies)
    for headers, wanted in cases:
        text = trace(dummies, "in_port=1", HEAD / headers / UDP())
        assert outputs(text) == ("drop" if wanted == "drop" else ports[f"p{wanted}"]), text
        assert "ipv6_exthdr=" in text.split("Megaflow: ")[1]


def port_numbers(switch):
    """Name -> datapath port, as text."""
    found = re.findall(r"port (\d+): (\S+)", switch.appctl("dpctl/show"))
    return {name: number for number, name in found}


def test_physical_port_is_the_port(dummies):
    flows(
        dummies,
        "priority=9,in_port=1,in_phy_port=2 actions=drop",
        "priority=8,in_port=1,in_phy_port=1 actions=set_field:3->in_port,resubmit(,1)",
        "table=1,priority=5,in_port=3,in_phy_port=1 actions=2",
    )
    assert "in_port=1,in_phy_port=1" in dummies.ofctl("-OOpenFlow13", "dump-flows", "br0")
    assert outputs(trace(dummies, "in_port=1")) == port_numbers(dummies)["p2"]
    with pytest.raises(CommandFailed, match="in_phy_port is read-only"):
        flows(dummies, "in_port=1,actions=set_field:3->in_phy_port")


def test_trace_of_an_i_tag(dummies):
    flows(
        dummies,
        "in_port=1 actions=push_pbb:0x88e7,set_field:77->pbb_isid,push_vlan:0x88a8,"
        "set_field:4101->vlan_vid,output:2",
        "in_port=2,dl_type=0x88e7,pbb_isid=77 actions=pop_pbb,resubmit(,1)",
        "in_port=3 actions=write_actions(push_pbb:0x88e7,pop_pbb,output:2)",
        "table=1,udp,udp_dst=53 actions=dec_ttl,1",
    )
    two = port_numbers(dummies)["p2"]
    tagged = HEAD / Dot1Q(vlan=9, prio=3) / IP() / UDP()
    assert outputs(trace(dummies, "in_port=1", tagged)) == (
        f"push_pbb(isid=0,pcp=3),set(pbb(isid=77)),push_vlan(tpid=0x88a8,vid=5,pcp=0),{two}"
    )
    inner = HEAD / IP(ttl=9) / UDP(dport=53)
    text = trace(dummies, "in_port=2", HEAD / Dot1AH(isid=77) / inner)
    assert re.fullmatch(r"pop_pbb,recirc\(0x[0-9a-f]+\)", outputs(text)), text
    # In the action set the tag in front comes off before another is put on.
    text = trace(dummies, "in_port=3", HEAD / Dot1AH(isid=5) / inner)
    assert outputs(text).startswith("pop_pbb,recirc("), text
    assert outputs(trace(dummies, "in_port=3", inner)) == f"push_pbb(isid=0,pcp=0),{two}"


@pytest.mark.parametrize(
    ("flow", "error"),
    [
        ("actions=push_pbb:0x8100", "not a valid PBB ethertype"),
        ("actions=pop_pbb", "OFPBAC_MATCH_INCONSISTENT"),
        ("actions=set_field:1->pbb_isid", "OFPBAC_MATCH_INCONSISTENT"),
        ("dl_type=0x88e7,actions=pop_pbb,set_field:1->pbb_isid", "OFPBAC_MATCH_INCONSISTENT"),
        ("ip,actions=push_pbb:0x88e7,set_field:1.2.3.4->ip_dst", "OFPBAC_MATCH_INCONSISTENT"),
        ("dl_vlan=5,actions=push_pbb:0x88e7,pop_vlan", "none of the usable flow formats"),
    ],
)
def test_what_makes_no_sense_is_refused(dummies, flow, error):
    with pytest.raises(CommandFailed, match=error):
        flows(dummies, flow)


def test_frames_with_other_ethertypes_are_refused_on_the_wire(dummies):
    """push_pbb with Ethertype 0x0800, from a client that does not check."""
    push = "001a00080800" + "0000"
    instruction = "00040010" + "00000000" + push
    match = "00010004" + "00000000"
    body = "00" * 16 + "0000" + "0000" + "0000" + "0001" + "ff" * 4 + "ff" * 4 + "ff" * 4 + "0" * 8
    message = bytes.fromhex(f"040e{8 + len(body + match + instruction) // 2:04x}00000009")
    message += bytes.fromhex(body + match + instruction)
    answer = say(dummies, message)
    assert (answer[1], answer[8:12].hex()) == (1, "00020005")  # BAD_ACTION, BAD_ARGUMENT


def say(switch, message):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(switch.directory / "br0.mgmt"))
        peer.settimeout(5)
        peer.sendall(bytes.fromhex("0400000800000001") + message)
        got = peer.makefile("rb")
        while (head := got.read(8))[1] != 1:
            got.read(int.from_bytes(head[2:4], "big") - 8)
        return head + got.read(4)


# --- veths

BACKBONE = ("ip", "link", "add", "x0", "mtu", "1600", "type", "veth")


@pytest.fixture
def provider(switch):
    """c1 - br0 - x0 = x1 - br1 - c2: between the bridges frames have an I-TAG and a B-TAG."""
    switch.host.run(*BACKBONE, "peer", "name", "x1", "mtu", "1600")
    containers = []
    for number in (0, 1):
        bridge, backbone, name = f"br{number}", f"x{number}", f"c{number + 1}"
        switch.host.run("ip", "link", "set", backbone, "up")
        switch.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "fail_mode=secure")
        containers.append(switch.container(name, f"10.0.0.{number + 1}/24", bridge))
        switch.vsctl("add-port", bridge, backbone)
        for flow in (
            f"in_port={name} actions=push_pbb:0x88e7,set_field:0xabcdef->pbb_isid,"
            "set_field:02:00:00:00:bb:00->eth_src,push_vlan:0x88a8,set_field:4101->vlan_vid,"
            f"output:{backbone}",
            f"in_port={backbone},dl_vlan=5,dl_type=0x88e7,pbb_isid=0xabcdef "
            f"actions=pop_vlan,pop_pbb,output:{name}",
        ):
            switch.ofctl("-OOpenFlow13", "add-flow", bridge, flow)
    return (switch, *containers)


def checksum_is_left(frame):
    """Whether TCP's checksum is only that of the pseudo-header, for others to complete."""
    ip = frame[IP]
    addresses = socket.inet_aton(ip.src) + socket.inet_aton(ip.dst)
    pseudo = addresses + struct.pack("!HH", 6, ip.len - 4 * ip.ihl)
    return frame[TCP].chksum == ~checksum(pseudo) & 0xFFFF


def test_tcp_with_offloads_through_a_provider_backbone(provider):
    """GSO frames get their tags, are cut to segments that fit, and every checksum is right."""
    switch, one, two = provider
    assert one.ping("10.0.0.2") == 3
    seen = switch.host.popen(
        *(sys.executable, "-m", "tests.raw_frames", "x1", "receive", "60"),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert seen.stdout.readline() == "ready\n"
        transfer = Transfer(one, two)
        frames = [Ether(bytes.fromhex(seen.stdout.readline())) for _ in range(200)]
        transfer.stop()
    finally:
        seen.terminate()
        seen.communicate(timeout=10)
    data = [frame for frame in frames if TCP in frame and Dot1AH in frame]
    for frame in data:
        assert len(frame) <= 1600 + 14
        assert frame[Dot1AH].isid == 0xABCDEF and frame[Dot1AD].vlan == 5
        assert frame.src == "02:00:00:00:bb:00" and frame[Ether:2].src != frame.src
    # A veth leaves the checksum of a frame to its receiver; those of segments are made here.
    made = [frame for frame in data if len(frame) > 1500 and not checksum_is_left(frame)]
    assert made
    for frame in made:
        again = frame.copy()
        del again[IP].chksum, again[TCP].chksum
        assert bytes(again) == bytes(frame)


def test_flows_of_the_datapath(provider):
    switch, one, _two = provider
    assert one.ping("10.0.0.2") == 3

    def there():
        text = switch.dpctl("dump-flows")
        return "pop_vlan,pop_pbb," in text and re.search(r"pbb\(isid=11259375\)", text)

    wait_until(there, what="flows with an I-TAG")
    assert json.loads(switch.ofctl("-f", "json", "dump-flows", "br0"))
