"""Two real containers (podman with runc, a busybox root file system) on one bridge."""

import subprocess

import pytest

from tests.podman import RUN, podman, root_file_system

__all__ = ["podman", "root_file_system"]  # fixtures
pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(180)]


@pytest.fixture
def pods(switch, podman, root_file_system):
    """The bridge br0 with two containers, pod1 and pod2, on it."""
    switch.allow("could not open network device pod")  # whose veth goes with its container
    switch.vsctl("add-br", "br0")
    made = Pods(switch, podman, root_file_system)
    for name in Pods.ADDRESSES:
        made.start(name)
        switch.vsctl("add-port", "br0", name)
    return made


class Pods:
    """Containers, each with an eth0 whose other end, a device with the container's name, is
    what the bridge has."""

    ADDRESSES = {"pod1": "10.0.0.1", "pod2": "10.0.0.2"}

    def __init__(self, switch, podman, root):
        self.switch = switch
        self.podman = podman
        self.root = root

    def start(self, name):
        """Run a container, and give it its veth."""
        self.podman(*RUN, f"--name={name}", "--rootfs", str(self.root), "/bin/sleep", "300")
        pid = self.podman("inspect", "--format", "{{.State.Pid}}", name)
        host = self.switch.host
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-c")
        host.run("ip", "link", "set", name, "up")
        host.run("ip", "link", "set", f"{name}-c", "netns", pid)
        for words in (
            f"link set {name}-c name eth0",
            f"address add {self.ADDRESSES[name]}/24 dev eth0",
            "link set eth0 up",
        ):
            subprocess.run(
                ["nsenter", f"--target={pid}", "--net", "ip", *words.split()], check=True
            )

    def ping(self):
        """What ping in pod1 prints of pod2."""
        return self.podman("exec", "pod1", "/bin/ping", "-c", "3", self.ADDRESSES["pod2"])


def test_two_containers_ping(pods):
    output = pods.ping()
    assert "3 packets received" in output, output


def test_a_container_that_comes_back_is_connected_again(pods):
    """Its veth goes with it; a new one of the same name gets the same port number."""
    switch = pods.switch
    number = switch.get("interface", "pod2", "ofport")
    pods.podman("rm", "--force", "--time", "0", "pod2")
    switch.vsctl("wait-until", "interface", "pod2", "ofport=-1")
    pods.start("pod2")
    switch.vsctl("wait-until", "interface", "pod2", f"ofport={number}")
    output = pods.ping()
    assert "3 packets received" in output, output
