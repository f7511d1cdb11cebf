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
the command that the user typed.  After ready(), an exception is logged with its trace, and
under --monitor the process is started anew.
"""

import os
import re
import select
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import ovs.daemon
import ovs.dirs
import ovs.fatal_signal
import ovs.stream
import ovs.timeval
import ovs.unixctl
import ovs.unixctl.server
import ovs.util
import ovs.vlog

from pyvs import coverage, rundir
from pyvs.version import OVS_COMPATIBLE, VERSION

vlog = ovs.vlog.Vlog("daemon_helper")

NONE, OPTIONAL, REQUIRED = "none", "optional", "required"

# Long options of every daemon: whether they take an argument.
COMMON_OPTIONS = {
    "detach": NONE,
    "no-chdir": NONE,
    "pidfile": OPTIONAL,
    "overwrite-pidfile": NONE,
    "monitor": NONE,
    "no-self-confinement": NONE,
    "log-file": OPTIONAL,
    "verbose": OPTIONAL,
    "unixctl": REQUIRED,
    "rundir": REQUIRED,
    "help": NONE,
    "version": NONE,
}
SHORT_OPTIONS = {"h": "help", "V": "version", "v": "verbose"}

# For the daemons that speak TLS: merge into `extra`, then call use_ssl().
SSL_OPTIONS = {"private-key": REQUIRED, "certificate": REQUIRED, "ca-cert": REQUIRED}

COMMON_USAGE = """
Daemon options:
  --detach                run in background as daemon
  --monitor               restart the daemon when it crashes
  --no-chdir              do not chdir to '/'
  --pidfile[=FILE]        create pidfile (default: {rundir}/{program}.pid)
  --overwrite-pidfile     with --pidfile, start even if already running
  --rundir=DIR            run directory (default: {rundir})

Logging options:
  -vSPEC, --verbose=SPEC  set logging levels
  -v, --verbose           set maximum verbosity level
  --log-file[=FILE]       enable logging to FILE
                          (default: {logdir}/{program}.log)

Other options:
  --unixctl=SOCKET        override default control socket name
  -h, --help              display this help message
  -V, --version           display version information
"""

Options = dict[str, list[str | None]]


class CommandError(Exception):
    """Raised by a unixctl command: its text is the error reply."""


class _State:
    """What this process knows of itself as a daemon."""

    program = "pyvs"
    options: Options = {}
    started = False
    is_ready = False
    exiting = False


def fatal(message: str) -> NoReturn:
    """Print and log `PROGRAM: message`, and exit with status 1."""
    if _State.started:
        vlog.emer(message)
    sys.stderr.write(f"{_State.program}: {message}\n")
    sys.stderr.flush()
    sys.exit(1)


def version_text(program: str) -> str:
    """What --version prints.

    Scripts take the first number for the Open vSwitch version, so that one comes first.
    """
    return f"{program} (Open vSwitch compatible) {OVS_COMPATIBLE}\npyvs {VERSION}"


# --- options


def _match_long(name: str, known: dict[str, str]) -> str:
    """The option that `name` is, or is an unambiguous beginning of; ValueError otherwise."""
    if name in known:
        return name
    candidates = [option for option in known if option.startswith(name)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        some = " ".join(f"'--{option}'" for option in candidates)
        raise ValueError(f"option '--{name}' is ambiguous; possibilities: {some}")
    raise ValueError(f"unrecognized option '--{name}'")


def split_options(
    argv: Sequence[str], known: dict[str, str], short: dict[str, str]
) -> tuple[Options, list[str]]:
    """Parse like getopt_long: options and other arguments in any order, `--` ends options.

    `known` maps long options to NONE, OPTIONAL (only as --name=value) or REQUIRED
    (--name=value or --name value); `short` maps letters to long options.  Returns the values
    of each option given, in order, and the other arguments.  Raises ValueError.
    """
    options: Options = {}
    arguments: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if word.startswith("--"):
            given, equals, text = word[2:].partition("=")
            name = _match_long(given, known)
            value: str | None = text if equals else None
            shown = f"--{name}"
        elif word.startswith("-") and len(word) > 1:
            shown = word[:2]
            if word[1] not in short:
                raise ValueError(f"invalid option -- '{word[1]}'")
            name, value = short[word[1]], word[2:] or None
            if value is not None and known[name] == NONE:
                rest.insert(0, "-" + value)
                value = None
        else:
            arguments.append(word)
            continue
        if known[name] == NONE and value is not None:
            raise ValueError(f"option '{shown}' doesn't allow an argument")
        if known[name] == REQUIRED and value is None:
            if not rest:
                raise ValueError(f"option '{shown}' requires an argument")
            value = rest.pop(0)
        options.setdefault(name, []).append(value)
    return options, arguments


def parse(
    program: str,
    argv: Sequence[str] | None,
    extra: dict[str, str] | None = None,
    usage: str = "",
) -> tuple[Options, list[str]]:
    """Parse a daemon's command line and settle names and directories.

    `program` is also the name of pid, log and control files.  `argv` leaves out the program
    name (None: that of this process).  `extra` are the daemon's own long options.  `usage` is
    the beginning of the text of --help; `{rundir}`, `{dbdir}` and `{program}` in it are
    filled in.  Handles --help and --version (which exit 0), and --rundir.  Returns the
    options given (name to list of values, None for an option without one) and the other
    arguments.  A wrong option exits with status 1.
    """
    _State.program = ovs.util.PROGRAM_NAME = program
    argv = sys.argv[1:] if argv is None else argv
    try:
        options, args = split_options(argv, {**COMMON_OPTIONS, **(extra or {})}, SHORT_OPTIONS)
    except ValueError as error:
        sys.stderr.write(f"{program}: {error}\nTry '{program} --help' for more information.\n")
        sys.exit(1)
    rundir.use(last(options, "rundir"))
    ovs.dirs.RUNDIR = rundir.rundir()
    ovs.dirs.LOGDIR = rundir.logdir()
    ovs.dirs.DBDIR = rundir.dbdir()
    if "help" in options:
        names = {"rundir": rundir.rundir(), "logdir": rundir.logdir(), "dbdir": rundir.dbdir()}
        text = usage or f"usage: {program} [OPTIONS]\n"
        sys.stdout.write((text + COMMON_USAGE).format(program=program, **names))
        sys.exit(0)
    if "version" in options:
        print(version_text(program))
        sys.exit(0)
    _State.options = options
    return options, args


def last(options: Options, name: str, default: str | None = None) -> str | None:
    """The last value given for an option, or `default`."""
    values = options.get(name)
    return values[-1] if values and values[-1] is not None else default


def use_ssl(options: Options) -> None:
    """Hand the files of SSL_OPTIONS to the `ovs` library's active TLS connections."""
    stream = ovs.stream.Stream
    for name, setter in (
        ("private-key", stream.ssl_set_private_key_file),
        ("certificate", stream.ssl_set_certificate_file),
        ("ca-cert", stream.ssl_set_ca_cert_file),
    ):
        value = last(options, name)
        if value:
            setter(value)


# --- start


def set_verbosity(spec: str) -> None:
    """Set logging levels or patterns as -v and vlog/set do; ValueError.

    The `ovs` library does not know all spellings of ovs-appctl(8).
    """
    head = spec.partition(":")[0].upper()
    if head == "PATTERN":
        spec = "pattern" + spec[len(head) :]
    elif head == "FACILITY":
        spec = head + spec[len(head) :]
    else:
        spec = re.sub(r"[:,\s]+", ":", spec)
    error = ovs.vlog.Vlog.set_levels_from_string(spec)
    if error:
        raise ValueError(f'processing "{spec}": {error}')


def _vlog_set(args: list[str]) -> None:
    try:
        for spec in args:
            set_verbosity(spec)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _start_logging(options: Options) -> None:
    """Set levels from -v, open the log file.  No Vlog may be made after this."""
    for spec in options.get("verbose", []):
        try:
            set_verbosity(spec or "any:any:dbg")
        except ValueError as error:
            fatal(str(error))
    # Before the library's own is registered, which ignores errors.
    command("vlog/set", "{spec | PATTERN:destination:pattern}", 1, sys.maxsize, _vlog_set)
    log_file = None
    if "log-file" in options:
        default = os.path.join(rundir.logdir(), f"{_State.program}.log")
        log_file = os.path.abspath(last(options, "log-file", default) or default)
        try:
            os.makedirs(os.path.dirname(log_file), exist_ok=True)
            open(log_file, "a").close()
        except OSError as error:
            fatal(f"failed to open {log_file} for logging: {error.strerror}")
    ovs.vlog.Vlog.init(log_file)


def start() -> None:
    """Become the daemon that the parsed options ask for.

    Makes the run directory, starts logging, sets umask 077 (sockets and files are for their
    owner), forks for --detach and --monitor and writes the pid file.  Returns in the daemon
    process only.  A pid file of a dead process is replaced; that of a live one ends this
    process with a message and status 1.  Paths given relative must be made absolute before
    ready(), which changes to '/'.
    """
    options = _State.options
    try:
        os.makedirs(rundir.rundir(), mode=0o755, exist_ok=True)
    except OSError as error:
        fatal(f"{rundir.rundir()}: cannot create the run directory: {error.strerror}")
    os.umask(0o077)
    _start_logging(options)
    if "pidfile" in options:
        ovs.daemon.set_pidfile(last(options, "pidfile"))
    if "overwrite-pidfile" in options:
        ovs.daemon.ignore_existing_pidfile()
    if "no-chdir" in options:
        ovs.daemon.set_no_chdir()
    if "monitor" in options:
        ovs.daemon.set_monitor()
    if "detach" in options:
        ovs.daemon.set_detach()
    _State.started = True
    _State.is_ready = False
    ovs.daemon.daemonize_start()


def ready() -> None:
    """Tell the parent process of --detach, and the monitor, that the daemon serves."""
    ovs.daemon.daemonize_complete()
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
        return ovs.daemon.RESTART_EXIT_CODE if _State.is_ready else 1


# --- control socket


def command(
    name: str,
    usage: str,
    min_args: int,
    max_args: int,
    function: Callable[[list[str]], str | None],
) -> None:
    """Register a unixctl command that replies at once with what `function(args)` returns.

    CommandError becomes an error reply.  A command that replies later is registered with
    ovs.unixctl.command_register.  The first registration of a name stands.
    """

    def callback(connection: Any, args: list[str], _aux: Any) -> None:
        try:
            reply = function(args)
        except CommandError as error:
            connection.reply_error(_line(str(error)))
        else:
            connection.reply(_line(reply or ""))

    ovs.unixctl.command_register(name, usage, min_args, max_args, callback, None)


def _line(text: str) -> str:
    """`text` with a line feed at its end, as ovs-appctl prints replies as they are."""
    return text + "\n" if text and not text.endswith("\n") else text


def exit_now() -> None:
    """Make main_loop() return."""
    _State.exiting = True


def exiting() -> bool:
    """Whether the `exit` command, or exit_now(), asked the daemon to end."""
    return _State.exiting


def _list_commands(_args: list[str]) -> str:
    lines = ["The available commands are:"]
    for name in sorted(ovs.unixctl.commands):
        usage = ovs.unixctl.commands[name].usage
        lines.append(f"  {name:<23} {usage}")
    return "\n".join(lines) + "\n"


def _read_counter(args: list[str]) -> str:
    count = coverage.read(args[0])
    if count is None:
        raise CommandError(f"No such counter: {args[0]}")
    return f"{count}\n"


def unixctl_server(name: str) -> ovs.unixctl.server.UnixctlServer | None:
    """Listen on the control socket NAME.PID.ctl, or what --unixctl says ("none": nothing).

    Registers version, exit, list-commands, coverage/show, coverage/read-counter and
    memory/show (vlog/* are registered by start()).  Call after start(), as the pid is in the
    name.  Failure ends the process.
    """
    command("version", "", 0, 0, lambda _args: version_text(name) + "\n")
    command("exit", "", 0, 1, lambda _args: exit_now())
    command("list-commands", "", 0, 0, _list_commands)
    command("coverage/show", "", 0, 0, lambda _args: coverage.show())
    command("coverage/read-counter", "COUNTER", 1, 1, _read_counter)
    command("memory/show", "", 0, 0, lambda _args: coverage.memory())
    path = last(_State.options, "unixctl")
    if path == "none":
        return None
    if path is None:
        path = os.path.join(rundir.rundir(), f"{name}.{os.getpid()}.ctl")
    error, server = ovs.unixctl.server.UnixctlServer.create(path, VERSION)
    if error:
        fatal(f"could not initialize control socket {path} ({os.strerror(error)})")
    return server


# --- main loop


class Poller:
    """What `wait(poller)` methods of the ovs library call, on poll(2).

    ovs.poller.Poller is on select(2), which ends with an error at file descriptor 1024.
    One-shot: make one for every round, as with the library's own.
    """

    def __init__(self):
        self._events: dict[int, int] = {}
        self._timeout = -1

    def fd_wait(self, fd: Any, events: int) -> None:
        """Wake up at `events` (select.POLLIN, POLLOUT) of a descriptor or socket."""
        number = fd if isinstance(fd, int) else fd.fileno()
        if number < 0:  # closed meanwhile: its owner must look
            self.immediate_wake()
            return
        self._events[number] = self._events.get(number, 0) | events

    def timer_wait(self, msec: float) -> None:
        """Wake up in `msec` milliseconds at the latest."""
        msec = max(0, int(msec))
        if self._timeout < 0 or msec < self._timeout:
            self._timeout = msec

    def timer_wait_until(self, msec: float) -> None:
        """Wake up when ovs.timeval.msec() reaches `msec` at the latest."""
        self.timer_wait(msec - ovs.timeval.msec())

    def immediate_wake(self) -> None:
        """Do not block."""
        self._timeout = 0

    def block(self) -> list[tuple[int, int]]:
        """Wait; returns what poll(2) does, [(descriptor, events)]."""
        poll = select.poll()
        for number, events in self._events.items():
            poll.register(number, events)
        return poll.poll(self._timeout)


def main_loop(control: ovs.unixctl.server.UnixctlServer | None, modules: Sequence[Any]) -> None:
    """Run each module's run() and wait(poller), and the control socket, until `exit`."""
    while True:
        coverage.tick(time.monotonic())
        for module in modules:
            module.run()
        if control:
            control.run()
        if _State.exiting:
            break
        poller = Poller()
        for module in modules:
            module.wait(poller)
        if control:
            control.wait(poller)
        poller.block()
    if control:
        control.close()
