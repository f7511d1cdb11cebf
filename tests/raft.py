"""A cluster of Open vSwitch's database server on the loopback, for tests."""

import os
import shutil
import socket
import subprocess

from tests.daemons import wait_until

MEMBERS = 3
MISSING = [tool for tool in ("ovsdb-server", "ovsdb-tool", "ovs-appctl") if not shutil.which(tool)]


def free_ports(count):
    """TCP ports that nobody uses now."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def _popen(*command, **options):
    return subprocess.Popen(command, **options)


class Cluster:
    """Three RAFT members with files in `directory`; close() ends them.

    `popen` starts the servers: that of the Namespace they are to be in.
    `remotes` are the connection methods of the members, in their order.
    """

    def __init__(self, directory, schema, popen=_popen):
        self.directory = str(directory)
        self._popen = popen
        ports = free_ports(2 * MEMBERS)
        self._raft, clients = ports[:MEMBERS], ports[MEMBERS:]
        self.remotes = [f"tcp:127.0.0.1:{port}" for port in clients]
        self.members = [None] * MEMBERS
        try:
            for number in range(MEMBERS):
                self._make(number, schema)
                self.start(number)
            self.leader()
            self.joined()
        except BaseException:
            self.close()
            raise

    def _make(self, number, schema):
        path = f"{self.directory}/{number}.db"
        local, first = (f"tcp:127.0.0.1:{self._raft[n]}" for n in (number, 0))
        if number == 0:
            command = ["create-cluster", path, schema, local]
        else:
            command = ["join-cluster", path, "Open_vSwitch", local, first]
        subprocess.run(["ovsdb-tool", *command], check=True, capture_output=True)

    def start(self, number):
        """Start a member, for the first time or again."""
        port = self.remotes[number].rpartition(":")[2]
        command = [
            *("ovsdb-server", f"{self.directory}/{number}.db", f"--remote=ptcp:{port}:127.0.0.1"),
            f"--unixctl={self.directory}/{number}.ctl",
        ]
        environment = {**os.environ, "OVS_RUNDIR": self.directory}
        with open(f"{self.directory}/{number}.out", "a") as log:
            options = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            self.members[number] = self._popen(*command, **options, env=environment)

    def kill(self, number):
        """kill -9, and wait until it is gone."""
        self.members[number].kill()
        self.members[number].wait()

    def alive(self):
        """The numbers of the members that run."""
        return [n for n, member in enumerate(self.members) if member and member.poll() is None]

    def role(self, number):
        """ "leader", "follower" ...; None while it does not say."""
        command = ["ovs-appctl", "-t", f"{self.directory}/{number}.ctl", "cluster/status"]
        done = subprocess.run([*command, "Open_vSwitch"], capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("Role:")]
        return lines[0].split()[1] if lines else None

    def leader(self):
        """The number of the leader, once there is one."""

        def leaders():
            return [n for n in self.alive() if self.role(n) == "leader"]

        return wait_until(leaders, seconds=30, what="a leader")[0]

    def joined(self):
        """Wait until everyone who runs is a member."""

        def all_in():
            return {self.role(n) for n in self.alive()} <= {"leader", "follower"}

        wait_until(all_in, seconds=30, what="the cluster to form")

    def close(self):
        for member in self.members:
            if member is not None:
                member.kill()
                member.wait()
