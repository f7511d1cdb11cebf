"""other_config:flow-restore-wait: the flows are put back before packets and controllers are served.

The sequence is that of ovs-vswitchd.conf.db(5), with what ovs-save dumps, under pings: the
datapath's flows go on although the new vswitchd has none yet.
"""

import json
import os
import re
import select
import signal
import socket

import pytest

from tests.daemons import DATAPATH, VSWITCHD, CommandFailed, wait_until
from tests.system.traffic import Pinger

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

KEY = "other_config:flow-restore-wait=true"
OPTION = "{class=0x102,type=7,len=4}->tun_metadata3"


class Saved:
    """What ovs-save keeps of a bridge."""

    def __init__(self, switch, bridge):
        self._switch, self._bridge = switch, bridge
        self.groups = self._rows("dump-groups")
        self.flows = self._rows("dump-flows", "--no-names", "--no-stats")

    def _ofctl(self, command, *words):
        return self._switch.ofctl("-O", "OpenFlow14", command, *words)

    def _rows(self, command, *options):
        lines = self._ofctl(command, *options, self._bridge).splitlines()
        return sorted(line for line in lines if not line.startswith(("OFPST", "NXST")))

    def restore(self):
        self._ofctl("add-tlv-map", self._bridge, OPTION)
        for command, rows in (("add-groups", self.groups), ("replace-flows", self.flows)):
            path = self._switch.directory / "saved"
            path.write_text("\n".join(rows) + "\n")
            self._ofctl(command, self._bridge, str(path), "--bundle")


@pytest.fixture
def controller(switch):
    """A socket that listens where the switch looks for a controller."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(switch.directory / "controller"))
        listener.listen()
        yield listener


@pytest.fixture
def lab(switch, controller):
    """Containers, of which c1 and c2 reach each other by a group and a flow; nobody else does."""
    switch.allow("controller: connection")
    switch.vsctl("add-br", "br0", "--", "set-fail-mode", "br0", "secure")
    switch.vsctl("set-controller", "br0", f"unix:{switch.directory}/controller")
    made = [switch.container(f"c{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2, 3)]
    for place in made[:2]:
        for other in made[:2]:
            if other is not place:
                address = other.address.partition("/")[0]
                mac = link(other)["address"]
                place.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0")
    wait_until(lambda: is_called(controller), what="the switch at its controller")
    switch.ofctl("add-tlv-map", "br0", OPTION)
    group = "group_id=5,type=all,bucket=actions=output:2"
    switch.ofctl("-O", "OpenFlow14", "add-group", "br0", group)
    switch.ofctl("add-flow", "br0", "in_port=2,idle_timeout=3600,actions=output:1")
    switch.ofctl("-O", "OpenFlow14", "add-flow", "br0", "in_port=1,actions=group:5")
    assert made[0].ping("10.0.0.2") == 3
    return made


def link(container):
    """What ip tells of its interface."""
    return json.loads(container.run("ip", "-j", "-s", "link", "show", "dev", "eth0"))[0]


def n_received(container):
    return link(container)["stats64"]["rx"]["packets"]


def is_called(listener):
    """Whether somebody connects, now; nobody answers."""
    if not select.select([listener], [], [], 0)[0]:
        return False
    listener.accept()[0].close()
    return True


def end(switch, with_flows=True):
    """vswitchd, and what it keeps of flows; the datapath goes on."""
    switch.appctl("exit")
    wait_until(lambda: switch.pid(VSWITCHD) is None, what="the end of vswitchd")
    if with_flows:
        (switch.directory / "br0.flows").unlink()


def forget(switch):
    switch.vsctl("remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")


def n_megaflows(switch):
    return switch.dpctl("dump-flows").count("actions:")


def lost(switch):
    return int(re.search(r"lost:(\d+)", switch.dpctl("show"))[1])


@pytest.mark.parametrize("with_flows", [True, False])
def test_ovs_saves_sequence_under_pings(switch, controller, lab, with_flows):
    one, _, three = lab
    saved, megaflows = Saved(switch, "br0"), n_megaflows(switch)
    assert len(saved.flows) == 2 and len(saved.groups) == 1 and megaflows
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=500")
    pinger = Pinger(one, "10.0.0.2")
    pinger.wait_for(5)
    end(switch, with_flows)
    while is_called(controller):
        pass  # what came before
    switch.vsctl("--no-wait", "set", "Open_vSwitch", ".", KEY)
    switch.start_daemon(VSWITCHD)
    assert Saved(switch, "br0").flows == ([] if with_flows else saved.flows)
    # Whose packets no flow of the datapath knows, is not served: after the rings' patience each of
    # them is lost, and told.
    three.run("ping", "-c1", "-W1", "10.0.0.1", check=False)
    before = lost(switch)
    wait_until(lambda: three.ping("10.0.0.1", count=1) == 0 and lost(switch) > before, 20, "losses")
    assert n_megaflows(switch) >= megaflows and not is_called(controller)
    assert switch.get("Controller", "br0", "is_connected") == "false"
    switch.ofctl("add-flow", "br0", "in_port=3,hard_timeout=1,actions=drop")
    saved.restore()
    assert not is_called(controller)
    forget(switch)
    wait_until(lambda: is_called(controller), what="the switch at its controller")
    now = Saved(switch, "br0")
    assert (now.flows, now.groups) == (saved.flows, saved.groups)
    assert "0x102" in switch.ofctl("dump-tlv-map", "br0")
    switch.ofctl("add-flow", "br0", "priority=1,arp,actions=flood")
    sent, gone = pinger.stop()
    assert sent > 50 and not gone
    # Packets count for the flows that were restored, and idle ones go again.
    dump = switch.ofctl("dump-flows", "br0", "in_port=1")
    assert int(re.search(r"n_packets=(\d+)", dump)[1]) > 0
    # Who adds what is there puts nothing back any more.
    with pytest.raises(CommandFailed, match="GROUP_EXISTS"):
        switch.ofctl("-O", "OpenFlow14", "add-group", "br0", "group_id=5,type=all")
    wait_until(lambda: n_megaflows(switch) == 0, what="the end of idle flows")


def test_what_happens_while_it_is_set(switch, controller, lab):
    """vswitchd is killed, bridges and ports come, flows run out; and nobody removes it for long."""
    one, two, three = lab
    switch.vsctl("--no-wait", "set", "Open_vSwitch", ".", KEY)  # of no effect before a start
    assert lab[1].ping("10.0.0.1") == 3
    pinger = Pinger(one, "10.0.0.2")
    pinger.wait_for(5)
    end(switch)
    switch.start_daemon(VSWITCHD)
    switch.ofctl("add-flow", "br0", "in_port=2,hard_timeout=1,actions=output:1")
    for port in (1, 2):
        group = f"group_id=5,type=all,bucket=actions=output:{port}"
        switch.ofctl("-O", "OpenFlow14", "add-group", "br0", group)
    switch.restart(VSWITCHD)
    assert "output:2" in switch.ofctl("-O", "OpenFlow14", "dump-groups", "br0")
    switch.vsctl("add-br", "br1")
    for name, address in (("d1", "10.0.1.1/24"), ("d2", "10.0.1.2/24")):
        lab.append(switch.container(name, address, "br1"))
    ports = switch.get("Interface", "d2", "ofport")
    assert int(ports) > 0 and lab[-1].ping("10.0.1.1", count=1) == 0
    # It outlived both its own time and vswitchd; what asks for counters is answered.
    assert "hard_timeout=1" in switch.ofctl("dump-flows", "br0")
    switch.ofctl("dump-aggregate", "br0")
    switch.ofctl("add-flow", "br0", "in_port=1,actions=output:2")
    switch.ofctl("-O", "OpenFlow13", "add-flow", "--bundle", "br0", "in_port=7,actions=drop")
    frame = "ff" * 6 + "0a" * 6 + "88b5" + "00" * 50
    pinger.stop()
    before = n_received(three)
    switch.ofctl("packet-out", "br0", f"in_port=controller,packet={frame},actions=output:3")
    wait_until(lambda: n_received(three) > before, what="a packet-out")
    switch.vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=false")
    wait_until(lambda: "hard_timeout=1" not in switch.ofctl("dump-flows", "br0"), what="an expiry")
    # Who asked in vain for an address, asks again in a second.
    wait_until(lambda: lab[-1].ping("10.0.1.1") == 3, 20, "pings on br1")
    wait_until(lambda: is_called(controller), what="the switch at its controller")
    switch.ofctl("add-flow", "br0", "in_port=2,actions=output:1")
    assert two.ping("10.0.0.1") == 3


def test_a_datapath_that_dies_meanwhile_and_one_that_does_not_answer_at_the_end(
    switch, controller, lab
):
    one, two, _ = lab
    switch.allow("datapath process")
    saved = Saved(switch, "br0")
    end(switch)
    switch.vsctl("--no-wait", "set", "Open_vSwitch", ".", KEY)
    switch.start_daemon(VSWITCHD)
    while is_called(controller):
        pass  # what came before
    died = switch.pid(DATAPATH)
    switch.kill(DATAPATH)
    wait_until(lambda: switch.pid(DATAPATH) not in (None, died), what="another datapath")
    wait_until(lambda: switch.dpctl("show", check=False).count("port ") == 4, what="its ports")
    saved.restore()
    assert one.ping("10.0.0.2", count=1) == 0 and not is_called(controller)
    os.kill(switch.pid(DATAPATH), signal.SIGSTOP)
    try:
        switch.vsctl("--no-wait", "remove", "Open_vSwitch", ".", *KEY.partition("=")[0].split(":"))
        wait_until(lambda: is_called(controller), what="the switch at its controller")
    finally:
        os.kill(switch.pid(DATAPATH), signal.SIGCONT)
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, what="packets by the restored flows")
    now = Saved(switch, "br0")
    assert (now.flows, now.groups) == (saved.flows, saved.groups)
    assert two.ping("10.0.0.1") == 3
