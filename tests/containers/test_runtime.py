"""Containers that end while they are being worked at."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from containers import endpoint, runtime
from containers.errors import NotThere
from tests.daemons import wait_until


def sleeper(*prefix):
    return subprocess.Popen([*prefix, "sleep", "1000"])


def end(process):
    process.kill()
    process.wait()


def again(pid):
    """A process with an id that was another's, or None where somebody else got it."""
    for _ in range(300):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = sleeper()
        if process.pid == pid:
            return process
        end(process)
    return None


@pytest.mark.system
def test_an_id_that_is_used_again():
    """It had the port put into the namespace of a process that has nothing to do with it."""
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        pytest.skip("no ns_last_pid")
    first = sleeper("unshare", "--net")
    found = runtime.find(str(first.pid))
    ticks = os.sysconf("SC_CLK_TCK")
    wait_until(
        lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * ticks > found.started + 1, what="a tick"
    )
    end(first)
    second = again(first.pid)
    assert second is not None
    try:
        with pytest.raises(NotThere, match="ended meanwhile"), found.namespace():
            pass
    finally:
        end(second)


def test_a_namespace_is_kept_while_it_is_used():
    process = sleeper()
    try:
        found = runtime.find(str(process.pid))
        with found.namespace() as path:
            end(process)
            with endpoint.namespace(path) as descriptor:
                assert os.fstat(descriptor).st_ino == os.stat("/proc/self/ns/net").st_ino
        with pytest.raises(NotThere), found.namespace():
            pass
    finally:
        end(process)
