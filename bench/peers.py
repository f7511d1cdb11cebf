"""The switches that are compared: each connects the same two containers, on veths of its own.

pyvs, Open vSwitch's userspace datapath (with and without its TSO), and the Linux bridge.  All
of them live in the private namespaces of demo.lab, which end them with the program.
"""

import os
import shutil
import subprocess

from demo.lab import quiet, wait_for


def sh(command: str) -> str:
    """Run a shell command and return its output; raises CalledProcessError with its words."""
    done = subprocess.run(command, shell=True, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Peer:
    """A switch named `name` with two containers, `a` 10.0.0.1 and `b` 10.0.0.2."""

    name = ""

    def __init__(self, tag: str) -> None:
        self.a, self.b = f"{tag}a", f"{tag}b"
        self.ports = [f"{tag}pa", f"{tag}pb"]

    def available(self) -> bool:
        return True

    def start(self) -> None:
        for number, (container, port) in enumerate(
            zip((self.a, self.b), self.ports, strict=True), 1
        ):
            sh(f"ip netns add {container}")
            sh(f"ip link add {port} type veth peer name eth0 netns {container}")
            sh(f"ip link set {port} up && ip -n {container} link set lo up")
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
    name = "pyvs"

    def start_switch(self) -> None:
        sh("pyvs-ctl start && pyvs-vsctl add-br br0")
        for port in self.ports:
            sh(f"pyvs-vsctl add-port br0 {port}")


class OpenVSwitch(Peer):
    """Userspace datapath; ports are AF_PACKET, polled by its main thread, as it does by default."""

    name = "ovs"
    tso = False

    def available(self) -> bool:
        return shutil.which("ovs-vswitchd") is not None

    def start_switch(self) -> None:
        run = f"/run/{self.name}"
        os.makedirs(run)
        environment = f"OVS_RUNDIR={run} OVS_LOGDIR={run} OVS_DBDIR={run}"
        sh(f"{environment} ovsdb-tool create {run}/conf.db")
        sh(
            f"{environment} ovsdb-server {run}/conf.db --remote=punix:{run}/db.sock"
            " --detach --no-chdir --pidfile --log-file"
        )
        self.vsctl = f"{environment} ovs-vsctl --db=unix:{run}/db.sock"
        sh(f"{self.vsctl} --no-wait init")
        if self.tso:
            sh(
                f"{self.vsctl} --no-wait set Open_vSwitch ."
                " other_config:userspace-tso-enable=true"
            )
        sh(
            f"{environment} ovs-vswitchd unix:{run}/db.sock --detach --no-chdir --pidfile"
            " --log-file"
        )
        # The bridge's name must not be that of another peer's TAP.
        sh(f"{self.vsctl} add-br o{self.name[-3:]} -- set bridge o{self.name[-3:]}"
           " datapath_type=netdev")
        for port in self.ports:
            sh(f"{self.vsctl} add-port o{self.name[-3:]} {port}")


class OpenVSwitchTso(OpenVSwitch):
    name = "ovs-tso"
    tso = True


class LinuxBridge(Peer):
    """The kernel's own bridge: what a switch without OpenFlow costs."""

    name = "bridge"

    def start_switch(self) -> None:
        sh("ip link add lb0 type bridge && ip link set lb0 up")
        for port in self.ports:
            sh(f"ip link set {port} master lb0")


ALL = {peer.name: peer for peer in (Pyvs, OpenVSwitch, OpenVSwitchTso, LinuxBridge)}
