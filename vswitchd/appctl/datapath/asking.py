"""Commands that ask the datapath process wait for its answers in steps; the loop goes on meanwhile.

A process that is stopped, or has to share the processors with many, does not answer at once.  A
command that only asks (`asking`) runs in a thread of its own, which goes on only while the loop's
thread waits for it: a coroutine, whose turns end in the middle of a request, too, and nothing
needs a lock.  What works with what the loop itself goes on with meanwhile (flows, upcalls) is no
such command, and has awaited() between its steps.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from datapath.ipc.connection import LONGEST, NO_ANSWER, Connection, DpifStalled
from pyvs.process.control import Pieces
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NO_PROCESS = "no datapath process"
LOOK = 0.05  # seconds after which what nobody tells of is looked for
TURN = 0.005  # seconds of the loop for all such commands in a round
MOST = 32  # commands that are under way at once; others wait for them

Command = Callable[["Switch", list[str]], Any]


def awaited(switch: "Switch") -> Pieces:
    """Steps until there is a datapath process that takes requests.  Raises CommandError where there
    is none for LONGEST."""
    end = time.monotonic() + LONGEST
    while not _takes_requests(switch):
        if time.monotonic() >= end:
            stalled = switch.backer is not None and switch.backer.is_stalled()
            raise CommandError(NO_ANSWER if stalled else NO_PROCESS)
        yield LOOK


def _takes_requests(switch: "Switch") -> bool:
    dpif = switch.backer.dpif if switch.backer is not None else None
    return dpif is not None and not getattr(dpif, "unanswered", None)


def dpif(switch: "Switch") -> Any:
    """The connection to the datapath process, for a command that is `asking`."""
    for _ in awaited(switch):
        _Aside.present.pause()
    return switch.backer.dpif


def insist(switch: "Switch", request: Callable[[], Any]) -> Pieces:
    """Steps, until a request, or what makes some, is done without that the process stalls: what it
    has done before is asked again."""
    while True:
        yield from awaited(switch)
        try:
            request()
        except DpifStalled as error:
            switch.backer.take_error(error)
        else:
            return


def asking(command: Command) -> Command:
    """A command whose requests, all of its own, wait in steps."""

    def in_steps(switch: "Switch", args: list[str]) -> Pieces:
        while _Aside.n_running >= MOST:
            yield LOOK
        yield from _Aside(switch, lambda: command(switch, args)).steps()

    return in_steps


class _Aside:
    """A command in a thread that has its turns."""

    present: ClassVar[Any] = None  # the one whose turn it is
    n_running: ClassVar[int] = 0

    def __init__(self, switch: "Switch", make: Callable[[], str | Iterator[str | None] | None]):
        self._switch = switch
        self._make = make
        self._turn, self._over = threading.Semaphore(0), threading.Semaphore(0)
        self._made: list[str] = []
        self._waits = self._is_done = self._is_left = False
        self._error: BaseException | None = None
        self._turn_ends = 0.0
        self._thread = threading.Thread(target=self._run, name="command", daemon=True)

    # --- in the loop's thread

    def steps(self) -> Pieces:
        _Aside.n_running += 1
        try:
            self._thread.start()
            while not self._is_done:
                self._have_turn()
                yield self._text()
                if self._waits and not self._is_done:
                    yield LOOK
            if self._error is not None:
                raise self._error
        finally:
            self._leave()
            _Aside.n_running -= 1

    def _have_turn(self) -> None:
        before = _Aside.present, Connection.waits
        _Aside.present, Connection.waits = self, self._wait_for
        self._turn_ends = time.monotonic() + TURN / _Aside.n_running
        self._waits = False
        self._turn.release()
        self._over.acquire()
        _Aside.present, Connection.waits = before

    def _leave(self) -> None:
        """Nobody waits for the answer any more: what is open is closed."""
        self._is_left = True
        while not self._is_done and self._thread.ident is not None:
            self._have_turn()

    def _text(self) -> str:
        made, self._made = self._made, []
        return "".join(made)

    # --- in its own

    def _run(self) -> None:
        self._turn.acquire()
        try:
            self._take(self._make())
        except (CommandError, TimeoutError) as error:
            self._error = error
        except OSError as error:
            self._error = CommandError(error.strerror or str(error))
        except GeneratorExit:
            pass
        except BaseException as error:  # whatever it is: the loop waits for us
            self._error = error
        finally:
            self._is_done = True
            self._over.release()

    def _take(self, made: str | Iterator[str | None] | None) -> None:
        for piece in [made] if made is None or isinstance(made, str) else made:
            if piece:
                self._made.append(piece)
            if time.monotonic() >= self._turn_ends:
                self._end_turn()

    def pause(self) -> None:
        """Until the loop has gone round."""
        self._waits = True
        self._end_turn()

    def _end_turn(self) -> None:
        if not self._is_left:
            self._over.release()
            self._turn.acquire()
        if self._is_left:
            raise GeneratorExit

    def _wait_for(self, connection: Connection) -> None:
        """For what it is to answer; a Backer looks for that itself where it does without it."""
        self.pause()
        if not self._switch.backer.is_stalled(connection):
            connection.settled()
