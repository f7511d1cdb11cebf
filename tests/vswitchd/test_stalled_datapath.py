"""A datapath process that is there and does not answer: vswitchd goes on, and takes it up again."""

import contextlib
import os
import re
import signal

import pytest

from tests import daemons
from tests.daemons import DATAPATH, VSWITCHD, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def pair(switch):
    """br0 with two containers, and the first of these; the warning is what we look for."""
    switch.allow("does not answer")
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    left = switch.container("v1", "10.9.0.1/24", "br0")
    switch.container("v2", "10.9.0.2/24", "br0")
    return left


def counter(switch, name):
    return int(switch.appctl("coverage/read-counter", name))


@contextlib.contextmanager
def stopped(switch):
    """The datapath process does nothing, and vswitchd knows."""
    before = counter(switch, "dpif_stalled")
    os.kill(switch.pid(DATAPATH), signal.SIGSTOP)
    try:
        wait_until(lambda: counter(switch, "dpif_stalled") > before, what="somebody who asks it")
        yield
    finally:
        os.kill(switch.pid(DATAPATH), signal.SIGCONT)


def packets(switch, match):
    dump = switch.ofctl("dump-flows", "br0", match)
    return [int(n) for n in re.findall(r"n_packets=(\d+)", dump)]


def ufids(switch):
    return set(re.findall(r"ufid:[0-9a-f-]+", switch.appctl("dpctl/dump-flows", "-m")))


def test_all_but_the_datapath_goes_on(switch, pair):
    switch.ofctl("add-flow", "br0", "table=0,priority=1,actions=resubmit(,1)")
    switch.ofctl("add-flow", "br0", "table=1,icmp,actions=normal")
    switch.ofctl("add-flow", "br0", "table=1,arp,actions=normal")
    assert pair.ping("10.9.0.2", 3) == 3
    flows, pid = ufids(switch), switch.pid(VSWITCHD)
    assert flows
    with stopped(switch):
        # What needs no answer of it is done, and what does says so.
        switch.ofctl("add-flow", "br0", "table=2,actions=drop")
        assert packets(switch, "table=1,icmp")
        assert "br0" in switch.vsctl("list-br")
        with pytest.raises(daemons.CommandFailed, match="datapath"):
            switch.appctl("dpctl/show")
        switch.vsctl("--no-wait", "add-port", "br0", "p3", "--", *_internal("p3"))
        switch.ofctl("mod-flows", "br0", "table=1,arp,actions=flood")
        wait_until(
            lambda: any("does not answer" in line for _, line in switch.logs()), what="a warning"
        )
    wait_until(lambda: switch.get("interface", "p3", "ofport") not in ("[]", "-1"), what="p3")
    assert pair.ping("10.9.0.2", 4) == 4
    assert packets(switch, "table=1,icmp") == [14]  # each request and each answer
    assert flows & ufids(switch)
    assert (counter(switch, "dpif_reconnect"), switch.pid(VSWITCHD)) == (0, pid)


def _internal(name):
    return "set", "interface", name, "type=internal"


def test_counters_are_right_however_often_it_stalls(switch, pair):
    switch.ofctl("add-flow", "br0", "icmp,actions=normal")
    switch.ofctl("add-flow", "br0", "arp,actions=normal")
    for _ in range(3):
        assert pair.ping("10.9.0.2", 2) == 2
        with stopped(switch):  # the flows have to be changed
            switch.ofctl("mod-flows", "br0", "icmp,actions=normal")
            switch.vsctl("--no-wait", "set", "bridge", "br0", "other_config:mac-aging-time=100")
    assert packets(switch, "icmp") == [12]
    assert counter(switch, "dpif_reconnect") == 0


def test_a_new_vswitchd_waits_for_it_and_still_answers(switch, pair):
    switch.ofctl("add-flow", "br0", "actions=normal")
    assert pair.ping("10.9.0.2", 2) == 2
    switch.kill(VSWITCHD)
    os.kill(switch.pid(DATAPATH), signal.SIGSTOP)
    program = str(daemons.BIN / VSWITCHD)
    log = f"--log-file={switch.directory / 'second.log'}"
    child = switch.host.popen(program, "--pidfile", "-vconsole:off", log, env=switch.environment)
    try:
        wait_until(lambda: switch.appctl("version", check=False), what="its control socket")
        for _ in range(5):
            assert "vswitchd" in switch.appctl("version")
        assert child.poll() is None
        os.kill(switch.pid(DATAPATH), signal.SIGCONT)
        wait_until(lambda: "NORMAL" in switch.ofctl("dump-flows", "br0", check=False), what="flows")
        wait_until(lambda: pair.ping("10.9.0.2", 1) == 1, what="a packet")
    finally:
        os.kill(switch.pid(DATAPATH), signal.SIGCONT)
        child.terminate()
        child.wait()
