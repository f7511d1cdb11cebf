"""The log of a command: warnings and notes on standard error, as `-v` and `--log-file` say.

Most runs have nothing to log: what makes a log is loaded with the first note.
"""

from __future__ import annotations

import _signal  # `signal` makes enums of its numbers, which takes longer than most commands
import os
import sys
import time

from pyvs import identity, rundir
from pyvs_tools.command import Fatal

TYPE_CHECKING = False  # `typing` and `collections` take longer than most commands
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BURST = 5  # notes of one kind: a file of broken messages is not to drown what is printed


def log_path(program: str, value: str | None) -> str:
    """The file that `--log-file[=VALUE]` names for our `program`."""
    return value or os.path.join(rundir.logdir(), f"{identity.program(program)}.log")


def printable(text: str) -> str:
    """Of words that are not UTF-8, the bytes as escapes: no log takes these as they are."""
    return text.encode(errors="backslashreplace").decode()


OF_SIGNALS = "fatal_signal"  # module
_started: list[Diagnostics] = []


def tell_of_signal(number: int) -> None:
    """That a signal ends the process, in the log of this run."""
    log = _started[-1] if _started else Diagnostics("pyvs", (), ())
    text = f"terminating with signal {int(number)} ({_signal.strsignal(number)})"
    log.tell(OF_SIGNALS, "WARN", text)


def check_levels(
    program: str, options: Iterable[tuple[str, str | None]], modules: Iterable[str] = ()
) -> None:
    """Raises Fatal for a `-v` of the command line that makes no sense, as Diagnostics does; for
    commands that may end before they have one."""
    specs = [value for name, value in options if name == "verbose"]
    if any(specs):
        _take_levels(program, modules, "info", specs)


def _take_levels(program, modules, console, specs):
    """Set levels as -v says; gives the module that knows them."""
    import ovs.util
    from ovs.vlog import Vlog

    from pyvs.process import logs

    ovs.util.PROGRAM_NAME = identity.program(program)
    for name in {*logs.modules(program), *modules, OF_SIGNALS}:
        Vlog(name)
    try:
        logs.set_verbosity(f"console:{console}")
        for spec in specs:
            logs.take_option(spec)
    except ValueError as error:
        raise Fatal(str(error)) from None
    return logs


class Diagnostics:
    """Notes of a run of our `program` as lines of a log.

    `modules`: those that it has besides the common ones.  `options`: (name, value) of the command
    line, in order.  `console`: the level from which a note is shown there unless an option says
    otherwise.  `bursts`: kind of note to how many are told, instead of BURST.  Raises Fatal for
    an option that makes no sense, or a log file that cannot be written.
    """

    def __init__(
        self,
        program: str,
        modules: Iterable[str],
        options: Iterable[tuple[str, str | None]],
        console: str = "info",
        bursts: Mapping[str, int] | None = None,
    ):
        self._program, self._modules, self._console = program, tuple(modules), console
        self._bursts = bursts or {}
        self._specs = [value for name, value in options if name == "verbose"]
        files = [value for name, value in options if name == "log-file"]
        self._path = os.path.abspath(log_path(program, files[-1])) if files else None
        self._file = None
        try:
            self._open()
        except OSError as error:
            raise Fatal(
                f"failed to open {log_path(program, files[-1])} for logging: {error.strerror}"
            ) from None
        self._told: dict[str, int] = {}
        self._number = 0
        self._logs = None
        if self._specs:
            self._load()  # says what is wrong with them
        _started.append(self)

    def _load(self):
        self._logs = _take_levels(self._program, self._modules, self._console, self._specs)

    def _open(self) -> None:
        if self._path is not None:
            self._file = open(self._path, "a")  # noqa: SIM115 - as long as the run

    def take_commands(self) -> None:
        """What is told, and whether in the file, is for the control socket to say, too: vlog/*."""
        from pyvs.process import control

        if self._logs is None:
            self._load()
        self._logs.register_commands()
        control.command("vlog/close", "", 0, 0, lambda _args: self._close())
        control.command("vlog/reopen", "", 0, 0, lambda _args: self._reopen())

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _reopen(self) -> None:
        from pyvs.process import control

        if self._path is None:
            raise control.CommandError("Logging to file not configured")
        self._close()
        try:
            self._open()
        except OSError as error:
            raise control.CommandError(error.strerror or str(error)) from None

    def leave_console(self) -> None:
        """Say nothing there any more: the process goes on in the background."""
        self._console = "off"
        if self._logs is not None:
            self._logs.set_verbosity("console:off")

    def shows(self, module: str, level: str) -> bool:
        """Whether options want to see such notes, which are not told unless they do."""
        return self._logs is not None and (
            self._logs.shows(module, "console", level)
            or (self._file is not None and self._logs.shows(module, "file", level))
        )

    def tell(self, module: str, level: str, text: str, kind: str = "") -> None:
        """A note, if there have not been too many of its `kind` ("": all are told)."""
        if kind:
            self._told[kind] = self._told.get(kind, 0) + 1
            if self._told[kind] > self._bursts.get(kind, BURST):
                return
        if self._logs is None:
            self._load()
        self._number += 1
        record = self._logs.Record(module, level, printable(text), self._number, time.time())
        sys.stdout.flush()
        for place, file in (("console", sys.stderr), ("file", self._file)):
            if file is not None and self._logs.shows(module, place, level):
                file.write(self._logs.line(place, record) + "\n")
                file.flush()
