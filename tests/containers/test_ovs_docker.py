"""pyvs-docker on containers given by process id, with a real switch."""

import itertools
import os
import re
import subprocess

import pytest

from tests.containers.conftest import devices, ports
from tests.daemons import BIN, CommandFailed, wait_until

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


RUNTIME = """#!/bin/sh
# A runtime that knows one container, while the file PLACE is there.
for word; do :; done
case $word in
web|IDENTITY|SHORT) [ -e PLACE ] && echo PROCESS IDENTITY /web && exit;;
esac
echo "no such container" >&2
exit 1
"""
WEB = "5d" * 32


@pytest.fixture
def web(sandboxes, tmp_path, monkeypatch, bridge):
    """A container of that name; its end is that of the path's file."""
    sandbox, place = sandboxes(), tmp_path / "runs"
    values = (("IDENTITY", WEB), ("SHORT", WEB[:12]), ("PROCESS", str(sandbox.pid)))
    text = RUNTIME.replace("PLACE", str(place))
    for word, value in values:
        text = text.replace(word, value)
    for name in ("docker", "podman"):
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
    path = f"{tmp_path}:{bridge.environment.get('PATH') or os.environ['PATH']}"
    monkeypatch.setitem(bridge.environment, "PATH", path)
    place.touch()
    return place


def test_a_container_has_several_names(bridge, docker, web):
    """By whichever it was connected, it is the same by each; also when it is there no more."""
    names = ("web", WEB, WEB[:12])
    for first, other in itertools.permutations(names, 2):
        docker("add-port", "br0", "eth1", first)
        docker("add-port", "br0", "eth2", other)
        with pytest.raises(CommandFailed, match="has a port already"):
            docker("add-port", "br0", "eth1", other)
        docker("set-vlan", "br0", "eth1", other, "7")
        web.unlink()
        docker("del-port", "br0", "eth1", other)
        docker("del-ports", "br0", first)
        web.touch()
        assert ports(bridge) == devices(bridge.host) == []
    with pytest.raises(CommandFailed, match="no port of interface eth1 of container web"):
        docker("del-port", "br0", "eth1", "web")


def test_a_group_that_two_have(bridge, docker, sandboxes):
    """A pair without its port goes with its container's name, not with what it has the group of."""
    one = str(sandboxes().pid)
    docker("add-port", "br0", "eth1", one)
    (name,) = ports(bridge)
    host = bridge.host
    (group,) = re.findall(r"group (\d+)", host.run("ip", "-o", "link", "show", name))
    for number in (1, 2):
        host.run(*f"ip link add pv{number} type veth peer name other{number}".split())
        host.run("ip", "link", "set", f"pv{number}", "group", group)
    host.run("ip", "link", "set", "pv1", "alias", "pyvs-docker another")
    docker("del-ports", "br0", one)
    assert devices(host) == ["pv1"]  # pv2 has no alias yet: a call that was killed
    assert ports(bridge) == []


def test_an_interface_that_comes_back_is_the_same_port(bridge, sandboxes, docker):
    """Said again after its container was started again: what neighbours know of it stays."""
    sandbox = sandboxes()
    container = str(sandbox.pid)
    docker("add-port", "br0", "eth1", container, "--ipaddress=10.0.0.1/24")
    mac = re.search("link/ether ([0-9a-f:]+)", sandbox.run("ip", "link", "show", "eth1"))[1]
    docker("set-vlan", "br0", "eth1", container, "7")
    (port,) = ports(bridge)
    number = bridge.get("interface", port, "ofport")
    bridge.host.run("ip", "link", "del", port)
    bridge.vsctl("wait-until", "interface", port, "ofport=-1")
    with pytest.raises(CommandFailed, match="Network is unreachable"):
        docker("add-port", "br0", "eth1", container, "--gateway=10.9.9.9")
    assert devices(bridge.host) == [] and ports(bridge) == [port]
    docker("add-port", "br0", "eth1", container, "--ipaddress=10.0.0.2/24")
    assert bridge.get("interface", port, "ofport") == number
    assert bridge.get("port", port, "tag") == "7"
    ids = bridge.get("interface", port, "external_ids")
    assert "container_ips=10.0.0.2" in ids.replace('"', "") and mac in ids
    assert mac in sandbox.run("ip", "link", "show", "eth1")


MAC = "--macaddress=02:00:00:00:00:01"


def test_an_address_that_is_taken(bridge, sandboxes, docker):
    """In the same VLAN of the same bridge, by a container that is there."""
    one, two, six = sandboxes(), sandboxes(), "--ipaddress=fd00::1/64"
    docker("add-port", "br0", "eth1", str(one.pid), "--ipaddress=10.0.0.1/24", six, MAC)
    (port,) = ports(bridge)
    for option in ("--ipaddress=10.0.0.1/16", "--ipaddress=fd00:0::1/64", MAC.upper().lower()):
        with pytest.raises(CommandFailed, match=f"port {port} of br0 has this address already"):
            docker("add-port", "br0", "eth1", str(two.pid), option)
    assert ports(bridge) == [port] and devices(two) == []
    docker("set-vlan", "br0", "eth1", str(one.pid), "7")
    docker("add-port", "br0", "eth1", str(two.pid), "--ipaddress=10.0.0.1/24", MAC)
    docker("del-port", "br0", "eth1", str(two.pid))
    docker("set-vlan", "br0", "eth1", str(one.pid), "0")
    one.close()
    wait_until(lambda: bridge.vsctl("list-stale"), what="the port to be stale")
    docker("add-port", "br0", "eth1", str(two.pid), "--ipaddress=10.0.0.1/24", MAC)


def test_a_bridge_has_its_own_ports(bridge, sandboxes, docker):
    container = str(sandboxes().pid)
    bridge.vsctl("add-br", "br1")
    docker("add-port", "br0", "eth1", container)
    docker("add-port", "br1", "eth2", container)
    for words in (
        ("del-port", "br1", "eth1", container),
        ("set-vlan", "br1", "eth1", container, "5"),
    ):
        with pytest.raises(CommandFailed, match=r"no port of interface eth1 .* on br1"):
            docker(*words)
    with pytest.raises(CommandFailed, match="has a port already"):
        docker("add-port", "br1", "eth1", container)
    docker("del-ports", "br1", container)
    assert len(ports(bridge)) == 1 and bridge.vsctl("list-ports", "br1") == ""


def test_where_ipv6_is_forbidden(bridge, sandboxes, docker):
    """As in a container of Docker's that has no network."""
    one, two = sandboxes(), sandboxes()
    for number, each in enumerate((one, two), 1):
        each.run("sysctl", "-qw", *(f"net.ipv6.conf.{which}.disable_ipv6=1" for which in SETTINGS))
        docker("add-port", "br0", "eth1", str(each.pid), f"--ipaddress=fd00::{number}/64")
    assert one.ping("fd00::2") == 3


SETTINGS = ("all", "default")


def test_the_host_hears_nothing_of_what_is_the_switchs(bridge, sandboxes, docker):
    """Its own stack neither answers nor takes anything in beside the switch, across its VLANs."""
    container, host = sandboxes(), bridge.host
    bridge.vsctl("add-port", "br0", "gate", "tag=9", "--", "set", "interface", "gate",
                 "type=internal")  # fmt: skip
    for words in (
        "address add 10.0.0.77/24 dev gate",
        "address add fd00::77/64 dev gate nodad",
        "link set gate up",
    ):
        host.run("ip", *words.split())
    pid = str(container.pid)
    docker("add-port", "br0", "eth1", pid, "--ipaddress=10.0.0.1/24", "--ipaddress=fd00::1/64")
    (port,) = (name for name in ports(bridge) if name != "gate")
    mac = re.search("link/ether ([0-9a-f:]+)", host.run("ip", "link", "show", port))[1]
    before = echoes(host)
    for address in ("10.0.0.77", "fd00::77"):
        container.ping(address, count=1)
        assert "lladdr" not in container.run("ip", "neighbor", "show", address)
        container.run("ip", "neighbor", "replace", address, "lladdr", mac, "dev", "eth1")
        container.ping(address, count=2)
    assert echoes(host) == before


def echoes(host):
    """How many requests the host has heard, of ICMP and of ICMPv6."""
    names, values = re.findall("^Icmp: (.*)$", host.run("cat", "/proc/net/snmp"), re.M)
    (six,) = re.findall(r"^Icmp6InEchos\s+(\d+)", host.run("cat", "/proc/net/snmp6"), re.M)
    return values.split()[names.split().index("InEchos")], six


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


def test_without_a_switch(tmp_path):
    """One line, as of every other thing that is wrong."""
    words = ("add-port", "br0", "eth0", str(os.getpid()))
    done = subprocess.run(
        [BIN / "pyvs-docker", f"--rundir={tmp_path}", *words], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    gone = f"unix:{tmp_path}/db.sock: database connection failed (No such file or directory)"
    assert done.stderr == f"pyvs-docker: {gone}\n"
