"""pyvs-netavark executed as netavark executes a plug-in (plug-in API 1.0.0)."""

import json
import subprocess

import pytest

from tests.containers.conftest import devices, ports
from tests.daemons import BIN

pytestmark = pytest.mark.system

NETWORK = {
    "name": "red",
    "id": "ab" * 32,
    "driver": "pyvs",
    "internal": False,
    "ipv6_enabled": True,
    "subnets": [
        {"subnet": "10.2.0.0/24", "gateway": "10.2.0.1"},
        {"subnet": "fd02::/64", "gateway": "fd02::1"},
    ],
    "options": {"bridge": "br0", "vlan": "30", "mtu": "1300"},
}


def call(switch, *words, given=None):
    """(status, the JSON value printed)"""
    done = subprocess.run(
        [*switch.host.prefix, str(BIN / "pyvs-netavark"), *words],
        input=json.dumps(given) if given is not None else "",
        capture_output=True,
        text=True,
        env=switch.environment,
        timeout=30,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def asked(number, **changes):
    """What netavark sends for a container."""
    options = {
        "interface_name": "eth0",
        "static_ips": [f"10.2.0.{number}", f"fd02::{number}"],
        "static_mac": f"02:00:00:00:00:{number:02x}",
        "aliases": None,
    }
    return {
        "container_id": f"{number:064x}",
        "container_name": f"c{number}",
        "port_mappings": None,
        "network": {**NETWORK, **changes},
        "network_options": options,
    }


def test_setup_and_teardown(bridge, sandboxes):
    assert call(bridge, "info")[1]["api_version"] == "1.0.0"
    assert call(bridge, "create", given=NETWORK) == (0, NETWORK)
    one, two = sandboxes(), sandboxes()
    for number, each in ((2, one), (3, two)):
        status, answer = call(bridge, "setup", f"/proc/{each.pid}/ns/net", given=asked(number))
        assert status == 0, answer
        assert answer["interfaces"]["eth0"] == {
            "mac_address": f"02:00:00:00:00:{number:02x}",
            "subnets": [
                {"ipnet": f"10.2.0.{number}/24", "gateway": "10.2.0.1"},
                {"ipnet": f"fd02::{number}/64", "gateway": "fd02::1"},
            ],
        }
    assert one.ping("10.2.0.3") == 3 and one.ping("fd02::3") == 3
    assert "default via 10.2.0.1" in one.run("ip", "route")
    for _again in range(2):
        assert call(bridge, "teardown", f"/proc/{one.pid}/ns/net", given=asked(2)) == (0, None)
    assert devices(one) == [] and len(ports(bridge)) == 1


@pytest.mark.parametrize(
    "words, given, said",
    [
        (("create",), {**NETWORK, "options": {}}, "option bridge is missing"),
        (("create",), {**NETWORK, "options": {"bridge": "br9"}}, "no bridge named br9"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "vlan": "5000"}}, "VLAN 5000"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "rate": "x"}}, "option rate"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "mtu": "9"}}, "MTU 9"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "colour": "x"}}, "option colour"),
        (("create",), [], "create: not an object"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "vlan": 5}}, "vlan: not a string"),
        (("setup", "/nowhere"), asked(2), "/nowhere"),
        (("setup",), asked(2), "takes 1 arguments"),
        (("setup", "/proc/self/ns/net"), {}, "setup.container_id: missing"),
        (("setup", "/proc/self/ns/net"), asked(2, subnets=5), "setup.network.subnets: not a list"),
        (("setup", "/proc/self/ns/net"), {**asked(2), "port_mappings": [{}]}, "not published"),
        (("dance",), None, "usage"),
    ],
)
def test_errors(bridge, words, given, said):
    status, answer = call(bridge, *words, given=given)
    assert status == 1 and said in answer["error"], answer
    assert ports(bridge) == devices(bridge.host) == []
