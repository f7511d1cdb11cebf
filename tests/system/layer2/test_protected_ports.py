"""Between protected ports no packet passes: flooded, to a station that was learned, and by a rule's
output, through bonds and patch ports, beside Open vSwitch 3.1."""

import itertools

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import frames_of, side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

# Station -> the dummies that it is behind; p4 and p5 are a bond, p6 and p7 ports of another bridge.
STATIONS = {1: (1,), 2: (2,), 3: (3,), 4: (4, 5), 6: (6,), 7: (7,)}
PROTECTED = {1, 2, 4}
SET_UP = """
    add-br br0 -- set bridge br0 datapath_type=dummy other_config:hwaddr=aa:55:aa:55:00:00
    -- add-br br1 -- set bridge br1 datapath_type=dummy other_config:hwaddr=aa:55:aa:55:00:01
    -- add-port br0 p1 -- add-port br0 p2 -- add-port br0 p3 -- add-bond br0 bond0 p4 p5
    -- set port bond0 bond_mode=active-backup other_config:bond-primary=p4
    -- add-port br1 p6 -- add-port br1 p7
    -- add-port br0 pa -- set interface pa type=patch options:peer=pb
    -- add-port br1 pb -- set interface pb type=patch options:peer=pa
    -- set port p1 protected=true -- set port p2 protected=true -- set port bond0 protected=true
    -- set port p6 protected=true
"""
STEPS = (
    "",
    "set port pa protected=true",  # nothing protected gets to the other bridge
    "set port pb protected=true",  # nor to its protected port what comes from here
    "set port pa protected=false",
    "set port p1 protected=false -- set port bond0 protected=false",
)
BROADCAST = "ff" * 6
OF_STATIONS = "0200000002"
ETH_TYPE = "88b5"


def address(station):
    return f"{OF_STATIONS}{station:02x}"


def sent(switch):
    """Station -> the frames of stations that were sent to it, as (destination, source, number)."""
    return {
        station: sorted(
            (each[:12], each[12:24], each[28:32])
            for port in ports
            for each in frames_of(switch.rundir / f"p{port}.pcap")
            if each[12:].startswith(OF_STATIONS) and each[24:28] == ETH_TYPE  # not a bond's own
        )
        for station, ports in STATIONS.items()
    }


def send_all(switch, number):
    """Everybody to everybody, twice: as a rule, a flow and a learned address have it."""

    def send(station, destination):
        frame = destination + address(station) + f"{ETH_TYPE}{number:04x}" + "00" * 46
        switch.run("ovs-appctl", "netdev-dummy/receive", f"p{STATIONS[station][0]}", frame)

    switch.run("ovs-appctl", "revalidator/purge")  # so that each is translated, and learned from
    for station in STATIONS:
        send(station, BROADCAST)
    switch.run("ovs-appctl", "revalidator/wait")
    for station, other in itertools.permutations(STATIONS, 2):
        send(station, address(other))


def test_nothing_passes_between_protected_ports(tmp_path):
    with side_by_side(tmp_path, "--enable-dummy", "--disable-system") as both:
        for switch in both:
            switch.run("ovs-vsctl", *SET_UP.split())
            for port in itertools.chain(*STATIONS.values()):
                switch.run(
                    *("ovs-vsctl", "set", "interface", f"p{port}", "type=dummy"),
                    *(f"ofport_request={port}", f"options:tx_pcap={switch.rundir}/p{port}.pcap"),
                )
            switch.run("ovs-appctl", "bond/set-active-member", "bond0", "p4")
        for number, step in enumerate(STEPS):
            for switch in both:
                if step:
                    switch.run("ovs-vsctl", *step.split())
                send_all(switch, number)
            wait_until(lambda: sent(both[0]) == sent(both[1]), what=f"the same after {step!r}")
            if number == 0:
                check(sent(both[0]), PROTECTED)
        # By a rule: p1 is not protected any more.
        for switch in both:
            switch.run("ovs-ofctl", "add-flow", "br0", "actions=output:1,output:2,output:3,LOCAL")
            send_all(switch, len(STEPS))
        wait_until(lambda: sent(both[0]) == sent(both[1]), what="the same by a rule")


def check(got, protected):
    """Every unicast frame came, but between these, where none of any kind did."""
    for station, other in itertools.permutations(STATIONS, 2):
        sources = [source for _, source, _ in got[other]]
        if {station, other} <= protected:
            assert address(station) not in sources
        else:
            assert (address(other), address(station), "0000") in got[other]
