"""The switches that are compared: each connects the same two containers, on veths of its own.

pyvs, Open vSwitch's userspace datapath (with and without its TSO), and the Linux bridge.  All
of them live in the private namespaces of demo.lab, which end them with the program.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from demo.lab import quiet, wait_for


def sh(command: str) -> str:
    """Run a shell command and return its output; raises CalledProcessError with its words."""
    done = subprocess.run(command, shell=True, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def cpu(pid_files) -> float:
    """Seconds of processor time, user and system, of all threads of the processes so far.

    The scheduler's own figure, in nanoseconds: the ticks of /proc/PID/stat are too coarse for a
    hundred packets.
    """
    pids = [Path(path).read_text().strip() for path in pid_files]
    threads = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


class Peer:
    """A switch named `name` with two containers, `a` 10.0.0.1 and `b` 10.0.0.2.

    The switch has a network namespace of its own: two of Open vSwitch in one would share their
    TAP `ovs-netdev`.
    """

    name = ""
    pid_files: tuple[str, ...] = ()  # of its daemons; the kernel's bridge has none
    passes_offloads = True  # of segmentation and checksums, from one container to the other

    def __init__(self, tag: str) -> None:
        self.a, self.b, self.host = f"{tag}a", f"{tag}b", f"{tag}s"
        self.ports = [f"{tag}pa", f"{tag}pb"]

    def available(self) -> bool:
        return True

    def sh(self, command: str) -> str:
        """Run a shell command in the switch's network namespace."""
        return sh(f"ip netns exec {self.host} sh -c {shlex.quote(command)}")

    def start(self) -> None:
        sh(f"ip netns add {self.host} && ip -n {self.host} link set lo up")
        for number, (container, port) in enumerate(
            zip((self.a, self.b), self.ports, strict=True), 1
        ):
            sh(f"ip netns add {container}")
            sh(f"ip -n {self.host} link add {port} type veth peer name eth0 netns {container}")
            sh(f"ip -n {self.host} link set {port} up && ip -n {container} link set lo up")
            sh(f"ip -n {container} addr add 10.0.0.{number}/24 dev eth0")
            sh(f"ip -n {container} link set eth0 up")
        self.start_switch()
        wait_for(
            f"{self.name}: first ping",
            lambda: quiet(f"ip netns exec {self.a} ping -c 1 -W 1 10.0.0.2"),
        )

    def start_switch(self) -> None:
        raise NotImplementedError


class Pyvs(Peer):
    """pyvs without its kernel cache."""

    name = "pyvs"
    vsctl, ofctl, appctl = "pyvs-vsctl", "pyvs-ofctl", "pyvs-appctl"
    pid_files = ("/run/pyvs/pyvs-datapath.pid", "/run/pyvs/pyvs-vswitchd.pid")

    def start_switch(self) -> None:
        self.sh("pyvs-ctl start")
        self.sh("pyvs-vsctl set Open_vSwitch . other_config:kernel-cache=false")
        self.sh("pyvs-vsctl add-br br0")
        for port in self.ports:
            self.sh(f"pyvs-vsctl add-port br0 {port}")


class PyvsKernel(Peer):
    """pyvs with its kernel cache."""

    name = "pyvs-kernel"
    settings = ""  # behind add-port

    def start_switch(self) -> None:
        run = f"/run/{self.name}"
        self.pid_files = (f"{run}/pyvs-datapath.pid", f"{run}/pyvs-vswitchd.pid")
        self.sh(f"pyvs-ctl --rundir={run} start")
        self.vsctl, self.ofctl = (f"PYVS_RUNDIR={run} pyvs-{each}" for each in ("vsctl", "ofctl"))
        self.sh(f"{self.vsctl} add-br br0")
        for port in self.ports:
            self.sh(f"{self.vsctl} add-port br0 {port}{self.settings.format(port=port)}")


class PyvsXdp(PyvsKernel):
    """pyvs with AF_XDP ports."""

    name = "pyvs-xdp"
    settings = " -- set interface {port} type=afxdp-nonpmd"


class PyvsDatapath(Peer):
    """The datapath process alone, with a flow for each direction put into it."""

    name = "datapath"

    def start_switch(self) -> None:
        run = f"/run/pyvs-{self.name}"
        os.makedirs(run)
        self.pid_files = (f"{run}/pyvs-datapath.pid",)
        self.sh(f"pyvs-datapath --rundir={run} --detach --no-chdir --pidfile --log-file")
        self.dpctl = f"pyvs-dpctl --rundir={run}"
        self.sh(f"{self.dpctl} add-if {' '.join(self.ports)}")
        for here, there in ((1, 2), (2, 1)):
            self.sh(f"{self.dpctl} add-flow 'in_port({here})' {there}")


class OpenVSwitch(Peer):
    """Userspace datapath; ports are AF_PACKET, polled by its main thread, as it does by default."""

    name = "ovs"
    tso = passes_offloads = False
    type = "system"

    def available(self) -> bool:
        return shutil.which("ovs-vswitchd") is not None

    def start_switch(self) -> None:
        run = f"/run/{self.name}"
        os.makedirs(run)
        environment = f"OVS_RUNDIR={run} OVS_LOGDIR={run} OVS_DBDIR={run}"
        self.sh(f"{environment} ovsdb-tool create {run}/conf.db")
        self.sh(
            f"{environment} ovsdb-server {run}/conf.db --remote=punix:{run}/db.sock"
            " --detach --no-chdir --pidfile --log-file"
        )
        self.vsctl = f"{environment} ovs-vsctl --db=unix:{run}/db.sock"
        self.ofctl, self.appctl = f"{environment} ovs-ofctl", f"{environment} ovs-appctl"
        self.pid_files = (f"{run}/ovs-vswitchd.pid",)
        self.sh(f"{self.vsctl} --no-wait init")
        if self.tso:
            self.sh(
                f"{self.vsctl} --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true"
            )
        self.sh(
            f"{environment} ovs-vswitchd unix:{run}/db.sock --detach --no-chdir --pidfile"
            " --log-file"
        )
        self.sh(f"{self.vsctl} add-br br0 -- set bridge br0 datapath_type=netdev")
        for port in self.ports:
            self.sh(f"{self.vsctl} add-port br0 {port} -- set interface {port} type={self.type}")


class OpenVSwitchTso(OpenVSwitch):
    name = "ovs-tso"
    tso = passes_offloads = True


class OpenVSwitchXdp(OpenVSwitch):
    """Its TCP needs checksums from the containers."""

    name = "ovs-xdp"
    type = "afxdp-nonpmd"

    def start_switch(self) -> None:
        super().start_switch()
        for container in (self.a, self.b):
            sh(f"ip netns exec {container} ethtool -K eth0 tx off")


class LinuxBridge(Peer):
    """The kernel's own bridge: what a switch without OpenFlow costs."""

    name = "bridge"

    def start_switch(self) -> None:
        self.sh("ip link add lb0 type bridge && ip link set lb0 up")
        for port in self.ports:
            self.sh(f"ip link set {port} master lb0")


class Wire(Peer):
    """No switch: both containers are the ends of one veth, the least that there is."""

    name = "wire"

    def start(self) -> None:
        sh(f"ip netns add {self.a} && ip netns add {self.b}")
        sh(f"ip -n {self.a} link add eth0 type veth peer name eth0 netns {self.b}")
        for number, container in enumerate((self.a, self.b), 1):
            sh(f"ip -n {container} addr add 10.0.0.{number}/24 dev eth0")
            sh(f"ip -n {container} link set lo up && ip -n {container} link set eth0 up")


ALL = {
    peer.name: peer
    for peer in (
        *(Pyvs, PyvsKernel, PyvsXdp, PyvsDatapath),
        *(OpenVSwitch, OpenVSwitchTso, OpenVSwitchXdp, LinuxBridge, Wire),
    )
}
