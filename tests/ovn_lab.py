"""A shell in private namespaces, for `demo.ovn`'s network in tests."""

import os
import subprocess

from tests.daemons import BIN, ROOT, _die_with_parent, wait_until

PRIVATE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
FURNISH = "mount -t tmpfs -o mode=755 none /run && mount -t sysfs none /sys && mkdir /run/netns"


class LabShell:
    """What `demo.lab.Terminal` is to the demo: `run()` shows nothing, and fails the test."""

    def __init__(self):
        command = (*PRIVATE, "sh", "-c", f"{FURNISH} && echo ready && exec sleep infinity")
        self._holder = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent
        )
        assert self._holder.stdout.readline() == "ready\n"
        children = f"/proc/{self._holder.pid}/task/{self._holder.pid}/children"
        with open(children) as file:
            self._inside = int(file.read())
        path = f"/run/lab/tools:{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        self.quiet("ip link set lo up")

    def _popen(self, command):
        target = f"--target={self._inside}"
        return subprocess.Popen(
            ("nsenter", target, "--mount", "--net", "--pid", "sh", "-c", command),
            env=self._environment, cwd=ROOT, text=True, preexec_fn=_die_with_parent,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start(self, command):
        """Begin a command; its Popen."""
        return self._popen(command)

    def run(self, command, fails=False):
        with self._popen(command) as process:
            output, errors = process.communicate(timeout=60)
        assert bool(process.returncode) == fails, f"{command}\n{output}{errors}"
        return output

    quiet = run

    def works(self, command):
        with self._popen(command) as process:
            process.communicate(timeout=60)
        return process.returncode == 0

    def wait(self, command, seconds=30):
        """Until a command succeeds."""
        wait_until(lambda: self.works(command), seconds, command)

    def close(self):
        """The end of a process namespace ends all that is in it."""
        os.kill(self._inside, 9)
        self._holder.wait()
        self._holder.stdout.close()
