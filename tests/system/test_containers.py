"""Two real containers (podman with runc, a busybox root file system) on one bridge."""

import os
import shutil
import subprocess
import tempfile

import pytest

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(180)]

# The limits because not every machine lets a container raise its own.
LIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]
RUN = ["run", "--detach", "--runtime=runc", "--network=none", "--cap-add=NET_RAW", *LIMITS]


def why_not():
    if os.geteuid() != 0:
        return "root is needed"
    for program in ("podman", "runc", "busybox"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    linked = subprocess.run(["ldd", shutil.which("busybox")], capture_output=True, text=True)
    return None if linked.returncode else "busybox is not static (Debian: busybox-static)"


@pytest.fixture
def podman(tmp_path):
    """A function that runs podman on a storage of its own, which ends with the test."""
    if reason := why_not():
        pytest.skip(reason)
    run_root = tempfile.mkdtemp(prefix="pyvs-")  # podman wants a path of 50 characters at most
    base = ["podman", f"--root={tmp_path}/root", f"--runroot={run_root}"]
    base += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", f"--tmpdir={tmp_path}/tmp"]

    def run(*words, check=True):
        done = subprocess.run([*base, *words], capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            if "cgroup" in done.stderr or "runc" in done.stderr:
                pytest.skip(f"this machine runs no containers: {done.stderr.strip()[-300:]}")
            raise AssertionError(f"podman {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    yield run
    run("rm", "--force", "--all", "--time", "0", check=False)
    shutil.rmtree(run_root, ignore_errors=True)


@pytest.fixture
def root_file_system(tmp_path):
    """A folder with busybox and the links that a container needs."""
    root = tmp_path / "rootfs"
    for folder in ("bin", "proc", "sys", "dev", "tmp", "etc"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    for name in ("sh", "ip", "ping", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    return root


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
