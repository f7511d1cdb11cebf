"""Listening for clients, and what is made of a connected one."""

import select
import socket

from ovsdb.serving.rpc import Peer
from ovsdb.serving.server import Connection, Loop, vlog
from ovsdb.serving.session import Session
from pyvs.log_limit import LimitedLog
from pyvs.streams import listener
from pyvs.streams.listener import Accepted

_accepting = LimitedLog(vlog, 5, 5)  # anybody may connect

DEFAULT_PORT = 6640
ACCEPTS_PER_TURN = 64


class Listener:
    """A passive remote's socket; makes a Connection of each client.  OSError."""

    def __init__(self, loop: Loop, name: str):
        self.loop = loop
        self.name = name
        self._listener = listener.Listener(name, DEFAULT_PORT)
        self.read_only = False
        self.role = ""
        self.probe_interval = 0
        self.connections: set[Connection] = set()
        self._watch()

    @property
    def port(self) -> int | None:
        """The TCP port that it listens on; None for a unix socket."""
        return self._listener.port

    def _watch(self) -> None:
        self.loop.register(self._listener.socket.fileno(), select.EPOLLIN, self._accept)

    def _accept(self, _events: int) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            accepted = self._listener.accept(len(self.live_connections()))
            if accepted is None:
                break
            made = self._connection(accepted)
            if made is not None:
                self.connections.add(made)
        if self._listener.paused and self not in self.loop.paused:
            self.loop.paused.add(self)
            self.loop.unregister(self._listener.socket.fileno())

    def _connection(self, accepted: Accepted) -> Connection | None:
        sock, name = accepted
        session = Session(self.loop.service, name, self.read_only, self.role)
        has_tls = self._listener.has_tls
        try:
            return new_connection(self.loop, sock, session, self.probe_interval, has_tls, True)
        except (OSError, ValueError) as error:
            _accepting.warn(f"{self.name}: {error}")
            session.ended()
            sock.close()
            return None

    def resume(self) -> None:
        """Accept again after a pause; another socket was closed, or time has passed."""
        if self in self.loop.paused:
            self.loop.paused.discard(self)
            self._listener.resume()
            self._watch()

    def live_connections(self) -> set[Connection]:
        """The clients that are connected now."""
        self.connections &= self.loop.connections
        return self.connections

    def close(self, reason: str) -> None:
        """Stop listening, and end the clients' connections."""
        self.loop.unregister(self._listener.socket.fileno())
        self.loop.paused.discard(self)
        self._listener.close()
        for connection in list(self.live_connections()):
            connection.close(reason)


def new_connection(
    loop: Loop, sock: socket.socket, session: Peer, probe: int, with_tls: bool, server_side: bool
) -> Connection:
    """A connection on a connected socket; ValueError or OSError when TLS is not possible."""
    if not with_tls:
        return Connection(loop, sock, session, probe)
    from ovsdb.serving.tls import TlsConnection  # `ssl` is slow to import

    return TlsConnection(loop, sock, session, probe, server_side)
