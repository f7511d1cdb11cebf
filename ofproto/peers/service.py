"""A passive target: any number of peers connect to it, controllers or tools."""

import errno
import select
from collections import Counter
from collections.abc import Callable

import ovs.reconnect
import ovs.vlog

from pyvs import containment

from . import streams
from .peer import Peer

vlog = ovs.vlog.Vlog("rconn")

MAX_PEERS_PER_SERVICE = 128
ACCEPTS_PER_RUN = 16
HANDSHAKE_MS = 10_000  # that a new connection has for its HELLO
RETRY_MS = 1000  # until it tries again to listen


class Service:
    """Each accepted connection is a Peer; one more than MAX_PEERS_PER_SERVICE is closed, and before
    that one that has not said HELLO: who says nothing keeps nobody out."""

    passive = True
    remote = None  # nobody in particular

    def __init__(self, config, allowed: frozenset[int], now: int):
        self.config = config
        self.allowed = allowed
        self.peers: list[Peer] = []
        self.last_error = ""
        self._listener: streams.Listener | None = None
        self._retry = now
        self._listen(now)

    def reconfigure(self, config) -> None:
        """Take over all but the target."""
        self.config = config
        for peer in self.peers:
            peer.reconfigure(config)

    def _listen(self, now: int) -> None:
        try:
            self._listener = streams.Listener(self.config.target, MAX_PEERS_PER_SERVICE)
        except OSError as error:
            text = error.strerror or str(error)
            if text != self.last_error:
                vlog.warn(f"{self.config.target}: failed to listen ({text})")
            self.last_error = text
            self._retry = now + RETRY_MS

    @property
    def port(self) -> int:
        """The TCP port that it listens on, for tests."""
        return self._listener.port

    @property
    def is_connected(self) -> bool:
        return any(peer.running for peer in self.peers)

    @property
    def role(self) -> str | None:
        return next((peer.role for peer in self.peers if peer.running), None)

    # --- the daemon's rhythm

    def run(self, now: int, new_peer: Callable[[Peer], None]) -> None:
        """Accept, and read."""
        if self._listener is None:
            if now >= self._retry:
                self._listen(now)
            return
        for _ in range(ACCEPTS_PER_RUN):
            stream = self._listener.accept(sum(peer.handshake_done for peer in self.peers))
            if stream is None:
                break
            self._make_room()
            self.peers.append(self._peer(stream, now))
            new_peer(self.peers[-1])
        for peer in self.peers:
            try:
                self._run_peer(peer, now)
            except Exception:
                containment.caught("OpenFlow connection", peer.name)
                peer.fault()

    def _make_room(self) -> None:
        present = [peer for peer in self.peers if peer.alive]
        if len(present) >= MAX_PEERS_PER_SERVICE:
            _least_likely([peer for peer in present if not peer.handshake_done]).end(
                errno.ECONNABORTED
            )

    @staticmethod
    def _run_peer(peer: Peer, now: int) -> None:
        if not peer.handshake_done and peer.fsm.run(now) == ovs.reconnect.DISCONNECT:
            peer.end(errno.ETIMEDOUT)
        peer.run(now)

    def _peer(self, stream, now: int) -> Peer:
        fsm = _watch(stream.name, now)
        fsm.backoff = HANDSHAKE_MS
        return Peer(stream.name, stream, self.allowed, fsm, self.config)

    def fault(self, now: int) -> None:
        """An exception while it was served: listen anew, later; its peers stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._retry = now + RETRY_MS

    def reap(self, now: int) -> list[Peer]:
        """Closes dead connections and returns them."""
        dead = [peer for peer in self.peers if not peer.alive]
        for peer in dead:
            self.peers.remove(peer)
            peer.close()
        return dead

    def force_reconnect(self, now: int) -> None:
        """Drop the connections; their peers may come again."""
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def wait(self, poller, now: int) -> None:
        if self._listener is None:
            poller.timer_wait(self._retry - now)
        else:
            self._listener.wait(poller)
        for peer in self.peers:
            peer.wait(poller)
            if not peer.handshake_done:
                peer.fsm.wait(poller, now)

    def status(self, now: int) -> dict[str, str]:
        found = {"state": "ACTIVE" if self.is_connected else "IDLE"}
        if len(self.peers) > 1:
            found["n_connections"] = str(len(self.peers))
        if self.last_error and self._listener is None:
            found["last_error"] = self.last_error
        return found

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()
        if self._listener:
            self._listener.close()
            self._listener = None


def _watch(name: str, now: int) -> ovs.reconnect.Reconnect:
    """The machine of an accepted connection: probes, no reconnection."""
    fsm = ovs.reconnect.Reconnect(now)
    fsm.set_name(name)
    fsm.set_quiet(True)
    fsm.set_max_tries(1)
    fsm.enable(now)
    fsm.connecting(now)
    return fsm


def _least_likely(silent: list[Peer]) -> Peer:
    """Who is to say HELLO: the oldest of those whose host has the most of them, for a flood comes
    from few hosts; and whoever has said something that was not read yet comes last."""
    of_hosts = Counter(map(_host, silent))
    most = max(of_hosts.values())
    found = [peer for peer in silent if of_hosts[_host(peer)] == most]
    poll = select.poll()
    for peer in found:
        poll.register(peer.stream.socket, select.POLLIN)
    heard = {fd for fd, _ in poll.poll(0)}
    return next((peer for peer in found if peer.stream.socket.fileno() not in heard), found[0])


def _host(peer: Peer) -> str:
    """Without the port; of unix sockets, nothing."""
    return peer.name.rpartition(":")[0]
