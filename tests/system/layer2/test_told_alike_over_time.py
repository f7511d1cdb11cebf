"""What is told of bonds, trees, BFD and QoS on real devices, beside Open vSwitch: after each of the
same steps, once both have settled."""

import difflib
import json
import re

import pytest

from tests.daemons import wait_until
from tests.ofproto.ovs_peer import peer_marks
from tests.ovs_names import side_by_side

pytestmark = [pytest.mark.system, *peer_marks]

BRIDGE = "add-br br0 -- set bridge br0 datapath_type=netdev other_config:hwaddr=02:00:00:00:aa:01"
MEMBERS = "-- set interface p0 ofport_request=1 -- set interface p1 ofport_request=2"
# What is chance, goes by time, or by which of the members a hash has first.
CHANCE = re.compile(
    r"(next rebalance|next CCM tx|next fault check|Detect Time|(Next|Last) TX Time|TX PDUs"
    r"|Local Discriminator|aggregation key|actor key|Recirc-ID ).*|(?<=recircID)\d+"
)
SETTLES = 15  # s; EXPIRED is over after 3


@pytest.fixture
def both(tmp_path):
    with side_by_side(tmp_path) as switches:
        for switch in switches:
            for number in range(2):
                host = switch.host
                host.run(
                    *f"ip link add p{number} address 02:00:00:00:00:1{number} type veth".split(),
                    *f"peer name q{number}".split(),
                )
                for end in "pq":
                    host.run("ip", "link", "set", f"{end}{number}", "up")
            switch.run("ovs-vsctl", *BRIDGE.split())
        yield switches


def column(switch, table, row, name):
    shown = json.loads(switch.run("ovs-vsctl", "-f", "json", "list", table, row))
    value = shown["data"][0][shown["headings"].index(name)]
    return sorted(value[1]) if isinstance(value, list) else value


def told(switch, commands, columns):
    found = [CHANCE.sub("", switch.run("ovs-appctl", *each.split())) for each in commands]
    found += [f"{each}: {column(switch, *each.split())}" for each in columns]
    return "\n".join(found).splitlines()


def settle(both, commands, columns=()):
    seen = []

    def alike():
        seen[:] = [told(switch, commands, columns) for switch in both]
        return seen[0] == seen[1] and "expired" not in str(seen[0])

    try:
        wait_until(alike, SETTLES)
    except AssertionError as error:
        raise AssertionError("\n".join(difflib.ndiff(*seen))) from error


def everywhere(both, command):
    program, *words = command.split()
    for switch in both:
        (switch.host.run if program == "ip" else switch.run)(program, *words)


@pytest.mark.parametrize(
    ("mode", "lacp"),
    [("active-backup", "off"), ("balance-slb", "passive"), ("balance-tcp", "active")],
)
def test_bonds(both, mode, lacp):
    commands = ["bond/show", *["lacp/show", "lacp/show-stats"] * (lacp != "off")]
    columns = ["Port b0 bond_active_slave", "Interface p0 lacp_current", "Interface p1 link_state"]
    everywhere(both, f"ovs-vsctl add-bond br0 b0 p0 p1 bond_mode={mode} lacp={lacp} {MEMBERS}")
    everywhere(both, "ip link set q0 down")  # which of two is chosen at first is chance
    settle(both, commands, columns)
    everywhere(both, "ip link set q1 down")
    settle(both, commands, columns)
    set_port = "ovs-vsctl set port b0 other_config:lacp-time=fast"
    everywhere(both, f"{set_port} other_config:lacp-fallback-ab=true")
    everywhere(both, "ip link set q0 up")
    settle(both, commands, columns)
    everywhere(both, "ip link set q1 up")
    settle(both, commands, columns)
    if mode == "active-backup":  # others do not look for it at once
        everywhere(both, f"{set_port} other_config:bond-primary=p1")
        settle(both, commands, columns)
    everywhere(both, "ovs-appctl bond/set-active-member b0 p0")
    settle(both, commands, columns)


def test_trees_bfd_and_qos(both):
    everywhere(both, f"ovs-vsctl add-port br0 p0 -- add-port br0 p1 {MEMBERS}")
    tree = "set bridge br0 stp_enable=true -- set port p0 other_config:stp-port-num=7"
    everywhere(both, f"ovs-vsctl {tree}")
    settle(both, ["stp/show"], ["Bridge br0 status", "Port p0 status"])
    everywhere(both, "ovs-vsctl set port p1 other_config:stp-port-num=9")
    settle(both, ["stp/show"], ["Bridge br0 status"])
    everywhere(both, "ovs-vsctl set interface p1 bfd:enable=true bfd:cpath_down=true")
    everywhere(both, "ovs-appctl bfd/set-forwarding p1 true")
    settle(both, ["bfd/show"], ["Interface p1 bfd_status"])
    qos = (
        "set port p1 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate=10000000"
        " queues=0=@a,1=@b,2=@c -- --id=@a create queue other_config:max-rate=5000000"
        " -- --id=@b create queue other_config:min-rate=1000000 other_config:priority=3"
        " -- --id=@c create queue other_config:min-rate=2000000 other_config:max-rate=2000000"
    )
    everywhere(both, f"ovs-vsctl {qos}")

    def shown(switch):
        lines = switch.run("ovs-appctl", "qos/show", "p1").splitlines()
        return sorted(line for line in lines if not re.search(r"tx_(packets|bytes)", line))

    wait_until(lambda: shown(both[0]) == shown(both[1]) and len(shown(both[0])) > 10)
    everywhere(both, "ovs-vsctl clear port p1 qos")
    wait_until(lambda: shown(both[0]) == shown(both[1]) == ["QoS not configured on p1"])
