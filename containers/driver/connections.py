"""Which connections of the plug-in's socket wait for a request, and since when.

Whoever connects and sends nothing, or sends slowly, or keeps a connection that it may use again,
holds one of a bounded number: who has waited for the longest is cut off when another comes.
"""

import contextlib
import resource
import socket
import threading
import time

# Each has a thread.
MOST = 128
# Descriptors for one connection: its own, and those that its call opens.
FILES_EACH = 4


def bound() -> int:
    """How many connections there may be, so that their calls find descriptors left."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, max(soft // FILES_EACH, 1))


class Connections:
    """Those that are open; for the threads of the server."""

    def __init__(self, patience: float):
        self._patience, self._most = patience, bound()
        self._since: dict[socket.socket, float | None] = {}  # None: its call is under way
        self._lock = threading.Lock()

    def add(self, connection: socket.socket) -> bool:
        """Takes it in; False where all others have calls under way."""
        with self._lock:
            full = len(self._since) >= self._most
        if full and not self.cut_oldest():
            return False
        with self._lock:
            self._since[connection] = time.monotonic()
        return True

    def remove(self, connection: socket.socket) -> None:
        """It is closed."""
        with self._lock:
            self._since.pop(connection, None)

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

    def cut_oldest(self) -> bool:
        """Cuts off the one that has waited for the longest; False where none waits."""
        with self._lock:
            waiting = [(since, each) for each, since in self._since.items() if since is not None]
            if not waiting:
                return False
            self._cut(min(waiting, key=lambda pair: pair[0])[1])
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
