"""`pyvs-ctl stop`: daemons end by their exit command, else by signals, with their monitors."""

import contextlib
import os
import select
import signal
import time

from datapath.bpf.tc import Tc, owner
from pyvs import rundir
from pyvs_tools import appctl
from pyvs_tools.command import Fatal

from .running import DATAPATH, OVSDB_SERVER, VSWITCHD, head, running

_STOP_SECONDS = 5  # for each of: the exit command, SIGTERM, SIGKILL


def _wait_for_end(pid, seconds):
    """True when the process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:  # no pidfd in this kernel or sandbox
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.02)
        return False
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def _ask_to_exit(name, *arguments):
    with contextlib.suppress(Fatal, appctl.ServerError, OSError):
        # A daemon that hangs neither answers nor closes.
        client = appctl.connect(appctl.find_socket(name), _STOP_SECONDS)
        appctl.transact(client, "exit", arguments)
        client.close()


def _command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _monitor_of(pid):
    """The process that would start a daemon again, or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None
    return parent if _command_line(parent) == _command_line(pid) != b"" else None


def _kill(pid, number):
    """Sends a signal; with SIGKILL, the monitor must not see its daemon die."""
    targets = [pid]
    if number == signal.SIGKILL and (monitor := _monitor_of(pid)):
        targets.insert(0, monitor)
    for each in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def stop(name, *arguments):
    """Ends a daemon, its monitor, and whoever is about to start it."""
    deadline = time.monotonic() + 2 * _STOP_SECONDS
    pid = running(name)
    while pid or (starter := head(name)) is not None:
        if pid:
            _stop_running(name, pid, *arguments)
        elif time.monotonic() > deadline:
            raise Fatal(f"{name}: pid {starter}, which starts it, cannot be stopped")
        elif starter:
            late = time.monotonic() > deadline - _STOP_SECONDS
            _kill(starter, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)
        pid = running(name)


def _stop_running(name, pid, *arguments):
    """By its exit command, else by signals."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Fatal(f"{name} (pid {pid}) cannot be stopped: {error.strerror}") from None
    _ask_to_exit(name, *arguments)
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        if number and running(name) == pid:
            _kill(pid, number)
        if _wait_for_end(pid, _STOP_SECONDS):
            print(f"{name} (pid {pid}) has ended")
            return
    raise Fatal(f"{name} (pid {pid}) cannot be stopped")


def run_stop(options):
    # Where the datapath goes on without vswitchd, it keeps what it has.
    arguments = {} if DATAPATH in options.skip else {VSWITCHD: ["--cleanup"]}
    for name in (VSWITCHD, DATAPATH, OVSDB_SERVER):
        if name not in options.skip:
            stop(name, *arguments.get(name, ()))
    if DATAPATH not in options.skip:
        _clean_kernel()
    return 0


def _clean_kernel():
    """A datapath process that was killed has left its kernel cache on the ports."""
    with contextlib.suppress(OSError):
        Tc(owner(rundir.rundir())).detach_all()
