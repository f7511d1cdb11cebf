"""The rate of a container's port, in both directions; the texts that give one."""

import json
import shutil
import subprocess

import pytest

from containers.errors import BadRequest
from containers.rates import MOST, both, parse
from tests.containers.conftest import ports
from tests.daemons import BIN, wait_until

RATE = 40_000_000
FRAME, PAYLOAD = 1442, 1400


@pytest.mark.parametrize(
    "text, bits",
    [("100mbit", 10**8), ("1.5Gbit", 1_500_000_000), ("64kibit", 65536), ("5000", 5000)],
)
def test_texts(text, bits):
    assert parse(text) == bits


@pytest.mark.parametrize("text", ["", "fast", "-1mbit", "10", "1mbyte", "9" * 400, f"{MOST + 1}"])
def test_texts_that_are_no_rate(text):
    with pytest.raises(BadRequest, match="rate"):
        parse(text)


def test_a_rate_goes_both_ways():
    rates = both("8mbit")
    assert rates.policing() == {"ingress_policing_rate": 8000, "ingress_policing_burst": 2000}
    assert rates.discipline() == {"max-rate": "8000000"}
    assert not both(None).policing() and not both(None).discipline()


def attach(bridge, namespace, name, address, command="ADD", **changes):
    """Executes pyvs-cni; the address is given by hand."""
    config = {"cniVersion": "1.0.0", "name": "n", "type": "pyvs-cni", "bridge": "br0", **changes}
    environment = {
        **bridge.environment,
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": name,
        "CNI_NETNS": f"/proc/{namespace.pid}/ns/net",
        "CNI_IFNAME": "eth0",
    }
    done = subprocess.run(
        [*bridge.host.prefix, str(BIN / "pyvs-cni")],
        input=json.dumps(config), capture_output=True, text=True, env=environment, timeout=30,
    )  # fmt: skip
    if not done.returncode and command == "ADD":
        namespace.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    return done


def measured(sender, address, *options):
    """Bits per second that arrive, as iperf3's server counts them."""
    words = ("iperf3", "-c", address, "-t", "4", "-O", "1", "-J", *options)
    return json.loads(sender.run(*words))["end"]["sum_received"]["bits_per_second"]


@pytest.mark.system
@pytest.mark.alone
@pytest.mark.peer
def test_what_passes(bridge, sandboxes):
    """Frames of UDP at the rate within a twentieth, and TCP lives with it."""
    if shutil.which("iperf3") is None:
        pytest.skip("iperf3 is not installed")
    one, two = sandboxes(), sandboxes()
    bandwidth = {"ingressRate": RATE, "egressRate": RATE}
    assert attach(bridge, one, "c1", "10.8.0.1", bandwidth=bandwidth).returncode == 0
    assert attach(bridge, two, "c2", "10.8.0.2").returncode == 0
    servers = [each.popen("iperf3", "-s", stdout=subprocess.DEVNULL) for each in (one, two)]
    try:
        for each in (one, two):
            wait_until(lambda each=each: ":5201" in each.run("ss", "-ltn"), what="iperf3")
        udp = ("-u", "-b", str(2 * RATE), "-l", str(PAYLOAD))
        for sender, address in ((one, "10.8.0.2"), (two, "10.8.0.1")):
            frames = measured(sender, address, *udp) * FRAME / PAYLOAD
            assert abs(frames / RATE - 1) < 0.05, (address, frames)
            assert 0.75 * RATE < measured(sender, address) < RATE
    finally:
        for each in servers:
            each.kill()
            each.wait()
    assert attach(bridge, one, "c1", "", "DEL").returncode == 0
    assert len(ports(bridge)) == 1
    assert bridge.vsctl("list", "qos") + bridge.vsctl("list", "queue") == ""


@pytest.mark.system
@pytest.mark.parametrize("bandwidth", [{"ingressRate": "fast"}, {"egressRate": 10}])
def test_bandwidth_that_cannot_be(bridge, sandboxes, bandwidth):
    done = attach(bridge, sandboxes(), "c1", "10.8.0.1", bandwidth=bandwidth)
    assert done.returncode and json.loads(done.stdout)["code"] == 7
    assert ports(bridge) == []
