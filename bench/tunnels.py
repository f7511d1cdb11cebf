"""Two hosts with one container each and a tunnel between: pyvs beside Open vSwitch's userspace.

    python -m bench tunnels [vxlan] [geneve]

Each host is a network namespace with daemons of its own; a veth is the wire.  Containers and wire
keep their offloads with pyvs; Open vSwitch passes none through, so there they are off.
"""

import os
import shutil

from bench.harness.peers import sh
from bench.harness.shown import show
from bench.harness.traffic import MEASURES as FORWARDING
from demo.lab import quiet, wait_for

ROUNDS = 3
KINDS = ("vxlan", "geneve")
MTU = 1400


class Host:
    """A switch with an underlay bridge `phy`, and `int` with a container and the tunnel."""

    def __init__(self, tag: str, number: int):
        self.name, self.number = f"{tag}{number}", number
        self.run_directory = f"/run/tunnels-{self.name}"
        self.container = f"{self.name}c"

    def sh(self, command: str) -> str:
        return sh(f"ip netns exec {self.name} sh -c '{command}'")

    def start(self) -> None:
        os.makedirs(self.run_directory, exist_ok=True)
        sh(f"ip -n {self.name} link set lo up")
        sh(f"ip netns add {self.container}")
        port = f"{self.name}p"
        sh(f"ip -n {self.name} link add {port} type veth peer name eth0 netns {self.container}")
        sh(f"ip -n {self.name} link set {port} up")
        sh(f"ip -n {self.container} addr add 10.0.0.{self.number}/24 dev eth0")
        sh(f"ip -n {self.container} link set eth0 mtu {MTU} up")
        self.start_switch()
        for bridge in ("phy", "int"):
            self.sh(f"{self.vsctl} add-br {bridge} {self.bridge_words.format(bridge)}")
        self.sh(f"{self.vsctl} add-port phy w{self.name}")
        self.sh(f"ip addr add 172.16.0.{self.number}/24 dev phy && ip link set phy up")
        self.sh(f"{self.vsctl} add-port int {port}")

    def tunnel(self, kind: str) -> None:
        self.sh(
            f"{self.vsctl} --if-exists del-port int tun -- add-port int tun"
            f" -- set interface tun type={kind} options:key=7"
            f" options:remote_ip=172.16.0.{3 - self.number}"
        )


class PyvsHost(Host):
    bridge_words = ""
    daemons = ("pyvs-datapath", "pyvs-vswitchd")

    def start_switch(self) -> None:
        self.sh(f"pyvs-ctl --rundir={self.run_directory} start")
        self.vsctl = f"PYVS_RUNDIR={self.run_directory} pyvs-vsctl"


class OvsHost(Host):
    bridge_words = "-- set bridge {} datapath_type=netdev"
    daemons = ("ovs-vswitchd",)

    def start_switch(self) -> None:
        run = self.run_directory
        environment = f"OVS_RUNDIR={run} OVS_LOGDIR={run} OVS_DBDIR={run}"
        detached = "--detach --no-chdir --pidfile --log-file"
        self.sh(f"{environment} ovsdb-tool create {run}/conf.db")
        self.sh(f"{environment} ovsdb-server {run}/conf.db --remote=punix:{run}/db.sock {detached}")
        self.vsctl = f"{environment} ovs-vsctl --db=unix:{run}/db.sock"
        self.sh(f"{self.vsctl} --no-wait init")
        self.sh(f"{environment} ovs-vswitchd unix:{run}/db.sock {detached}")
        for device, namespace in (("eth0", self.container), (f"w{self.name}", self.name)):
            sh(f"ip netns exec {namespace} ethtool -K {device} tx off tso off gso off gro off")


class Pair:
    """What bench.forwarding asks of a peer: containers `a` and `b`."""

    def __init__(self, name: str, kind: type[Host]):
        self.name = name
        self.hosts = [kind(name[:2], number) for number in (1, 2)]
        self.a, self.b = (host.container for host in self.hosts)
        self.pid_files = [
            f"{host.run_directory}/{d}.pid" for host in self.hosts for d in kind.daemons
        ]

    def start(self) -> None:
        first, second = (host.name for host in self.hosts)
        sh(f"ip link add w{first} type veth peer name w{second}")
        for host in self.hosts:
            sh(f"ip netns add {host.name}")
            sh(f"ip link set w{host.name} netns {host.name}")
            sh(f"ip -n {host.name} link set w{host.name} up")
        for host in self.hosts:
            host.start()

    def tunnel(self, kind: str) -> None:
        for host in self.hosts:
            host.tunnel(kind)
        wait_for(
            f"{self.name}: first ping through {kind}",
            lambda: quiet(f"ip netns exec {self.a} ping -c 1 -W 1 10.0.0.2"),
        )


def main(words: list[str]) -> None:
    pairs = [Pair("pyvs", PyvsHost)]
    if shutil.which("ovs-vswitchd"):
        pairs.append(Pair("ovs", OvsHost))
    for pair in pairs:
        pair.start()
    for kind in [kind for kind in KINDS if kind in words] or KINDS:
        for pair in pairs:
            pair.tunnel(kind)
        for measure in (FORWARDING["tcp"], FORWARDING["packets"]):
            rows = {pair.name: [] for pair in pairs}
            for _ in range(ROUNDS):
                for pair in pairs:
                    rows[pair.name].append(measure(pair))
            show(kind, rows)
