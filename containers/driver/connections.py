"""Which connections of the plug-in's socket wait for a request, and since when.

Whoever connects and sends nothing, or sends slowly, or keeps a connection that it may use again,
holds one of a bounded number: where another comes, the one goes that has kept this process waiting
for the longest.  Who has sent something that is not read yet does not: it waits for this process.
"""

import contextlib
import resource
import select
import socket
import threading
import time
from collections.abc import Iterable

# Each has a thread.
MOST = 128
# Descriptors for one connection: its own, and those that its call opens.
FILES_EACH = 4
# Seconds that who has come, or has had its answer, has to say something before it may go.
GRACE = 0.25
# Seconds for which room is waited for at once; whoever comes waits in the listener's backlog.
TURN = 0.5


def bound() -> int:
    """How many connections there may be, so that their calls find descriptors left."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, max(soft // FILES_EACH, 1))


class Connections:
    """Those that are open; for the threads of the server."""

    def __init__(self, patience: float):
        self._patience, self._most = patience, bound()
        self._since: dict[socket.socket, float | None] = {}  # None: its call is under way
        self._awaited: set[socket.socket] = set()  # its thread waits for more of a request
        self._lock = threading.Condition()  # notified when one goes

    def make_room(self) -> bool:
        """Before another is taken in; False where there is no room yet: it is to be tried again."""
        end = time.monotonic() + TURN
        with self._lock:
            while len(self._since) >= self._most and not self._cut_oldest():
                if time.monotonic() >= end:
                    return False
                self._lock.wait(GRACE / 4)
        return True

    def add(self, connection: socket.socket) -> None:
        """Takes it in."""
        with self._lock:
            self._since[connection] = time.monotonic()

    def remove(self, connection: socket.socket) -> None:
        """It is closed."""
        with self._lock:
            self._since.pop(connection, None)
            self._lock.notify()

    @contextlib.contextmanager
    def call(self, connection: socket.socket):
        """Around a call: nobody is to be cut off who has said all of it."""
        self._set(connection, None)
        try:
            yield
        finally:
            self._set(connection, time.monotonic())

    def _set(self, connection: socket.socket, since: float | None) -> None:
        with self._lock:
            if connection in self._since:
                self._since[connection] = since

    def await_input(self, connection: socket.socket, seconds: float) -> bool:
        """Waits until there is something to read, or the end; nothing is read meanwhile, so that
        others see by the socket whose turn it is."""
        with self._lock:
            self._awaited.add(connection)
        try:
            return bool(_readable([connection], seconds))
        finally:
            with self._lock:
                self._awaited.discard(connection)

    def cut_oldest(self) -> bool:
        """Cuts off the one that is waited for the longest; False where none is."""
        with self._lock:
            return self._cut_oldest()

    def _cut_oldest(self) -> bool:
        end = time.monotonic() - GRACE
        idle = [
            (since, each)
            for each, since in self._since.items()
            if since is not None and since < end and each in self._awaited
        ]
        speaking = _readable([each for _since, each in idle], 0)
        idle = [pair for pair in idle if pair[1].fileno() not in speaking]
        if not idle:
            return False
        self._cut(min(idle, key=lambda pair: pair[0])[1])
        return True

    def cut_overdue(self) -> None:
        """Cuts off all that have waited for too long."""
        end = time.monotonic() - self._patience
        with self._lock:
            overdue = [each for each, since in self._since.items() if since and since < end]
            for each in overdue:
                self._cut(each)

    def _cut(self, connection: socket.socket) -> None:
        """Its thread, which reads from it, finds that it has ended, and closes it."""
        del self._since[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _readable(connections: Iterable[socket.socket], seconds: float) -> set[int]:
    """Descriptors of those where a read would not wait."""
    poller = select.poll()
    for each in connections:
        poller.register(each, select.POLLIN)
    return {descriptor for descriptor, _events in poller.poll(1000 * seconds)}
