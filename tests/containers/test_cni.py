"""pyvs-cni as a runtime executes it: the specification's commands, versions and errors."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.cni import main as cni
from containers.cni.config import VERSIONS
from containers.endpoint import namespace
from containers.errors import NotThere
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


def test_version():
    status, answer = cni.execute({"CNI_COMMAND": "VERSION"}, b'{"cniVersion": "1.0.0"}')
    assert status == 0 and answer["supportedVersions"] == list(VERSIONS)


@given(
    st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "X"]),
    st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["cniVersion", "name", "ipam", "vlan", "trunk", "args"]), inner
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.dictionaries(st.sampled_from(sorted(VALID)), st.text("ab/\n", max_size=20)),
)
def test_whatever_comes_is_answered(command, raw, environment):
    """An object with code and msg, or success, and never an exception."""
    status, answer = cni.execute({**VALID, **environment, "CNI_COMMAND": command}, raw)
    assert status == 0 or {"cniVersion", "code", "msg"} <= set(answer)
    if status:
        assert not answer["msg"].startswith("internal error"), answer


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch, lambda path: path.symlink_to("nothing")])
def test_what_is_no_network_namespace(tmp_path, make):
    """Whatever is in the place of one is not waited for."""
    path = tmp_path / "netns"
    make(path)
    for each in (path, "/proc/self/ns/mnt"):
        with pytest.raises(NotThere), namespace(str(each)):
            pass
