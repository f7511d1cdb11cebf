"""pyvs-cni as a runtime executes it: the specification's commands, versions and errors."""

import errno
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containers.cni import main as cni
from containers.cni import spawn
from containers.cni.config import VERSIONS
from containers.endpoint import namespace
from containers.errors import NotThere
from pyvs_tools.ovsdb import rpc
from tests.containers.conftest import devices, ports
from tests.daemons import BIN

PLUGINS = "/usr/lib/cni"
VALID = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/proc/self/ns/net", "CNI_IFNAME": "eth0"}


class Runtime:
    """Executes the plug-in for a network."""

    def __init__(self, switch, tmp_path):
        self.switch = switch
        self.config = {
            "cniVersion": "1.0.0",
            "name": "blue",
            "type": "pyvs-cni",
            "bridge": "br0",
            "vlan": 10,
            "mtu": 1400,
        }
        if Path(PLUGINS, "host-local").exists():
            self.config["ipam"] = {
                "type": "host-local",
                "ranges": [
                    [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}],
                    [{"subnet": "fd01::/64"}],
                ],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(tmp_path / "ipam"),
            }

    def call(self, command, container="", namespace=None, interface="eth0", **changes):
        """(status, what was printed)"""
        config = {**self.config, **changes}
        environment = {
            **self.switch.environment,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": f"/proc/{namespace.pid}/ns/net" if namespace else "",
            "CNI_IFNAME": interface,
            "CNI_PATH": PLUGINS,
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_UID=pod-7",
        }
        done = subprocess.run(
            [*self.switch.host.prefix, str(BIN / "pyvs-cni")],
            input=json.dumps(config),
            capture_output=True,
            text=True,
            env=environment,
            timeout=30,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def runtime(bridge, tmp_path):
    if not Path(PLUGINS, "host-local").exists():
        pytest.skip("no host-local (Debian: containernetworking-plugins)")
    return Runtime(bridge, tmp_path)


@pytest.mark.system
def test_the_life_of_attachments(bridge, sandboxes, runtime):
    one, two = sandboxes(), sandboxes()
    assert runtime.call("STATUS", cniVersion="1.1.0") == (0, None)
    status, first = runtime.call("ADD", "c1", one)
    assert status == 0, first
    status, second = runtime.call("ADD", "c2", two)
    assert sorted(ports(bridge)) == sorted(
        answer["interfaces"][1]["name"] for answer in (first, second)
    )
    assert first["interfaces"][2]["sandbox"] == f"/proc/{one.pid}/ns/net"
    assert [ip["interface"] for ip in first["ips"]] == [2, 2]
    address = second["ips"][0]["address"].partition("/")[0]
    assert one.ping(address) == 3
    assert one.ping(second["ips"][1]["address"].partition("/")[0]) == 3
    assert "default via 10.1.0.1" in one.run("ip", "route")
    port = first["interfaces"][1]["name"]
    assert bridge.get("port", port, "tag") == "10"
    assert bridge.get("port", port, "external_ids:contPodUid") == "pod-7"

    assert runtime.call("CHECK", "c1", one, prevResult=first) == (0, None)
    one.run("ip", "address", "flush", "dev", "eth0")
    status, said = runtime.call("CHECK", "c1", one, prevResult=first)
    assert status and "lacks 10.1.0.2/24" in said["msg"]

    status, said = runtime.call("ADD", "c1", one)
    assert status and "already" in said["msg"] and len(ports(bridge)) == 2

    keep = [{"containerID": "c2", "ifname": "eth0"}]
    assert runtime.call("GC", cniVersion="1.1.0", **{"cni.dev/valid-attachments": keep}) == (
        0,
        None,
    )
    assert ports(bridge) == [second["interfaces"][1]["name"]] and devices(one) == []
    for _again in range(2):
        assert runtime.call("DEL", "c2", two) == (0, None)
    assert ports(bridge) == [] and devices(two) == devices(bridge.host) == []


@pytest.mark.system
def test_versions_have_their_forms(bridge, sandboxes, runtime):
    container = sandboxes()
    for version in VERSIONS[:-1]:  # Debian's host-local has no 1.1.0
        status, answer = runtime.call("ADD", "c1", container, cniVersion=version)
        assert status == 0 and answer["cniVersion"] == version, answer
        if version < "0.3":
            assert answer["ip4"]["ip"].startswith("10.1.0.") and "interfaces" not in answer
        else:
            assert ("version" in answer["ips"][0]) == (version < "1")
        assert runtime.call("DEL", "c1", container, cniVersion=version) == (0, None)


@pytest.mark.system
def test_failures_leave_nothing(bridge, sandboxes, runtime, tmp_path):
    container = sandboxes()
    for code, changes in (
        (100, {"bridge": "br9"}),
        (7, {"vlan": 5000}),
        (7, {"bridge": 7}),
        (7, {"trunk": [{"minID": 9, "maxID": 3}]}),
        (1, {"cniVersion": "9.9.9"}),
        (7, {"name": None}),
        (7, {"name": "a/b"}),
        (7, {"mac": "zz:00:00:00:00:01"}),
        (11, {"socket_file": "/nowhere/db.sock"}),
        (100, {"ipam": {"type": "no-such-plugin"}}),
    ):
        status, said = runtime.call("ADD", "c1", container, **changes)
        assert (status, said["code"]) == (1, code), said
        assert "\n" not in said["msg"]
    assert runtime.call("ADD", "c1", None)[1]["code"] == 4
    assert ports(bridge) == devices(container) == devices(bridge.host) == []
    leases = [path.name for path in tmp_path.glob("ipam/blue/*") if path.name[0].isdigit()]
    assert leases == []


@pytest.mark.system
def test_trunks_and_the_number(bridge, sandboxes, runtime):
    trunk = [{"minID": 5, "maxID": 7}, {"id": 20}]
    status, answer = runtime.call(
        "ADD", "c1", sandboxes(), vlan=0, trunk=trunk, ofport_request=77, ipam={}
    )
    assert status == 0, answer
    port = answer["interfaces"][1]["name"]
    assert bridge.get("port", port, "trunks") == "[5, 6, 7, 20]"
    assert bridge.get("interface", port, "ofport") == "77"


@pytest.mark.parametrize(
    "raw, version",
    [
        (b'{"cniVersion": "1.0.0"}', "1.0.0"),
        (b'{"cniVersion": "9.9.9"}', VERSIONS[-1]),
        (b"", VERSIONS[-1]),
        (b"{]", VERSIONS[-1]),
    ],
)
def test_version(raw, version):
    """It is asked to find out what can be said at all."""
    found = {"cniVersion": version, "supportedVersions": list(VERSIONS)}
    assert cni.execute({"CNI_COMMAND": "VERSION"}, raw) == (0, found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "X"]),
    st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())),
    st.dictionaries(st.sampled_from(sorted(VALID)), st.text("ab/\n", max_size=20)),
)
def test_whatever_comes_is_answered(command, raw, environment):
    """An object with code and msg, or success, and never an exception."""
    status, answer = cni.execute({**VALID, **environment, "CNI_COMMAND": command}, raw)
    assert status == 0 or {"cniVersion", "code", "msg"} <= set(answer)
    if status:
        assert not answer["msg"].startswith("internal error"), answer


class NoSwitch:
    """A database that takes all, for what happens around it."""

    def __init__(self, *_remote):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def has_bridge(self, _name):
        return True

    def ports_with(self, *_table, **_ids):
        return []


# Each key that is read, with a value that can be.
FULL = {
    "cniVersion": "1.1.0",
    "name": "blue",
    "bridge": "br0",
    "vlan": 5,
    "trunk": [{"id": 4}, {"minID": 5, "maxID": 9}],
    "mtu": 1400,
    "mac": "02:00:00:00:00:01",
    "ofport_request": 7,
    "interface_type": "system",
    "ovnPort": "lp0",
    "socket_file": "/run/db.sock",
    "bandwidth": {"ingressRate": 1000000, "egressBurst": 9000},
    "runtimeConfig": {"mac": "02:00:00:00:00:02", "bandwidth": {"egressRate": 1000000}},
    "args": {"cni": {"mac": "02:00:00:00:00:03"}},
    "prevResult": {
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/proc/1/ns/net"}],
        "ips": [{"address": "10.0.0.1/24", "interface": 0}],
    },
    "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
}
# What an IPAM plug-in hands out, in the new form and in that of 0.2.0.
GIVEN = {
    "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
    "dns": {"nameservers": ["10.1.0.1"]},
}
ROUTE = {"dst": "0.0.0.0/0"}
GIVEN_OLD = {"ip4": {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [ROUTE]}, "dns": {}}


def places(value, path=()):
    """The paths of all that is in a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield (*path, key)
        if isinstance(each, (dict, list)):
            yield from places(each, (*path, key))


def with_other(value, path, other):
    """A copy in which something else is in one place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = other
    return copy


def answer_of(command, config):
    """What the plug-in prints for a configuration, and never for a fault of its own."""
    raw = json.dumps(config).encode()
    status, answer = cni.execute({**VALID, "CNI_COMMAND": command}, raw)
    if status:
        assert {"cniVersion", "code", "msg"} <= set(answer)
        assert not answer["msg"].startswith("internal error"), answer
        assert "\n" not in answer["msg"]
    return status, answer


@pytest.fixture
def no_switch(monkeypatch):
    """The plug-in without a switch: attachments are checked, and not made."""

    def attach(_database, _bridge, _netns, wanted, _port):
        wanted.check()
        return "02:00:00:00:00:01"

    monkeypatch.setattr(cni, "Database", NoSwitch)
    monkeypatch.setattr(cni.endpoint, "attach", attach)
    monkeypatch.setattr(cni.endpoint, "detach", lambda *_names: None)
    monkeypatch.setattr(cni.endpoint, "check_new", lambda *_where: None)


@pytest.mark.parametrize("number, code", [(errno.EACCES, 5), (errno.ECONNREFUSED, 11)])
def test_without_rights_it_is_not_tried_again(monkeypatch, number, code):
    def open_socket(remote, _tls):
        raise rpc.ConnectError(remote, os.strerror(number), number)

    monkeypatch.setattr(rpc, "open_socket", open_socket)
    status, said = answer_of("ADD", FULL)
    assert (status, said["code"]) == (1, code) and os.strerror(number) in said["msg"]


TYPES = (5, -1, 1.5, True, "x", "\0", "\ud800", [], [None], [5], {}, {"x": 1}, 10**30)


@pytest.mark.parametrize("path", [*places(FULL)], ids=lambda path: "-".join(map(str, path)))
def test_a_key_of_any_type(no_switch, path):
    commands = ("ADD", "DEL", "CHECK", "GC", "STATUS")
    for command in commands:
        for other in TYPES:
            status, answer = answer_of(command, with_other(FULL, path, other))
            if command == "ADD" and path == ("trunk",) and other == 5:
                assert (status, answer["code"], answer["msg"]) == (1, 7, "trunk: not a list")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["ADD", "DEL", "CHECK", "GC"]), st.sampled_from([*places(FULL)]), JSON)
def test_a_key_of_any_value(no_switch, command, path, other):
    answer_of(command, with_other(FULL, path, other))


@pytest.fixture
def leases(tmp_path, monkeypatch):
    """An IPAM plug-in that answers what is in a file, and writes down what it was asked."""
    program = tmp_path / "given"
    program.write_text(
        f"#!/bin/sh\necho $CNI_COMMAND >> {tmp_path}/asked\n"
        f"[ $CNI_COMMAND = ADD ] && cat {tmp_path}/answer; exit 0\n"
    )
    program.chmod(0o755)
    monkeypatch.setitem(VALID, "CNI_PATH", str(tmp_path))

    def ask(answer, version):
        (tmp_path / "asked").unlink(missing_ok=True)
        (tmp_path / "answer").write_text(answer)
        config = {**FULL, "cniVersion": version, "ipam": {"type": "given"}}
        status, said = answer_of("ADD", config)
        return status, said, (tmp_path / "asked").read_text().split()

    return ask


@pytest.mark.parametrize("version, given", [("1.0.0", GIVEN), ("0.2.0", GIVEN_OLD)])
def test_addresses_in_words_that_nobody_knows_are_given_back(no_switch, leases, version, given):
    """Whatever the answer lacks: either the container has the address, or nobody."""
    assert leases(json.dumps(given), version)[::2] == (0, ["ADD"])
    assert leases("{]", version)[::2] == (1, ["ADD", "DEL"])
    for path in places(given):
        for other in (5, "x", [5]):
            status, _said, asked = leases(json.dumps(with_other(given, path, other)), version)
            assert asked == (["ADD", "DEL"] if status else ["ADD"])
    if version == "1.0.0":
        path = ("routes", 0, "gw")
        status, said, _asked = leases(json.dumps(with_other(given, path, "x")), version)
        assert status and "'x' does not appear to be" in said["msg"]
    lacking = json.dumps({"ip4": {"gateway": "10.1.0.1"}})
    status, said, asked = leases(lacking, version)
    assert (status, asked) == (1, ["ADD", "DEL"]) and "ip4.ip: missing" in said["msg"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch, lambda path: path.symlink_to("nothing")])
def test_what_is_no_network_namespace(tmp_path, make):
    """Whatever is in the place of one is not waited for."""
    path = tmp_path / "netns"
    make(path)
    for each in (path, "/proc/self/ns/mnt"):
        with pytest.raises(NotThere), namespace(str(each)):
            pass


def test_programs_that_are_executed(tmp_path):
    """Long answers, what a program leaves behind, one that does not end, one that is none."""
    program = tmp_path / "program"

    def run(script, stdin=b"", patience=20):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return spawn.run(str(program), stdin, {**os.environ, "WORD": "x"}, patience)

    much = b"0123456789" * 100000
    assert run("cat; echo $WORD >&2; exit 3", much) == (3, much, b"x\n")
    assert run(f"sleep 60 & echo $! > {tmp_path}/left; echo here") == (0, b"here\n", b"")
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    assert run("exec >&- 2>&-; kill -9 $$").status == -9
    with pytest.raises(TimeoutError):
        run("exec sleep 60", patience=0.2)
    with pytest.raises(PermissionError):
        spawn.run(str(tmp_path), b"", {}, 1)
