"""pyvs-netavark executed as netavark executes a plug-in (plug-in API 1.0.0)."""

import json
import shutil
import subprocess
import sys
import threading

import pytest

from containers import routed
from containers.errors import Fault
from tests.containers.conftest import devices, ports
from tests.daemons import BIN, DATAPATH, wait_until

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


def asked(number, mappings=None, **changes):
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
        "port_mappings": mappings,
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
    assert call(bridge, "teardown", f"/proc/{two.pid}/ns/net", given=asked(3)) == (0, None)
    nothing_left(bridge)


def nothing_left(bridge):
    assert ports(bridge) == devices(bridge.host) == []
    assert bridge.vsctl("get", "bridge", "br0", "external_ids").strip() == "{}"
    assert bridge.host.run("nft", "list", "tables") == ""


def mapping(inside, outside, protocol="tcp", host="", count=1):
    names = ("container_port", "host_port", "protocol", "host_ip", "range")
    return dict(zip(names, (inside, outside, protocol, host, count), strict=True))


class Echo:
    """ncat in a container, which answers with its port."""

    def __init__(self, sandbox, port, *options):
        words = ("ncat", "-l", "-k", *options, "-p", str(port), "-c", f"echo {port}")
        self.process = sandbox.popen(*words)
        wait_until(lambda: f":{port} " in sandbox.run("ss", "-lntu"), what="ncat")

    def close(self):
        self.process.kill()
        self.process.wait()


ASK = """
import socket, sys
try:
    (family, kind, *_rest, address), *_others = socket.getaddrinfo(
        sys.argv[1], sys.argv[2], type=getattr(socket, sys.argv[3]))
    with socket.socket(family, kind) as asker:
        asker.settimeout(3)
        asker.connect(address)
        if kind == socket.SOCK_DGRAM:
            asker.send(b"?")
        print(asker.recv(99).decode())
except OSError:
    pass
"""


def ask(namespace, address, port, kind="SOCK_STREAM"):
    """What answers there; "" where nothing does."""
    return namespace.run(sys.executable, "-c", ASK, address, str(port), kind).strip()


@pytest.fixture
def outside(bridge, sandboxes):
    """A neighbour of the host, which has 192.0.2.1 and 2001:db8::1."""
    there, host = sandboxes(), bridge.host
    # The gateway asks for neighbours from its link-local address.
    host.run("sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=0")
    host.run("ip", "link", "set", "lo", "up")
    host.run(*f"ip link add up0 type veth peer name up1 netns {there.pid}".split())
    for namespace, name, number in ((host, "up0", 1), (there, "up1", 2)):
        namespace.run("ip", "address", "add", f"192.0.2.{number}/24", "dev", name)
        namespace.run(*f"ip address add 2001:db8::{number}/64 dev {name} nodad".split())
        namespace.run("ip", "link", "set", name, "up")
    return there


def test_published_ports(bridge, sandboxes, outside):
    """From the host, from outside, and from a neighbour; a range, UDP, one address, IPv6."""
    for program in ("ncat", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    one, two = sandboxes(), sandboxes()
    nat = {"options": {**NETWORK["options"], "mode": "nat"}}
    mappings = [
        mapping(80, 8080),
        mapping(90, 9090, count=3),
        mapping(53, 5353, "udp"),
        mapping(22, 2222, host="192.0.2.1"),
        mapping(70, 7070, "tcp,udp"),
    ]
    given = asked(2, mappings)
    assert call(bridge, "setup", f"/proc/{one.pid}/ns/net", given=given)[0] == 0
    assert call(bridge, "setup", f"/proc/{two.pid}/ns/net", given=asked(3, **nat))[0] == 0
    servers = [Echo(one, port) for port in (80, 92, 22)]
    servers += [Echo(one, port, "-u") for port in (53, 70)]
    try:
        for asker, host in ((bridge.host, "127.0.0.1"), (outside, "192.0.2.1"), (two, "192.0.2.1")):
            assert ask(asker, host, 8080) == "80" and ask(asker, host, 9092) == "92"
            assert ask(asker, host, 5353, "SOCK_DGRAM") == "53"
            assert ask(asker, host, 7070, "SOCK_DGRAM") == "70"
        wait_until(lambda: ask(outside, "2001:db8::1", 8080) == "80", what="IPv6's own addresses")
        assert ask(outside, "192.0.2.1", 2222) == "22" and ask(outside, "192.0.2.1", 80) == ""
        assert ask(bridge.host, "127.0.0.1", 2222) == ""
        assert "1 received" in one.run(
            "ping", "-c1", "192.0.2.2"
        )  # masqueraded: it has no way back

        four = f"/proc/{sandboxes().pid}/ns/net"
        taken = call(bridge, "setup", four, given=asked(4, [mapping(1, 9091)]))
        assert taken[0] == 1 and "9091 of the host is published already" in taken[1]["error"]
        bridge.kill(DATAPATH)
        bridge.allow("lost the datapath process")
        wait_until(lambda: ask(outside, "192.0.2.1", 8080) == "80", what="the port again")
    finally:
        for each in servers:
            each.close()
    assert call(bridge, "teardown", f"/proc/{one.pid}/ns/net", given=given) == (0, None)
    assert "dport" not in bridge.host.run("nft", "list", "ruleset")
    two.close()  # a podman that was killed; its network goes with the next call that looks
    wait_until(lambda: "pv" not in " ".join(devices(bridge.host)), what="the pair's end")
    three = sandboxes()
    given = asked(5, [mapping(80, 8080)], id="cd" * 32)
    assert call(bridge, "setup", f"/proc/{three.pid}/ns/net", given=given)[0] == 0
    assert len(ports(bridge)) == 2 and "ab" * 32 not in bridge.vsctl("list", "bridge", "br0")
    assert call(bridge, "teardown", f"/proc/{three.pid}/ns/net", given=given) == (0, None)
    nothing_left(bridge)


def test_networks_without_a_way_out(bridge, sandboxes):
    """mode=flat has somebody's gateway, mode=l2 and internal ones have none; nobody publishes."""
    one = sandboxes()
    for changes, gateway in (
        ({}, True),
        ({"options": {"bridge": "br0", "mode": "flat"}}, True),
        ({"options": {"bridge": "br0", "mode": "l2"}}, False),
        ({"internal": True}, False),
    ):
        status, answer = call(bridge, "setup", f"/proc/{one.pid}/ns/net", given=asked(2, **changes))
        assert status == 0 and ("gateway" in str(answer)) == gateway
        assert len(ports(bridge)) == 1
        call(bridge, "teardown", f"/proc/{one.pid}/ns/net", given=asked(2, **changes))
        if not changes:
            continue
        refused = asked(2, [mapping(80, 8080)], **changes)
        status, answer = call(bridge, "setup", f"/proc/{one.pid}/ns/net", given=refused)
        assert status == 1 and "mode nat only" in answer["error"]
    nothing_left(bridge)


def test_a_second_set_up_of_a_container(bridge, sandboxes):
    """It is refused, in whichever namespace; the first one keeps its port, rules and gateway."""
    one, two = sandboxes(), sandboxes()
    given = asked(2, [mapping(80, 8080)])
    path = f"/proc/{one.pid}/ns/net"
    assert call(bridge, "setup", path, given=given)[0] == 0

    def everything():
        names = devices(bridge.host), devices(one), devices(two), ports(bridge)
        kept = bridge.vsctl("get", "bridge", "br0", "external_ids")
        return names, kept, bridge.host.run("nft", "list", "ruleset")

    before = everything()
    for where, said in ((path, "such an interface"), (f"/proc/{two.pid}/ns/net", "by port pv")):
        for again in (given, asked(2, [mapping(80, 8081)])):
            status, answer = call(bridge, "setup", where, given=again)
            assert status == 1 and said in answer["error"], answer
            assert everything() == before
    assert call(bridge, "teardown", path, given=given) == (0, None)
    nothing_left(bridge)


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
        (
            ("setup", "/proc/self/ns/net"),
            {**asked(2), "port_mappings": [{}]},
            "container_port: missing",
        ),
        (("setup", "/proc/self/ns/net"), asked(2, [mapping(80, 1, "icmp")]), "protocol icmp"),
        (("setup", "/proc/self/ns/net"), asked(2, [mapping(80, 1, count=9999)]), "1 to 4096"),
        (("setup", "/proc/self/ns/net"), asked(2, [mapping(80, 70000)]), "no range of ports"),
        (("create",), {**NETWORK, "options": {"bridge": "br0", "mode": "x"}}, "option mode: x"),
        (("dance",), None, "usage"),
        (
            ("setup", "/proc/self/ns/net"),
            asked(2, options={"bridge": "br9"}),
            "no bridge named br9",
        ),
        (
            ("setup", "/proc/self/ns/net"),
            asked(2, options={"bridge": "br0", "mode": "nat", "vlan": "5000"}),
            "VLAN 5000",
        ),
        (("setup", "/proc/self/ns/net"), asked(2, options={"bridge": "br0", "x": ""}), "option x"),
        (
            ("setup", "/proc/self/ns/net"),
            {**asked(2), "network_options": {"interface_name": "averylonginterface"}},
            "longer than 15 bytes",
        ),
    ],
)
def test_errors(bridge, words, given, said):
    status, answer = call(bridge, *words, given=given)
    assert status == 1 and said in answer["error"], answer
    assert ports(bridge) == devices(bridge.host) == []


def test_a_call_before_it_that_does_not_end(tmp_path, monkeypatch):
    """Then a call says so after its patience; one that ends in time is waited for."""
    monkeypatch.setenv("PYVS_RUNDIR", str(tmp_path))
    entered = threading.Event()

    def another():
        with routed._alone():
            entered.set()
            release.wait(30)

    for patience in (0.2, 30):
        monkeypatch.setattr(routed, "PATIENCE", patience)
        release = threading.Event()
        thread = threading.Thread(target=another)
        thread.start()
        try:
            assert entered.wait(30)
            if patience == 0.2:
                with pytest.raises(Fault, match=r"has not ended for 0\.2 seconds"), routed._alone():
                    pass
            else:
                threading.Timer(0.2, release.set).start()
                with routed._alone():
                    assert release.is_set()
        finally:
            release.set()
            thread.join()
            entered.clear()
