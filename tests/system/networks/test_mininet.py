"""Mininet runs on pyvs under Open vSwitch's names, as it stands."""

import shutil
import subprocess

import pytest

from tests.ovs_names import Names

pytestmark = [
    pytest.mark.system,
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("mn") is None, reason="no mininet"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def names(tmp_path):
    made = Names(tmp_path)
    made.environment["PATH"] = f"{made.bin}:{made.environment['PATH']}"
    try:
        made.run("ovs-ctl", f"--rundir={made.rundir}", "start", "--system-id=random")
        yield made
    finally:
        made.run("ovs-ctl", f"--rundir={made.rundir}", "stop", check=False)
        made.close()


@pytest.mark.parametrize(
    "topology",
    [
        ("--topo=single,3",),
        ("--topo=tree,depth=2", "--mac"),
        ("--topo=linear,3", "--link=tc,bw=50"),
    ],
)
@pytest.mark.parametrize("protocols", ["", ",protocols=OpenFlow13"])
def test_topologies(names, topology, protocols):
    done = subprocess.run(
        [
            *names.host.prefix,
            "mn",
            f"--switch=ovs,failMode=standalone{protocols}",
            "--controller=none",
            *topology,
            "--test=pingall",
        ],
        env=names.environment,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert "Results: 0% dropped" in done.stdout + done.stderr, done
    assert names.run("ovs-vsctl", "list-br") == ""
