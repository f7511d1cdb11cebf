"""How many VLAN headers a flow sees (other_config:vlan-limit): frames with up to three of them
through access, trunk and dot1q-tunnel ports, and what rules match of them, beside OVS 3.1."""

import itertools
import struct

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import frames_of, side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

PORTS = {
    1: "",
    2: "tag=10",
    3: "tag=33",
    4: "vlan_mode=dot1q-tunnel tag=10",
    5: "vlan_mode=native-untagged tag=10",
    6: "trunks=10,20",
}
ACCESS, TUNNEL = {2, 3}, 4
RULES = (
    "priority=9,dl_vlan=10,ip,actions=NORMAL",
    "priority=9,dl_vlan=10,dl_type=0x8100,actions=NORMAL",
    "priority=9,dl_vlan=20,actions=pop_vlan,output:2",
    "priority=9,dl_vlan=21,actions=mod_vlan_vid:22,output:2",
    "priority=9,dl_vlan=23,actions=push_vlan:0x88a8,mod_vlan_vid:24,output:2",
    "priority=9,dl_vlan=0xffff,ip,actions=NORMAL",
    "priority=0,actions=NORMAL",
)
LIMITS = (None, 0, 1, 2, 7, None)
# (port, tags).  The same outer tag with and without another one behind, in both orders: what was
# found of one must not be done to the other.
FRAMES = (
    (1, (10,)), (1, (10, 33)), (1, (10, 33, 7)), (1, (10,)), (1, (33, 10)), (1, (33,)), (1, ()),
    (4, ()), (4, (33,)), (4, (33, 7)), (4, (10,)), (1, (20, 33)), (1, (20,)), (1, (21,)),
    (1, (21, 33)), (1, (23,)), (1, (0, 33)), (1, (0,)),
)  # fmt: skip


def frame(tags, number):
    """A broadcast UDP packet from a station of its own, for each frame."""
    header = b"\xff" * 6 + bytes([2, 0, 0, 0, 1, number])
    tagged = b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags)
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0x66CD, b"\x0a\0\0\1", b"\x0a\0\0\2"
    )
    return (header + tagged + b"\x08\0" + ip + struct.pack("!HHHH", 1, 2, 8, 0)).hex() + "00" * 30


@pytest.fixture
def both(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as switches:
        yield switches


def sent(switch, port):
    """The frames that left by a port, in order."""
    return frames_of(switch.rundir / f"p{port}.pcap")


def matched(switch):
    """How many packets each rule had."""
    lines = switch.run("ovs-ofctl", "-OOpenFlow13", "dump-flows", "br0").splitlines()
    rules = (line for line in lines if "priority=" in line)
    return {
        each.split("priority=")[1]: int(each.split("n_packets=")[1].split(",")[0]) for each in rules
    }


def set_up(switch):
    words = "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure"
    words += " other_config:hwaddr=aa:55:aa:55:00:00"
    for number, columns in PORTS.items():
        words += f" -- add-port br0 p{number} {columns} -- set interface p{number} type=dummy"
        words += f" ofport_request={number} options:tx_pcap={switch.rundir}/p{number}.pcap"
    switch.run("ovs-vsctl", *words.split())


def is_carried(port, tags):
    """Whether both know what to do with a frame of which two tags are seen.  Of three, the tunnel's
    among them, Open vSwitch loses one, and it takes no 0x8100 behind two for an Ethertype."""
    return len(tags) + (port == TUNNEL) <= 2


def send_all(switch, frames, ports):
    """Returns what each rule had of it, and what these ports sent."""
    rules = switch.rundir / "rules"
    rules.write_text("".join(f"{rule}\n" for rule in ("delete", *RULES)))
    switch.run("ovs-ofctl", "-OOpenFlow13", "add-flows", "br0", str(rules))
    before = {port: len(sent(switch, port)) for port in ports}
    numbered = enumerate(frames)
    for port, some in itertools.groupby(numbered, key=lambda each: each[1][0]):
        packets = (frame(tags, number) for number, (_port, tags) in some)
        switch.run("ovs-appctl", "netdev-dummy/receive", f"p{port}", *packets)
    wait_until(
        lambda: sum(matched(switch).values()) == len(frames), what="all frames to be counted"
    )
    return matched(switch), {port: sorted(sent(switch, port)[before[port] :]) for port in ports}


def traced(switch, number):
    """What a trace of a packet with two tags begins with, and learns."""
    words = ("ofproto/trace", "br0", "in_port=1", frame((31, 33), number))
    told = switch.run("ovs-appctl", *words).splitlines()
    return [told[0], *(line for line in told if "learned that" in line)]


def test_what_is_behind_the_limit_is_payload(both):
    for switch in both:
        set_up(switch)
    for number, limit in enumerate(LIMITS, 100):
        told, frames, ports = [], FRAMES, PORTS
        if limit not in (None, 1):
            # Whether an access port gets a frame with a tag inside depends, in Open vSwitch, on
            # which of the VLAN's frames came first.
            frames = [each for each in FRAMES if is_carried(*each)]
            ports = PORTS.keys() - ACCESS
        for switch in both:
            if limit is None:
                switch.run("ovs-vsctl", "remove", "open", ".", "other_config", "vlan-limit")
            else:
                switch.run("ovs-vsctl", "set", "open", ".", f"other_config:vlan-limit={limit}")
            told.append(send_all(switch, frames, ports))
        assert told[0] == told[1], f"vlan-limit {limit}"
        ours, theirs = (traced(switch, number) for switch in both)
        assert ours == theirs and len(ours) == 2
