"""The places of an OVN installation: the central one, hosts, virtual machines, the world outside.

Each is a network namespace.  All commands go to a shell (`demo.lab.Terminal`, or what a test puts
in its place) that is in private namespaces, whose /run is private, too.  The script `on NAME
COMMAND` (made by `furnish()`) runs a command at a place, with that place's run directory
/run/lab/NAME, and with pyvs' programs under Open vSwitch's names before those of the system; a
place's own directory `bin` comes before all.
"""

import shlex
import shutil
from pathlib import Path

LAB = Path("/run/lab")
SCHEMAS = Path("/usr/share/ovn")
DAEMON = "--detach --no-chdir --pidfile={0}.pid --log-file={0}.log -vconsole:off"
NORTH, SOUTH = 6641, 6642  # ports of the two databases

ON = """#!/bin/sh
# on PLACE COMMAND...: run it there.
for each in OVS_RUNDIR OVS_LOGDIR OVS_DBDIR OVN_RUNDIR OVN_LOGDIR OVN_DBDIR; do
  export $each=/run/lab/$1
done
export OVS_SYSLOG_METHOD=null OVN_SYSLOG_METHOD=null PATH=/run/lab/$1/bin:{names}:$PATH
place=$1; shift
exec ip netns exec "$place" "$@"
"""
NEEDED = {  # a command, and the Debian package that has it
    "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host",
    "busybox": "busybox-static",
}


def missing():
    """Debian's packages that are not installed and needed."""
    return [package for command, package in NEEDED.items() if shutil.which(command) is None]


def furnish(shell, names=LAB / "bin"):
    """What all places share: pyvs' names, the script `on`, the wires between hosts.

    `names` is another directory of daemons to use, such as Open vSwitch's own.
    """
    shell.quiet(f"mkdir -p {LAB}/bin {LAB}/tools")
    shell.quiet(f"pyvs-ctl ovs-names {LAB}/bin")
    text = shlex.quote(ON.format(names=names))
    shell.quiet(f"printf %s {text} >{LAB}/tools/on && chmod +x {LAB}/tools/on")
    for wire in ("underlay", "outside"):
        shell.quiet(f"ip link add {wire} type bridge && ip link set {wire} up")


def make_place(shell, name):
    """A network namespace and a run directory."""
    shell.quiet(f"ip netns add {name} && ip -n {name} link set lo up && mkdir -p {LAB}/{name}")


def plug(shell, name, device, wire):
    """A network card `device` of the place, on one of the wires."""
    end = f"{name}-{device}"
    shell.quiet(
        f"ip link add {end} type veth peer name {device} netns {name}"
        f" && ip link set {end} master {wire} up && ip -n {name} link set {device} up"
    )


class Place:
    """One namespace, by its name."""

    def __init__(self, shell, name):
        self.shell, self.name = shell, name
        make_place(shell, name)

    def run(self, command, **options):
        """A command that is shown."""
        return self.shell.run(f"on {self.name} {command}", **options)

    def quiet(self, command):
        """A command that is not; its output."""
        return self.shell.quiet(f"on {self.name} {command}")

    def daemon(self, program):
        return DAEMON.format(LAB / self.name / program)

    def log(self, program):
        path = LAB / self.name / f"{program}.log"
        return self.shell.quiet(f"cat {path}")

    def kill(self, program):
        """kill -9 of the daemon itself; where it has a monitor, that starts another."""
        return self.shell.quiet(f"kill -9 $(cat {LAB}/{self.name}/{program}.pid)")


class Central(Place):
    """The two databases and ovn-northd."""

    def __init__(self, shell, address="192.168.77.100", name="central"):
        super().__init__(shell, name)
        self.address, self.remote = address, f"tcp:{address}:{SOUTH}"
        plug(shell, name, "eth0", "underlay")
        self.quiet(f"ip addr add {address}/24 dev eth0")

    def start(self):
        for database, schema, port in (("nb", "ovn-nb", NORTH), ("sb", "ovn-sb", SOUTH)):
            path = LAB / self.name / f"ovn{database}_db"
            self.run(f"ovsdb-tool create {path}.db {SCHEMAS}/{schema}.ovsschema")
            self.run(
                f"ovsdb-server {self.daemon(f'ovn{database}_db')} --unixctl={path}.ctl"
                f" --remote=punix:{path}.sock --remote=ptcp:{port} {path}.db"
            )
        self.run(f"ovn-northd {self.daemon('ovn-northd')}")

    def sync(self, seconds=20):
        """Wait until all hosts have what the northbound database says."""
        return self.run(f"ovn-nbctl --timeout={seconds} --wait=hv sync")

    def nbctl(self, text):
        """Several commands, one in each line, in one transaction."""
        lines = [line.strip() for line in text.strip().splitlines()]
        return self.run("ovn-nbctl " + " \\\n  -- ".join(line for line in lines if line))


class Host(Place):
    """A host: its switch, whose bridge br-phys has the underlay's card, and ovn-controller."""

    def __init__(self, shell, name, address, central):
        super().__init__(shell, name)
        self.address, self.central = address, central
        plug(shell, name, "eth0", "underlay")
        plug(shell, name, "eth1", "outside")

    bridge = ""  # what is behind add-br {0}
    settings = ""  # external_ids besides

    def start_switch(self):
        self.run(f"ovs-ctl --system-id={self.name} start")

    def start(self, encap="vxlan"):
        self.start_switch()
        phys, ex = (f"add-br {name}{self.bridge.format(name)}" for name in ("br-phys", "br-ex"))
        self.run(f"ovs-vsctl {phys} -- add-port br-phys eth0 -- {ex} -- add-port br-ex eth1")
        # The card itself is not to answer for the address that is on br-phys.
        self.run("sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore'")
        self.run(f"ip addr add {self.address}/24 dev br-phys")
        self.run("ip link set br-phys up")
        self.run(
            "ovs-vsctl set Open_vSwitch ."
            f" external_ids:ovn-remote={self.central.remote}"
            f" external_ids:ovn-encap-type={encap} external_ids:ovn-encap-ip={self.address}"
            " external_ids:ovn-bridge-mappings=public:br-ex"
            f" external_ids:ovn-ofctrl-wait-before-clear=1000{self.settings}"
        )
        self.start_controller()

    def start_controller(self):
        self.run(f"ovn-controller {self.daemon('ovn-controller')}")

    def machine(self, name, port, mac, address=None, gateway=None):
        """A virtual machine: a namespace, its device on br-int, bound to the logical port."""
        machine = Place(self.shell, name)
        self.quiet(f"ip link add {name} type veth peer name eth0 netns {name} address {mac}")
        self.quiet(f"ip link set {name} up")
        machine.quiet("ip link set eth0 up")
        if address:
            machine.quiet(f"ip addr add {address} dev eth0")
        if gateway:
            machine.quiet(f"ip route add default via {gateway}")
        self.run(
            f"ovs-vsctl --may-exist add-port br-int {name}"
            f" -- set Interface {name} external_ids:iface-id={port}"
        )
        return machine
