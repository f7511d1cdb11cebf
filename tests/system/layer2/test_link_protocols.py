"""LACP, CFM and BFD with Open vSwitch at the other end of the cables."""

import contextlib
import re

import pytest

from tests.daemons import Switch, wait_until
from tests.ovs_userspace import OvsSwitch
from tests.ovs_userspace import missing as no_peer

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(no_peer() is not None, reason=str(no_peer())),
]

LINKS = ("l1", "l2", "l3")
BOND = "add-bond br0 bond0 {0} {1} lacp={2} bond_mode=balance-tcp other_config:lacp-time=fast"
WATCHED = "add-port br0 {0} -- set interface {0}"
MONITORS = "cfm_mpid={} other_config:cfm_interval=100 bfd:enable=true bfd:min_rx=100"


@pytest.fixture
def pair():
    """Two switches, of which the first one is ours: cables l1 and l2 of a bond, and l3."""
    with contextlib.closing(Switch()) as ours, contextlib.closing(OvsSwitch()) as theirs:
        ours.start()
        theirs.start()
        for name in LINKS:
            peer = f"{name}p"
            ours.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
            ours.host.run("ip", "link", "set", peer, "netns", str(theirs.host.pid))
            ours.host.run("ip", "link", "set", name, "up")
            theirs.host.run("ip", "link", "set", peer, "up")
        for switch, end, lacp, number in ((ours, "", "active", 1), (theirs, "p", "passive", 2)):
            ports = [name + end for name in LINKS]
            add = "add-br br0 -- set bridge br0 datapath_type=netdev -- "
            add += BOND.format(*ports[:2], lacp) + " -- " + WATCHED.format(ports[2])
            switch.vsctl(*add.split(), *MONITORS.format(number).split())
        yield ours, theirs


def words(switch, command, *arguments):
    return " ".join(switch.appctl(command, *arguments).split())


def is_up(switch):
    """Whether all three say that the other side is there."""
    bond, lacp = words(switch, "bond/show"), words(switch, "lacp/show", "bond0")
    name = re.search(r"---- (l3p?) ----", words(switch, "cfm/show"))[1]
    bfd, cfm = words(switch, "bfd/show", name), words(switch, "cfm/show", name)
    return (
        "lacp_status: negotiated" in bond
        and bond.count("may_enable: true") == 2
        and lacp.count("current attached") == 2
        and "Local Session State: up" in bfd
        and "fault:" not in cfm
        and "Remote MPID" in cfm
    )


def test_both_sides_agree_and_notice_the_same(pair):
    ours, theirs = pair
    wait_until(lambda: is_up(ours) and is_up(theirs), 30, what="the protocols of both sides")
    shown = [switch.appctl("lacp/show", "bond0") for switch in pair]
    for mine, other in (shown, shown[::-1]):  # what each says of itself, the other knows
        actors = re.findall(r"actor (.*)", mine)
        assert actors == re.findall(r"partner (.*)", other)
    for name, column, value in (
        ("l3", "cfm_fault", "false"), ("l3", "cfm_remote_mpids", "[2]"),
        ("l3", "bfd_status:state", "up"), ("l3", "bfd_status:forwarding", '"true"'),
        ("l1", "lacp_current", "true"), ("l2", "lacp_current", "true"),
    ):  # fmt: skip
        wait_until(
            lambda n=name, c=column, v=value: ours.vsctl("get", "interface", n, c).strip() == v,
            what=f"{column} of {name}",
        )
    flows = ours.appctl("dpctl/dump-flows")
    assert {"lacp", "cfm", "bfd"} <= set(re.findall(r"slow_path\((\w+)\)", flows))
    # Cables on which nothing comes any more, though they are up.
    for name in ("l1", "l3"):
        theirs.ofctl("mod-port", "br0", f"{name}p", "no-forward")

    def has_noticed():
        bond, lacp = words(ours, "bond/show"), words(ours, "lacp/show")
        bfd, cfm = words(ours, "bfd/show", "l3"), words(ours, "cfm/show", "l3")
        return (
            re.search(r"member l1: disabled (active member )?may_enable: false", bond)
            and re.search(r"member l2: enabled (active member )?may_enable: true", bond)
            and ("l1: expired" in lacp or "l1: defaulted" in lacp)
            and "Local Session State: down" in bfd
            and "fault: recv" in cfm
        )

    wait_until(has_noticed, 30, what="what is missing")
    ports = " ".join(ours.ofctl("-O", "OpenFlow13", "dump-ports-desc", "br0").split())
    state = dict(re.findall(r"\((l\d)\): addr:\S+ config: 0 state: (\S+)", ports))
    assert state == {"l1": "0", "l2": "LIVE", "l3": "0"}
    for name in ("l1", "l3"):
        theirs.ofctl("mod-port", "br0", f"{name}p", "forward")
    wait_until(lambda: is_up(ours) and is_up(theirs), 45, what="that it is over")
