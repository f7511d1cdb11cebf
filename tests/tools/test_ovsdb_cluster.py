"""Our tools with a clustered database of Open vSwitch's, as more than one machine has it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import ovs.db.idl
import ovs.poller
import pytest
from ovsdb_peers import SCHEMA, needs_ovs

from ovsdb import files

pytestmark = [needs_ovs, pytest.mark.peer]
PROGRAM = "import sys; from pyvs_tools.{} import main; sys.exit(main())"


def free_ports(count):
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


class Cluster:
    """Three RAFT members on the loopback."""

    def __init__(self, directory):
        self.directory = directory
        ports = free_ports(6)
        self.raft, clients = ports[:3], ports[3:]
        self.remotes = [f"tcp:127.0.0.1:{port}" for port in clients]
        self.members = [None] * 3
        for number in range(3):
            self._make(number)
            self._start(number)

    def _make(self, number):
        path = f"{self.directory}/{number}.db"
        local = f"tcp:127.0.0.1:{self.raft[number]}"
        first = f"tcp:127.0.0.1:{self.raft[0]}"
        if number == 0:
            command = ["create-cluster", path, SCHEMA, local]
        else:
            command = ["join-cluster", path, "Open_vSwitch", local, first]
        subprocess.run(["ovsdb-tool", *command], check=True, capture_output=True)

    def _start(self, number):
        port = self.remotes[number].rpartition(":")[2]
        environment = {**os.environ, "OVS_RUNDIR": self.directory}
        with open(f"{self.directory}/{number}.out", "w") as log:
            self.members[number] = subprocess.Popen(
                [
                    *("ovsdb-server", f"{self.directory}/{number}.db"),
                    *(
                        f"--remote=ptcp:{port}:127.0.0.1",
                        f"--unixctl={self.directory}/{number}.ctl",
                    ),
                ],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _role(self, number):
        command = ["ovs-appctl", "-t", f"{self.directory}/{number}.ctl", "cluster/status"]
        done = subprocess.run([*command, "Open_vSwitch"], capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("Role:")]
        return lines[0].split()[1] if lines else None

    def leader(self):
        """The number of the leader, once there is one."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for number, member in enumerate(self.members):
                if member.poll() is None and self._role(number) == "leader":
                    return number
            time.sleep(0.05)
        raise AssertionError("no leader")

    def joined(self):
        """Wait until everyone is a member."""
        deadline = time.monotonic() + 30
        while {self._role(number) for number in range(3)} - {"leader", "follower"}:
            assert time.monotonic() < deadline, "the cluster does not form"
            time.sleep(0.05)

    def close(self):
        for member in self.members:
            if member is not None:
                member.kill()
                member.wait()


@pytest.fixture(scope="module")
def cluster():
    directory = tempfile.mkdtemp(prefix="pyvs-raft-")
    made = Cluster(directory)
    try:
        made.leader()
        made.joined()
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)


def run(tool, *words):
    """The output of one of our tools."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(tool), *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_leader_killed_and_going_on(cluster):
    """pyvs-vsctl, pyvs-ovsdb-client and the IDL find the leader, and the next one."""
    remotes = ",".join(cluster.remotes)
    vsctl = [f"--db={remotes}", "--no-wait", "--retry", "--timeout=40"]
    helper = ovs.db.idl.SchemaHelper(schema_json=files.load_schema(SCHEMA))
    helper.register_columns("Bridge", ["name"])
    idl = ovs.db.idl.Idl(remotes, helper)

    def bridges_of_idl(wanted):
        deadline = time.monotonic() + 40
        while True:
            idl.run()
            names = sorted(row.name for row in idl.tables["Bridge"].rows.values())
            if names == wanted:
                return
            assert time.monotonic() < deadline, names
            poller = ovs.poller.Poller()
            idl.wait(poller)
            poller.timer_wait(50)
            poller.block()

    run("vsctl", *vsctl, "add-br", "br0")
    bridges_of_idl(["br0"])
    leader = cluster.leader()
    cluster.members[leader].kill()
    cluster.members[leader].wait()
    run("vsctl", *vsctl, "add-br", "br1", "--", "add-port", "br1", "p1")
    assert run("vsctl", *vsctl, "list-br") == "br0\nbr1\n"
    out = run("ovsdb_client", "--no-headings", "dump", remotes, "Open_vSwitch", "Bridge", "name")
    assert "br1" in out
    bridges_of_idl(["br0", "br1"])
    cluster._start(leader)
    run("vsctl", *vsctl, "del-br", "br0")
    bridges_of_idl(["br1"])
    idl.close()


def test_a_follower_will_do_for_reading(cluster):
    leader = cluster.leader()
    follower = next(n for n in range(3) if n != leader and cluster.members[n].poll() is None)
    option = f"--db={cluster.remotes[follower]}"
    words = ["--no-leader-only", "--no-wait", "--timeout=20", "list-br"]
    assert run("vsctl", option, *words) == "br1\n"
