"""pyvs-datapath: the process that forwards packets, and outlives pyvs-vswitchd."""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
from typing import Any

import ovs.vlog

from datapath import report
from datapath.bpf.tc import owner
from datapath.engine import Engine
from datapath.server import Server
from pyvs import rundir
from pyvs.process import daemon, privileges

vlog = ovs.vlog.Vlog("dpif_netdev")

PROGRAM = "pyvs-datapath"

USAGE = """{program}: forwards packets as pyvs-vswitchd tells it
usage: {program} [OPTIONS]
Controlled through {rundir}/datapath.sock.

Options:
  --workers=N             forwarding threads (default: one for each four processors)
"""

MAX_WORKERS = 64

M_MMAP_THRESHOLD = -3  # <malloc.h>
OWN_PAGES = 128 * 1024  # bytes from which an allocation has pages of its own: glibc's first value


def n_workers(text: str | None) -> int:
    """The number of --workers; raises SystemExit with a message when it makes no sense."""
    if text is None:
        return max(1, len(os.sched_getaffinity(0)) // 4)
    if not text.isdigit() or not 1 <= int(text) <= MAX_WORKERS:
        daemon.fatal(f"--workers: {text} is not a number from 1 to {MAX_WORKERS}")
    return int(text)


def raise_file_limit() -> None:
    """Each port has two sockets: ask for as many files as we may have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_back_large_blocks() -> None:
    """Let the caches of a worker and a datapath that are gone go back to the kernel.

    glibc raises the size from which a block is mapped apart each time that such a block is freed,
    unless it was set (mallopt(3)): 70 MB stayed with the process after workers had come and gone.
    """
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, OWN_PAGES)


class Termination:
    """Makes the signals that end a process end the main loop, so that the end is an orderly one."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # The handler alone would not interrupt poll(2), which Python calls again.
        signal.set_wakeup_fd(self.writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)

    def _end(self, number: int, _frame: Any) -> None:
        vlog.info(f"ending on signal {number} ({signal.Signals(number).name})")
        daemon.exit_now()

    def run(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.reading, 64)

    def wait(self, poller: Any) -> None:
        poller.fd_wait(self.reading, select.POLLIN)


def run(argv: list[str] | None) -> int:
    options, args = daemon.parse(PROGRAM, argv, {"workers": daemon.REQUIRED}, USAGE)
    if args:
        daemon.fatal("no arguments accepted; use --help for usage")
    workers = n_workers(daemon.last(options, "workers"))
    daemon.start(privileges.NETWORK)
    raise_file_limit()
    give_back_large_blocks()
    engine = Engine(workers, owner(rundir.rundir()))
    try:
        server = Server(engine, rundir.datapath_sock())
    except OSError as error:
        daemon.fatal(f"{rundir.datapath_sock()}: {error.strerror}")
    report.register(engine)
    control = daemon.unixctl_server(PROGRAM)
    engine.start()
    termination = Termination()
    vlog.info(f"{workers} worker{'s' if workers > 1 else ''}")
    daemon.ready()
    try:
        daemon.main_loop(control, [termination, server])
    finally:
        server.close()
        engine.close()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the process with `argv` (without the program's name); returns the exit status."""
    return daemon.guard(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
