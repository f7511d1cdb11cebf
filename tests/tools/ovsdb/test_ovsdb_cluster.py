"""Our tools with a clustered database of Open vSwitch's, as more than one machine has it."""

import shutil
import subprocess
import sys
import tempfile
import time

import ovs.db.idl
import ovs.poller
import pytest

from ovsdb.storage import files
from tests import raft
from tests.tools.ovsdb_peers import SCHEMA, needs_ovs

pytestmark = [needs_ovs, pytest.mark.peer]
PROGRAM = "import sys; from pyvs_tools.{} import main; sys.exit(main())"


@pytest.fixture(scope="module")
def cluster():
    directory = tempfile.mkdtemp(prefix="pyvs-raft-")
    made = None
    try:
        made = raft.Cluster(directory, SCHEMA)
        yield made
    finally:
        if made:
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

    run("vsctl.main", *vsctl, "add-br", "br0")
    bridges_of_idl(["br0"])
    leader = cluster.leader()
    cluster.kill(leader)
    run("vsctl.main", *vsctl, "add-br", "br1", "--", "add-port", "br1", "p1")
    assert run("vsctl.main", *vsctl, "list-br") == "br0\nbr1\n"
    out = run("ovsdb.client", "--no-headings", "dump", remotes, "Open_vSwitch", "Bridge", "name")
    assert "br1" in out
    bridges_of_idl(["br0", "br1"])
    cluster.start(leader)
    run("vsctl.main", *vsctl, "del-br", "br0")
    bridges_of_idl(["br1"])
    idl.close()


def test_a_follower_will_do_for_reading(cluster):
    leader = cluster.leader()
    follower = next(n for n in cluster.alive() if n != leader)
    option = f"--db={cluster.remotes[follower]}"
    words = ["--no-leader-only", "--no-wait", "--timeout=20", "list-br"]
    assert run("vsctl.main", option, *words) == "br1\n"
