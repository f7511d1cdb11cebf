"""Mirrors beside Open vSwitch's: the same rows on both sides, the same actions expected."""

import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import ofproto.codec.actions  # noqa: F401  (actions that the instructions' parser looks up)
from datapath.actions.text.odp_text import format_actions
from datapath.key import flow
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match_text import parse_match
from ofproto.mirrors import Mirrors, MirrorSettings
from ofproto.xlate.bridges.xbridge import XBundle, XPort
from ofproto.xlate.state.recirc import RecircTable
from ofproto.xlate.trace import trace_flow
from ofproto.xlate.translate import translate
from tests.ofproto.ovs_peer import Ovs, peer_marks
from tests.ofproto.xlate_world import World, key_of

pytestmark = peer_marks
PORTS = range(1, 7)
LOCAL = 0xFFFE
# Columns of the ports in all cases.
VLANS = {
    4: {"tag": 11},
    5: {"trunks": [11, 12]},
    6: {"tag": 10, "vlan_mode": "native-untagged"},
}
RULES = {
    "forward": [
        "in_port=1,actions=output:2,output:4",
        "in_port=2,actions=push_vlan:0x8100,set_field:4113->vlan_vid,output:1,output:5",
        "in_port=4,actions=output:1,set_field:00:00:00:00:00:08->eth_src,output:2",
        "in_port=5,actions=set_field:00:00:00:00:00:09->eth_dst,output:6,output:1",
        "in_port=6,actions=drop",
    ],
    "normal": ["actions=normal"],
}
BASE = "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"
FLOWS = [
    *(f"in_port={port},{BASE}" for port in (1, 2, 4, 6)),
    *(f"in_port={port},{BASE},dl_vlan={vid}" for port in (1, 5) for vid in (11, 12, 13)),
    "in_port=1,dl_src=02:00:00:00:00:01,dl_dst=01:80:c2:00:00:00",
]
ALL = {"select_all": True}
# A list of mirrors each.
MIRRORS = [
    [{**ALL, "output": 3}],
    [{**ALL, "output": 3, "snaplen": 100}],
    [{**ALL, "output": 4}],
    [{"src": [1, 5], "output": 3}],
    [{"dst": [2], "output": 3}, {"dst": [1], "output": 6}],
    [{"src": [1], "dst": [1, 2, 5], "output": 3, "vlans": [0, 11]}],
    [{**ALL, "output_vlan": 12}],
    [{**ALL, "output_vlan": 12, "snaplen": 64}],
    [{**ALL, "output": 3, "vlans": [12]}, {**ALL, "output": 3, "vlans": [11]}],
    [{"src": [1], "output": 3}, {"dst": [4], "output": 6}, {"src": [1], "output_vlan": 13}],
    [{**ALL, "output_vlan": 20}, {**ALL, "output_vlan": 21}],
    [{**ALL}, {"output": 3}],
]


@pytest.fixture(scope="module")
def ovs():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            made = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
            made += ["fail_mode=secure", "protocols=OpenFlow13"]
            for number in PORTS:
                made += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface"]
                made += [f"p{number}", "type=dummy", f"ofport_request={number}"]
                for column, value in VLANS.get(number, {}).items():
                    text = str(value).replace(" ", "")
                    made += ["--", "set", "port", f"p{number}", f"{column}={text}"]
            peer.vsctl(*made)
            yield peer
        finally:
            peer.stop()


def ports_text(numbers):
    return ",".join(f"@p{number}" for number in numbers)


COLUMNS = [
    ("select_all", "select_all", lambda value: str(value).lower()),
    ("src", "select_src_port", ports_text),
    ("dst", "select_dst_port", ports_text),
    ("output", "output_port", lambda number: f"@p{number}"),
    ("output_vlan", "output_vlan", str),
    ("snaplen", "snaplen", str),
    ("vlans", "select_vlan", lambda vlans: ",".join(map(str, vlans))),
]


def set_mirrors(peer, mirrors):
    command = ["clear", "bridge", "br0", "mirrors"]
    for number in PORTS:
        command += ["--", f"--id=@p{number}", "get", "port", f"p{number}"]
    for number, row in enumerate(mirrors):
        columns = [f"{column}={value(row[key])}" for key, column, value in COLUMNS if key in row]
        command += ["--", f"--id=@m{number}", "create", "mirror", f"name=m{number}", *columns]
        command += ["--", "add", "bridge", "br0", "mirrors", f"@m{number}"]
    peer.vsctl(*command)


def world_like(peer, mirrors, rules):
    odp = {name: int(n) for name, n in re.findall(r"(\w+) \d+/(\d+):", peer.appctl("dpif/show"))}
    world = World(0)
    for number, name in [(LOCAL, "br0"), *((number, f"p{number}") for number in PORTS)]:
        port = XPort(name, number, odp[name])
        world.bridge.port_add(port)
        bundle = world.bundles[number] = XBundle(name)
        columns = dict(VLANS.get(number, {}))
        bundle.set_vlan(columns.pop("vlan_mode", None), **columns)
        world.bridge.bundle_set(bundle, [port])
    for text in rules:
        match, _, actions = text.partition("actions=")
        world.rule([], parse_match(match.strip(",")), instructions=parse_instructions(actions))
    wanted = [
        MirrorSettings(
            number, f"m{number}", row.get("select_all", False), tuple(row.get("src", ())),
            tuple(row.get("dst", ())), tuple(row.get("vlans", ())), row.get("output"),
            row.get("output_vlan", -1), row.get("snaplen", 0),
        )
        for number, row in enumerate(mirrors) if "output" in row or "output_vlan" in row
    ]  # fmt: skip
    world.mirrors = Mirrors(world.bridge, SimpleNamespace(bundles=world.bundles))
    world.mirrors.set(wanted)
    return world


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("number", range(len(MIRRORS)))
def test_as_open_vswitch(ovs, number, rules):
    mirrors = MIRRORS[number]
    set_mirrors(ovs, mirrors)
    bridge = f"unix:{ovs.directory}/br0.mgmt"
    ovs.run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", bridge)
    for line in RULES[rules]:
        ovs.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, line)
    world = world_like(ovs, mirrors, RULES[rules])
    for text in FLOWS:
        theirs = ovs.appctl("ofproto/trace", "br0", text)
        ours = trace_flow(world.bridge, text)
        several = len(mirrors) > 1 or "output_vlan" in mirrors[0] or rules == "normal"
        if several:  # the order of mirrors, and of the ports of a VLAN, is each side's own
            assert outputs(ours) == outputs(theirs), (ours, theirs)
        else:
            assert ours.splitlines()[-1] == theirs.splitlines()[-1], text


def outputs(report):
    """(tags that the packet leaves with, how it is cut, port) of each output, sorted."""
    found, tags, cut = [], [], ""
    first = re.search(r"dl_vlan=(\d+)", report.splitlines()[0])
    tags += [first[1]] if first else []
    for name, body in re.findall(r"(\w+)(?:\(([^)]*)\))?", report.splitlines()[-1].split(": ")[1]):
        if name == "push_vlan":
            tags.append(re.match(r"vid=(\d+)", body)[1])
        elif name == "pop_vlan":
            tags.pop()
        elif name == "trunc":
            cut = body
        elif name.isdigit():
            found.append((tuple(tags), cut, name))
            cut = ""
        else:
            found.append((name, body))
    return sorted(found, key=str)


def test_statistics_and_what_is_remembered():
    """A copy counts once per packet, for the mirror that made it, also over recirculation."""
    world = World(4)
    world.rule([], instructions=parse_instructions("output:2,debug_recirc,output:4"))
    mirrors = Mirrors(world.bridge, SimpleNamespace(bundles=world.bundles))
    one = MirrorSettings("a", "a", True, (), (), (), 3, -1, 0)
    mirrors.set([one, one._replace(key="b", name="b")])
    recirc = RecircTable()
    key = bytearray(key_of(bytes(60), 1))
    first = translate(world.bridge, key, recirc=recirc, side_effects=True, packet_size=60)
    (number,) = recirc_ids(first.actions)
    offset, size = flow.MEMBERS["recirc_id"]
    key[offset : offset + size] = number.to_bytes(size, "big")
    translate(world.bridge, key, recirc=recirc, side_effects=True, packet_size=60)
    assert mirrors.counts() == {"a": (1, 60), "b": (0, 0)}
    mirrors.set([one])  # goes on counting
    assert mirrors.counts() == {"a": (1, 60)}
    mirrors.set([])
    assert not world.bridge.mirrors and not world.bundles[1].mirror_src


def recirc_ids(actions):
    return [int(text, 16) for text in re.findall(r"recirc\((0x\w+)\)", format_actions(actions))]


def test_what_a_vlan_of_copies_looks_at():
    """Reserved addresses are not copied there, nor frames of the VLAN: flows have to tell both; and
    the tag inside, where the VLAN's ports take only some."""
    world = World(3)
    world.bundles[3].set_vlan("dot1q-tunnel", tag=7, cvlans=[4])
    world.rule([], instructions=parse_instructions("output:2"))
    mirrors = Mirrors(world.bridge, SimpleNamespace(bundles=world.bundles))
    mirrors.set([MirrorSettings("a", "a", True, (), (), (), None, 7, 0)])
    for text in ("dl_dst=01:80:c2:00:00:00", "dl_dst=02:00:00:00:00:02", "dl_vlan=7", "dl_vlan=8"):
        report = trace_flow(world.bridge, f"in_port=1,{text}")
        megaflow = next(line for line in report.splitlines() if line.startswith("Megaflow"))
        assert "dl_dst=" in megaflow and ("dl_vlan=" in megaflow) == ("vlan" in text), report
    key = key_of(bytes(12) + b"\x81\0\0\x08\x81\0\0\x04" + bytes(60), 1)
    mask = translate(world.bridge, key).mask
    offset, _ = flow.MEMBERS["vlan1_tci"]
    assert mask[offset] & 0x1F == 0x1F and mask[offset + 1] == 0xFF
