"""podman of Debian 12 attaches real containers to the bridge by pyvs-cni."""

import json
from pathlib import Path

import pytest

from tests.containers.conftest import ports
from tests.daemons import BIN
from tests.podman import LIMITS, podman, root_file_system

__all__ = ["podman", "root_file_system"]  # fixtures
pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(180)]

PLUGINS = "/usr/lib/cni"


@pytest.fixture
def network(bridge, tmp_path):
    """The folder with the network "blue", whose plug-in is found beside Debian's."""
    if not Path(PLUGINS, "host-local").exists():
        pytest.skip("no host-local (Debian: containernetworking-plugins)")
    folder = tmp_path / "net.d"
    folder.mkdir()
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]}
    ipam["dataDir"] = str(tmp_path / "ipam")
    plugin = {"type": "pyvs-cni", "bridge": "br0", "ipam": ipam}
    plugin["socket_file"] = str(bridge.directory / "db.sock")
    blue = {"cniVersion": "0.4.0", "name": "blue", "plugins": [plugin]}
    (folder / "blue.conflist").write_text(json.dumps(blue))
    return folder


def test_containers_of_a_network_reach_each_other(bridge, podman, network, root_file_system):
    """podman runs in the switch's namespace, as it would on a host."""
    podman.enter(bridge.host, network, [str(BIN), PLUGINS])
    run = ["run", "--detach", "--runtime=runc", "--cap-add=NET_RAW", *LIMITS, "--network=blue"]
    for name in ("pod1", "pod2"):
        podman(*run, f"--name={name}", "--rootfs", str(root_file_system), "/bin/sleep", "300")
    assert len(ports(bridge)) == 2
    address = podman("inspect", "--format={{.NetworkSettings.Networks.blue.IPAddress}}", "pod2")
    assert "3 packets received" in podman("exec", "pod1", "/bin/ping", "-c", "3", address)
    podman("rm", "--force", "--time", "0", "pod1")
    assert len(ports(bridge)) == 1
    podman("rm", "--force", "--time", "0", "pod2")
    assert ports(bridge) == []
