"""Interfaces of type afxdp as users meet them: commands, columns, a device that comes back."""

import re

import pytest

from tests.daemons import wait_until
from tests.datapath.netdev.test_af_xdp import is_possible

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not is_possible(), reason="AF_XDP is not allowed here"),
]


def add(switch, name, address, *settings):
    made = switch.container(name, address)
    switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, *settings)
    return made


def test_af_xdp_interfaces(switch):
    switch.vsctl("add-br", "br0")
    a = add(switch, "pa", "10.0.0.1/24", "type=afxdp")
    b = add(switch, "pb", "10.0.0.2/24", "type=afxdp-nonpmd", "options:xdp-mode=generic")
    b.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
    wait_until(lambda: a.ping("10.0.0.2", count=1) == 1, what="the first ping")
    assert a.ping("10.0.0.2") == 3
    shown = switch.appctl("dpif/show")
    told = "n_rxq=1, use-need-wakeup=true, xdp-mode="
    assert f"(afxdp: {told}best-effort, xdp-mode-in-use=native)" in shown
    assert f"(afxdp-nonpmd: {told}generic, xdp-mode-in-use=generic)" in shown
    pmd, main = switch.appctl("dpif-netdev/pmd-rxq-show").split("main thread")
    assert "port: pa " in pmd and "port: pb " in main

    def counted():
        statistics = switch.vsctl("get", "interface", "pa", "statistics")
        return re.search("xsk_queue_0_rx_dropped=", statistics)

    wait_until(counted, what="the sockets' counters")
    # Another mode, and one that there is not.
    switch.vsctl("set", "interface", "pa", "options:xdp-mode=generic")
    a.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
    assert "xdp-mode=generic" in switch.appctl("dpif/show").split("pa ")[1].splitlines()[0]
    wait_until(lambda: a.ping("10.0.0.2", count=1) == 1, what="a ping in generic mode")
    switch.allow("Invalid argument")
    switch.vsctl("set", "interface", "pa", "options:xdp-mode=fast")
    assert "Invalid argument" in switch.vsctl("get", "interface", "pa", "error")
    switch.vsctl("set", "interface", "pa", "options:xdp-mode=native")
    wait_until(lambda: a.ping("10.0.0.2", count=1) == 1, what="a ping in native mode")
    # The datapath process is killed: nothing holds the devices, and the next one takes them.
    switch.allow("lost the datapath process")
    switch.kill("pyvs-datapath")
    wait_until(lambda: a.ping("10.0.0.2", count=1) == 1, what="a ping by the next process")
    # The device goes, and one with its name comes.
    switch.allow("No such device")
    a.disconnect()
    wait_until(
        lambda: "No such device" in switch.vsctl("get", "interface", "pa", "error"), what="error"
    )
    a.connect()
    wait_until(lambda: a.ping("10.0.0.2", count=1) == 1, what="a ping by the new device")
    switch.vsctl("del-port", "pa")
    assert "xdp" not in switch.host.run("ip", "link", "show", "dev", "pa")
