"""One end of a JSON-RPC connection (RFC 7047 section 4), without a socket.

The owner feeds received bytes with receive(), calls process(), and writes what collects in
`output` to the peer, telling written().  `closed` says why the connection is to be closed,
when it is.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

import ovs.vlog

from pyvs import coverage
from pyvs.log_limit import LimitedLog
from pyvs.streams.framing import FramingError, JsonStream
from pyvs.streams.json_text import dumps

vlog = ovs.vlog.Vlog("ovsdb_jsonrpc_server")
_syntax, _slow = (LimitedLog(vlog, 5, 5) for _ in range(2))  # what clients cause

# A peer that is behind by more than this, and does not read, is disconnected.
MAX_BACKLOG = 64 * 1024 * 1024
# One that has so much to read first has no further requests answered: a reply may be large, but
# not as many of them as can be asked for in a moment.
MAX_UNREAD = 1024 * 1024
TURN_SECONDS = 0.005  # of one peer, before the others have theirs
RECEIVED = coverage.counter("jsonrpc_received")
OVERFLOWS = coverage.counter("jsonrpc_backlog_overflow")
PROBE_ID = "echo"


class Peer:
    """What server and client have in common; `handle` is theirs."""

    def __init__(self, name: str):
        self.name = name
        self.output: list[bytes] = []
        self.backlog = 0  # bytes in `output`
        self.closed: str | None = None
        self.client_id: str | None = None  # the common name of its certificate
        # Called when output appears, so that the owner looks at this peer.
        self.on_output: Callable[[], None] | None = None
        self.attended = False  # the owner looks at this peer anyhow, once process() returns
        # A reply of any size is the client's own wish; updates are not, and are limited.
        self._excused = 0
        self._stream = JsonStream()

    # --- bytes in

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; they are acted upon in process()."""
        self._stream.feed(data)

    def process(self, now: float, limit: int) -> bool:
        """Handle up to `limit` messages, for a few milliseconds; whether there may be more.

        `now` in monotonic milliseconds.
        """
        stream = self._stream
        end = 0.0
        for _ in range(limit):
            if self.closed:
                return False
            if self.backlog > MAX_UNREAD:
                return True
            try:
                message = stream.next()
            except FramingError as error:
                self.protocol_error(str(error))
                return False
            if message is None:
                return False
            RECEIVED.count += 1
            self.handle(message, now)
            if not stream.waiting():
                return False
            if not end:  # one message only is the rule, and needs no clock
                end = monotonic() + TURN_SECONDS
            elif monotonic() > end:
                break
        return True

    def unhandled(self) -> int:
        """Bytes received that are no message yet, or are to be handled."""
        return self._stream.waiting()

    def handle(self, message: dict, now: float) -> None:
        """Act upon a message."""
        raise NotImplementedError

    def protocol_error(self, details: str) -> None:
        """Tell the peer that it does not follow the protocol, and close."""
        _syntax.warn(f"{self.name}: {details}")
        self.reply_error(None, {"error": "syntax error", "details": details})
        self.close(details)

    # --- bytes out

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer, unless it is too far behind."""
        if self.closed:
            return
        if not self.output and not self.attended and self.on_output is not None:
            self.on_output()
        self.output.append(data)
        self.backlog += len(data)
        if self.backlog - self._excused > MAX_BACKLOG:
            OVERFLOWS.count += 1
            _slow.warn(
                f"{self.name}: client does not read, disconnecting it with"
                f" {self.backlog} bytes of backlog"
            )
            self.output.clear()
            self.backlog = 0
            self.close("backlog overflow")

    def written(self, count: int) -> None:
        """The owner wrote `count` bytes of `output` to the peer."""
        self.backlog -= count
        self._excused = min(self._excused, self.backlog)

    def reply(self, id_json: Any, result: Any) -> None:
        """Answer a request."""
        data = dumps({"id": id_json, "result": result, "error": None})
        if self.backlog <= MAX_UNREAD:  # else it is one of many that came late, from waits
            self._excused = self.backlog + len(data)
        self.send(data)

    def reply_error(self, id_json: Any, error: Any) -> None:
        """Refuse a request."""
        self.send(dumps({"id": id_json, "result": None, "error": error}))

    def notify(self, method: str, params: list) -> None:
        """Send a notification."""
        self.send(dumps({"id": None, "method": method, "params": params}))

    def probe(self) -> None:
        """Ask whether the peer is there: any answer is one."""
        self.send(dumps({"id": PROBE_ID, "method": "echo", "params": []}))

    def close(self, reason: str) -> None:
        """Mark the connection closed; what is in `output` may still be written."""
        if self.closed:
            return
        self.closed = reason
        if self.on_output is not None:
            self.on_output()

    def ended(self) -> None:
        """The connection is gone, and with it whatever came of a message."""
        self.closed = self.closed or "connection closed"
        self.on_output = None  # knows the connection: a circle would wait for the collector
        self._stream = JsonStream()


class ClientPeer(Peer):
    """The client's end.  Requests have callbacks, which get (result, error), of which one is
    None; (None, "disconnected") when no answer came."""

    def __init__(self, name: str):
        super().__init__(name)
        self._calls: dict[int, Callable[[Any, Any], None]] = {}
        self._next_id = 0

    @property
    def outstanding(self) -> int:
        """The number of requests without an answer yet."""
        return len(self._calls)

    def request(self, method: str, params: list, done: Callable[[Any, Any], None]) -> None:
        """Send a request."""
        self._next_id += 1
        self._calls[self._next_id] = done
        message = {"id": self._next_id, "method": method, "params": params}
        data = dumps(message)
        self._excused = self.backlog + len(data)
        self.send(data)

    def handle(self, message: dict, now: float) -> None:
        method = message.get("method")
        id_json = message.get("id")
        if method == "echo" and id_json is not None:
            self.reply(id_json, message.get("params"))
        elif type(method) is str and type(message.get("params")) is list:
            self.notified(method, message["params"])
        elif type(id_json) is int and id_json in self._calls:
            self._calls.pop(id_json)(message.get("result"), message.get("error"))
        elif id_json != PROBE_ID:
            self.close("unexpected message")

    def notified(self, method: str, params: list) -> None:
        """A notification came."""
        raise NotImplementedError

    def ended(self) -> None:
        super().ended()
        calls, self._calls = self._calls, {}
        for done in calls.values():
            done(None, "disconnected")
