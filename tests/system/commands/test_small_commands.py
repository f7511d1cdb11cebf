"""Small things of commands: levels of -v, what of a conversation is shown, a busy datapath."""

import os
import signal
import threading

import pytest

from tests.daemons import CommandFailed
from tests.ovs_names import Names

pytestmark = pytest.mark.system
COMMANDS = ("ovs-appctl", "ovs-dpctl", "ovs-ofctl", "ovs-vsctl", "ovsdb-client", "ovsdb-tool")
WRONG = {"nosuch": "nosuch", "any:foo": "foo", "nosuch:dbg": "nosuch"}


@pytest.fixture
def switch(tmp_path):
    names = Names(tmp_path)
    names.start("--enable-dummy", "--disable-system")
    names.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    yield names
    names.close()


def test_odd_levels(switch):
    for command in COMMANDS:
        for spec, word in WRONG.items():
            with pytest.raises(CommandFailed) as raised:
                switch.run(command, f"-v{spec}", "--version")
            told = f'{command}: processing "{spec}": no destination, level, or module "{word}"'
            assert told in str(raised.value)
        assert command in switch.run(command, "-v", "-vconsole:off", "--version")


def test_a_datapath_that_is_slow_to_answer(switch):
    """A busy machine: what is asked for is done some time later."""
    port = "add-port br0 p1 -- set interface p1 type=dummy"
    switch.run("ovs-vsctl", *port.split())
    switch.run("ovs-ofctl", "add-flow", "br0", "actions=drop")
    pid = switch.pid("pyvs-datapath")
    for command in [("netdev-dummy/receive", "p1", "aa" * 64)] * 2:
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(0.5, os.kill, (pid, signal.SIGCONT))
        timer.start()
        switch.run("ovs-appctl", *command)
        timer.join()
    assert "n_packets=2" in switch.run("ovs-ofctl", "dump-flows", "br0")


def test_a_conversation(switch, tmp_path):
    log = tmp_path / "told"
    flows = tmp_path / "flows"
    flows.write_text("table=3,actions=1\ntable=4,actions=1\n")
    words = ("-O", "OpenFlow11", "-vconsole:off", "-vvconn", f"--log-file={log}")
    switch.run("ovs-ofctl", *words, "add-flows", "br0", str(flows))
    switch.run("ovs-ofctl", *words, "del-flows", "br0")
    told = [
        line.partition(".mgmt: ")[2] for line in log.read_text().splitlines() if ".mgmt" in line
    ]
    told = [line.split(" (xid")[0] for line in told]
    assert [line for line in told if "FLOW_MOD" in line] == [
        "sent (Success): OFPT_FLOW_MOD (OF1.1)",
        "sent (Success): OFPT_FLOW_MOD (OF1.1)",
        "sent (Success): OFPT_FLOW_MOD (OF1.1)",
    ]
    assert "received: OFPT_BARRIER_REPLY (OF1.1)" in told
    # 1.1 has no way to say "all tables" in a deletion: table 0 is meant, as Open vSwitch sends it.
    left = switch.run("ovs-ofctl", "-O", "OpenFlow11", "dump-flows", "br0")
    assert "table=3" in left and "table=4" in left
