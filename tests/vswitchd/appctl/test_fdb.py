"""fdb/*: the MAC table's commands, beside those of Open vSwitch 3.1."""

import subprocess

import pytest

from tests.daemons import BIN
from tests.ofproto.ovs_peer import Ovs, peer_marks

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = pytest.mark.system
ONE, TWO, THREE = (f"00:00:00:00:00:0{number}" for number in (1, 2, 3))
LEARN = ("ofproto/trace", "br0", f"in_port=1,dl_src={ONE},dl_dst={TWO}", "-generate")
HEADER = " port  VLAN  MAC                Age"


@pytest.fixture
def ours(switch):
    """appctl(*words) -> (status, text) on br0 with dummy ports p1 and p2."""
    switch.vsctl("add-br", "br0")
    for name in ("p1", "p2"):
        request = f"ofport_request={name[1]}"
        switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, "type=dummy", request)
        switch.ofctl("mod-port", "br0", name, "up")

    def appctl(*words):
        return run([str(BIN / "pyvs-appctl"), *words], switch.environment)

    return appctl


def run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    # Behind an error's text ovs-appctl tells who answered it.
    return done.returncode, done.stdout + "".join(done.stderr.splitlines(True)[:1])


@pytest.fixture
def theirs(tmp_path_factory):
    """The same of Open vSwitch."""
    ovs = Ovs(tmp_path_factory.mktemp("ovs"))
    try:
        ovs.start()
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
        for name in ("p1", "p2"):
            request = f"ofport_request={name[1]}"
            ovs.vsctl(
                "add-port", "br0", name, "--", "set", "interface", name, "type=dummy", request
            )
        yield lambda *words: run(
            ["ovs-appctl", "-t", f"{ovs.directory}/vs.ctl", *words], ovs.env
        )  # fmt: skip
    finally:
        ovs.stop()


def test_static_addresses_stay_where_they_are(ours):
    assert ours("fdb/add", "br0", "p2", "0", ONE) == (0, "")
    assert ours(*LEARN)[0] == 0  # the same address, heard on port 1
    assert ours("fdb/show", "br0") == (0, f"{HEADER}\n    2     0  {ONE}  static\n")
    back = ours("ofproto/trace", "br0", f"in_port=1,dl_src={TWO},dl_dst={ONE}")[1]
    assert "forwarding to learned port" in back
    assert ours("fdb/flush", "br0")[0] == 0
    assert f"{ONE}  static" in ours("fdb/show", "br0")[1]
    assert ours("fdb/del", "br0", "0", ONE) == (0, "")
    assert ours("fdb/show", "br0") == (0, f"{HEADER}\n")


def test_static_addresses_go_with_their_port(ours, switch):
    assert ours("fdb/add", "br0", "p2", "0", ONE) == (0, "")
    switch.vsctl("del-port", "p2")
    assert ours("fdb/show", "br0") == (0, f"{HEADER}\n")


def test_stations_of_a_port_that_goes_are_forgotten_everywhere(ours, switch):
    """Behind a patch port another bridge has learned them, too."""
    switch.vsctl("add-br", "br1")
    for bridge, name, peer in (("br0", "a", "b"), ("br1", "b", "a")):
        patch = ("type=patch", f"options:peer={peer}")
        switch.vsctl("add-port", bridge, name, "--", "set", "interface", name, *patch)
    learned = f"     0  {ONE}"
    assert ours(*LEARN)[0] == 0
    assert learned in ours("fdb/show", "br0")[1] and learned in ours("fdb/show", "br1")[1]
    switch.vsctl("del-port", "p1")
    assert ours("fdb/show", "br0") == ours("fdb/show", "br1") == (0, f"{HEADER}\n")


@pytest.mark.parametrize(
    "words",
    [
        ("fdb/add", "nothing", "p1", "0", ONE),
        ("fdb/add", "br0", "p9", "0", ONE),
        ("fdb/add", "br0", "p1", "0", "x"),
        ("fdb/del", "br0", "0", THREE),
        ("fdb/stats-clear", "nothing"),
    ],
)
def test_errors(ours, words):
    status, text = ours(*words)
    assert status == 2 and text


STEPS = (
    LEARN,
    ("fdb/stats-show", "br0"),
    ("fdb/add", "br0", "p2", "0", ONE),
    ("fdb/add", "br0", "p2", "0", ONE),
    ("fdb/add", "br0", "p1", "7", THREE),
    ("fdb/add", "br0", "br0", "7", THREE),
    ("fdb/add", "br0", "p1", "7", THREE),
    LEARN,
    ("fdb/show", "br0"),
    ("fdb/stats-show", "br0"),
    ("fdb/del", "br0", "7", ONE),
    ("fdb/del", "br0", "7", "junk"),
    ("fdb/del", "nothing", "7", ONE),
    ("fdb/del", "br0", "0", ONE),
    LEARN,
    ("fdb/del", "br0", "0", ONE),
    ("fdb/stats-clear", "br0"),
    ("fdb/stats-show", "br0"),
    ("fdb/stats-clear",),
    ("fdb/flush", "br0"),
    # What is no VLAN is taken, and finds no packet
    ("fdb/add", "br0", "p1", "5000", THREE),
    ("fdb/add", "br0", "p1", "-1", THREE),
    ("fdb/add", "br0", "p1", "word", THREE),
    ("fdb/add", "br0", "p1", "12x", "01:00:5e:00:00:01"),
    ("fdb/show", "br0"),
    ("fdb/del", "br0", "5000", THREE),
    ("fdb/del", "br0", "word", THREE),
    ("fdb/show", "br0"),
    ("fdb/show", "br0"),
    ("fdb/add",),
)


@pytest.mark.peer
@peer_marks[1]
def test_the_same_as_open_vswitch(ours, theirs):
    for words in STEPS:
        mine, other = ours(*words), theirs(*words)
        if words is LEARN:
            assert mine[0] == other[0] == 0
        else:
            assert mine == other, words


FLOW = f"in_port=1,dl_src={ONE},dl_dst={TWO}"
ELSEWHERE = f"in_port=2,dl_src={ONE},dl_dst={TWO}"
TRACES = [
    ("ofproto/trace", "br0", FLOW, "-generate"),  # learned
    ("ofproto/trace", "br0", FLOW, "-generate"),  # known
    ("ofproto/trace", "br0", ELSEWHERE, "-generate"),  # moved
    ("ofproto/trace", "br0", FLOW),
    ("ofproto/trace-packet-out", "br0", FLOW, "mod_vlan_vid:123,resubmit(,0),2"),
    ("ofproto/trace-packet-out", "-consistent", "br0", FLOW, "clone(mod_dl_src:1:2:3:4:5:6,2),1,2"),
    # Actions are checked against the packet, strictly or as OpenFlow 1.0 does
    *(
        ("ofproto/trace-packet-out", *strictly, "br0", packet, actions)
        for packet in ("in_port=1", "in_port=1,udp")
        for strictly in ((), ("-consistent",))
        for actions in (
            *("set_field:1.1.1.1->ip_dst", "mod_nw_src:1.1.1.1", "mod_tp_src:5", "group:7"),
            *("push_mpls:0x8847,mod_nw_src:1.1.1.1", "move:tcp_src->tcp_dst", "output:2,3"),
        )
    ),
    ("coverage/read-counter", "mac_learning_learned"),
    ("coverage/read-counter", "mac_learning_moved"),
    ("dpif/dump-dps",),
]


def without_ports(answer):
    """An answer without the datapath's ports, which have other numbers, and its type."""
    status, text = answer
    lines = [line for line in text.splitlines() if not line.startswith("Datapath actions")]
    return status, [line.replace("dummy@", "netdev@") for line in lines]


@pytest.mark.peer
@peer_marks[1]
def test_what_is_learned_and_packet_outs_beside_open_vswitch(ours, theirs):
    for words in TRACES:
        assert without_ports(ours(*words)) == without_ports(theirs(*words)), words
    bad = ("ofproto/trace-packet-out", "br0", FLOW, "nosuch")
    assert ours(*bad)[0] == theirs(*bad)[0] == 2
