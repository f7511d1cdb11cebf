"""pyvs-dpctl against a datapath process with dummy ports."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datapath.ipc.dpif import Dpif

ROOT = Path(__file__).resolve().parents[2]
ARP = "in_port(1),eth_type(0x0806)"
UDP_FRAME = (
    bytes.fromhex("02000000000202000000000108004500001c00000000401100000a0000010a000002")
    + bytes.fromhex("0001000200080000")
    + bytes(18)
)


def program(module):
    return [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def rundir(tmp_path_factory):
    """The run directory of a datapath process."""
    directory = tmp_path_factory.mktemp("dp")
    process = subprocess.Popen(
        [*program("datapath.main"), f"--rundir={directory}"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while not (directory / "datapath.sock").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield directory
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert not (directory / "datapath.sock").exists()


@pytest.fixture
def dpctl(rundir):
    """A function that runs pyvs-dpctl; afterwards no port or flow is left."""
    environment = {**os.environ, "PYVS_RUNDIR": str(rundir)}

    def run(*args, status=0, stdin="", told=False):
        done = subprocess.run(
            [*program("pyvs_tools.dpctl.main"), *args],
            **{"env": environment, "cwd": ROOT, "input": stdin, "text": True},
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == status, done.stderr
        return done.stderr if told or status else done.stdout

    yield run
    run("del-flows")
    for port in json.loads(run("-f", "json", "show"))["netdev@pyvs"]["ports"]:
        run("del-if", str(port["port_no"]))


def test_no_process(tmp_path, dpctl):
    text = dpctl(f"--rundir={tmp_path}", "show", status=1)
    assert text.startswith("pyvs-dpctl: ") and "No such file or directory" in text


def test_ports(dpctl):
    dpctl("add-if", "netdev@pyvs", "d1,type=dummy", "d2,type=dummy,port_no=7")
    shown = dpctl("show").splitlines()
    assert shown[0] == "netdev@pyvs:"
    assert shown[1] == "  lookups: hit:0 missed:0 lost:0"
    assert shown[-2:] == ["  port 1: d1 (dummy)", "  port 7: d2 (dummy)"]
    assert dpctl("dump-dps") == "netdev@pyvs\n"
    dpctl("del-if", "d1")
    assert "d1" not in dpctl("show")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("nosuchdev", "nosuchdev: No such device"),
        ("d1,type=dummy", "d1 is a port already"),
        ("d9,type=nonsense", "nonsense: unknown port type"),
        ("d9,type=dummy,port_no=1", "port 1 is in use"),
        ("d9,type=dummy,port_no=x", "d9: port_no=x: not a number"),
        ("d9,type", "d9: No such device"),  # which says nothing
        ("d9,type=dummy,port_no", "d9: port_no=: not a number"),
    ],
)
def test_bad_port(dpctl, word, text):
    dpctl("add-if", "d1,type=dummy")
    assert dpctl("add-if", word, status=1) == f"pyvs-dpctl: {text}\n"


def test_del_unknown_port(dpctl):
    assert dpctl("del-if", "gone", status=1) == "pyvs-dpctl: no port named gone\n"


def test_flow_life(dpctl):
    # What is said of no recirculation is of packets that were not sent round.
    dpctl("add-flow", ARP, "2")
    error = dpctl("add-flow", ARP, "3", status=1)
    assert error == "pyvs-dpctl: updating flow table (File exists)\n"
    dpctl("mod-flow", ARP, "3")
    line = f"recirc_id(0),{ARP}, packets:0, bytes:0, used:never, actions:3\n"
    assert dpctl("dump-flows") == line
    detailed = dpctl("-m", "dump-flows")
    assert "dp:ovs, actions:3" in detailed
    ufid = detailed.partition(",")[0]
    assert dpctl("get-flow", ufid) == line
    assert dpctl("-s", "del-flow", ARP) == "packets:0, bytes:0, used:never\n"
    error = dpctl("del-flow", ARP, status=1)
    assert error.startswith("pyvs-dpctl: deleting flow (No such file or directory)\n")
    assert "getting flow" in dpctl("get-flow", ufid, status=1)


def test_mod_flow_creates_only_when_told(dpctl):
    error = dpctl("mod-flow", ARP, "2", status=1)
    assert error == "pyvs-dpctl: updating flow table (No such file or directory)\n"
    dpctl("--may-create", "mod-flow", ARP, "2")
    assert "actions:2" in dpctl("dump-flows")


def test_counters_and_clear(dpctl, rundir):
    from datapath.ipc.dpif import Dpif

    dpctl("add-if", "d1,type=dummy", "d2,type=dummy")
    dpctl("add-flow", "in_port(d1)", "d2")
    dpif = Dpif(rundir / "datapath.sock")
    dpif.port_inject(1, UDP_FRAME)
    assert dpif.port_drain(2) == [UDP_FRAME]
    dpif.close()
    size = len(UDP_FRAME)
    assert f"packets:1, bytes:{size}, used:0." in dpctl("dump-flows")
    assert dpctl("dump-flows", "--names").endswith("actions:d2\n")
    assert f"RX bytes:{size}  TX bytes:0" in dpctl("show", "-s")
    [flow] = json.loads(dpctl("-f", "json", "dump-flows"))
    assert (flow["packets"], flow["bytes"], flow["actions"]) == (1, size, "2")
    before = dpctl("-s", "--clear", "mod-flow", "in_port(1)", "1")
    assert before.startswith("packets:1, ")
    assert "packets:0, bytes:0, used:never, actions:1" in dpctl("dump-flows")


def test_drops_are_named(dpctl, rundir):
    from datapath.ipc.dpif import Dpif

    dpctl("add-if", "d1,type=dummy")
    dpif = Dpif(rundir / "datapath.sock")
    dpif.port_inject(1, UDP_FRAME)
    dpif.close()
    shown = dpctl("drops")
    assert "upcall_no_handler" in shown and "port 1: d1" in shown
    assert json.loads(dpctl("-f", "json", "drops"))["ports"]["d1"] == {"upcall_no_handler": 1}


def test_filter(dpctl):
    dpctl("add-flow", "in_port(1),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(dst=80)", "2")
    dpctl("add-flow", ARP, "2")
    assert dpctl("dump-flows", "filter=tcp,tp_dst=80").count("\n") == 1
    assert dpctl("dump-flows", "filter=tcp,tp_dst=81") == ""
    assert dpctl("dump-flows", "filter=in_port=1").count("\n") == 2
    assert "Failed to parse filter" in dpctl("dump-flows", "filter=nonsense", status=1)


def test_flows_from_file(dpctl):
    lines = f"# a comment\n{ARP} 2\nadd in_port(2) 1\nmodify in_port(2) 3\n"
    dpctl("add-flows", "-", stdin=lines)
    assert dpctl("dump-flows").count("\n") == 2
    lines = f"\n{ARP} 2\nadd in_port(3)\ndel in_port(2) 1\nin_port(3) {'1,' * 9000}\nin_port(4) 1\n"
    told = dpctl("add-flows", "-", stdin=lines, told=True)
    assert told.replace("pyvs-dpctl: ", "").splitlines() == [
        "updating flow table (File exists)",
        "Failed parsing line number 3, skipped!",
        "Failed parsing line number 4, skipped!",
        "line number 5 has more than 16384 characters, skipped!",
    ]
    assert dpctl("dump-flows").count("\n") == 3  # the last line is done, too
    error = dpctl("add-flows", "-", stdin="in_port(5)\n" * 1001, status=1)
    assert error.endswith("pyvs-dpctl: -:1001: more than 1000 errors\n")
    dpctl("del-flows", "-", stdin="del in_port(4)\n")
    dpctl("del-flows", "-", stdin="in_port(2)\n")
    assert dpctl("dump-flows").startswith(f"recirc_id(0),{ARP}")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "missing command name; use --help for help"),
        (("bad",), "unknown command 'bad'; use --help for help"),
        (("add-flow",), "'add-flow' command requires at least 2 arguments"),
        (("get-flow", "a", "b"), "datapath not found (Invalid argument)"),
        (("get-flow", "a", "b", "c"), "'get-flow' command takes at most 1 arguments"),
        (("--read-only", "del-flows"), "'del-flows' command does not work in read only mode"),
        (("--nonsense",), "unrecognized option '--nonsense'"),
        (("add-flow", "foo()", "1"), "parsing flow key (foo: unknown field) (Invalid argument)"),
        (("show", "system@other"), "opening datapath system@other failed (No such device)"),
    ],
)
def test_usage_errors(dpctl, args, text):
    assert dpctl(*args, status=1) == f"pyvs-dpctl: {text}\n"


def test_datapaths_besides_the_switchs(dpctl):
    """They have ports, flows and counters of their own."""
    dpctl("add-if", "d1,type=dummy")
    dpctl("add-dp", "dummy@dp0", "d1,type=dummy,port_no=5")
    assert dpctl("dump-dps") == "netdev@pyvs\ndummy@dp0\n"
    assert dpctl("add-dp", "dummy@dp0", status=1) == "pyvs-dpctl: add_dp (File exists)\n"
    assert "add_dp (File exists)" in dpctl("add-dp", "netdev@pyvs", status=1)
    dpctl("add-flow", "dp0", "in_port(5)", "drop")
    assert dpctl("dump-flows") == "" and dpctl("dump-flows", "dummy@dp0").count("\n") == 1
    shown = dpctl("show", "dp0")
    assert shown.startswith("dummy@dp0:\n") and "port 5: d1 (dummy)" in shown
    assert "port 1: d1 (dummy)" in dpctl("show")
    dpctl("set-if", "dp0", "d1,type=dummy,port_no=5")
    assert "d1: can't change type from dummy to tap" in dpctl(
        "set-if", "dp0", "d1,type=tap", status=1
    )
    assert "failed (d1 is a port already)" in dpctl("add-if", "dp0", "d1,type=dummy", status=1)
    assert "no port named d9" in dpctl("del-if", "dp0", "d9", status=1)
    assert "deleting port dp0 from dummy@dp0" in dpctl("del-if", "dp0", "dp0", status=1)
    dpctl("del-if", "dp0", "d1")
    dpctl("del-dp", "dp0")
    assert dpctl("dump-dps") == "netdev@pyvs\n"
    assert "opening datapath (No such device)" in dpctl("del-dp", "dp0", status=1)
    assert "opening datapath dummy@dp0 failed" in dpctl("show", "dummy@dp0", status=1)
    assert "it is the switch's" in dpctl("del-dp", "netdev@pyvs", status=1)
    for number in range(16):
        dpctl("add-dp", f"dummy@n{number}")
    assert "16 datapaths at most" in dpctl("add-dp", "dummy@more", status=1)


def test_help_and_version(dpctl):
    assert "dump-flows" in dpctl("--help")
    assert dpctl("--version").startswith("pyvs-dpctl (Open vSwitch compatible) ")


def test_meters(dpctl, rundir):
    assert dpctl("dump-meters") == ""
    with contextlib.closing(Dpif(rundir / "datapath.sock")) as dpif:
        dpif.meter_set(3, 2 | 8, [(1, 5), (2, 0)], "br0:7")
        try:
            assert dpctl("dump-meters") == (
                "meter 3 (br0:7): pktps stats packets:0 bytes:0\n"
                "  0: drop rate=1 burst=5 packets:0 bytes:0\n"
                "  1: drop rate=2 burst=2 packets:0 bytes:0\n"
            )
            [found] = json.loads(dpctl("-f", "json", "dump-meters"))
            assert (found["owner"], found["bands"]) == ("br0:7", [[1, 5], [2, 2]])
        finally:
            dpif.meter_del(3)
    dpctl("add-flow", ARP, "meter(9),2")
    assert dpctl("dump-flows").endswith("actions:meter(9),2\n")
