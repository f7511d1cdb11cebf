"""How a daemon leaves its terminal, and how its monitor starts it again.

With --detach the command forks a process that stays; with --monitor that one only waits for
the daemon, a child of its own, and forks a new one when it dies of an error or is killed
(SIGKILL, too: it is what the kernel does when memory runs out).  An orderly end, by the `exit`
command, SIGTERM, SIGINT or SIGHUP, ends the monitor as well.

The `ovs` library's own monitor gives up when a daemon dies twice in a row before it is ready.
"""

import contextlib
import os
import signal
import sys
import time

import ovs.daemon
import ovs.fatal_signal
import ovs.vlog

from pyvs.process import logs

vlog = ovs.vlog.Vlog("daemon_unix")

CRASHED = 5  # exit status of a daemon that wants to be started again
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# A daemon that lived for this long is started again at once, others after growing pauses.
STEADY_SECONDS = 10
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10


class _State:
    ready_fds: list[int] = []  # whom ready() has to tell


def describe(status: int) -> str:
    """What os.waitpid() says, in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"killed ({signal.Signals(number).name})"
        return f"killed (signal {number})"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def ready(detach: bool, chdir: bool) -> None:
    """Tell the waiting processes that the daemon serves; leave the terminal."""
    for fd in _State.ready_fds:
        with contextlib.suppress(OSError):  # the waiting process may be gone
            os.write(fd, b"0")
        os.close(fd)
    _State.ready_fds = []
    if detach:
        if chdir:
            os.chdir("/")
        _close_standard_files()
        logs.set_verbosity("console:off")  # there is none any more, and vlog/list says so


def _close_standard_files() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _fork() -> tuple[int, int]:
    """(0, descriptor to say "ready" on) in the child; (pid, one to hear it) in the parent."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    os.close(reader if pid == 0 else writer)
    return pid, writer if pid == 0 else reader


def _hears_ready(reader: int) -> bool:
    """Wait until the other end says ready (True) or is closed."""
    heard = os.read(reader, 1)
    os.close(reader)
    return bool(heard)


def _fork_to_wait_for() -> tuple[int, int]:
    """As _fork(); who ends the parent, which others take for the daemon until the child says that
    it is, ends the child."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        pid, fd = _fork()
        if pid:
            signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(pid, number))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return pid, fd


def detach() -> None:
    """Fork; returns in the child, which leaves the session of whoever types commands."""
    pid, fd = _fork_to_wait_for()
    if pid == 0:
        os.setsid()
        _State.ready_fds.append(fd)
        return
    if _hears_ready(fd):
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        os._exit(os.WEXITSTATUS(status))  # its message has been printed
    sys.stderr.write(f"the daemon did not start ({describe(status)})\n")
    sys.stderr.flush()
    os._exit(1)


class _Monitor:
    """The waiting process: `child` is the daemon."""

    def __init__(self):
        self.child = 0
        self.ending = False
        for number in ENDING_SIGNALS:
            signal.signal(number, self._forward)

    def _forward(self, number: int, _frame: object) -> None:
        """Whoever ends the monitor means the daemon."""
        self.ending = True
        if self.child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, number)

    def fork(self) -> int | None:
        """Start the daemon.  Its wait status if it died before it was ready, else None.

        In the daemon itself `child` is 0.
        """
        self.child, fd = _fork()
        if self.child == 0:
            for number in ENDING_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _State.ready_fds.append(fd)
            return None
        return None if _hears_ready(fd) else self.wait()

    def wait(self) -> int:
        _, status = os.waitpid(self.child, 0)
        return status


def _must_restart(status: int) -> bool:
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) not in ENDING_SIGNALS
    return os.waitstatus_to_exitcode(status) == CRASHED


def monitor() -> None:
    """Fork; returns in the daemon process only, each time that it is started."""
    process = _Monitor()
    status = process.fork()
    if process.child == 0:
        return
    if status is not None:
        # The very first start is the user's to judge.
        os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
    ready(detach=False, chdir=False)
    _close_standard_files()
    pause = FIRST_PAUSE
    started = time.monotonic()
    while True:
        if status is None:
            status = process.wait()
            again = _must_restart(status)
        else:
            again = True  # died at its start: what it lacks may come back
        what = f"pid {process.child} died, {describe(status)}"
        if not again or process.ending:
            vlog.info(f"{what}, exiting")
            os._exit(0)
        if time.monotonic() - started >= STEADY_SECONDS:
            pause = FIRST_PAUSE
        else:
            vlog.warn(f"{what}, starting it again in {pause:g} s")
            _sleep(pause, process)
            pause = min(2 * pause, LONGEST_PAUSE)
        vlog.err(f"{what}, restarting")
        started = time.monotonic()
        status = process.fork()
        if process.child == 0:
            return


def _sleep(seconds: float, monitor: _Monitor) -> None:
    """Sleep, but end at once when the monitor is told to."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if monitor.ending:
            os._exit(0)
        time.sleep(min(left, 0.5))


def make_pidfile(path: str, overwrite: bool) -> None:
    """Write and lock the pid file; it goes when the process ends.

    That of a dead process is replaced; that of a live one ends this process with a message.
    """
    ovs.daemon.set_pidfile(path)
    if overwrite:
        ovs.daemon.ignore_existing_pidfile()
    ovs.daemon.daemonize_start()
