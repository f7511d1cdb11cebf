"""OVN (Debian's) drives three hosts, each with a pyvs of its own: demo/ovn's network."""

import os
import re

import pytest

from demo.ovn import network as net
from demo.ovn import places
from demo.ovn.network import MACHINES, Network
from tests import daemons
from tests.ovn_lab import LabShell

pytestmark = [pytest.mark.system, pytest.mark.peer]

ENCAPSULATIONS = ("geneve", "vxlan")


def address(name):
    return MACHINES[name][2]


def shell_of_a_lab():
    absent = places.missing()
    if absent or daemons.missing() or os.geteuid():
        pytest.skip(daemons.missing() or f"not root, or not installed: {absent}")
    made = LabShell()
    places.furnish(made)
    return made


@pytest.fixture(scope="module", params=ENCAPSULATIONS)
def network(request):
    shell = shell_of_a_lab()
    try:
        made = Network(shell, request.param)
        made.central.start()
        made.add_hosts()
        made.add_machines()
        made.add_world()
        yield made
    finally:
        shell.close()


def ping(network, name, to, fails=False, options=""):
    place = network.machines.get(name, network.world)
    place.run(f"ping -n -q -c 2 -i 0.2 -W 1 {options} {to}", fails=fails)


@pytest.fixture
def gateway(network):
    """Traffic passes the gateway: it is known where that is."""
    network.shell.wait(f"on vm3 ping -n -c 1 -W 1 {net.WORLD}")
    return network


def test_machines_reach_each_other_over_hosts_and_routers(network):
    for name in ("vm1", "vm2", "vm3", "vm4"):
        for to in MACHINES:
            ping(network, name, address(to))
        ping(network, name, MACHINES[name][3])
    assert network.complaints() == []


def test_stateful_rules(network):
    network.central.nbctl(net.RULES)
    network.central.sync()
    for port in (8080, 8081):
        network.serve("vm4", port)
    for name in ("vm1", "vm2", "vm3"):
        ping(network, name, address("vm4"))
        assert network.ask(name, address("vm4"), 8080) == "vm4"
        network.ask(name, address("vm4"), 8081, fails=True)
    network.serve("vm1", 8082)  # vm4's own connections are answered
    assert network.ask("vm4", address("vm1"), 8082) == "vm1"


def test_a_load_balancer(network):
    network.serve("vm2", 8090)
    network.serve("vm3", 8090)
    backends = ",".join(f"{address(name)}:8090" for name in ("vm2", "vm3"))
    network.central.nbctl(f"""
        lb-add balanced 10.0.9.8:80 {backends} tcp
        ls-lb-add sw1 balanced
        ls-lb-add sw2 balanced
        lr-lb-add router balanced
    """)
    network.central.sync()
    for name in ("vm1", "vm4"):
        assert {network.ask(name, "10.0.9.8", 80) for _ in range(16)} == {"vm2", "vm3"}


def test_addresses_and_names(network):
    """DHCP and DNS are ovn-controller's, by packet-ins that it resumes."""
    net.leases("vm1", network.central)
    network.central.sync()
    assert address("vm1") in network.lease("vm1")
    vm1, server = network.machines["vm1"], MACHINES["vm1"][3]
    assert address("vm4") in vm1.run(f"busybox nslookup -type=a vm4.lab {server}")


def test_port_security(network):
    vm2 = network.machines["vm2"]
    vm2.run("ip addr add 10.0.1.77/24 dev eth0")
    ping(network, "vm2", address("vm1"))
    ping(network, "vm2", address("vm1"), fails=True, options="-I 10.0.1.77")
    vm2.run("ip addr del 10.0.1.77/24 dev eth0")


def test_the_world_outside(gateway):
    for name in MACHINES:
        ping(gateway, name, net.WORLD)
    gateway.world.run("python -m demo.ovn.web serve world 80")
    assert gateway.ask("vm4", net.WORLD, 80) == "world"
    ping(gateway, "world", net.FLOATING)
    ping(gateway, "world", net.OUTSIDE)
    gateway.serve("vm1", 8083)
    web = f"python -m demo.ovn.web ask {net.FLOATING} 8083"
    assert gateway.world.run(web) == "vm1\n"


def test_qos_marks_and_limits(network):
    """A mark on what vm2 sends to vm1, and a rate that its pings exceed."""
    network.central.nbctl(f"""
        qos-add sw1 from-lport 100 "inport == \\"vm2\\" && ip4.dst == {address("vm1")}" dscp=46
        qos-add sw1 from-lport 90 "inport == \\"vm2\\" && udp" rate=100 burst=100
    """)
    network.central.sync()
    host = network.hosts["h2"]
    assert "meter=1 " in host.run("ovs-ofctl -O OpenFlow15 dump-meters br-int")
    ping(network, "vm2", address("vm1"))
    flows = host.run("ovs-appctl dpctl/dump-flows")
    assert re.search(r"set\(ipv4\(tos=0xb8/0xfc\)\)|tos=0xb8", flows), flows


def test_several_ways_out_with_answers_the_same_way(network):
    """Groups with an algorithm for dp_hash, and connection labels."""
    ways = " -- ".join(
        f"--ecmp-symmetric-reply lr-route-add router 192.168.5.0/24 172.16.0.{last}"
        for last in (1, 2)
    )
    network.central.run(f"ovn-nbctl {ways}")
    network.central.sync()
    shown = network.hosts["h2"].run("ovs-ofctl -O OpenFlow15 dump-groups br-int")
    assert "selection_method=dp_hash,selection_method_param=4294967296" in shown
    assert network.complaints() == []


def lost(process):
    """Pings without answer.  The last one may have been under way at the end."""
    said = process.communicate(timeout=60)[0]
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) rec", said).groups())
    assert received
    return max(0, sent - received - 1)


PAIRS = (("vm1", "vm2"), ("vm2", "vm1"), ("vm3", "vm2"))


def pinging(network, seconds):
    """Pings between all PAIRS, whose flows are known by then."""
    for name, to in PAIRS:
        ping(network, name, address(to))
    return [
        network.shell.start(f"on {name} ping -n -q -i 0.1 -w {seconds} {address(to)}")
        for name, to in PAIRS
    ]


@pytest.mark.parametrize("daemon", ["ovn-controller", "ovs-vswitchd"])
def test_who_is_killed_is_not_missed(network, daemon):
    host = network.hosts["h1"]
    pings = pinging(network, 6)
    host.kill(daemon)
    if daemon == "ovn-controller":
        host.start_controller()
    assert [lost(each) for each in pings] == [0] * len(pings)
    network.shell.wait("on central ovn-nbctl --timeout=5 --wait=hv sync")
    assert "OpenFlow error" not in host.log("ovn-controller")


def test_a_killed_datapath_comes_back(network):
    """The underlay's address is still there, so is the tunnel, and what was connected."""
    host = network.hosts["h1"]
    host.kill("pyvs-datapath")
    for to in ("vm2", "vm4"):
        network.shell.wait(f"on vm1 ping -n -c 1 -W 1 {address(to)}")
    network.shell.wait("on central ovn-nbctl --timeout=5 --wait=hv sync")
    assert "OpenFlow error" not in host.log("ovn-controller")


def test_another_gateway_takes_over(gateway):
    gateway.shell.run("ip link set h2-eth0 down")
    gateway.shell.wait(f"on world ping -n -c 1 -W 1 {net.FLOATING}")
    gateway.shell.wait(f"on vm3 ping -n -c 1 -W 1 {net.WORLD}")
    shown = gateway.central.run("ovn-sbctl show")
    assert "cr-to-public" in shown.partition("Chassis h3")[2].partition("Chassis")[0]
    gateway.shell.run("ip link set h2-eth0 up")
    gateway.shell.wait("on central ovn-nbctl --timeout=5 --wait=hv sync")
    assert not any("OpenFlow error" in line for line in gateway.complaints())
