"""Configuration is a diff: what is set and taken back leaves the switch as it was."""

import re

import pytest

from tests.system.traffic import Pinger, ofports

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

# What changes by itself: counters, ages.
VOLATILE = re.compile(
    r"(duration|n_packets|n_bytes|idle_age)=[^, ]+,? ?|, packets:\d+, bytes:\d+|, used:[^,]+"
    r"|\(0x[0-9a-f]+\)|xid=0x[0-9a-f]+"
)
DUMMY = ("--", "set", "Interface", "d9", "type=dummy")

# (do, undo): words for vsctl.
OF_NO_CONCERN_TO_TRAFFIC = [
    (("add-port", "br0", "d9", *DUMMY), ("del-port", "d9")),
    # Both in one transaction.
    (("add-port", "br0", "d9", *DUMMY, "--", "del-port", "d9"), ()),
    (("set", "Port", "c2", "tag=4", "--", "clear", "Port", "c2", "tag"), ()),
    (("add-br", "br9", "--", "add-port", "br9", "d9", *DUMMY), ("del-br", "br9")),
    (
        ("set", "Bridge", "br0", "other_config:mac-table-size=4096"),
        ("remove", "Bridge", "br0", "other_config", "mac-table-size"),
    ),
    (
        ("set", "Bridge", "br0", "protocols=OpenFlow10,OpenFlow13", "external_ids:a=b"),
        ("clear", "Bridge", "br0", "protocols", "external_ids"),
    ),
    (
        ("set", "Port", "d1", "tag=3", "vlan_mode=access"),
        ("clear", "Port", "d1", "tag", "vlan_mode"),
    ),
]
IN_THE_WAY_OF_TRAFFIC = [
    (("set", "Port", "c2", "tag=7"), ("remove", "Port", "c2", "tag", "7")),
    (("set", "Port", "c1", "trunks=5,6"), ("clear", "Port", "c1", "trunks")),
    (
        ("set", "Bridge", "br0", "other_config:forward-bpdu=true"),
        ("remove", "Bridge", "br0", "other_config", "forward-bpdu"),
    ),
]


def stable(text):
    return sorted(VOLATILE.sub("", line).rstrip() for line in text.splitlines())


class State:
    """What there is to compare.  `datapath`: the flows and MAC table that traffic makes."""

    def __init__(self, switch):
        self.numbers = ofports(switch)
        self.openflow = stable(switch.ofctl("dump-flows", "br0"))
        self.ports = stable(switch.ofctl("-O", "OpenFlow13", "dump-ports-desc", "br0"))
        show = switch.dpctl("show")
        self.datapath_ports = sorted(re.findall(r"port \d+: .*", show))
        dump = [line for line in switch.dpctl("dump-flows").splitlines() if "0x0800" in line]
        self.megaflows = stable("\n".join(dump))
        self.packets = sum(int(n) for line in dump for n in re.findall(r"packets:(\d+)", line))
        fdb = switch.appctl("fdb/show", "br0").splitlines()[1:]
        self.macs = sorted(line.split()[:3] for line in fdb)

    def settings(self):
        return self.numbers, self.openflow, self.ports, self.datapath_ports

    def traffic(self):
        return self.megaflows, self.macs


@pytest.fixture
def bridge(switch):
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    switch.container("c2", "10.0.0.2/24", "br0")
    switch.vsctl("add-port", "br0", "d1", "--", "set", "Interface", "d1", "type=dummy")
    switch.ofctl("add-flow", "br0", "priority=7,tcp,tp_dst=81,actions=drop")
    switch.ofctl("add-flow", "br0", "priority=8,icmp,nw_dst=10.0.0.9,actions=mod_nw_ttl:3,output:1")
    # Only what the tests send is to be in the MAC table and the datapath.
    for name in ("c1", "c2"):
        switch.host.run("ip", "link", "set", name, "addrgenmode", "none")
    assert one.ping("10.0.0.2") == 3
    return one


def test_traffic_does_not_notice(switch, bridge):
    switch.allow("d9")
    pinger = Pinger(bridge, "10.0.0.2")
    try:
        assert bridge.ping("10.0.0.2", count=5) == 5
        before = State(switch)
        assert before.megaflows and len(before.macs) >= 2
        for do, undo in OF_NO_CONCERN_TO_TRAFFIC:
            switch.vsctl(*do)
            if undo:
                switch.vsctl(*undo)
            after = State(switch)
            assert after.settings() == before.settings(), do
            assert after.traffic() == before.traffic(), do
            assert after.packets >= before.packets, "flows were made anew"
            before = after
    finally:
        sent, lost = pinger.stop()
    assert sent and not lost


def test_what_was_in_the_way_is_gone(switch, bridge):
    assert bridge.ping("10.0.0.2", count=5) == 5
    before = State(switch)
    for do, undo in IN_THE_WAY_OF_TRAFFIC:
        switch.vsctl(*do)
        bridge.ping("10.0.0.2", count=1)
        switch.vsctl(*undo)
        assert State(switch).settings() == before.settings(), do
        assert bridge.ping("10.0.0.2", count=5) == 5
        after = State(switch)
        assert after.macs == before.macs, do
        assert set(before.megaflows) <= set(after.megaflows), do
