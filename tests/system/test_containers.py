"""Two real containers (podman with runc, a busybox root file system) on one bridge."""

import os
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(180)]

# The limits because not every machine lets a container raise its own.
LIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]
RUN = ["run", "--detach", "--runtime=runc", "--network=none", *LIMITS]


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
    base = ["podman", f"--root={tmp_path}/root", f"--runroot={tmp_path}/run"]
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


def attach(switch, podman, name, address):
    """Give a running container an eth0 whose other end, NAME, is a port of br0."""
    pid = podman("inspect", "--format", "{{.State.Pid}}", name)
    host = switch.host
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-c")
    host.run("ip", "link", "set", name, "up")
    host.run("ip", "link", "set", f"{name}-c", "netns", pid)
    inside = ["nsenter", f"--target={pid}", "--net", "ip"]
    for words in (
        f"link set {name}-c name eth0",
        f"address add {address} dev eth0",
        "link set eth0 up",
    ):
        subprocess.run([*inside, *words.split()], check=True)
    switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, f"external_ids:id={pid}")


def test_two_containers_ping(switch, podman, root_file_system):
    switch.vsctl("add-br", "br0")
    for name, address in (("pod1", "10.0.0.1/24"), ("pod2", "10.0.0.2/24")):
        podman(*RUN, f"--name={name}", "--rootfs", str(root_file_system), "/bin/sleep", "300")
        attach(switch, podman, name, address)
    output = podman("exec", "pod1", "/bin/ping", "-c", "3", "10.0.0.2")
    assert "3 packets received" in output, output


def test_a_container_that_comes_back_is_connected_again(switch, podman, root_file_system):
    """Its veth goes with it; a new one of the same name gets the same port number."""
    switch.vsctl("add-br", "br0")
    for name, address in (("pod1", "10.0.0.1/24"), ("pod2", "10.0.0.2/24")):
        podman(*RUN, f"--name={name}", "--rootfs", str(root_file_system), "/bin/sleep", "300")
        attach(switch, podman, name, address)
    number = switch.get("interface", "pod2", "ofport")
    podman("rm", "--force", "--time", "0", "pod2")
    switch.vsctl("wait-until", "interface", "pod2", "ofport=-1")
    podman(*RUN, "--name=pod2", "--rootfs", str(root_file_system), "/bin/sleep", "300")
    pid = podman("inspect", "--format", "{{.State.Pid}}", "pod2")
    host = switch.host
    host.run("ip", "link", "add", "pod2", "type", "veth", "peer", "name", "pod2-c")
    host.run("ip", "link", "set", "pod2", "up")
    host.run("ip", "link", "set", "pod2-c", "netns", pid)
    for words in (
        "link set pod2-c name eth0",
        "address add 10.0.0.2/24 dev eth0",
        "link set eth0 up",
    ):
        subprocess.run(["nsenter", f"--target={pid}", "--net", "ip", *words.split()], check=True)
    switch.vsctl("wait-until", "interface", "pod2", f"ofport={number}")
    assert "3 packets received" in podman("exec", "pod1", "/bin/ping", "-c", "3", "10.0.0.2")
