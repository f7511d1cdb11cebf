"""How a pyvs daemon starts, is controlled and ends: ovs' daemon options on the `ovs` library.

The whole of a daemon's main program:

    vlog = ovs.vlog.Vlog("name")         # every Vlog at import, before start()

    def main(argv=None):
        return daemon.guard(lambda: run(argv))

    def run(argv):
        options, args = daemon.parse("pyvs-name", argv, {"dp": daemon.REQUIRED}, USAGE)
        daemon.start()                   # forks; pid file, log file, umask 077
        control = daemon.unixctl_server("pyvs-name")
        ... open sockets and files; exit with a message when that fails ...
        daemon.ready()                   # lets the parent of --detach return 0
        daemon.main_loop(control, [module, ...])   # modules have run() and wait(poller)
        ... close ...

Between start() and ready() a failure (an exception, sys.exit(1)) becomes the exit status of
the command that the user typed.  After ready(), main_loop() contains what the modules let through
(pyvs.containment); an exception elsewhere is logged with its trace, and under --monitor the
process is started anew.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import ovs.vlog

from pyvs import containment, coverage, identity, rundir
from pyvs.poller import Poller, watch_signals
from pyvs.process import control, instance, logs, poll_interval, privileges, supervise, unixctl
from pyvs.process import options as command_line
from pyvs.process.control import CommandError, command, exit_now, exiting, offer_clock
from pyvs.process.options import (
    NONE,
    OPTIONAL,
    REQUIRED,
    SSL_OPTIONS,
    Options,
    last,
    split_options,
    use_ssl,
    version_text,
)

__all__ = [
    "NONE",
    "OPTIONAL",
    "REQUIRED",
    "SSL_OPTIONS",
    "CommandError",
    "Options",
    "Poller",
    "command",
    "exit_now",
    "exiting",
    "last",
    "offer_clock",
    "split_options",
    "use_ssl",
    "version_text",
]

vlog = ovs.vlog.Vlog("daemon")

FAULT_PAUSE_MSEC = 100  # at most, until a module whose turn ended by a fault has the next


class _State:
    """What this process knows of itself as a daemon."""

    own = program = "pyvs"  # our name, and the one that it goes by
    options: Options = {}
    started = False
    is_ready = False


def fatal(message: str) -> NoReturn:
    """Print and log `PROGRAM: message`, and exit with status 1."""
    if _State.started:
        console = logging.getLogger("console")
        console.disabled = True  # which has it in the next line
        vlog.emer(message)
        console.disabled = False
    sys.stderr.write(f"{_State.program}: {message}\n")
    sys.stderr.flush()
    sys.exit(1)


def parse(
    program: str,
    argv: Sequence[str] | None,
    extra: dict[str, str] | None = None,
    usage: str = "",
) -> tuple[Options, list[str]]:
    """Parse a daemon's command line and settle names and directories.

    `program`, or what pyvs.identity makes of it, is also the name of pid, log and control
    files.  `argv` leaves out the program name (None: that of this process).  `extra` are the
    daemon's own long options.  `usage` is the beginning of the text of --help; `{rundir}`,
    `{dbdir}` and `{program}` in it are filled in.  Handles --help and --version (which exit 0),
    and --rundir.  Returns the options given (name to list of values, None for an option without
    one) and the other arguments.  A wrong option exits with status 1.
    """
    _State.own, _State.program = program, identity.program(program)
    _State.options, args = command_line.parse(program, argv, extra, usage)
    return _State.options, args


def start(capabilities: frozenset[int] = frozenset()) -> None:
    """Become the daemon that the parsed options ask for.

    Makes the run directory, starts logging, becomes --user with these `capabilities` of
    pyvs.process.privileges, sets umask 077 (sockets and files are for their owner), forks for
    --detach and --monitor and writes the pid file.  Returns in the daemon process only.  A pid
    file of a dead process is replaced; that of a live one ends this process with a message and
    status 1.
    Paths given relative must be made absolute before ready(), which changes to '/'.
    """
    options = _State.options
    user = _user(last(options, "user"))
    _make_run_directory(user)
    os.umask(0o077)
    try:
        log_file = logs.start(options, _State.own)
    except ValueError as error:
        fatal(str(error))
    except OSError as error:
        fatal(f"failed to open {error.filename} for logging: {error.strerror}")
    if user:
        _become(user, capabilities, log_file)
    _State.started = True
    _State.is_ready = False
    _take_lock()
    if "detach" in options:
        supervise.detach()
        instance.lead()
    if "monitor" in options:
        supervise.monitor()
    if "pidfile" in options:
        supervise.make_pidfile(_pidfile(), "overwrite-pidfile" in options)


def _pidfile() -> str:
    default = f"{_State.program}.pid"
    return os.path.join(rundir.rundir(), last(_State.options, "pidfile") or default)


def _take_lock() -> None:
    """Be the only one with this pid file, from now on."""
    if "pidfile" not in _State.options or "overwrite-pidfile" in _State.options:
        return
    path = _pidfile()
    try:
        if not instance.be_the_one(path):
            fatal(f"{path}: already running as pid {instance.head(path)}, aborting")
    except OSError as error:
        fatal(f"{instance.lock_path(path)}: {error.strerror}")


def _user(text: str | None) -> privileges.User | None:
    if text is None:
        return None
    if os.geteuid() != 0:
        fatal("--user option requires root privileges")
    try:
        return privileges.parse(text)
    except ValueError as error:
        fatal(str(error))


def _make_run_directory(user: privileges.User | None) -> None:
    """If it is there, whose it is is somebody else's affair."""
    path = rundir.rundir()
    try:
        is_new = not os.path.isdir(path)
        os.makedirs(path, mode=0o755, exist_ok=True)
        if user and is_new:
            os.chown(path, user.uid, user.gid)
    except OSError as error:
        fatal(f"{path}: cannot create the run directory: {error.strerror}")


def _become(user: privileges.User, capabilities: frozenset[int], log_file: str | None) -> None:
    try:
        if log_file:
            # (Not what a link leads to: the directory may be that user's, and the file anybody's.)
            os.chown(log_file, user.uid, user.gid, follow_symlinks=False)
        privileges.become(user, capabilities)
    except OSError as error:
        fatal(f"could not become user {user.name}: {error.strerror}")


def ready() -> None:
    """Tell the parent process of --detach, and the monitor, that the daemon serves."""
    supervise.ready("detach" in _State.options, "no-chdir" not in _State.options)
    _State.is_ready = True


def guard(main: Callable[[], int | None]) -> int:
    """Run a daemon's `main`; an exception after ready() is a crash that --monitor mends.

    Before ready(), an exception is printed and the exit status is 1.  Returns the exit
    status for sys.exit().
    """
    try:
        return main() or 0
    except KeyboardInterrupt:
        return 130
    except Exception:
        text = traceback.format_exc()
        vlog.emer("terminating on an unexpected error\n" + text)
        sys.stderr.write(text)
        return supervise.CRASHED if _State.is_ready else 1


def unixctl_server(name: str) -> unixctl.Server | None:
    """Listen on the control socket NAME.PID.ctl, or where --unixctl says; see pyvs.process.control.

    Call it after start(), as the process id is in the name.  Failure ends the process.
    """
    try:
        return control.unixctl_server(name, last(_State.options, "unixctl"))
    except OSError as error:
        fatal(f"{error.filename}: could not initialize control socket ({error.strerror})")


def main_loop(server: unixctl.Server | None, modules: Sequence[Any]) -> None:
    """Run each module's run() and wait(poller), and the control socket, until `exit`.

    An exception of one of them ends its turn, not the loop, and it has another turn soon.
    """
    served = [*modules, server] if server else list(modules)
    breather = containment.Breather()
    interval = poll_interval.PollInterval()
    if threading.current_thread() is threading.main_thread():
        watch_signals()
    while True:
        _contained(coverage.tick, time.monotonic())
        for each in served:
            _contained(each.run)
        if exiting():
            break
        poller = Poller()
        if (rest := _contained(control.reply_on)) is not None:
            poller.timer_wait(rest * 1000)
        for each in served:
            _contained(each.wait, poller)
        if breather.rest():
            poller.timer_wait(FAULT_PAUSE_MSEC)
        busy = poller.is_immediate
        control.hasten(poller)
        interval.end()
        _contained(poller.block)
        interval.begin()
        _contained(control.warp_on, not busy and not poller.ready)
    if server:
        server.close()


def _contained(function: Callable, *args: Any) -> Any:
    owner = getattr(function, "__self__", None)
    whose = function.__name__ if owner is None else type(owner).__name__
    return containment.call("main loop", whose, function, *args)
