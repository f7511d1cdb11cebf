"""An active target: one controller, that is connected to again and again."""

import errno
import os
import select
import socket
from collections.abc import Callable

import ovs.reconnect

from pyvs.streams import resolver

from . import streams
from .peer import Peer


class Rconn:
    """`config` is a controller.ControllerConfig; ovs.reconnect says when to try."""

    passive = False

    def __init__(self, config, allowed: frozenset[int], now: int):
        self.config = config
        self.allowed = allowed
        self.peer: Peer | None = None
        self.last_error = ""
        self._lookup: resolver.Lookup | None = None
        self.remote: tuple[str, int] | None = None  # IPv4 address and port, once known
        self._tried = 0  # attempts: with each another address of the name has its turn
        self.fsm = ovs.reconnect.Reconnect(now)
        self.fsm.set_name(config.target)
        self.reconfigure(config)
        self.fsm.enable(now)

    def reconfigure(self, config) -> None:
        """Take over all but the target."""
        self.config = config
        self.fsm.set_backoff(1000, config.max_backoff)
        if self.peer:
            self.peer.reconfigure(config)

    @property
    def peers(self) -> list[Peer]:
        return [self.peer] if self.peer else []

    @property
    def is_connected(self) -> bool:
        return self.peer is not None and self.peer.running

    @property
    def role(self) -> str | None:
        return self.peer.role if self.is_connected else None

    # --- the daemon's rhythm

    def run(self, now: int, new_peer: Callable[[Peer], None]) -> None:
        """Connect, and read.  `new_peer` is told of each Peer made."""
        if self.peer is None:
            self._run_unconnected(now, new_peer)
            return
        peer = self.peer
        if not peer.handshake_done and self.fsm.run(now) == ovs.reconnect.DISCONNECT:
            peer.end(errno.ETIMEDOUT)
        error = 0 if peer.handshake_done else peer.stream.connect()
        if error == 0:
            peer.run(now)
        elif error != errno.EAGAIN:
            peer.end(error)

    def _run_unconnected(self, now: int, new_peer: Callable[[Peer], None]) -> None:
        action = self.fsm.run(now)
        try:
            if action == ovs.reconnect.CONNECT:
                self._tried += 1
                self.fsm.connecting(now)
                self._lookup = streams.lookup(self.config.target)
            elif action == ovs.reconnect.DISCONNECT:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if self._lookup is not None:
                self._connect(new_peer)
        except OSError as error:
            self._end_lookup()
            self._set_error(error.errno or errno.EINVAL, error.strerror)
            self.fsm.connect_failed(now, error.errno or errno.EINVAL)

    def _connect(self, new_peer: Callable[[Peer], None]) -> None:
        """Go on as soon as the address is known.  Raises OSError."""
        addresses = self._lookup.addresses()
        if addresses is None:
            return
        self._end_lookup()
        address = addresses[self._tried % len(addresses)]
        self.remote = _remote(address)
        stream = streams.open_active(self.config.target, address, self.config.dscp)
        self.peer = Peer(self.config.target, stream, self.allowed, self.fsm, self.config)
        new_peer(self.peer)

    def _end_lookup(self) -> None:
        if self._lookup is not None:
            self._lookup.close()
            self._lookup = None

    def fault(self, now: int) -> None:
        """An exception while it was served: try again later."""
        self._end_lookup()
        if self.peer is not None:
            self.peer.fault()
        else:
            self.fsm.connect_failed(now, errno.EPROTO)

    def reap(self, now: int) -> list[Peer]:
        """Closes a dead connection and returns it."""
        peer = self.peer
        if peer is None or peer.alive:
            return []
        self.peer = None
        reason = peer.close_reason()
        self._set_error(reason, peer.connection.error)
        self.fsm.disconnected(now, reason)
        peer.close()
        return [peer]

    def _set_error(self, error: int, text: str | None) -> None:
        if error == ovs.reconnect.EOF:
            self.last_error = "End of file"
        elif error:
            self.last_error = text or os.strerror(error)

    def force_reconnect(self, now: int) -> None:
        """Drop the connection, and connect again."""
        self._end_lookup()
        if self.peer:
            self.peer.close()
            self.fsm.disconnected(now, 0)
            self.peer = None

    def wait(self, poller, now: int) -> None:
        if self._lookup is not None:
            poller.fd_wait(self._lookup.fileno(), select.POLLIN)
        if self.peer is None or not self.peer.handshake_done:
            self.fsm.wait(poller, now)
        if self.peer is not None:
            self.peer.wait(poller)

    def status(self, now: int) -> dict[str, str]:
        """The status column of ovs-vswitchd.conf.db(5), table Controller."""
        fsm = self.fsm
        found = {"state": fsm.state.name}
        if self.last_error:
            found["last_error"] = self.last_error
        elapsed = {
            "sec_since_connect": fsm.get_last_connect_elapsed(now),
            "sec_since_disconnect": fsm.get_last_disconnect_elapsed(now),
        }
        for name, since in elapsed.items():
            if since is not None:
                found[name] = str(int(since) // 1000)
        if self.peer is not None and self.peer.scheduler is not None:
            found.update(self.peer.scheduler.status())
        return found

    def close(self) -> None:
        self._end_lookup()
        if self.peer:
            self.peer.close()
            self.peer = None


def _remote(address: tuple) -> tuple[str, int] | None:
    """That of one of a lookup's (family, socket address) pairs."""
    family, where = address
    return where[:2] if family == socket.AF_INET else None
