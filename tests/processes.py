"""Ending every process of a test, whoever started it."""

import contextlib
import os
import signal
import time
from pathlib import Path


def of_directory(directory):
    """The processes whose command line or environment names this directory, but ourselves.  A
    program that is just being loaded has neither yet: such are waited for."""
    wanted = os.fsencode(directory)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in _words(entry):
                yield int(entry.name)


def _words(entry):
    for _ in range(1000):
        words = b"".join((entry / name).read_bytes() for name in ("cmdline", "environ"))
        if words:
            return words
        os.readlink(entry / "exe")  # OSError: it is a thread of the kernel's, or it has ended
        time.sleep(0.001)
    return b""


def end(directory, seconds=5.0):
    """kill -9 them all; again, as long as one of them starts another."""
    deadline = time.monotonic() + seconds
    while pids := list(of_directory(directory)):
        assert time.monotonic() < deadline, f"processes of {directory} do not end: {pids}"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        time.sleep(0.01)
