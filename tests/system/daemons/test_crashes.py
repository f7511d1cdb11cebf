"""Daemons are killed at random moments, again and again, while the switch is used.

Traffic of known flows never stops; what a command reported as done is there afterwards, and
ports keep their numbers.
"""

import contextlib
import itertools
import random
import re
import socket
import subprocess
import threading
import time

import pytest

from tests.daemons import DATAPATH, OVSDB_SERVER, VSWITCHD, CommandFailed, wait_until
from tests.system.traffic import Pinger, Transfer, all_have_numbers, ofports

VSWITCHD_OPTIONS = ["--enable-dummy"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROUNDS = 4


class User(threading.Thread):
    """Adds ports and flows without a pause, and remembers what was reported as done."""

    def __init__(self, switch):
        super().__init__()
        self.switch = switch
        self.ports, self.flows = {}, set()
        self.over = threading.Event()
        self.start()

    def run(self):
        for number in itertools.count(1):
            if self.over.is_set():
                return
            with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
                self.add_port(f"d{number}")
            with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
                match = f"priority={number},tcp,tp_dst={number}"
                self.switch.ofctl("add-flow", "br0", f"{match},actions=drop")
                self.flows.add(number)

    def add_port(self, name):
        settings = ("--", "set", "Interface", name, "type=dummy")
        self.switch.vsctl("--may-exist", "add-port", "br0", name, *settings)
        self.ports[name] = None
        self.ports[name] = int(self.switch.get("Interface", name, "ofport"))

    def stop(self):
        self.over.set()
        self.join()


def flows(switch):
    return {int(n) for n in re.findall(r"tp_dst=(\d+)", switch.ofctl("dump-flows", "br0"))}


@pytest.mark.alone
@pytest.mark.parametrize(
    "names",
    [(VSWITCHD,), (OVSDB_SERVER,), (OVSDB_SERVER, VSWITCHD)],
    ids=lambda names: "+".join(names),
)
def test_killed_again_and_again_while_it_is_used(switch, names):
    switch.allow("connection (attempt )?(failed|dropped)|db.sock")
    switch.allow("transaction|status failed")  # of a server that was killed
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    assert one.ping("10.0.0.2") == 3
    rng = random.Random("+".join(names))
    transfer, pinger, user = Transfer(one, two), Pinger(one, "10.0.0.2"), User(switch)
    try:
        for _ in range(ROUNDS):
            time.sleep(rng.uniform(0.3, 1.5))
            switch.restart(*names)
        wait_until(lambda: any(list(user.ports.values())), seconds=60, what="a port of the user")
    finally:
        user.stop()
        sent, lost = pinger.stop()
    rates = transfer.stop()
    assert sent > 50 and not lost
    assert rates and 0 not in rates
    wait_until(lambda: all_have_numbers(switch), seconds=20, what="all ports")
    there = ofports(switch)
    assert there["br0"] == 65534 and there["c1"] == 1 and there["c2"] == 2
    assert user.ports.keys() <= there.keys()
    assert len(set(there.values())) == len(there)
    known = {name: number for name, number in user.ports.items() if number and number > 0}
    assert known and {name: there[name] for name in known} == known
    assert user.flows and user.flows <= flows(switch)
    third = switch.container("c3", "10.0.0.3/24", "br0")
    assert third.ping("10.0.0.1") == 3


def test_datapath_killed_under_traffic(switch):
    """Nothing passes without it; a new one is filled, and the same connection goes on."""
    switch.allow("datapath")
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    switch.ofctl("add-flow", "br0", "priority=7,tcp,tp_dst=81,actions=drop")
    before = ofports(switch)
    assert one.ping("10.0.0.2") == 3
    transfer = Transfer(one, two)
    switch.kill(DATAPATH)
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, seconds=20, what="traffic")
    assert ofports(switch) == before
    assert flows(switch) == {81}
    wait_until(lambda: all_have_numbers(switch), seconds=20, what="all ports")
    time.sleep(1.5)  # retransmission
    transfer.stop()


def test_the_hosts_interface_survives_the_datapath(switch):
    """With its address and route, under its ifindex, also where it was moved to a container and
    has another name there; and it goes with its port."""
    switch.allow("datapath")
    c1 = switch.container("c1", "10.0.0.1/24")
    inner = switch.container("c2")
    inner.run("ip", "link", "delete", "eth0")
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "c1")
    switch.vsctl("add-port", "br0", "in0", "--", "set", "interface", "in0", "type=internal")
    switch.host.run("ip", "link", "set", "in0", "netns", str(inner.pid))
    for place, device, address in ((switch.host, "br0", "10.0.0.9"), (inner, "eth0", "10.0.0.7")):
        if device == "eth0":
            place.run("ip", "link", "set", "in0", "name", "eth0")
        place.run("ip", "address", "add", f"{address}/24", "dev", device)
        place.run("ip", "link", "set", device, "up")
    switch.host.run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.1")
    before = switch.host.run("ip", "-o", "address", "show", "dev", "br0")
    for killed in (DATAPATH, VSWITCHD, DATAPATH):  # the next vswitchd keeps it, too
        switch.kill(killed)
        if killed == VSWITCHD:
            switch.start_daemon(VSWITCHD)
        for address in ("10.0.0.9", "10.0.0.7"):
            wait_until(lambda to=address: c1.ping(to, count=1), what=address)
        assert switch.host.run("ip", "-o", "address", "show", "dev", "br0") == before
        assert "10.9.0.0/16" in switch.host.run("ip", "route")
    switch.vsctl("del-port", "in0")
    assert "eth0" not in inner.run("ip", "-o", "link")
    switch.vsctl("del-br", "br0")
    assert "br0" not in switch.host.run("ip", "-o", "link")


def test_a_killed_database_server_leaves_the_switch_as_it_is(switch):
    """While it is away: flows and new packets are handled; a change of then is made up for."""
    switch.allow("connection (attempt )?(failed|dropped)|db.sock")
    switch.vsctl("add-br", "br0")
    one = switch.container("c1", "10.0.0.1/24", "br0")
    two = switch.container("c2", "10.0.0.2/24", "br0")
    switch.allow("could not open network device c2")
    switch.kill(OVSDB_SERVER)
    assert one.ping("10.0.0.2") == 3
    switch.ofctl("add-flow", "br0", "priority=7,icmp,actions=drop")
    assert one.ping("10.0.0.2", count=1) == 0
    switch.ofctl("del-flows", "br0", "icmp")
    two.disconnect()
    two.connect()
    two.run("ip", "neighbour", "flush", "dev", "eth0")
    one.run("ip", "neighbour", "flush", "dev", "eth0")
    wait_until(lambda: one.ping("10.0.0.2", count=1) == 1, what="the new device")
    switch.start_ovsdb_server()
    wait_until(lambda: ofports(switch) == {"br0": 65534, "c1": 1, "c2": 2}, what="status")


def test_files_of_a_bridge_deleted_meanwhile_go(switch):
    """And nothing else that has such a name."""
    switch.allow("connection (attempt )?(failed|dropped)|db.sock")
    for name in ("br0", "br1"):
        switch.vsctl("add-br", name, "--", "set", "bridge", name, "stp_enable=true")
        switch.ofctl("add-flow", name, "actions=drop")
    run = switch.directory
    ours = [run / f"br1.{kind}" for kind in ("mgmt", "snoop", "flows", "protocols")]
    wait_until(lambda: all(path.exists() for path in ours), what="files of br1")
    switch.kill(VSWITCHD)
    switch.vsctl("--no-wait", "del-br", "br1")
    foreign = [run / f"other.{kind}" for kind in ("mgmt", "flows", "protocols")]
    for path in foreign:
        path.write_text("somebody else's")
    with socket.socket(socket.AF_UNIX) as listener:
        foreign.append(run / "alive.mgmt")
        listener.bind(str(foreign[-1]))
        listener.listen()
        switch.start_daemon(VSWITCHD)
        wait_until(lambda: not any(path.exists() for path in ours), what="their end")
    assert all(path.exists() for path in foreign)
    assert all((run / f"br0.{kind}").exists() for kind in ("mgmt", "snoop", "flows"))
    assert "actions=drop" in switch.ofctl("dump-flows", "br0")
