"""pyvs-datapath: the process that forwards packets."""

import os
import sys

import ovs.vlog

from datapath import report
from datapath.engine import Engine
from datapath.server import Server
from pyvs import daemon, rundir

vlog = ovs.vlog.Vlog("datapath")

PROGRAM = "pyvs-datapath"

USAGE = """{program}: forwards packets as pyvs-vswitchd tells it
usage: {program} [OPTIONS]

Options:
  --workers=N             forwarding threads (default: one for each four processors)
"""

MAX_WORKERS = 64


def n_workers(text: str | None) -> int:
    """The number of --workers; raises SystemExit with a message when it makes no sense."""
    if text is None:
        return max(1, (os.cpu_count() or 1) // 4)
    if not text.isdigit() or not 1 <= int(text) <= MAX_WORKERS:
        daemon.fatal(f"--workers: {text} is not a number from 1 to {MAX_WORKERS}")
    return int(text)


def run(argv: list[str] | None) -> int:
    options, args = daemon.parse(PROGRAM, argv, {"workers": daemon.REQUIRED}, USAGE)
    if args:
        daemon.fatal("no arguments accepted; use --help for usage")
    workers = n_workers(daemon.last(options, "workers"))
    daemon.start()
    engine = Engine(workers)
    try:
        server = Server(engine, rundir.datapath_sock())
    except OSError as error:
        daemon.fatal(f"{rundir.datapath_sock()}: {error.strerror}")
    control = daemon.unixctl_server(PROGRAM)
    report.register(engine)
    engine.start()
    vlog.info(f"{workers} worker{'s' if workers > 1 else ''}")
    daemon.ready()
    daemon.main_loop(control, [server])
    server.close()
    engine.close()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the process with `argv` (without the program's name); returns the exit status."""
    return daemon.guard(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
