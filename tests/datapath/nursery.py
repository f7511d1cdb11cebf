"""Datapath processes without the start of an interpreter: forked by a process that has read the
program.  What only a program of its own does (its command line, how its interpreter ends) is seen
where a process has a host, and in tests/system."""

import multiprocessing
import os
import subprocess

from tests.daemons import _die_with_parent

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["datapath.main", __name__])


class Child:
    """pyvs-datapath; what subprocess.Popen can, as far as tests need it.

    `errors`: the file for what it says to standard error.
    """

    def __init__(self, arguments, directory, errors):
        self._process = _context.Process(
            target=_run, args=(arguments, str(directory), str(errors)), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("pyvs-datapath", timeout)
        return self._process.exitcode


def _run(arguments, directory, errors):
    from datapath.main import main

    _die_with_parent()
    os.chdir(directory)
    log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    os.close(log)
    raise SystemExit(main(arguments))
