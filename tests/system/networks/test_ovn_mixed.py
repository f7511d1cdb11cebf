"""OVN drives pyvs and Open vSwitch side by side, from one central and from a cluster of three."""

import os
import re

import pytest

from demo.ovn import network as net
from demo.ovn import places
from tests import daemons, ovs_userspace
from tests.daemons import wait_until
from tests.ovn_lab import LabShell

pytestmark = [pytest.mark.system, pytest.mark.peer]

THEIRS = "h2"  # the host of Open vSwitch, and the gateway
MTU = 1400  # leaves room for the tunnel's header
PROGRAMS = (
    *("bin/ovs-vsctl", "bin/ovs-appctl", "bin/ovsdb-tool"),
    *("sbin/ovs-vswitchd", "sbin/ovsdb-server"),
)


def with_programs_of_its_own(place):
    """Open vSwitch's, not ours under its names."""
    directory = places.LAB / place.name / "bin"
    place.shell.quiet(f"mkdir -p {directory}")
    for program in PROGRAMS:
        place.shell.quiet(f"ln -s /usr/{program} {directory}")


class OvsHost(places.Host):
    bridge = " -- set bridge {0} datapath_type=netdev"
    settings = " external_ids:ovn-bridge-datapath-type=netdev"

    def start_switch(self):
        with_programs_of_its_own(self)
        path = places.LAB / self.name
        self.run(f"ovsdb-tool create {path}/conf.db")
        self.run(
            f"ovsdb-server {self.daemon('ovsdb-server')} --remote=punix:{path}/db.sock"
            f" {path}/conf.db"
        )
        own = f"external_ids:system-id={self.name}"
        self.run(f"ovs-vsctl --no-wait init -- set Open_vSwitch . {own}")
        vswitchd = f"{self.daemon('ovs-vswitchd')} --disable-system"
        self.run(f"ovs-vswitchd {vswitchd} unix:{path}/db.sock")

    def machine(self, *arguments):
        """Open vSwitch's userspace does not finish checksums that are left to the hardware."""
        machine = super().machine(*arguments)
        machine.quiet("ethtool -K eth0 tx off")
        return machine


class Mixed(net.Network):
    kinds = {THEIRS: OvsHost}

    def start(self):
        self.central.start()
        self.add_hosts()
        for place in (self.central, *self.hosts.values()):
            device = "eth0" if place is self.central else "br-phys"
            place.quiet(f"ethtool -K {device} tx off")
        self.add_machines()
        for machine in self.machines.values():  # as OVN's DHCP would say
            machine.quiet(f"ip link set eth0 mtu {MTU}")


@pytest.fixture
def lab():
    absent = places.missing()
    reason = daemons.missing() or ovs_userspace.missing()
    if reason or absent or os.geteuid():
        pytest.skip(str(reason or f"not root, or not installed: {absent}"))
    shell = LabShell()
    try:
        places.furnish(shell)
        yield shell
    finally:
        shell.close()


def address(name):
    return net.MACHINES[name][2]


def reaches(network, name, to):
    network.shell.wait(f"on {name} ping -n -q -c 2 -i 0.2 -W 2 {to}")


@pytest.mark.parametrize("encapsulation", ["geneve", "vxlan"])
def test_hosts_of_both(lab, encapsulation):
    network = Mixed(lab, encapsulation)
    network.start()
    for name in network.hosts:
        assert lab.works(f"test -e {places.LAB}/{name}/pyvs-datapath.pid") == (name != THEIRS)
    for name in net.MACHINES:
        for to in net.MACHINES:
            reaches(network, name, address(to))
    network.machines["vm1"].run(f"ping -n -c 2 -i 0.2 -W 2 -s 3000 {address('vm2')}")
    network.central.nbctl(net.RULES)
    network.central.nbctl(net.BALANCER)
    network.central.sync()
    for name in ("vm2", "vm4"):
        network.serve(name, 8080)
    network.serve("vm4", 8081)
    assert network.ask("vm1", address("vm4"), 8080) == "vm4"
    network.ask("vm1", address("vm4"), 8081, fails=True)
    assert network.ask("vm4", address("vm2"), 8080) == "vm2"
    assert {network.ask("vm3", net.VIP, 80) for _ in range(16)} == {"vm2", "vm4"}
    network.add_world()
    network.world.quiet("ethtool -K eth0 tx off")
    reaches(network, "vm3", net.WORLD)
    reaches(network, "world", net.FLOATING)
    network.central.sync()
    assert not [line for line in network.complaints() if "OpenFlow error" in line]


# --- a cluster

MEMBERS = {"central": "192.168.77.100", "c2": "192.168.77.102", "c3": "192.168.77.103"}
DATABASES = {  # name: schema, its title, port for clients, port of the cluster
    "nb": ("ovn-nb", "OVN_Northbound", places.NORTH, 6643),
    "sb": ("ovn-sb", "OVN_Southbound", places.SOUTH, 6644),
}


def remotes(port):
    return ",".join(f"tcp:{each}:{port}" for each in MEMBERS.values())


class Cluster(places.Central):
    """Three of Open vSwitch's database servers, which agree by RAFT."""

    def __init__(self, shell):
        super().__init__(shell)
        self.remote = remotes(places.SOUTH)
        self.members = {"central": self}
        for name in ("c2", "c3"):
            self.members[name] = places.Central(shell, MEMBERS[name], name)

    def start(self):
        for member in self.members.values():
            with_programs_of_its_own(member)
        for database, (schema, title, _port, raft) in DATABASES.items():
            first = f"tcp:{MEMBERS['central']}:{raft}"
            for name, member in self.members.items():
                path = f"{places.LAB}/{name}/ovn{database}_db.db"
                if name == "central":
                    schema_path = f"{places.SCHEMAS}/{schema}.ovsschema"
                    member.run(f"ovsdb-tool create-cluster {path} {schema_path} {first}")
                else:
                    me = f"tcp:{MEMBERS[name]}:{raft}"
                    member.run(f"ovsdb-tool join-cluster {path} {title} {me} {first}")
                self.serve(name, database)
        north, south = remotes(places.NORTH), remotes(places.SOUTH)
        for member in self.members.values():
            daemon = member.daemon("ovn-northd")
            member.run(f"ovn-northd {daemon} --ovnnb-db={north} --ovnsb-db={south}")

    def serve(self, name, database):
        member, path = self.members[name], f"{places.LAB}/{name}/ovn{database}_db"
        member.run(
            f"ovsdb-server {member.daemon(f'ovn{database}_db')} --unixctl={path}.ctl"
            f" --remote=punix:{path}.sock --remote=ptcp:{DATABASES[database][2]} {path}.db"
        )

    def run(self, command, **options):
        north = f"ovn-nbctl --db={remotes(places.NORTH)} --timeout=30 "
        return super().run(re.sub("^ovn-nbctl ", north, command), **options)

    def is_in_role(self, name, database, role):
        path, title = f"{places.LAB}/{name}/ovn{database}_db.ctl", DATABASES[database][1]
        status = f"on {name} ovs-appctl -t {path} cluster/status {title}"
        return self.shell.works(f"{status} | grep -qx 'Role: {role}'")

    def leader(self, database):
        return next(
            (name for name in self.members if self.is_in_role(name, database, "leader")), None
        )


RULE = 'sw2 to-lport 900 "outport == \\"vm3\\" && icmp4"'


@pytest.mark.parametrize("database", DATABASES)
def test_a_leader_that_dies(lab, database):
    """What is known goes on, changes pass, and who comes back follows."""
    network = net.Network(lab, "geneve", Cluster)
    network.central.start()
    network.add_hosts()
    network.add_machines()
    reaches(network, "vm1", address("vm4"))
    reaches(network, "vm2", address("vm3"))
    pings = lab.start(f"on vm1 ping -n -q -i 0.1 -w 15 {address('vm4')}")
    dead = network.central.leader(database)
    network.central.members[dead].kill(f"ovn{database}_db")
    wait_until(lambda: network.central.leader(database) not in (None, dead), 30, "a leader")
    network.central.nbctl(f"acl-add {RULE} drop")
    network.central.sync(30)
    network.machines["vm2"].run(f"ping -n -q -c 2 -i 0.2 -W 1 {address('vm3')}", fails=True)
    network.central.nbctl(f"acl-del {RULE}")
    network.central.sync(30)
    reaches(network, "vm2", address("vm3"))
    network.central.serve(dead, database)
    follows = network.central.is_in_role
    wait_until(lambda: follows(dead, database, "follower"), 30, "the one that was killed")
    sent, received = map(
        int,
        re.search(
            r"(\d+) packets transmitted, (\d+) rec", pings.communicate(timeout=60)[0]
        ).groups(),
    )
    assert sent - received <= 1
    assert not [line for line in network.complaints() if "OpenFlow error" in line]
