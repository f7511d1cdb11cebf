"""vswitchd is killed and comes back: peers of its protocols do not notice, nor does traffic."""

import contextlib
import json
import re
import time

import pytest

from tests import ovs_userspace
from tests.daemons import DATAPATH, VSWITCHD, Switch, wait_until
from tests.ofproto import group_messages as g
from tests.system.layer2.test_link_protocols import BOND, LINKS, MONITORS, WATCHED, is_up, words
from tests.system.layer2.test_spanning_trees import patches, shown
from tests.system.traffic import Pinger

# A monitor waits before it starts again what died soon after it was started.
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

needs_ovs = pytest.mark.skipif(
    ovs_userspace.missing() is not None, reason=str(ovs_userspace.missing())
)


@pytest.fixture
def watched():
    """A switch whose vswitchd has a monitor."""
    with contextlib.closing(Switch()) as switch:
        switch.start(vswitchd=("--monitor",))
        yield switch


def kill(switch):
    """kill -9, and wait for what the monitor starts."""
    before = switch.pid(VSWITCHD)
    switch.kill(VSWITCHD)
    wait_until(lambda: switch.pid(VSWITCHD) not in (None, before), what="another vswitchd")
    wait_until(lambda: switch.appctl("version", check=False), what="its commands")


def recalled(switch):
    found = re.search(r"protocols_recalled .*total: (\d+)", switch.appctl("coverage/show"))
    return int(found[1]) if found else 0


class Watch:
    """Pings all the time, from a flow that there is on; stop() ends it."""

    def __init__(self, container, address):
        self._pinger = Pinger(container, address)
        self._pinger.wait_for(10)  # until flows are there

    def stop(self):
        """Each was answered."""
        sent, lost = self._pinger.stop()
        assert sent > 30 and not [n for n in lost if n > 10], (sent, lost)


@pytest.mark.parametrize("protocol", ["stp", "rstp"])
def test_a_ring_of_trees(watched, protocol):
    """Three bridges in a ring: after the kill each port is what it was, at once."""
    watched.vsctl(*patches(f"{protocol}_enable"))
    bridges = ("br0", "br1", "br2")
    if protocol == "stp":
        for bridge in bridges:
            watched.vsctl("set", "bridge", bridge, "other_config:stp-forward-delay=4")
    a = watched.container("ca", "10.0.0.1/24", "br1")
    watched.container("cb", "10.0.0.2/24", "br2")

    def states():
        return {bridge: shown(watched, protocol, bridge) for bridge in bridges}

    def is_whole():
        found = [state.lower() for each in states().values() for _, state in each.values()]
        blocked = found.count("blocking") + found.count("discarding")
        return found.count("forwarding") == 7 and blocked == 1

    wait_until(is_whole, 40, "the tree")
    assert a.ping("10.0.0.2", 2) == 2
    time.sleep(1.2)  # by then it is kept
    before, watch = states(), Watch(a, "10.0.0.2")
    kill(watched)
    assert states() == before
    assert recalled(watched) == 3
    time.sleep(7)  # longer than RSTP waits for who says nothing
    assert states() == before
    watch.stop()


def kernel_bridge(host):
    try:
        host.run(
            *("ip", "link", "add", "kbr", "type", "bridge", "stp_state", "1"),
            *("forward_delay", "400", "hello_time", "100", "max_age", "600"),
        )
    except AssertionError as error:
        pytest.skip(f"no bridges here: {error}")
    for i in range(2):
        host.run("ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", f"k{i}")
        host.run("ip", "link", "set", f"k{i}", "master", "kbr")
        host.run("ip", "link", "set", f"k{i}", "up")
        host.run("ip", "link", "set", f"v{i}", "up")
    host.run("ip", "link", "set", "kbr", "up")
    host.run("ip", "address", "add", "10.0.0.9/24", "dev", "kbr")


@pytest.mark.parametrize("protocol", ["stp", "rstp"])
def test_the_kernels_bridge_sees_nothing(watched, protocol):
    """The root is ours, or the kernel's; it has its changes of topology counted."""
    host = watched.host
    kernel_bridge(host)
    watched.vsctl("add-br", "br0", "--", "set", "bridge", "br0", f"{protocol}_enable=true")
    times = ["forward-delay=4", "max-age=6", *(["hello-time=1"] if protocol == "stp" else [])]
    settings = (f"other_config:{protocol}-{each}" for each in [*times, "priority=4096"])
    watched.vsctl("set", "bridge", "br0", *settings)
    for i in range(2):
        watched.vsctl("add-port", "br0", f"v{i}")
    c = watched.container("ca", "10.0.0.1/24", "br0")

    def kernel():
        links = [json.loads(host.run("ip", "-j", "-d", "link", "show", f"k{i}"))[0] for i in (0, 1)]
        found = [each["linkinfo"]["info_slave_data"] for each in links]
        names = ("state", "bridge_id", "root_id", "designated_port", "topology_change_ack")
        return [[each.get(name) for name in names] for each in found]

    def settled():
        return sorted(each[0] for each in kernel()) == ["blocking", "forwarding"]

    wait_until(lambda: settled() and c.ping("10.0.0.9", 1) == 1, 40, "the tree")
    time.sleep(2.2)
    before, ours, watch = kernel(), shown(watched, protocol, "br0"), Watch(c, "10.0.0.9")
    kill(watched)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert kernel() == before and shown(watched, protocol, "br0") == ours
        time.sleep(0.1)
    watch.stop()


@pytest.mark.alone
@pytest.mark.peer
@needs_ovs
def test_open_vswitch_sees_nothing():
    """LACP, BFD and CFM: no flap is counted there, and no member of the bond leaves it."""
    with contextlib.closing(Switch()) as ours, contextlib.closing(ovs_userspace.OvsSwitch()) as ovs:
        ours.start(vswitchd=("--monitor",))
        ovs.start()
        for name in LINKS:
            peer = f"{name}p"
            ours.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
            ours.host.run("ip", "link", "set", peer, "netns", str(ovs.host.pid))
            ours.host.run("ip", "link", "set", name, "up")
            ovs.host.run("ip", "link", "set", peer, "up")
        for switch, end, lacp, number in ((ours, "", "active", 1), (ovs, "p", "passive", 2)):
            ports = [name + end for name in LINKS]
            add = "add-br br0 -- set bridge br0 datapath_type=netdev -- "
            add += BOND.format(*ports[:2], lacp) + " -- " + WATCHED.format(ports[2])
            switch.vsctl(*add.split(), *MONITORS.format(number).split())
            switch.vsctl("set", "interface", ports[2], "other_config:cfm_interval=1000")
            switch.vsctl("set", "interface", ports[2], "bfd:min_rx=1000")
        wait_until(lambda: is_up(ours) and is_up(ovs), 40, what="the protocols of both sides")
        time.sleep(4)  # CFM's first faults are over

        def flaps():
            columns = ("bfd_status:flap_count", "cfm_flap_count", "bfd_status:state")
            found = [ovs.vsctl("get", "interface", "l3p", each).strip() for each in columns]
            lacp = re.findall(r"^member.*", ovs.appctl("lacp/show", "bond0"), re.M)
            bond = re.findall(r"^member.*", ovs.appctl("bond/show", "bond0"), re.M)
            stats = words(ovs, "lacp/show-stats", "bond0")
            counts = [re.findall(rf"{each}: (\d+)", stats) for each in ("Expired", "Defaulted")]
            return found, lacp, bond, counts

        before = flaps()
        ours_before = words(ours, "bond/show"), words(ours, "bfd/show").count("session_state")
        buckets = re.findall(r"member (\w+)|hash (\d+)", ours.appctl("bond/show"))
        kill(ours)
        assert recalled(ours) == 4
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert flaps() == before
            time.sleep(0.2)
        assert is_up(ours)
        assert re.findall(r"member (\w+)|hash (\d+)", ours.appctl("bond/show")) == buckets
        assert ours_before[1] == words(ours, "bfd/show").count("session_state")


@pytest.mark.alone
@pytest.mark.peer
@needs_ovs
@pytest.mark.parametrize("daemon", [VSWITCHD, DATAPATH])
def test_a_bond_whose_members_the_datapath_chooses(daemon):
    """Open vSwitch at its other end sees no flap; buckets are where they were."""
    with contextlib.closing(Switch()) as ours, contextlib.closing(ovs_userspace.OvsSwitch()) as ovs:
        ours.start(datapath=("--monitor",), vswitchd=("--monitor",))
        ovs.start()
        for name in LINKS[:2]:
            peer = ("peer", "name", f"{name}p", "netns", str(ovs.host.pid))
            ours.host.run("ip", "link", "add", name, "type", "veth", *peer)
            ours.host.run("ip", "link", "set", name, "up")
            ovs.host.run("ip", "link", "set", f"{name}p", "up")
        for switch, end, lacp in ((ours, "", "active"), (ovs, "p", "passive")):
            bond = BOND.format(*(name + end for name in LINKS[:2]), lacp)
            add = f"add-br br0 -- set bridge br0 datapath_type=netdev -- {bond}"
            switch.vsctl(*add.split(), "other_config:lb-output-action=true")
        a, _b = (s.container("ca", f"10.0.0.{n}/24", "br0") for n, s in ((1, ours), (2, ovs)))

        def members():
            return re.findall(r"^member.*", ovs.appctl("bond/show", "bond0"), re.M)

        def flaps():
            stats = words(ovs, "lacp/show-stats", "bond0")
            counts = [re.findall(rf"{each}: (\d+)", stats) for each in ("Expired", "Defaulted")]
            return members(), re.findall(r"^member.*", ovs.appctl("lacp/show"), re.M), counts

        def buckets():
            return re.findall(r"bucket (\d+).*?(\d+)$", shown_bonds(ours), re.M)

        wait_until(lambda: str(members()).count("enabled") == 2, 40, "both links")
        wait_until(lambda: len(buckets()) == 256 and a.ping("10.0.0.2", 1) == 1, 40, "its buckets")
        time.sleep(1.2)  # by then it is kept
        before, given = flaps(), buckets()
        watch = Watch(a, "10.0.0.2") if daemon == VSWITCHD else None
        old = ours.pid(daemon)
        ours.kill(daemon)
        end = time.monotonic() + 8  # LACP's fast timeout is 3 s
        while time.monotonic() < end:
            assert flaps() == before
            time.sleep(0.2)
        if watch is not None:
            watch.stop()
        wait_until(lambda: buckets() == given and a.ping("10.0.0.2", 1) == 1, 20, "buckets again")
        assert ours.pid(daemon) != old
        assert "lb_output(" in ours.appctl("dpctl/dump-flows")


def shown_bonds(switch):
    """ "" while there is nobody who says it."""
    return switch.appctl("dpif-netdev/bond-show", check=False) or ""


def test_groups_and_mirrors_go_on(watched):
    """Who joined a group stays in it; the mirror's copies go on."""
    watched.vsctl(
        *("add-br", "br0", "--", "set", "bridge", "br0", "mcast_snooping_enable=true"),
        "other_config:mcast-snooping-disable-flood-unregistered=true",
    )
    a, b, c = (
        watched.container(name, f"10.0.0.{number}/24", "br0")
        for number, name in enumerate(("sa", "mb", "mc"), 1)
    )
    watched.vsctl(
        *("--", "--id=@p", "get", "port", "mc", "--", "--id=@m", "create", "mirror", "name=m"),
        *("select_all=true", "output_port=@p", "--", "set", "bridge", "br0", "mirrors=@m"),
    )
    b.send(g.igmp(g.REPORT, group="239.1.2.3", source="10.0.0.2"))

    def groups():
        return [line.split()[:3] for line in watched.appctl("mdb/show", "br0").splitlines()[1:]]

    wait_until(groups, what="a group")
    before = groups()
    time.sleep(1.2)
    with c.receiving(8) as copies:
        watch = Watch(a, "10.0.0.2")
        kill(watched)
        assert groups() == before
        time.sleep(1)
        watch.stop()
    assert sum(b"\x08\x00" in frame[12:14] for frame in copies) > 100


def test_what_is_old_or_torn_is_of_no_effect(watched):
    """It begins anew then, and says why."""
    watched.vsctl(
        *("add-br", "br0", "--", "set", "bridge", "br0", "stp_enable=true"),
        "other_config:stp-forward-delay=4",
    )
    watched.container("ca", "10.0.0.1/24", "br0")
    wait_until(lambda: shown(watched, "stp", "br0")["ca"][1] == "forwarding", 30, "the tree")
    path = watched.directory / "br0.protocols"
    wait_until(path.exists, what="what is kept")
    head, body = path.read_bytes().split(b"\n")
    words = head.split()
    old = b" ".join([*words[:-2], b"%d" % (int(words[-2]) - 10**11), words[-1]]) + b"\n" + body
    other_boot = head.replace(words[2], b"another") + b"\n" + body
    for wrong in (head + b"\n" + body[:-7], old, other_boot, b"\xff\n"):
        watched.kill(VSWITCHD)
        path.write_bytes(wrong)
        wait_until(lambda: watched.appctl("version", check=False), 20, what="its commands")
        assert recalled(watched) == 0
        assert shown(watched, "stp", "br0")["ca"][1] != "forwarding"
