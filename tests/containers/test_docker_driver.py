"""pyvs-docker-driver with Docker itself: networks, isolation, published ports, kills."""

import re
import sys

import pytest

from tests.containers import docker_host
from tests.daemons import CommandFailed, wait_until

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def host():
    if reason := docker_host.missing():
        pytest.skip(reason)
    made = docker_host.DockerHost()
    try:
        made.run("pyvs-vsctl", "add-br", "br0")
        made.start_driver()
        made.start_dockerd()
        made.import_image()
        yield made
    finally:
        made.close()


@pytest.fixture
def clean(host):
    """The host, from which the test's containers and networks are taken off."""
    yield host
    names = host.run("docker", "ps", "--all", "--quiet").split()
    if names:
        host.run("docker", "rm", "--force", *names)
    for name in ("blue", "green", "out"):
        host.run("docker", "network", "rm", name, check=False)
    assert host.run("pyvs-vsctl", "list-br").split() == ["br0"]
    assert host.run("pyvs-vsctl", "list-ports", "br0").split() == []
    assert "pyvs_docker" not in host.run("pyvs-vsctl", "get", "bridge", "br0", "external_ids")
    assert host.run("nft", "list", "tables") == ""
    assert host.run("pyvs-vsctl", "list", "qos") + host.run("pyvs-vsctl", "list", "queue") == ""


def create(host, name, subnet, *options):
    host.run(
        *("docker", "network", "create", "--driver=pyvs", f"--subnet={subnet}", *options, name)
    )


def pings(host, name, address, count=2):
    """How many answers came."""
    words = ("/bin/ping", "-c", str(count), "-W", "2", address)
    out = host.execute(name, *words, check=False)
    found = re.search(r"(\d+) packets received", out)
    return int(found[1]) if found else 0  # none: there was no way to send any


def fetch(host, url, container=None):
    """A page, as the host or a container gets it; "" where that fails."""
    code = (
        f"import urllib.request as r; print(r.urlopen({url!r}, timeout=5).read().decode(), end='')"
    )
    prefix = ()
    if container:
        pid = host.run("docker", "inspect", "--format={{.State.Pid}}", container).strip()
        prefix = ("nsenter", f"--target={pid}", "--net")
    return host.run(*prefix, sys.executable, "-c", code, check=False)


def test_two_networks_are_apart(clean):
    host = clean
    create(host, "blue", "10.5.0.0/24", "-o", "bridge=br0", "-o", "vlan=5", "-o", "mode=l2")
    create(host, "green", "10.6.0.0/24", "-o", "bridge=br0", "-o", "vlan=6", "-o", "mode=l2",
           "-o", "rate=20mbit")  # fmt: skip
    host.start_container("pod-a", "--network=blue", "--ip=10.5.0.10")
    host.start_container(
        "pod-b", "--network=blue", "--ip=10.5.0.11", "--mac-address=02:00:00:00:00:0b"
    )
    host.start_container("pod-c", "--network=green", "--ip=10.6.0.12")
    limits = ("ingress_policing_rate=20000", "ingress_policing_burst=5000")
    find = ("pyvs-vsctl", "--bare", "--columns=name", "find")
    (limited,) = host.run(*find, "interface", *limits).split()
    rows = ("other_config:max-rate=20000000", f"external_ids:pyvs_container_port={limited}")
    assert host.run("pyvs-vsctl", "--bare", "--columns=type", "find", "qos", *rows) == "linux-htb\n"
    assert pings(host, "pod-a", "10.5.0.11") == 2
    assert "02:00:00:00:00:0b" in host.execute("pod-b", "/bin/ip", "link")
    assert pings(host, "pod-a", "10.6.0.12", count=1) == 0
    host.run("docker", "network", "connect", "green", "pod-a")
    assert pings(host, "pod-a", "10.6.0.12") == 2
    host.run("docker", "network", "disconnect", "green", "pod-a")
    assert len(host.run("pyvs-vsctl", "list-ports", "br0").split()) == 3


def test_kills_of_driver_and_vswitchd(clean):
    host = clean
    create(host, "blue", "10.5.0.0/24", "-o", "bridge=br0", "-o", "mode=l2")
    host.start_container("pod-a", "--network=blue", "--ip=10.5.0.10")
    host.kill("pyvs-docker-driver")
    host.kill("pyvs-vswitchd")  # whose monitor starts it again
    host.start_driver()
    host.start_container("pod-b", "--network=blue", "--ip=10.5.0.11")
    assert pings(host, "pod-a", "10.5.0.11") == 2
    # A container that ends while no driver runs leaves no port for long.
    host.kill("pyvs-docker-driver")
    host.run("docker", "kill", "pod-b")
    wait_until(lambda: host.run("docker", "ps", "--quiet").count("\n") == 1, what="the end of b")
    host.start_driver()
    ports = ("pyvs-vsctl", "list-ports", "br0")
    wait_until(lambda: len(host.run(*ports).split()) == 1, what="the end of b's port")


def test_a_published_port_and_the_way_out(clean):
    host = clean
    create(host, "out", "10.7.0.0/24")
    page = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
    host.start_container(
        "web", "--network=out", "--publish=8080:80", command=("/bin/sh", "-c", page)
    )
    host.start_container("pod-a", "--network=out")
    url = "http://10.7.0.1:8080/"
    wait_until(lambda: fetch(host, url) == "hello\n", what="the page")
    assert fetch(host, url, "pod-a") == "hello\n"
    assert fetch(host, url, "web") == "hello\n"
    assert fetch(host, "http://127.0.0.1:8080/") == "hello\n"
    assert pings(host, "pod-a", "10.7.0.1") == 2
    # A neighbour of the host, which has no way back to the network's addresses.
    for words in (
        "netns add far",
        "link add outside type veth peer name eth0 netns far",
        "address add 198.51.100.1/24 dev outside",
        "link set outside up",
        "-n far address add 198.51.100.2/24 dev eth0",
        "-n far link set eth0 up",
    ):
        host.run("ip", *words.split())
    assert pings(host, "pod-a", "198.51.100.2") == 2


def test_names_and_two_families(clean):
    """Docker's own name server, IPv6, an internal network, and a container in two of them."""
    host = clean
    six = ("--ipv6", "--subnet=fd05::/64", "--gateway=fd05::1")
    create(host, "blue", "10.5.0.0/24", *six)
    create(host, "green", "10.6.0.0/24", "--internal")
    host.start_container("web", "--network=blue", "--network-alias=shop", "--ip6=fd05::10")
    host.start_container("pod-a", "--network=blue")
    host.start_container("pod-b", "--network=green")
    for name in ("web", "shop"):
        assert "10.5.0." in host.execute("pod-a", *RESOLVE, name)
    assert pings(host, "pod-a", "fd05::10") == 2 and pings(host, "pod-a", "fd05::1") == 2
    routes = host.execute("pod-a", "/bin/ip", "-6", "route")
    assert "default via fd05::1" in routes
    # --internal: there is no way out, and no gateway's port on the host.
    assert "default" not in host.execute("pod-b", "/bin/ip", "route")
    host.run("docker", "network", "connect", "--alias=store", "green", "web")
    (address,) = re.findall(r"10\.6\.0\.\d+", host.execute("pod-b", *RESOLVE, "store"))[-1:]
    assert pings(host, "pod-b", address) == 2
    assert "10.5" not in host.execute("pod-b", *RESOLVE, "pod-a", check=False)
    assert "default via 10.5.0.1" in host.execute("web", "/bin/ip", "route")
    host.run("docker", "network", "disconnect", "green", "web")
    assert "10.6" not in host.execute("pod-b", *RESOLVE, "store", check=False)
    assert pings(host, "web", "10.5.0.1") == 2


RESOLVE = ("/bin/busybox", "nslookup")


def test_containers_of_the_driver_and_of_pyvs_docker(clean):
    """On one bridge: they see each other's addresses; IPv6 where Docker forbids it; a restart."""
    host = clean
    create(host, "blue", "10.5.0.0/24", "-o", "bridge=br0", "-o", "mode=l2")
    host.start_container("pod-b", "--network=none")
    again = ("pyvs-docker", "add-port", "br0", "eth1", "pod-b", "--ipaddress=10.5.0.10/24")
    host.run(*again, "--ipaddress=fd05::10/64", "--gateway=fd05::1")
    with pytest.raises(CommandFailed, match="has this address already"):
        host.start_container("pod-a", "--network=blue", "--ip=10.5.0.10")
    host.run("docker", "rm", "--force", "pod-a")
    host.start_container("pod-a", "--network=blue", "--ip=10.5.0.11")
    assert pings(host, "pod-a", "10.5.0.10") == 2
    host.run("docker", "restart", "--time=0", "pod-b")
    assert len(host.run("pyvs-vsctl", "list-stale").split()) == 1
    host.run(*again)
    assert host.run("pyvs-vsctl", "list-stale") == "" and pings(host, "pod-a", "10.5.0.10") == 2
    host.run("pyvs-docker", "del-ports", "br0", "pod-b")


def test_networks_reach_each_other_by_published_ports_alone(clean):
    """And those are of one protocol and one address of the host, which no program has."""
    host = clean
    create(host, "blue", "10.5.0.0/24")
    create(host, "green", "10.6.0.0/24")
    page = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
    shown = ("-p", "127.0.0.1:53:80", "-p", "8000-8001:80")
    host.start_container("web", "--network=blue", *shown, command=("/bin/sh", "-c", page))
    address = host.run(
        *("docker", "inspect", "--format={{.NetworkSettings.Networks.blue.IPAddress}}", "web")
    ).strip()
    shown = ("-p", "53:53/udp", "-p", "127.0.0.2:53:53", "-p", "8000-8001:80")
    host.start_container("pod-a", "--network=green", *shown)
    wait_until(lambda: fetch(host, "http://127.0.0.1:53/") == "hello\n", what="the page")
    assert pings(host, "pod-a", address, count=1) == 0
    assert fetch(host, f"http://{address}/", "pod-a") == ""
    assert fetch(host, "http://10.6.0.1:8000/", "pod-a") == "hello\n"
    assert "dport 8001" in host.run("nft", "list", "ruleset")
    with pytest.raises(CommandFailed, match="no port of 8000 to 8001 is free"):
        host.start_container("pod-b", "--network=green", "-p", "8000-8001:80")
    host.run("docker", "rm", "--force", "pod-b")
    with pytest.raises(CommandFailed, match="port 53 of the host is published already"):
        host.start_container("pod-b", "--network=green", "-p", "53:80/tcp")


def test_flat_to_a_physical_port(clean):
    """The gateway is a router's, behind a port of the bridge in the same VLAN."""
    host = clean
    for words in (
        "netns add router",
        "link add physical type veth peer name eth0 netns router",
        "link set physical up",
        "-n router link set eth0 up",
        "-n router address add 10.9.0.1/24 dev eth0",
        "-n router address add 203.0.113.1/32 dev lo",
        "-n router link set lo up",
    ):
        host.run("ip", *words.split())
    host.run("pyvs-vsctl", "add-port", "br0", "physical", "tag=9")
    try:
        options = ("-o", "bridge=br0", "-o", "vlan=9", "-o", "mode=flat", "-o", "mtu=1400")
        create(host, "blue", "10.9.0.0/24", "--gateway=10.9.0.1", *options)
        host.start_container("pod-a", "--network=blue")
        assert pings(host, "pod-a", "10.9.0.1") == 2
        assert pings(host, "pod-a", "203.0.113.1") == 2  # by the default route
        assert "mtu 1400" in host.execute("pod-a", "/bin/ip", "link", "show", "eth0")
        assert host.run("nft", "list", "tables") == ""
    finally:
        host.run("pyvs-vsctl", "del-port", "br0", "physical")
        host.run("ip", "netns", "del", "router")


def test_the_other_networks_of_docker(clean):
    """none, host and joined, on the host that has networks of the driver."""
    host = clean
    create(host, "out", "10.7.0.0/24")
    host.start_container("web", "--network=out", "-p", "8080:80", "-p", "127.0.0.1:5353:53/udp")
    # (`docker port` is empty for networks of every remote driver.)  What was asked for is kept:
    asked = host.run("docker", "inspect", "--format={{json .HostConfig.PortBindings}}", "web")
    assert '"8080"' in asked
    rules = host.run("nft", "list", "ruleset")
    assert "udp dport 5353 dnat" in rules and "tcp dport 8080 dnat" in rules
    host.start_container("pod-a", "--network=container:web")
    assert host.execute("pod-a", "/bin/ip", "address") == host.execute("web", "/bin/ip", "address")
    host.start_container("pod-b", "--network=none")
    assert "eth0" not in host.execute("pod-b", "/bin/ip", "link")
    host.start_container("pod-c", "--network=host")
    assert "br0" in host.execute("pod-c", "/bin/ip", "link")
    assert len(host.run("pyvs-vsctl", "--bare", "--columns=name", "find", "interface",
                        "external_ids:docker_endpoint!=\"\"").split()) == 1  # fmt: skip


def test_a_killed_dockerd(clean):
    """Its containers go on (--live-restore), and are its own again."""
    host = clean
    create(host, "blue", "10.5.0.0/24", "-o", "bridge=br0", "-o", "mode=l2")
    host.start_container("web", "--network=blue", "--ip=10.5.0.10")
    host.start_container("pod-a", "--network=blue", "--ip=10.5.0.11")
    pid = host.run("docker", "inspect", "--format={{.State.Pid}}", "pod-a").strip()
    host.kill_dockerd()
    inside = ("nsenter", f"--target={pid}", "--net")
    assert "2 received" in host.run(*inside, "ping", "-c", "2", "10.5.0.10")
    host.start_dockerd()
    assert host.run("docker", "ps", "--quiet").count("\n") == 2
    assert pings(host, "pod-a", "10.5.0.10") == 2
    host.start_container("pod-b", "--network=blue", "--ip=10.5.0.12")
    assert pings(host, "pod-b", "10.5.0.10") == 2
    host.run("docker", "rm", "--force", "pod-a")
    assert len(host.run("pyvs-vsctl", "list-ports", "br0").split()) == 2


def test_networks_that_cannot_be(clean):
    for option, said in (
        ("bridge=br9", "no bridge named br9"),
        ("vlan=5000", "VLAN 5000"),
        ("mode=loud", "mode: loud"),
        ("colour=red", "option colour"),
        ("rate=fast", "rate: fast"),
        ("mtu=67", "MTU 67"),
        ("bridge=", "not a name of a network device"),
    ):
        with pytest.raises(CommandFailed, match=said):
            create(clean, "blue", "10.5.0.0/24", "-o", option)
