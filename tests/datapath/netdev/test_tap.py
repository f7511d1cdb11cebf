"""Interfaces that the switch makes: TAPs, and veth pairs where /dev/net/tun is closed."""

import os
import subprocess

import pytest

from datapath.netdev.tap import outer_name
from tests import daemons
from tests.daemons import wait_until
from tests.datapath.dp_process import Process
from tests.datapath.netdev.test_veth import join
from tests.datapath.wire import Host, raw_socket, transfer

A, HOST = "10.0.0.1", "10.0.0.254"


def tun_opens():
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return False
    return True


def addressed(host, name):
    """Gives the host its address on an internal port."""
    host.run("ip", "address", "add", f"{HOST}/24", "dev", name)
    host.run("ip", "link", "set", name, "up")


@pytest.fixture
def container(net):
    made = Host(net, "pa", f"{A}/24")
    net.add("pa", "system")
    yield made
    made.close()


def test_host_on_the_bridge(net, container):
    """An internal port: the host pings, and speaks TCP both ways with offloads on."""
    assert net.add("br0", "internal") == 2
    join(net, 1, 2)
    addressed(net.host, "br0")
    assert net.host.ping(A) == 3
    transfer(container, net.host, HOST)
    transfer(net.host, container, A)
    stats = net.port("br0").stats
    assert stats["rx_bytes"] / stats["rx_packets"] > 2000  # GSO frames came whole
    assert set(net.drops()) <= {"port_down"}  # before the interface was up
    assert net.port("br0").ifindex > 0
    net.dpif.port_del(2)
    assert "br0" not in net.host.run("ip", "link")


@pytest.mark.skipif(not tun_opens(), reason="/dev/net/tun does not open")
def test_tap_deleted_and_made_again(net, container):
    net.add("br0", "tap")
    join(net, 1, 2)
    addressed(net.host, "br0")
    assert net.host.ping(A, count=1) == 1
    net.host.run("ip", "link", "delete", "br0")
    wait_until(lambda: net.port("br0").dead)
    assert "interface is gone" in net.dpctl("show")
    assert container.ping(HOST, count=1) == 0
    net.dpif.port_del(2)
    assert net.add("br0", "internal", 2) == 2
    addressed(net.host, "br0")
    assert net.host.ping(A, count=1) == 1


def test_link_down_counts(net, container):
    net.add("br0", "internal")
    join(net, 1, 2)
    addressed(net.host, "br0")
    assert net.host.ping(A, count=1) == 1
    net.host.run("ip", "link", "set", "br0", "down")
    assert container.ping(HOST, count=1) == 0
    assert net.port("br0").drops["port_down"] >= 1
    assert not net.port("br0").dead


def test_a_flood_while_down_and_frames_when_up(net, container):
    """Each frame of a burst counts as dropped; once it is up the port gets what is for it."""
    net.add("br0", "internal")
    join(net, 1, 2)
    with raw_socket(container) as raw:
        for number in range(500):
            raw.send(
                b"\xff" * 6 + b"\2\0\0\0" + number.to_bytes(2, "big") + b"\x88\xb5" + bytes(46)
            )
    # Where the worker does not keep up the rest of them is lost before it, and counted, too.
    wait_until(
        lambda: sum(net.drops().get(why, 0) for why in ("port_down", "rx_queue_full")) >= 500
    )
    addressed(net.host, "br0")
    assert container.ping(HOST, count=1) == 1


@pytest.mark.parametrize("name", ("a/b", "", "pa"))
def test_bad_names(net, container, name):
    with pytest.raises(OSError):
        net.add(name, "internal")
    assert [port.name for port in net.dpif.port_dump()] == ["pa"]


def test_interface_of_that_name_exists(net):
    net.host.run("ip", "link", "add", "br0", "type", "dummy", check=False)
    if "br0" not in net.host.run("ip", "link"):
        net.host.run("ip", "link", "add", "br0", "type", "veth", "peer", "name", "br1")
    with pytest.raises(OSError):
        net.add("br0", "internal")
    assert net.dpif.port_dump() == []
    assert "br0" in net.host.run("ip", "link")


def test_killed_process_leaves_nothing_in_the_way(net, container):
    """The next process makes the same internal port again."""
    net.add("br0", "internal")
    net.kill()
    net.start()
    net.add("pa", "system")
    net.add("br0", "internal")
    join(net, 1, 2)
    addressed(net.host, "br0")
    assert net.host.ping(A, count=1) == 1


# --- without privileges


class Closed(daemons.Namespace):
    """A user namespace as an ordinary user has it: /dev/net/tun is not there."""

    def __init__(self):
        super().__init__()
        self.holder = self._holder
        entered = [*self.prefix, "unshare", "--mount", "sh", "-c"]
        script = "mount -t tmpfs none /dev/net && exec sleep infinity"
        self._holder = subprocess.Popen([*entered, script], preexec_fn=daemons._die_with_parent)
        self.pid = self._holder.pid
        wait_until(lambda: self._comm() == "sleep", what="a namespace")

    @property
    def prefix(self):
        return [*super().prefix, *(["--mount"] if hasattr(self, "holder") else [])]

    def close(self):
        super().close()
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def rootless(monkeypatch):
    """A datapath process in a user namespace, where only its own network is its to change."""
    monkeypatch.setattr(daemons, "ROOTLESS", True)
    reason = daemons.missing()
    if reason:
        pytest.skip(reason)
    host = Closed()
    made = None
    try:
        made = Process(host=host)
        yield made
        made.check()
    finally:
        try:
            if made:
                made.close()
        finally:
            host.close()


def test_rootless(rootless):
    """Veths, an internal port as a veth pair, ping and TCP; the pair outlives a kill -9."""
    net = rootless
    guests = []
    try:
        for number, name in ((1, "pa"), (2, "pb")):
            guests.append(Host(net, name, f"10.0.0.{number}/24"))
            net.add(name, "system")
        join(net, 1, 2)
        assert guests[0].ping("10.0.0.2") == 3
        transfer(*guests, "10.0.0.2")
        assert set(net.drops()) <= {"rx_queue_full"}  # socket buffers are small here
        net.add("br0", "internal")
        join(net, 1, 3)
        addressed(net.host, "br0")
        assert net.host.ping(A) == 3
        transfer(net.host, guests[0], A)
        assert outer_name("br0") in net.host.run("ip", "link")
        net.kill()
        net.start()
        net.add("pa", "system", 1)
        net.add("br0", "internal", 3)
        join(net, 1, 3)
        assert net.host.ping(A) == 3  # the pair was taken over, address and all
        net.dpif.port_del(3)
        assert "br0" not in net.host.run("ip", "link")
    finally:
        for each in guests:
            each.close()
