"""The control socket of a daemon, unixctl: what pyvs-appctl talks to."""

import contextlib
import errno
import glob
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import ovs.unixctl

from pyvs import clock, containment, coverage, identity, rundir
from pyvs.process import unixctl
from pyvs.process.options import version_text
from pyvs.streams.short_path import ShortPath


class CommandError(Exception):
    """Raised by a unixctl command: its text is the error reply."""


# Of a reply: text; what there is to wait for comes by itself (None), or is to be looked for after
# some seconds (a number).
Pieces = Iterator[str | float | None]


class _State:
    exiting = False


# --- commands


def command(
    name: str,
    usage: str,
    min_args: int,
    max_args: int,
    function: Callable[[list[str]], str | Pieces | None],
) -> None:
    """Register a unixctl command that replies with what `function(args)` returns: at once, or
    where that is an iterator of pieces of text, when the loop has made all of them; see
    Pieces.

    CommandError becomes an error reply.  A command that replies later is registered with
    ovs.unixctl.command_register.  The first registration of a name stands.
    """

    def callback(connection: Any, args: list[str], _aux: Any) -> None:
        try:
            reply = function(args)
        except _REFUSALS as error:
            connection.reply_error(_refusal(error))
            return
        if reply is None or isinstance(reply, str):
            connection.reply(_line(reply or ""))
            return
        long = _LongReply(connection, reply)
        if long.go_on(PIECES_SECONDS) is not _DONE:
            _LongReply.unfinished.append(long)

    ovs.unixctl.command_register(name, usage, min_args, max_args, callback, None)


# Of another process, which has to be asked: TimeoutError.
_REFUSALS = (CommandError, TimeoutError)


def _refusal(error: Exception) -> str:
    return _line(str(getattr(error, "strerror", None) or error))


# --- replies in pieces

PIECES_SECONDS = 0.01  # of the loop for all of them in a round
ESCAPED_AT_ONCE = 1 << 16  # characters
_DONE, _WAITS, _MORE = range(3)


class _LongReply:
    """What is there of a reply yet."""

    unfinished: list["_LongReply"] = []

    def __init__(self, connection: Any, pieces: Pieces):
        self._connection = connection
        self._pieces = pieces
        self._made: list[str] = []  # not in _escaped yet
        self._size = 0  # of these
        self._last = "\n"
        self.rest: float | None = None  # seconds that it waits at most
        self._escaped: list[bytes] = []

    def go_on(self, seconds: float) -> int:
        """Make some of it; _DONE when there is no more to do, as nobody waits any more, say."""
        end = time.monotonic() + seconds
        try:
            while not getattr(self._connection, "closed", False):
                piece = next(self._pieces)
                if piece is None or isinstance(piece, float):
                    self.rest = piece
                    return _WAITS
                self._take(piece)
                if time.monotonic() >= end:
                    return _MORE
        except StopIteration:
            self._take("" if self._last.endswith("\n") else "\n")
            self._escape()
            self._connection.reply_escaped(self._escaped)
        except _REFUSALS as error:
            self._connection.reply_error(_refusal(error))
        except Exception as error:
            containment.caught("unixctl command")
            self._connection.reply_error(f"internal error ({type(error).__name__}: {error})\n")
        return _DONE

    def _take(self, piece: str) -> None:
        if not piece:
            return
        self._made.append(piece)
        self._last = piece
        self._size += len(piece)
        if self._size >= ESCAPED_AT_ONCE:
            self._escape()

    def _escape(self) -> None:
        """To escape 10 MB at the end would take 30 ms."""
        self._escaped.append(unixctl.escaped("".join(self._made)))
        self._made, self._size = [], 0


def reply_on() -> float | None:
    """A slice of the replies that are made in pieces; the seconds until the next one is to be."""
    unfinished = _LongReply.unfinished
    if not unfinished:
        return None
    share = PIECES_SECONDS / len(unfinished)
    states = [(each, each.go_on(share)) for each in unfinished]
    unfinished[:] = [each for each, state in states if state is not _DONE]
    if any(state is _MORE for _, state in states):
        return 0.0
    return min((each.rest for each in unfinished if each.rest is not None), default=None)


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
        raise CommandError("No such counter")
    return f"{count}\n"


# --- time/stop, time/warp

MOST_WARPED = (1 << 31) - 1  # ms at once


def offer_clock() -> None:
    """Have the commands: for daemons of those who test, as a stopped clock stops every timer."""
    command("time/stop", "", 0, 0, _time_stop)
    ovs.unixctl.command_register("time/warp", "[large_msecs] msecs", 1, 2, _time_warp, None)


# Between two steps of a warp all work is done, and so it is by other processes that take part
# in it: until for so long, in ms, nothing comes, or so many rounds have passed.
QUIET_MS, PATIENT_ROUNDS = 2, 50


class _Warps:
    """Connections that wait for a warp to be over, and rounds since its last step."""

    waiting: list[Any] = []
    rounds = 0


def _time_stop(_args: list[str]) -> None:
    clock.stop()


def _time_warp(connection: Any, args: list[str], _aux: Any) -> None:
    """time/warp MSEC: at once; time/warp TOTAL STEP: step by step, with all work in between."""
    if not all(
        re.fullmatch(r"[0-9]{1,10}", each) and 0 < int(each) <= MOST_WARPED for each in args
    ):
        connection.reply_error("invalid MSECS\n")
        return
    clock.stop()
    clock.warp(*map(int, args))
    _Warps.waiting.append(connection)


def hasten(poller: Any) -> None:
    """Have a warp that is under way go on soon."""
    if _Warps.waiting:
        poller.timer_wait(QUIET_MS)


def warp_on(quiet: bool) -> None:
    """The next step of time/warp; `quiet`: nothing was to do in this round of the main loop."""
    if not _Warps.waiting:
        return
    _Warps.rounds += 1
    if not quiet and _Warps.rounds < PATIENT_ROUNDS:
        return
    _Warps.rounds = 0
    if clock.advance():
        return
    for connection in _Warps.waiting:
        connection.reply("warped\n")
    _Warps.waiting.clear()


# --- the socket


def _remove_stale(name: str) -> None:
    """Delete the sockets that killed daemons of this name left."""
    for path in glob.glob(os.path.join(glob.escape(rundir.rundir()), f"{name}.*.ctl")):
        pid = path.split(".")[-2]
        if pid.isdecimal() and not os.path.exists(f"/proc/{pid}") and not _is_served(path):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _is_served(path: str) -> bool:
    """Whether somebody listens there: in a container, say, whose process ids are others."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        try:
            with ShortPath(path) as short:
                sock.connect(short)
        except OSError as error:
            return error.errno != errno.ECONNREFUSED
    return True


def unixctl_server(own: str, where: str | None) -> unixctl.Server | None:
    """Listen on NAME.PID.ctl, where NAME is that of our program `own` (pyvs.identity), or `where`
    (relative to the run directory; "none": nothing).

    Registers the commands that every daemon has (vlog/* are those of pyvs.process.logs).  Call it
    in the process that stays, as its id is in the name.  Raises OSError.
    """
    command("version", "", 0, 0, lambda _args: version_text(own) + "\n")
    command("exit", "", 0, 0, lambda _args: exit_now())
    command("list-commands", "", 0, 0, _list_commands)
    command("help", "", 0, 0, _list_commands)
    command("coverage/show", "", 0, 0, lambda _args: coverage.show())
    command("coverage/read-counter", "COUNTER", 1, 1, _read_counter)
    command("memory/show", "", 0, 0, lambda _args: coverage.memory())
    if where == "none":
        return None
    name = identity.program(own)
    _remove_stale(name)
    path = os.path.join(rundir.rundir(), where or f"{name}.{os.getpid()}.ctl")
    return unixctl.listen(path)
