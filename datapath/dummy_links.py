"""Cables between dummy ports, of one datapath process or of several: options stream and pstream.

A port with `options:pstream=punix:FILE` listens, one with `options:stream=unix:FILE` connects to
it, and tries again each second of the datapath's clock.  Each frame that a port sends goes over
its connections, with its size in two bytes in front, most significant first: as between Open
vSwitch's dummies.
"""

import contextlib
import errno
import os
import select
import socket
import struct
from typing import Any

import ovs.stream

from datapath.base.clock import now_ms
from datapath.engine import Engine
from pyvs import containment, coverage
from pyvs.streams.listener import Listener

MOST_PEERS = 16  # of a listening port
MOST_WAITING = 1 << 18  # bytes for a peer that does not read; then its frames are discarded
RECEIVE = 1 << 16
ROUND = 64  # frames of a peer in one turn
RETRY = 1000  # ms of the datapath's clock: who warps it has waited
LEAST_FRAME = 14
HEAD = struct.Struct("!H")

DISCARDED = coverage.counter("dummy_stream_overflow")


class _Peer:
    """One connection."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.input = bytearray()
        self.output = bytearray()

    def put(self, frame: bytes) -> None:
        if len(self.output) + len(frame) > MOST_WAITING:
            DISCARDED.count += 1
            return
        self.output += HEAD.pack(len(frame)) + frame

    def flush(self) -> None:
        """Raises OSError when the connection is over."""
        while self.output:
            try:
                sent = self.sock.send(self.output)
            except BlockingIOError:
                return
            del self.output[:sent]

    def frames(self) -> list[bytes]:
        """Those that came, ROUND at most.  Raises OSError when the connection is over."""
        if len(self.input) < RECEIVE:
            try:
                data = self.sock.recv(RECEIVE)
            except BlockingIOError:
                data = None
            if data == b"":
                raise ConnectionResetError
            self.input += data or b""
        found: list[bytes] = []
        while len(found) < ROUND and len(self.input) >= HEAD.size:
            end = HEAD.size + HEAD.unpack_from(self.input)[0]
            if end < HEAD.size + LEAST_FRAME:
                raise OSError(errno.EPROTO, "a frame that is too short")
            if len(self.input) < end:
                break
            found.append(bytes(self.input[HEAD.size : end]))
            del self.input[:end]
        return found

    @property
    def has_frame(self) -> bool:
        """Whether one is left of what was read."""
        size = len(self.input)
        return size >= HEAD.size and size >= HEAD.size + HEAD.unpack_from(self.input)[0]


class _End:
    """A port's side: listens or connects, and has its peers."""

    def __init__(self, options: dict[str, str]):
        self.peers: list[_Peer] = []
        self._target = options.get("stream")
        self._retry_at = 0
        self._stream: Any = None  # a connection that is being made
        self._listener = None
        if options.get("pstream"):
            self._listener = Listener(options["pstream"], 0, MOST_PEERS)

    @property
    def state(self) -> str:
        return "connected" if self.peers else "disconnected"

    def connect(self) -> None:
        """Accept who comes, or go on with a connection of one's own."""
        if self._listener is not None:
            while accepted := self._listener.accept(len(self.peers)):
                self.peers.append(_Peer(accepted.sock))
        elif self._target and not self.peers:
            self._go_on()

    def _go_on(self) -> None:
        if self._stream is None:
            if self._pause():
                return
            self._retry_at = now_ms() + RETRY
            error, self._stream = ovs.stream.Stream.open(self._target)
            if error and error != errno.EINPROGRESS:
                self._stream = None
                return
        error = self._stream.connect()
        if error == errno.EAGAIN:
            return
        if not error:
            self.peers.append(_Peer(self._stream.socket.dup()))
        self._stream.close()
        self._stream = None

    def _pause(self) -> int:
        """ms until the next try.  A warped clock goes back with the vswitchd that warped it."""
        left = self._retry_at - now_ms()
        return left if 0 < left <= RETRY else 0

    def drop(self, peer: _Peer) -> None:
        peer.sock.close()
        self.peers.remove(peer)
        if self._listener is not None:
            self._listener.resume()

    def wait(self, poller: Any) -> None:
        if self._listener is not None:
            self._listener.wait(poller)
        elif self._stream is not None:
            self._stream.connect_wait(poller)
        elif self._target and not self.peers:
            poller.timer_wait(self._pause())
        for peer in self.peers:
            events = select.POLLIN | (select.POLLOUT if peer.output else 0)
            poller.fd_wait(peer.sock.fileno(), events)
            if peer.has_frame:
                poller.immediate_wake()

    def close(self) -> None:
        for peer in list(self.peers):
            self.drop(peer)
        if self._stream is not None:
            self._stream.close()
        if self._listener is not None:
            self._listener.close()


class DummyLinks:
    """All cables of a datapath process; a part of its main loop."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._ends: dict[int, _End] = {}
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def add(self, number: int, options: dict[str, str] | None) -> None:
        """A port is there.  Raises OSError when it cannot listen."""
        if options and (options.get("stream") or options.get("pstream")):
            self._ends[number] = _End(options)
            self._engine.port(number).tell(self._event)

    def remove(self, number: int) -> None:
        """A port is about to go; none of ours as well."""
        end = self._ends.pop(number, None)
        if end is not None:
            self._engine.port(number).tell(-1)
            end.close()

    def state(self, number: int) -> str:
        """connected or disconnected; "" for a port without cable."""
        return self._ends[number].state if number in self._ends else ""

    def run(self) -> None:
        if not self._ends:
            return
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        for number, end in list(self._ends.items()):
            try:
                self._serve(number, end)
            except Exception:
                containment.caught("dummy stream", f"of port {number}")

    def _serve(self, number: int, end: _End) -> None:
        end.connect()
        for frame in self._engine.port_drain(number):
            for peer in end.peers:
                peer.put(frame)
        for peer in list(end.peers):
            try:
                peer.flush()
                for frame in peer.frames():
                    self._engine.port_inject(number, frame)
            except OSError:
                end.drop(peer)

    def wait(self, poller: Any) -> None:
        if not self._ends:
            return
        poller.fd_wait(self._event, select.POLLIN)
        for end in self._ends.values():
            end.wait(poller)

    def close(self) -> None:
        for number in list(self._ends):
            self.remove(number)
        os.close(self._event)
