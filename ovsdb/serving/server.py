"""The sockets of the server: one epoll loop for all clients.

A client is not read from while it has not taken what it was sent, and is disconnected when
updates for it pile up (ovsdb.serving.rpc.MAX_BACKLOG), so that memory stays bounded.
"""

import select
import socket
from time import monotonic
from typing import Any

import ovs.vlog

from ovsdb.serving.rpc import Peer
from ovsdb.serving.service import Service
from ovsdb.storage import sysio
from pyvs import containment, coverage
from pyvs.log_limit import LimitedLog
from pyvs.streams.tls_settings import TlsSettings

vlog = ovs.vlog.Vlog("ovsdb_server")

# Messages of one client before the others have their turn.
MESSAGES_PER_TURN = 50
BUFFERS_PER_WRITE = 256
SCAN_MSEC = 1000
COMPACTION_MSEC = 5  # between two looks at one that is under way
# Messages that are not whole yet: who has more than this is looked at, and all of them together
# may have that much (bytes).
LARGE_INPUT = 1024 * 1024
MAX_INPUT = 384 * 1024 * 1024
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
WAKEUPS = coverage.counter("poll_wakeup")
INPUT_OVERFLOWS = coverage.counter("jsonrpc_input_overflow")
_overflows = LimitedLog(vlog, 5, 5)


def msec() -> float:
    """Monotonic milliseconds."""
    return monotonic() * 1000


class Connection:
    """A connected socket and its session.  The socket belongs to this object."""

    def __init__(self, loop: "Loop", sock: socket.socket, session: Peer, probe: int):
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.name = session.name
        self.probe_interval = probe  # ms; 0: none
        self.last_heard = loop.now
        self.probed = False
        self.connected_at = loop.now
        self.session = session
        self.session.on_output = lambda: loop.dirty.add(self)
        self._mask = READ
        sock.setblocking(False)
        # What is no subclass is called directly.
        loop.register(self.fd, self._mask, self if type(self) is Connection else self.ready)
        loop.connections.add(self)

    def ready(self, events: int) -> None:
        """The socket can be read or written, or is broken."""
        if sysio.is_writable(events):
            self.loop.dirty.add(self)
        if sysio.is_readable(events):
            self._receive()

    def _receive(self) -> None:
        session = self.session
        if session.backlog:
            # It has to read first; only look whether it is still there.
            self.loop.dirty.add(self)
            return
        try:
            data = self._read()
        except BlockingIOError:
            return
        except OSError as error:
            self.close(error.strerror or str(error))
            return
        if not data:
            self.close("connection closed by peer")
            return
        loop = self.loop
        self.last_heard = loop.now
        self.probed = False
        session.receive(data)
        self.process()
        if session.unhandled() > LARGE_INPUT:
            loop.limit_input(self)

    def process(self) -> None:
        """Handle some of the received messages."""
        session = self.session
        session.attended = True
        try:
            if session.process(self.loop.now, MESSAGES_PER_TURN):
                self.loop.busy.add(self)
        finally:
            session.attended = False
        if session.output or session.closed:
            self.loop.dirty.add(self)

    def flush(self) -> None:
        """Write as much of the session's output as the socket takes."""
        session = self.session
        output = session.output
        try:
            while output:
                count = self._write(output)
                session.written(count)
                if session.backlog:
                    _drop(output, count)
                else:
                    del output[:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(error.strerror or str(error))
            return
        if session.closed:
            self.close(session.closed)
            return
        if output or self._mask != READ:
            self._set_mask(WRITE if output else READ)

    def _read(self) -> bytes:
        """Received bytes, b"" at the end; BlockingIOError when there are none yet."""
        return sysio.receive(self.fd)

    def _write(self, output: list) -> int:
        """Write from the start of `output`; how many bytes were taken, or BlockingIOError."""
        data = output[0]
        if len(output) == 1 and type(data) is bytes:
            count = sysio.send(self.fd, data)
            if count < 0:
                raise BlockingIOError
            return count
        return self.sock.sendmsg(output[:BUFFERS_PER_WRITE])

    def _set_mask(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self.loop.epoll.modify(self.fd, mask)

    def fault(self) -> None:
        """Called in an `except`: the exception of serving this connection ends it."""
        containment.caught("OVSDB connection", self.name)
        self.session.output.clear()
        self.close("internal error")

    def run_timer(self, now: float) -> None:
        """Probe a silent client; give up one that does not answer."""
        if not self.probe_interval:
            return
        silent = now - self.last_heard
        if silent >= 2 * self.probe_interval and self.probed:
            self.close(f"no response to inactivity probe after {silent / 1000:.3g} seconds")
        elif silent >= self.probe_interval and not self.probed:
            self.probed = True
            self.session.probe()

    def close(self, reason: str) -> None:
        """End the connection.  Does nothing the second time."""
        if self.fd < 0:
            return
        vlog.dbg(f"{self.name}: {reason}")
        self.loop.unregister(self.fd)
        self.fd = -1
        self.sock.close()
        self.loop.forget(self)
        containment.call("OVSDB session", self.name, self.session.ended)


def _drop(output: list, count: int) -> None:
    """Remove the first `count` bytes."""
    done = 0
    for data in output:
        if count < len(data):
            break
        count -= len(data)
        done += 1
    del output[:done]
    if count:
        output[0] = memoryview(output[0])[count:]


def _contain(handler: Any) -> None:
    """Called in an `except`: `handler` of a descriptor raised it."""
    owner = getattr(handler, "__self__", handler)
    if isinstance(owner, Connection):
        owner.fault()
    else:
        containment.caught("OVSDB descriptor", _name(handler))


def _name(function: Any) -> str:
    """Whose a callback is."""
    owner = getattr(function, "__self__", function)
    return getattr(owner, "name", "") or type(owner).__name__


class Loop:
    """The epoll loop; `register` gives it other descriptors to call back for."""

    def __init__(self, service: Service):
        self.service = service
        self.tls = TlsSettings()
        self.tls_contexts: Any = None  # of ovsdb.serving.tls, imported when needed
        self.epoll = select.epoll()
        self._epoll_fd = self.epoll.fileno()
        self.handlers: dict[int, Any] = {}
        self.connections: set[Connection] = set()
        self.dirty: set[Connection] = set()  # may have output, or are to be closed
        self.busy: set[Connection] = set()  # have messages left to handle
        self._large: set[Connection] = set()  # those with more than LARGE_INPUT
        self.paused: set[Any] = set()  # Listeners that found no descriptor for a client
        self.now = msec()
        self._next_scan = self.now + SCAN_MSEC
        # Called about once a second with the time in ms.
        self.timers: list[Any] = []

    def register(self, fd: int, events: int, handler: Any) -> None:
        """Call handler(events) when `fd` is ready."""
        self.handlers[fd] = handler
        self.epoll.register(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        if self.handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def forget(self, connection: Connection) -> None:
        """A connection was closed."""
        self.connections.discard(connection)
        self.dirty.discard(connection)
        self.busy.discard(connection)
        self._large.discard(connection)
        for listener in list(self.paused):
            listener.resume()

    def limit_input(self, connection: Connection) -> None:
        """A connection has much input that is not handled; the largest may have to go."""
        self._large.add(connection)
        sizes = {each: each.session.unhandled() for each in self._large}
        self._large = {each for each, size in sizes.items() if size > LARGE_INPUT}
        if sum(sizes.values()) > MAX_INPUT:
            INPUT_OVERFLOWS.count += 1
            largest = max(sizes, key=sizes.__getitem__)
            _overflows.warn(f"{largest.name}: all clients' unfinished messages exceed {MAX_INPUT}")
            largest.close("too much input")

    def run(self, wait_ms: float | None) -> None:
        """One round: wait for at most `wait_ms` (None: for ever), then serve who is ready."""
        for number in range(sysio.wait(self._epoll_fd, self._timeout(wait_ms))):
            if not WAKEUPS.count & 0xFF:
                coverage.tick()
            WAKEUPS.count += 1
            self.now = sysio.monotonic_ms()
            # None: closed in this round
            handler = self.handlers.get(sysio.ready_fd(number))
            if handler is not None:
                try:
                    if type(handler) is Connection:
                        connection = handler
                        connection.ready(sysio.ready_events(number))
                    else:
                        handler(sysio.ready_events(number))
                except Exception:
                    _contain(handler)
        self.now = sysio.monotonic_ms()
        if self.busy:
            self._serve_busy()
        self.service.run(self.now)
        if self.service.compacting:
            self._follow_compactions()
        self.flush()
        if self.now >= self._next_scan:
            self._scan()

    def _follow_compactions(self) -> None:
        self.service.run_files(self.now / 1000)
        if not self.service.compacting:
            self._next_scan = self.now  # a control connection that waited may have more to say

    def _serve_busy(self) -> None:
        for connection in list(self.busy):
            if not connection.session.backlog:  # else not until it has read the answers
                self.busy.discard(connection)
                try:
                    connection.process()
                except Exception:
                    connection.fault()

    def _timeout(self, wait_ms: float | None) -> int:
        """How long to wait, in ms."""
        if self.busy:
            for connection in self.busy:
                if not connection.session.backlog:
                    return 0
        service = self.service
        wait = COMPACTION_MSEC if service.compacting else self._next_scan - self.now
        if wait_ms is not None and wait_ms < wait:
            wait = wait_ms
        if service.waiting:
            if service.has_work:
                return 0
            for waiting in service.waiting:
                if waiting.deadline is not None:
                    wait = min(wait, waiting.deadline - self.now)
        # Rounded up: a millisecond early would be a round for nothing.
        return int(max(0.0, wait + 1))

    def flush(self) -> None:
        """Write out what the sessions have for their clients."""
        while self.dirty:
            connection = self.dirty.pop()
            try:
                connection.flush()
            except Exception:
                connection.fault()

    def _scan(self) -> None:
        self._next_scan = self.now + SCAN_MSEC
        coverage.tick()
        for connection in list(self.connections):
            try:
                connection.run_timer(self.now)
            except Exception:
                connection.fault()
        for timer in list(self.timers):
            containment.call("OVSDB timer", _name(timer), timer, self.now)
        self.service.run_files(self.now / 1000)
        self.flush()

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self.connections):
            connection.close("server is exiting")
        self.epoll.close()
