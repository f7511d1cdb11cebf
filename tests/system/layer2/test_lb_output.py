"""Bonds whose members the datapath chooses by itself (other_config:lb-output-action): real devices,
and beside Open vSwitch 3.1."""

import re
import sys

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system]
_peer, _installed = peer_marks

FLOWS, PACKETS = 64, 10
SOURCE = f"""
import socket
for port in range({FLOWS}):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 6000 + port))
        for _ in range({PACKETS}):
            sock.sendto(bytes(1000), ("10.0.0.2", 5000))
"""


@pytest.fixture
def cabled(switch):
    """Two bridges, bonds of two cables between them, and a namespace at each."""
    for n in (1, 2):
        switch.host.run(*f"ip link add m{n} type veth peer name w{n}".split())
        for end in "mw":
            switch.host.run("ip", "link", "set", f"{end}{n}", "up")
    for n, end in enumerate("mw"):
        switch.vsctl("add-br", f"br{n}")
        switch.vsctl(
            *f"add-bond br{n} bond{n} {end}1 {end}2 lacp=active bond_mode=balance-tcp".split(),
            *("other_config:lacp-time=fast", "other_config:bond-rebalance-interval=1000"),
            "other_config:lb-output-action=true",
        )
    ends = []
    for n in (0, 1):
        ends.append(switch.container(f"c{n}", f"10.0.0.{n + 1}/24"))
        switch.vsctl("add-port", f"br{n}", f"c{n}")
    for n in (0, 1):
        wait_until(lambda n=n: len(carriers(switch, n)) == 2, 60, f"both links of bond{n}")
    yield switch, *ends


def carriers(switch, n):
    shown = switch.appctl("bond/show", f"bond{n}")
    return set(re.findall(r"member (\w+): enabled", shown))


def members(switch):
    """Bond -> the datapath ports that carry its buckets."""
    found = {}
    for line in switch.appctl("dpif-netdev/bond-show").splitlines():
        word = line.split()
        if word[0] == "bond-id":
            found[int(word[1].rstrip(":"))] = bucket_of = {}
        elif word[0] == "bucket":
            bucket_of[int(word[1])] = word[4]
    return {bond: set(each.values()) for bond, each in found.items() if len(each) == 256}


def actions(switch, what):
    return set(re.findall(rf"{what}\(\w+\)", switch.appctl("dpctl/dump-flows")))


def loaded(switch):
    """Members of bond0 that have carried something."""
    shown = switch.appctl("bond/show", "bond0").split("\nmember ")[1:]
    return {part.partition(":")[0] for part in shown if "kB load" in part}


def test_the_datapath_chooses(cabled):
    switch, one, _two = cabled
    bond = int(
        re.search(r"lb_output action: enabled, bond-id: (\d+)", switch.appctl("bond/show"))[1]
    )
    one.run("ping", "-c", "2", "-i", "0.2", "-W", "5", "10.0.0.2")
    one.run(sys.executable, "-c", SOURCE)
    assert f"lb_output({bond})" in actions(switch, "lb_output")
    assert not actions(switch, "recirc")
    wait_until(lambda: len(loaded(switch)) == 2, what="loads of both members")
    assert len(members(switch)) == 2 and len(members(switch)[bond]) == 2
    assert switch.appctl("dpctl/dump-flows").count("lb_output") < FLOWS / 2  # one for all of them
    # A member fails: the other one carries all, by the same flows.
    switch.host.run("ip", "link", "set", "w1", "down")
    wait_until(lambda: carriers(switch, 0) == {"m2"}, 30, "one link")
    wait_until(lambda: len(members(switch)[bond]) == 1, what="its buckets")
    one.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "10.0.0.2")
    assert f"lb_output({bond})" in actions(switch, "lb_output")
    # And without it, packets come round.
    for n in (0, 1):
        switch.vsctl("set", "port", f"bond{n}", "other_config:lb-output-action=false")
    wait_until(lambda: not switch.appctl("dpif-netdev/bond-show").strip(), what="no bonds")
    one.run("ping", "-c", "2", "-i", "0.2", "-W", "5", "10.0.0.2")
    assert actions(switch, "recirc") and not actions(switch, "lb_output")


SIDE = """add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=standalone
    other_config:hwaddr=aa:55:aa:55:00:00 -- add-port br0 p7 -- set interface p7 type=dummy
    -- add-bond br0 bond0 p1 p2 bond_mode=balance-tcp lacp=active
    -- set interface p1 type=dummy -- set interface p2 type=dummy"""
STEPS = (
    "set port bond0 other_config:lb-output-action=true",
    "set port bond0 bond_mode=balance-slb",
    "set port bond0 bond_mode=balance-tcp",
    "set port bond0 bond_mode=balance-tcp other_config:bond-hash-basis=7",
    "set port bond0 other_config:lb-output-action=false",
)


@_peer
@_installed
def test_what_is_shown(tmp_path):
    def told(switch):
        shown = switch.run("ovs-appctl", "bond/show", "bond0").splitlines()
        lines = [line for line in shown if re.match("bond_mode|bond may|bond-hash|lb_output", line)]
        in_datapath = switch.run("ovs-appctl", "dpif-netdev/bond-show").splitlines()
        features = switch.run("ovs-appctl", "dpif/show-dp-features", "br0")
        return (
            lines,
            in_datapath[:2],
            len(in_datapath),
            "Optimized Balance TCP mode: Yes" in features,
        )

    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        for switch in both:
            switch.run("ovs-vsctl", *SIDE.split())
        for step in STEPS:
            for switch in both:
                switch.run("ovs-vsctl", *step.split())
            theirs = told(both[1])
            wait_until(
                lambda wanted=theirs: told(both[0])[2] == wanted[2], what=f"bonds after {step}"
            )
            ours, wanted = told(both[0]), told(both[1])
            assert re.sub(r"\d+", "N", str(ours[:2])) == re.sub(r"\d+", "N", str(wanted[:2])), step
            assert ours[2:] == wanted[2:], step
