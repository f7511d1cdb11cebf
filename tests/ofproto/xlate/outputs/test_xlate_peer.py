"""NORMAL and VLANs beside Open vSwitch: the same bridge there, and its ofproto/trace."""

import random
import re
import tempfile
from pathlib import Path

import pytest

from ofproto.xlate.trace import trace_flow
from tests.ofproto.ovs_peer import Ovs, peer_marks
from tests.ofproto.xlate_world import NORMAL, World, output

pytestmark = peer_marks
# OpenFlow port -> columns of the Port there, set_vlan() here
PORTS = {
    1: ("", {}),
    2: ("tag=10", {"tag": 10}),
    3: ("tag=20", {"tag": 20}),
    4: ("trunks=10,30", {"trunks": [10, 30]}),
    5: ("vlan_mode=native-tagged tag=10", {"mode": "native-tagged", "tag": 10}),
    6: (
        "vlan_mode=native-untagged tag=10 trunks=20",
        {"mode": "native-untagged", "tag": 10, "trunks": [20]},
    ),
    7: (
        "tag=10 other_config:priority-tags=true",
        {"tag": 10, "priority_tags": "if-nonzero"},
    ),
    8: ("vlan_mode=native-untagged tag=20", {"mode": "native-untagged", "tag": 20}),
    9: ("vlan_mode=dot1q-tunnel tag=30", {"mode": "dot1q-tunnel", "tag": 30}),
    10: (
        "vlan_mode=dot1q-tunnel tag=10 cvlans=5,6",
        {"mode": "dot1q-tunnel", "tag": 10, "cvlans": [5, 6]},
    ),
}
FLOW = "in_port={port},{vlan}dl_src={src},dl_dst={dst}"


@pytest.fixture(scope="module")
def ovs():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            peer.vsctl(
                *["--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"],
                *["--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"],
            )
            for number, (columns, _) in PORTS.items():
                peer.vsctl(
                    *f"add-port br0 p{number} {columns}".split(),
                    *f"-- set interface p{number} type=dummy ofport_request={number}".split(),
                )
            yield peer
        finally:
            peer.stop()


@pytest.fixture
def world():
    made = World(0)
    for number, (_, vlan) in PORTS.items():
        made.add_port(number, **vlan)
    made.rule([output(NORMAL)], priority=0)
    return made


def flows():
    """Flows that meet each mode with each tag; some teach, some are to known stations."""
    rng = random.Random(4)
    tags = ["", "dl_vlan=10,dl_vlan_pcp=3,", "dl_vlan=0,dl_vlan_pcp=5,"]
    tags += [f"dl_vlan={vid}," for vid in (0, 5, 10, 20, 30)]
    station = "00:00:00:00:01:{:02x}".format
    for port in PORTS:
        for tag in tags:
            if "dl_vlan=0" in tag and PORTS[port][1].get("mode") == "dot1q-tunnel":
                continue  # Open vSwitch takes a priority tag off, which is the customer's
            for dst in ("ff:ff:ff:ff:ff:ff", station(rng.choice(list(PORTS)))):
                yield FLOW.format(port=port, vlan=tag, src=station(port), dst=dst)


def part(report, name):
    return re.search(f"^{name}: (.*)$", report, re.MULTILINE).group(1)


def odp_numbers(peer):
    """Datapath port there -> the one here (OpenFlow port + 10; LOCAL has none)."""
    shown = peer.appctl("dpif/show")
    pairs = re.findall(r"(\w+) (\d+)/(\d+):", shown)
    return {odp: str(int(ofp) + 10) for name, ofp, odp in pairs if name != "br0"}


def same_outputs(actions, numbers):
    """What leaves each port: port -> the tags that its packet has, by running pops and pushes.

    The order of ports in a flood, and with it the pops and pushes between, is free.
    """
    tags, sent = ["as it came"], set()
    if actions == "drop":
        return sent
    for action in re.findall(r"[^,(]+(?:\([^)]*\))?", actions):
        if action.startswith("push_vlan"):
            tags = [action.replace("tpid=0x8100,", ""), *tags]
        elif action == "pop_vlan":
            tags = tags[1:] if len(tags) > 1 else ["popped"]
        elif numbers is None or action in numbers:
            sent.add((action if numbers is None else numbers[action], *tags))
    return sent


ACCESS = {str(number + 10) for number in (2, 3, 7)}


def without(sent, ports):
    return {entry for entry in sent if entry[0] not in ports}


def test_normal_does_what_open_vswitch_does(ovs, world):
    numbers = odp_numbers(ovs)
    wrong = []
    for text in flows():
        theirs = part(ovs.appctl("ofproto/trace", "br0", text, "-generate"), "Datapath actions")
        ours = part(trace_flow(world.bridge, text, learn=True, now=1), "Datapath actions")
        theirs_, ours_ = same_outputs(theirs, numbers), same_outputs(ours, None)
        if re.match("in_port=(9|10),", text):
            # To access ports there goes no packet with a tag inside, but only where its vlan-limit
            # lets it see that tag.
            theirs_, ours_ = without(theirs_, ACCESS), without(ours_, ACCESS)
        if theirs_ != ours_:
            wrong.append((text, theirs, ours))
    assert not wrong, "\n".join(map(str, wrong))
