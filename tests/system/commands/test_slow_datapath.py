"""Whatever asks a datapath process that does not answer for a while waits for it, and nothing else
does."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ovs.unixctl.client import UnixctlClient

from tests.daemons import CommandFailed, wait_until
from tests.ovs_names import Names

pytestmark = pytest.mark.system
STALL = 0.5  # seconds
FLOW = "in_port(1),eth(),eth_type(0x1234)"
UFID = "ufid:01020304-0506-0708-090a-0b0c0d0e0f10"
# Command -> what its answer has, or None: it is the same as without a stall.
ASKING = {
    "coverage/show": "dpif_stalled",
    "dpctl/cache-get-size": None,
    "dpctl/ct-get-maxconns": None,
    "dpctl/ct-stats-show": None,
    "dpctl/dump-conntrack": "",
    "dpctl/dump-dps": None,
    "dpctl/dump-flows": "in_port",
    "dpctl/dump-meters": None,
    "dpctl/show": "port 1: p1",
    "dpif-netdev/bond-show": None,
    "dpif-netdev/pmd-perf-show": "",
    "dpif-netdev/pmd-rxq-rebalance": "requested",
    "dpif-netdev/pmd-rxq-show": "",
    "dpif-netdev/pmd-stats-clear": "",
    "dpif-netdev/pmd-stats-show": "packets received",
    "dpif/dump-flows br0": "in_port",
    "dpif/show": None,
    "netdev-dummy/conn-state p1": None,
    f"netdev-dummy/receive p1 {'aa' * 64}": "",
    "ofproto/trace br0 in_port=1": None,
    "revalidator/wait": "",
    "upcall/set-flow-limit 1000": "flow_limit",
    "upcall/show": "flows",
    "revalidator/pause": "",
    "revalidator/resume": "",
}
# One after the other; each is done once.
CHANGING = (
    ("dpctl/add-dp dummy@second", ""),
    ("dpctl/del-dp dummy@second", ""),
    ("revalidator/pause", ""),  # to which such a flow says nothing
    (f"dpctl/add-flow {UFID},{FLOW} drop", ""),
    (f"dpctl/mod-flow {UFID},{FLOW} 1", ""),
    (f"dpctl/get-flow {UFID}", "actions:1"),
    (f"dpctl/del-flow {UFID}", ""),
    ("revalidator/resume", ""),
    ("dpctl/ct-set-maxconns 1000", "setting maxconns successful"),
    ("dpctl/flush-conntrack", ""),
    ("upcall/disable-megaflows", "megaflows disabled"),
    ("upcall/enable-megaflows", "megaflows enabled"),
    ("revalidator/purge", ""),
    ("dpctl/del-flows", ""),
)
# They need no answer.
WITHOUT = (
    *("coverage/show", "dpctl/cache-get-size", "netdev-dummy/conn-state p1"),
    "ofproto/trace br0 in_port=1",
)
NO_ANSWER = "the datapath process does not answer"
REQUESTS = {
    "dump-flows": "n_packets=2,",
    "dump-aggregate": "packet_count=2",
    "dump-tables": "matched=2",
    "dump-ports": "rx pkts=2",
    "dump-group-stats": "packet_count=2",
    "meter-stats": "packet_in_count:2",
}


@pytest.fixture
def switch(tmp_path):
    names = Names(tmp_path)
    names.start("--enable-dummy", "--disable-system")
    words = (
        "add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p1 -- set interface p1"
    )
    names.run("ovs-vsctl", *words.split(), "type=dummy", "ofport_request=1")
    # Longer than all takes on a busy machine.
    names.run("ovs-vsctl", "set", "open_vswitch", ".", "other_config:max-idle=600000")
    ofctl(names, "add-meter", "meter=1,kbps,band=type=drop,rate=100000")
    ofctl(names, "add-group", "group_id=1,type=all,bucket=actions=drop")
    ofctl(names, "add-flow", "actions=meter:1,group:1")
    yield names
    with contextlib.suppress(ProcessLookupError):
        os.kill(names.pid("pyvs-datapath"), signal.SIGCONT)
    names.close()


def ofctl(switch, command, *words):
    return switch.run("ovs-ofctl", "-O", "OpenFlow13", command, "br0", *words)


def appctl(switch, line):
    return switch.run("ovs-appctl", *line.split())


def receive(switch):
    appctl(switch, f"netdev-dummy/receive p1 {'aa' * 64}")


@contextlib.contextmanager
def stopped(switch, seconds):
    """None: for good."""
    pid = switch.pid("pyvs-datapath")
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds or 1000, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        os.kill(pid, signal.SIGCONT)


def test_who_asks_waits(switch):
    receive(switch)
    calm = {line: appctl(switch, line) for line, has in ASKING.items() if has is None}
    for line, has in ASKING.items():
        with stopped(switch, STALL):
            told = appctl(switch, line)
        assert told == calm[line] if has is None else has in told, (line, told)
    for line, has in CHANGING:
        with stopped(switch, STALL):
            assert has in appctl(switch, line), line


def test_counters_are_those_of_now(switch):
    for _ in range(2):
        receive(switch)
    for command, has in REQUESTS.items():
        with stopped(switch, STALL):
            assert has in ofctl(switch, command), command


def ask(switch, line):
    """(what is wrong, answer) without a program, which takes its time on a busy machine."""
    path = switch.rundir / f"ovs-vswitchd.{switch.pid('ovs-vswitchd')}.ctl"
    error, client = UnixctlClient.create(str(path))
    assert not error
    with contextlib.closing(client):
        name, *words = line.split()
        error, wrong, told = client.transact(name, words)
    assert not error
    return wrong, told


def test_nothing_else_waits(switch):
    """For a process that never answers, with all of them at once."""
    lines = [line for line in (*ASKING, *dict(CHANGING)) if line not in WITHOUT]
    with stopped(switch, None), ThreadPoolExecutor(len(lines)) as pool:
        assert NO_ANSWER in ask(switch, "dpif/show")[0]
        running = {line: pool.submit(ask, switch, line) for line in lines}
        answers = 0
        while not all(each.done() for each in running.values()):
            assert not ask(switch, "version")[0]
            answers += 1
            time.sleep(0.01)
        for line, each in running.items():
            assert NO_ANSWER in (each.result()[0] or ""), (line, each.result())
        with pytest.raises(CommandFailed, match=NO_ANSWER):
            appctl(switch, "dpctl/show")
    assert answers > 10  # in two seconds
    wait_until(lambda: "p1" in appctl(switch, "dpif/show"), what="its answers")
