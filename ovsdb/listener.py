"""Sockets that clients connect to, and what is made of a connected one."""

import errno
import os
import select
import socket
from typing import Any

import ovs.fatal_signal

from ovsdb.rpc import Peer
from ovsdb.server import Connection, Loop, vlog
from ovsdb.session import Session
from pyvs import coverage
from pyvs.log_limit import LimitedLog

ACCEPTED = coverage.counter("pstream_open")
_accepting = LimitedLog(vlog, 5, 5)  # anybody may connect


class Listener:
    """A listening socket; makes a Connection of each client."""

    def __init__(self, loop: Loop, sock: socket.socket, name: str):
        self.loop = loop
        self.sock = sock
        self.name = name
        self.with_tls = name.startswith("pssl:")
        self.read_only = False
        self.role = ""
        self.probe_interval = 0
        self.connections: set[Connection] = set()
        self._count = 0
        sock.setblocking(False)
        loop.register(sock.fileno(), select.EPOLLIN, self._accept)

    def _accept(self, _events: int) -> None:
        for _ in range(64):
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                _accepting.warn(f"{self.name}: accept: {error.strerror}")
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    self._pause()
                return
            ACCEPTED.count += 1
            self._count += 1
            made = self._connection(sock, address)
            if made is not None:
                self.connections.add(made)
            if len(self.connections) > 2 * len(self.loop.connections):
                self.connections &= self.loop.connections

    def _connection(self, sock: socket.socket, address: Any) -> Connection | None:
        if sock.family == socket.AF_UNIX:
            name = f"unix#{self._count}"
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kind = "ssl" if self.with_tls else "tcp"
            name = f"{kind}:{address[0]}:{address[1]}"
        session = Session(self.loop.service, name, self.read_only, self.role)
        try:
            return new_connection(
                self.loop, sock, session, self.probe_interval, self.with_tls, True
            )
        except (OSError, ValueError) as error:
            _accepting.warn(f"{self.name}: {error}")
            session.ended()
            sock.close()
            return None

    def _pause(self) -> None:
        """No descriptors left: do not spin on the waiting client, try again later."""
        if self not in self.loop.paused:
            self.loop.paused.add(self)
            self.loop.unregister(self.sock.fileno())

    def resume(self) -> None:
        """Accept again after a pause; another socket was closed, or time has passed."""
        if self in self.loop.paused:
            self.loop.paused.discard(self)
            self.loop.register(self.sock.fileno(), select.EPOLLIN, self._accept)

    def live_connections(self) -> list[Connection]:
        """The clients that are connected now."""
        self.connections &= self.loop.connections
        return list(self.connections)

    def close(self, reason: str) -> None:
        """Stop listening, and end the clients' connections."""
        self.loop.unregister(self.sock.fileno())
        self.loop.paused.discard(self)
        if self.sock.family == socket.AF_UNIX:
            _unlink(self.sock.getsockname())
        self.sock.close()
        for connection in self.live_connections():
            connection.close(reason)


def new_connection(
    loop: Loop, sock: socket.socket, session: Peer, probe: int, with_tls: bool, server_side: bool
) -> Connection:
    """A connection on a connected socket; ValueError or OSError when TLS is not possible."""
    if not with_tls:
        return Connection(loop, sock, session, probe)
    from ovsdb.tls import TlsConnection, new_context

    context = new_context(loop, loop.tls, server_side)
    return TlsConnection(loop, sock, session, probe, context, server_side)


def _unlink(path: str) -> None:
    if path and os.path.exists(path):
        ovs.fatal_signal.unlink_file_now(path)
