"""The datapath process: finds the one of this run directory, or starts one.

It is started detached and outlives vswitchd.  One that has a monitor, or that somebody else is
starting, is waited for.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ovs.vlog

from pyvs import clock, identity, rundir
from pyvs.process import instance

vlog = ovs.vlog.Vlog("dpif")

PROGRAM = "pyvs-datapath"
_HERE = os.path.dirname(os.path.abspath(__file__))
RESTART_MS = 1000  # between two attempts to start it


def command(log: bool) -> list[str]:
    """The command line that starts a datapath process in our run directory."""
    script = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), PROGRAM)
    if os.access(script, os.X_OK):
        program = [script]
    else:
        # Not by the directory in which we were started, as Python does with -c: whose is it?
        code = "import sys; sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]; "
        code += "from datapath.main import main; sys.exit(main())"
        program = [sys.executable, "-c", code, os.path.dirname(_HERE)]
    options = [f"--rundir={rundir.rundir()}", "--detach", "--no-chdir", f"--pidfile={_pidfile()}"]
    options.append("-vconsole:warn")  # our terminal is for what we have to say
    if log:
        options.append(f"--log-file={os.path.join(rundir.logdir(), PROGRAM + '.log')}")
    return program + options


def _pidfile() -> str:
    return rundir.path(f"{PROGRAM}.pid")


class DatapathProcess:
    """Gives connections to the datapath process; `open` suits Backer's `reopen`."""

    def __init__(self, make_dpif: Callable[[str], Any], log: bool = False):
        """`make_dpif(path)` connects, or raises OSError.  `log`: have it write a log file."""
        self._make_dpif = make_dpif
        self._log = log
        self._child: subprocess.Popen | None = None
        self._next_start = 0
        self._started = False
        self._slow: Any = None  # a connection whose first answer is outstanding
        self.pid: int | None = None  # of the process, where we started it

    def open(self) -> Any:
        """A new connection.  Raises ConnectionError while there is no process to connect to.

        Starts one then; it is there a little later.  One that does not answer is not asked again
        before it has.
        """
        self._reap()
        dpif, self._slow = self._slow, None
        try:
            dpif = dpif or self._make_dpif(rundir.datapath_sock())
            stranger = dpif.stranger()
        except TimeoutError as error:
            self._slow = dpif
            raise ConnectionError(error.errno, f"{rundir.datapath_sock()}: {error}") from error
        except OSError as error:
            self._start(clock.msec())
            raise ConnectionError(error.errno, f"{rundir.datapath_sock()}: {error}") from error
        if stranger is not None:
            dpif.close()
            self._end(stranger)
            raise ConnectionError(errno.EPROTO, "a datapath process of another build")
        if self._started:
            try:
                self.pid = dpif.version()["pid"]
            except TimeoutError as error:
                self._slow = dpif
                raise ConnectionError(error.errno, f"{rundir.datapath_sock()}: {error}") from error
        return dpif

    @staticmethod
    def _end(pid: int) -> None:
        """Have a process of another build make place for one of ours."""
        vlog.warn(f"the {PROGRAM} that runs (pid {pid}) is of another build: a new one follows it")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            if self._child.returncode:
                vlog.err(f"starting {PROGRAM} failed with status {self._child.returncode}")
            self._child = None

    def close(self) -> None:
        """Under Open vSwitch's names vswitchd and its datapath are one: it ends what it started."""
        if identity.is_ovs():
            with contextlib.suppress(OSError):
                starting = instance.head(_pidfile()) if self._started and self.pid is None else 0
                if pid := self.pid or starting:
                    os.kill(pid, signal.SIGTERM)
        self.pid = None

    def _start(self, now: int) -> None:
        if self._child is not None or now < self._next_start:
            return
        self._next_start = now + RESTART_MS
        try:
            lock = instance.take(_pidfile())
        except OSError as error:
            vlog.err(f"{instance.lock_path(_pidfile())}: {error.strerror}")
            return
        if lock is None:
            vlog.dbg(f"no datapath process in {rundir.rundir()} yet")
            return
        self._started = True
        vlog.dbg(f"no datapath process in {rundir.rundir()}, starting {PROGRAM}")
        words = command(self._log)
        try:
            self._child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=identity.child_environment() | lock.environment(),
                pass_fds=(lock.fd,),
            )
            lock.tell(self._child.pid)
        except OSError as error:
            vlog.err(f"starting {words[0]} failed ({error.strerror})")
        finally:
            lock.close()
