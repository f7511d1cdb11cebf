"""Which Ethernet address and datapath ID a bridge has as its ports and their devices come, change
and go, step by step beside Open vSwitch 3.1: ovs-vswitchd.conf.db(5), Interface, mac."""

import json

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

OWN = "none of a port's"  # theirs is random, ours is made of the row's UUID
DEVICES = {f"v{number}": f"00:11:22:00:00:0{number}" for number in (1, 2, 3)}
MIRROR = "-- --id=@p get port v2 -- --id=@m create mirror name=m output_port=@p"
# (a command after "ovs-vsctl", or one of the network namespace; the bridge's address afterwards)
STEPS = (
    ("add-br br0 -- set bridge br0 datapath_type=netdev", OWN),
    ("add-port br0 v3", "00:11:22:00:00:03"),
    ("add-port br0 v2", "00:11:22:00:00:02"),
    ('set port v3 mac="00:11:22:00:00:00"', "00:11:22:00:00:00"),
    ('set port v3 mac="02:11:22:00:00:00"', "00:11:22:00:00:02"),  # stands for no other
    ('set port v3 mac="01:11:22:00:00:00"', "00:11:22:00:00:02"),
    ("clear port v3 mac", "00:11:22:00:00:02"),
    ("add-port br0 i0 -- set interface i0 type=internal", "00:11:22:00:00:02"),
    ('set interface i0 mac="00:11:22:00:00:00"', "00:11:22:00:00:00"),
    ("del-port i0", "00:11:22:00:00:02"),
    ('set port br0 mac="00:10:22:00:00:00"', "00:10:22:00:00:00"),
    ("clear port br0 mac", "00:11:22:00:00:02"),
    (f"{MIRROR} -- set bridge br0 mirrors=@m", "00:11:22:00:00:03"),
    ("clear bridge br0 mirrors", "00:11:22:00:00:02"),
    ("del-port v2 -- del-port v3", OWN),
    ("add-port br0 pa -- set interface pa type=patch options:peer=pb", OWN),
    ("add-port br0 v3", "00:11:22:00:00:03"),
    ("del-port v3 -- add-bond br0 bond0 v3 v2", "00:11:22:00:00:02"),  # by name, not by order
    ('set port bond0 mac="00:11:22:00:00:03"', "00:11:22:00:00:03"),
    ("clear port bond0 mac", "00:11:22:00:00:02"),
    ("ip link set v2 address 00:11:22:00:00:99", "00:11:22:00:00:99"),  # not v3's lower one
    ("set bridge br0 other_config:hwaddr=00:11:22:00:00:55", "00:11:22:00:00:55"),
    ("set bridge br0 other_config:hwaddr=01:11:22:00:00:55", "00:11:22:00:00:99"),
    ("set bridge br0 other_config:hwaddr=02:11:22:00:00:55", "02:11:22:00:00:55"),
    ('set interface br0 mac="00:11:22:00:00:77"', "02:11:22:00:00:55"),
    ("remove bridge br0 other_config hwaddr", "00:11:22:00:00:99"),
    ("del-port bond0", OWN),
)  # fmt: skip


# The same of a fake bridge's port: the lowest address in its VLAN.
FAKE_STEPS = (
    ("add-br br0 -- set bridge br0 datapath_type=netdev -- add-br fb br0 10", OWN),
    ("add-port br0 v1", OWN),
    ("add-port fb v3", "00:11:22:00:00:03"),
    ("add-port br0 v2 tag=10", "00:11:22:00:00:02"),
    ('set interface fb mac="00:11:22:00:00:66"', "00:11:22:00:00:66"),
    ("clear interface fb mac", "00:11:22:00:00:02"),
    ("ip link set v3 address 00:11:22:00:00:00", "00:11:22:00:00:00"),
)  # fmt: skip


@pytest.fixture
def both(tmp_path):
    with side_by_side(tmp_path) as switches:
        yield switches


def address(switch):
    """Of the local port, in the database, of the device, and as OpenFlow tells it; and the ID that
    goes with it."""
    told = switch.run("ovs-vsctl", "get", "interface", "br0", "mac_in_use").strip().strip('"')
    number = switch.run("ovs-vsctl", "get", "bridge", "br0", "datapath_id").strip().strip('"')
    device = json.loads(switch.host.run("ip", "-j", "link", "show", "br0"))[0]["address"]
    shown = switch.run("ovs-ofctl", "show", "br0").rpartition("(br0): addr:")[2][:17]
    if not told == shown == device == ":".join(number[at : at + 2] for at in range(4, 16, 2)):
        return f"{told} of the device {device}, {shown} for OpenFlow, and of ID {number}"
    return OWN if int(told[:2], 16) & 2 and not told.startswith("02:11") else told


def fake_address(switch):
    told = switch.run("ovs-vsctl", "get", "interface", "fb", "mac_in_use").strip().strip('"')
    return OWN if int(told[:2], 16) & 2 else told


@pytest.mark.parametrize("steps, shown", [(STEPS, address), (FAKE_STEPS, fake_address)])
def test_a_bridge_has_the_lowest_address_of_its_ports(both, steps, shown):
    for switch in both:
        for name, mac in DEVICES.items():
            switch.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
            switch.host.run("ip", "link", "set", name, "address", mac)
            switch.host.run("ip", "link", "set", name, "up")
    for step, expected in steps:
        for switch in both:
            if step.startswith("ip "):
                switch.host.run(*step.split())
            else:
                switch.run("ovs-vsctl", *step.split())
        for switch in both:
            who = f"{type(switch).__name__} after {step}"
            wait_until(lambda it=switch, want=expected: shown(it) == want, what=who)
