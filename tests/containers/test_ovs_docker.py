"""pyvs-docker on containers given by process id, with a real switch."""

import pytest

from tests.containers.conftest import devices, ports
from tests.daemons import CommandFailed, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def docker(bridge):
    """Runs pyvs-docker in the switch's namespace."""
    return lambda *words: bridge.command("pyvs-docker", *words)


def test_two_containers_talk_and_are_taken_off(bridge, sandboxes, docker):
    one, two = sandboxes(), sandboxes()
    for number, each in enumerate((one, two), 1):
        docker(
            *("add-port", "br0", "eth1", str(each.pid), f"--ipaddress=10.0.0.{number}/24"),
            *(f"--ipaddress=fd00::{number}/64", f"--macaddress=02:00:00:00:00:0{number}"),
            *("--mtu=1400", "--gateway=10.0.0.254"),
        )
    assert one.ping("10.0.0.2") == 3
    assert one.ping("fd00::2") == 3
    link = one.run("ip", "-o", "link", "show", "eth1")
    assert "mtu 1400" in link and "02:00:00:00:00:01" in link
    assert "default via 10.0.0.254 dev eth1" in one.run("ip", "route")
    (port,) = bridge.vsctl(
        *("--bare", "--columns=name", "find", "interface"),
        *(f"external_ids:container_id={one.pid}", "external_ids:container_iface=eth1"),
    ).split()

    docker("set-vlan", "br0", "eth1", str(one.pid), "7")
    assert bridge.get("port", port, "tag") == "7"
    assert one.ping("10.0.0.2", count=1) == 0
    docker("set-vlan", "br0", "eth1", str(two.pid), "7")
    assert one.ping("10.0.0.2") == 3

    docker("add-port", "br0", "eth2", str(one.pid))
    docker("del-port", "br0", "eth1", str(one.pid))
    assert devices(one) == ["eth2"] and len(ports(bridge)) == 2
    docker("add-port", "br0", "eth1", str(one.pid))
    docker("del-ports", "br0", str(one.pid))
    assert devices(one) == [] and len(ports(bridge)) == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (("add-port", "br9", "eth1", "{pid}"), "no bridge named br9"),
        (("add-port", "br0", "averylonginterface", "{pid}"), "longer than 15 bytes"),
        (("add-port", "br0", "eth1", "nobody-has-this-name"), "nobody-has-this-name"),
        (("add-port", "br0", "eth1", "{pid}", "--macaddress=x"), "x: not an Ethernet address"),
        (("add-port", "br0", "eth1", "{pid}", "--ipaddress=10.0.0.300/24"), "10.0.0.300"),
        (("add-port", "br0", "eth1", "{pid}", "--mtu=9"), "MTU 9"),
        (("add-port", "br0", "lo", "{pid}"), "has such an interface already"),
        (("add-port", "br0", "eth1", "{pid}", "--gateway=10.9.9.9"), "Network is unreachable"),
        (("set-vlan", "br0", "eth1", "{pid}", "5000"), "VLAN 5000"),
        (("del-port", "br0", "eth1", "{pid}"), "no port of interface eth1"),
        (("add-port", "br0"), "takes 3 arguments"),
        (("frobnicate",), "unknown command 'frobnicate'"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(bridge, sandboxes, docker, words, said):
    container = sandboxes()
    with pytest.raises(CommandFailed) as failure:
        docker(*(word.format(pid=container.pid) for word in words))
    message = str(failure.value).partition("\n")[2]
    assert said in message and message.startswith("pyvs-docker: ") and message.count("\n") == 1
    assert devices(container) == devices(bridge.host) == ports(bridge) == []


def test_a_second_interface_of_that_name_is_refused(bridge, sandboxes, docker):
    container = sandboxes()
    docker("add-port", "br0", "eth1", str(container.pid))
    with pytest.raises(CommandFailed, match="has a port already"):
        docker("add-port", "br0", "eth1", str(container.pid))
    assert len(ports(bridge)) == 1 and devices(container) == ["eth1"]


def test_a_container_that_is_gone_is_stale(bridge, sandboxes, docker):
    stays, goes = sandboxes(), sandboxes()
    for each in (stays, goes):
        docker("add-port", "br0", "eth1", str(each.pid))
    assert bridge.vsctl("list-stale") == ""
    goes.close()
    wait_until(lambda: bridge.vsctl("list-stale"), what="the port to be stale")
    (name,) = bridge.vsctl("list-stale").split()
    bridge.vsctl("del-port", name)
    assert bridge.vsctl("list-stale") == "" and len(ports(bridge)) == 1
