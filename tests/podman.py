"""Real containers: podman with runc, and a busybox root file system; fixtures."""

import json
import os
import shutil
import subprocess
import tempfile

import pytest

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


class Podman:
    """Runs podman on a storage of its own, in the network namespace where it is told to be."""

    def __init__(self, folder):
        self.run_root = tempfile.mkdtemp(prefix="pyvs-")  # podman wants at most 50 characters
        self._folder = folder
        self._prefix = []
        self._environment = dict(os.environ)
        self._base = ["podman", f"--root={folder}/root", f"--runroot={self.run_root}"]
        self._base += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
        self._base.append(f"--tmpdir={folder}/tmp")

    def enter(self, namespace, networks, plugins):
        """From now on it runs in a namespace, and its networks are CNI's, of these folders."""
        settings = self._folder / "containers.conf"
        settings.write_text(
            f'[network]\nnetwork_backend = "cni"\nnetwork_config_dir = "{networks}"\n'
            f"cni_plugin_dirs = {json.dumps(plugins)}\n"
        )
        self._prefix = namespace.prefix
        self._environment["CONTAINERS_CONF"] = str(settings)

    def __call__(self, *words, check=True):
        """What it prints; a machine that runs no containers skips the test."""
        done = subprocess.run(
            [*self._prefix, *self._base, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=self._environment,
        )
        if check and done.returncode:
            if "cgroup" in done.stderr or "runc" in done.stderr:
                pytest.skip(f"this machine runs no containers: {done.stderr.strip()[-300:]}")
            raise AssertionError(f"podman {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()


@pytest.fixture
def podman(tmp_path):
    """A Podman, whose containers end with the test."""
    if reason := why_not():
        pytest.skip(reason)
    made = Podman(tmp_path)
    yield made
    made("rm", "--force", "--all", "--time", "0", check=False)
    shutil.rmtree(made.run_root, ignore_errors=True)


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
