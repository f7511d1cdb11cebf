"""Ending every process of a test, whoever started it."""

import contextlib
import os
import signal
import time
from pathlib import Path


def of_directory(directory):
    """The processes whose command line or environment names this directory, but ourselves."""
    wanted = os.fsencode(directory)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(wanted in (entry / name).read_bytes() for name in ("cmdline", "environ")):
                yield int(entry.name)


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
