"""Plug-ins of CNI's own behind pyvs-cni in a network's chain, as a runtime executes them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.conftest import ports
from tests.containers.test_rates import FRAME, PAYLOAD, RATE, measured
from tests.daemons import BIN, DATAPATH, wait_until

PLUGINS = Path("/usr/lib/cni")
ADDRESSES = ("10.8.0.1", "10.8.0.2")
# What the queue holds (this and 25 ms) when a measurement begins or ends is counted or not: that is
# to be far below a twentieth of the four seconds.
BURST = RATE // 20


class Chain:
    """pyvs-cni and what comes behind it: the configurations of a list's plug-ins."""

    def __init__(self, switch, *behind):
        self.switch = switch
        self.plugins = ({"type": "pyvs-cni", "bridge": "br0"}, *behind)

    def _execute(self, command, number, namespace, plugin, previous):
        program = BIN / plugin["type"] if plugin["type"] == "pyvs-cni" else PLUGINS / plugin["type"]
        config = {"cniVersion": "1.0.0", "name": "n", **plugin}
        if previous:
            config["prevResult"] = previous
        environment = {
            **self.switch.environment,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": f"c{number}",
            "CNI_NETNS": f"/proc/{namespace.pid}/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(PLUGINS),
        }
        done = subprocess.run(
            [*self.switch.host.prefix, str(program)],
            input=json.dumps(config), capture_output=True, text=True, env=environment, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, (plugin, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def add(self, number, namespace):
        return self.add_rest(number, namespace, self.add_first(number, namespace))

    def add_first(self, number, namespace):
        """pyvs-cni alone; what it printed, and an address."""
        result = self._execute("ADD", number, namespace, self.plugins[0], None)
        address = f"{ADDRESSES[number - 1]}/24"
        namespace.run("ip", "address", "add", address, "dev", "eth0")
        result["ips"] = [{"address": address, "interface": 2}]
        return result

    def add_rest(self, number, namespace, result):
        for plugin in self.plugins[1:]:
            result = self._execute("ADD", number, namespace, plugin, result)
        return result

    def delete(self, number, namespace, result):
        for plugin in reversed(self.plugins):
            self._execute("DEL", number, namespace, plugin, result)


def needs(*plugins):
    for each in plugins:
        if not (PLUGINS / each).exists():
            pytest.skip(f"no {each} (Debian: containernetworking-plugins)")


@pytest.mark.system
@pytest.mark.alone
@pytest.mark.peer
def test_the_bandwidth_plug_in(bridge, sandboxes):
    """Its rates hold in both directions, also after the datapath process was killed."""
    needs("bandwidth")
    if shutil.which("iperf3") is None:
        pytest.skip("iperf3 is not installed")
    rates = {"ingressRate": RATE, "ingressBurst": BURST, "egressRate": RATE, "egressBurst": BURST}
    one, two = sandboxes(), sandboxes()
    chain = Chain(bridge, {"type": "bandwidth", **rates})
    result = chain.add(1, one)
    Chain(bridge).add(2, two)
    servers = [each.popen("iperf3", "-s", stdout=subprocess.DEVNULL) for each in (one, two)]
    try:
        for each in (one, two):
            wait_until(lambda each=each: ":5201" in each.run("ss", "-ltn"), what="iperf3")
        for sender, address in ((one, ADDRESSES[1]), (two, ADDRESSES[0])):
            assert_shaped(sender, address)
            assert 0.75 * RATE < measured(sender, address) < RATE
        bridge.kill(DATAPATH)
        bridge.allow("lost the datapath process")
        wait_until(lambda: one.ping(ADDRESSES[1], count=1), what="the port again")
        assert 0.75 * RATE < measured(one, ADDRESSES[1]) < RATE
    finally:
        for each in servers:
            each.kill()
            each.wait()
    chain.delete(1, one, result)
    assert len(ports(bridge)) == 1
    assert "bwp" not in bridge.host.run("ip", "-o", "link")


def assert_shaped(sender, address):
    """To within a twentieth.  What a busy machine keeps from its turn is never too much, nor
    the same each time: the best of three counts, as long as none has more."""
    udp = ("-u", "-b", str(2 * RATE), "-l", str(PAYLOAD))
    found = []
    while len(found) < 3 and (not found or found[-1] < 0.95 * RATE):
        found.append(measured(sender, address, *udp) * FRAME / PAYLOAD)
    assert 0.95 * RATE < found[-1] < 1.05 * RATE, (address, found)


@pytest.mark.system
def test_nothing_is_lost_when_the_port_goes_over(bridge, sandboxes):
    """To the device that shapes: pings that are under way meanwhile all arrive.  Their answers need
    not: to a device that gets a discipline, ingress included, the kernel sends nothing meanwhile
    (Linux 6.18: each `tc qdisc add` costs a ping -i0.001 between two namespaces one answer)."""
    needs("bandwidth")
    rates = {"ingressRate": 10**9, "ingressBurst": 10**9, "egressRate": 10**9, "egressBurst": 10**9}
    one, two = sandboxes(), sandboxes()
    # The plug-in wants the ingress that a hot flow's classifier would have.
    bridge.vsctl("set", "Open_vSwitch", ".", "other_config:kernel-cache=false")
    chain = Chain(bridge, {"type": "bandwidth", **rates})
    first = chain.add_first(1, one)
    Chain(bridge).add(2, two)
    assert one.ping(ADDRESSES[1], count=1) == 1
    before = echo_requests(two)
    ping = one.popen(
        "ping", "-n", "-q", "-i0.001", "-c1500", ADDRESSES[1], stdout=subprocess.DEVNULL
    )
    chain.add_rest(1, one, first)
    ping.wait(timeout=60)
    assert any("frames come by device" in line for _name, line in bridge.logs())
    assert echo_requests(two) - before == 1500


def echo_requests(namespace):
    """How many have arrived."""
    names, values = (
        line.split() for line in namespace.run("cat", "/proc/net/snmp").splitlines()
        if line.startswith("Icmp:")
    )  # fmt: skip
    return int(dict(zip(names, values, strict=True))["InEchos"])


@pytest.mark.system
def test_a_port_whose_other_device_goes(bridge, sandboxes):
    """The port lives on its own device then; and with it ends the port."""
    needs("bandwidth")
    one, two = sandboxes(), sandboxes()
    chain = Chain(bridge, {"type": "bandwidth", "egressRate": RATE, "egressBurst": BURST})
    added = chain.add(1, one)
    Chain(bridge).add(2, two)
    assert one.ping(ADDRESSES[1], count=3) == 3
    shaper = added["interfaces"][-1]["name"]
    bridge.host.run("ip", "link", "del", shaper)
    wait_until(lambda: one.ping(ADDRESSES[1], count=1), what="the port on its own device")
    (name,) = [each["name"] for each in added["interfaces"] if each["name"].startswith("pv")]
    assert bridge.vsctl("get", "Interface", name, "error").strip() == "[]"
    bridge.host.run("tc", "qdisc", "del", "dev", name, "ingress")
    assert one.ping(ADDRESSES[1], count=3) == 3


@pytest.mark.system
def test_hot_flows_of_a_port_that_waits(bridge, sandboxes):
    """Without another plug-in the port has its part in the kernel cache."""
    one, two = sandboxes(), sandboxes()
    chain = Chain(bridge)
    for number, namespace in enumerate((one, two), 1):
        chain.add(number, namespace)
    if "kernel cache: on" not in bridge.dpctl("show"):
        pytest.skip("no kernel cache here")
    assert "clsact" not in bridge.host.run("tc", "qdisc", "show")

    def both():
        one.run("ping", "-q", "-c10", "-i0.01", ADDRESSES[1])
        return bridge.host.run("tc", "qdisc", "show").count("clsact") == 2

    wait_until(both, what="two classifiers")
    one.run("ping", "-q", "-c10", "-i0.01", ADDRESSES[1])
    assert "offloaded:yes, dp:tc-bpf" in bridge.dpctl("dump-flows", "-m")
    for number, namespace in enumerate((one, two), 1):
        chain.delete(number, namespace, None)
    assert "clsact" not in bridge.host.run("tc", "qdisc", "show")


@pytest.mark.system
def test_published_ports_and_the_firewall(bridge, sandboxes):
    """The host is in the network by the bridge's own port, and so are portmap's rules."""
    needs("portmap", "firewall")
    if shutil.which("iptables") is None:
        pytest.skip("iptables is not installed")
    host, one = bridge.host, sandboxes()
    for words in ("address add 10.8.0.254/24 dev br0", "link set br0 up", "link set lo up"):
        host.run("ip", *words.split())
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    portmap = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    chain = Chain(
        bridge, {**portmap, "runtimeConfig": {"portMappings": [mapping]}}, {"type": "firewall"}
    )
    result = chain.add(1, one)
    page = one.popen(sys.executable, "-m", "http.server", "80", stderr=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_until(lambda: ":80 " in one.run("ss", "-ltn"), what="the page")
        for address in ("127.0.0.1", "10.8.0.254"):
            code = f"import urllib.request as r; r.urlopen('http://{address}:8080/', timeout=9)"
            host.run(sys.executable, "-c", code)
    finally:
        page.kill()
        page.wait()
    for _again in range(2):
        chain.delete(1, one, result)
    assert ports(bridge) == []
    assert ADDRESSES[0] not in host.run("iptables-save")


@pytest.mark.system
@pytest.mark.parametrize("plugin", [{"type": "tuning", "mtu": 1300, "mac": "02:00:00:00:00:07"}])
def test_others(bridge, sandboxes, plugin):
    needs(plugin["type"])
    one, two = sandboxes(), sandboxes()
    chain = Chain(bridge, plugin)
    result = chain.add(1, one)
    Chain(bridge).add(2, two)
    assert "02:00:00:00:00:07" in one.run("ip", "link", "show", "eth0")
    assert one.ping(ADDRESSES[1], count=3) == 3
    chain.delete(1, one, result)
    assert len(ports(bridge)) == 1
