"""One OpenFlow connection without its socket: bytes in, messages out, bytes out.

`receive()` cuts the input into messages, does the version handshake, answers echo requests, and
hands on what the switch has to look at.  `send()` queues output; `pull()` fetches it for the
socket.  Long replies are iterators of byte strings that `advance()` makes go on while the peer
reads, and while one is under way no later message of this connection is handled, so that replies
and barriers keep their order.

The handshake is a table of transitions: (state, event) -> (method, new state).
"""

from collections import deque
from collections.abc import Iterable, Iterator

from ofproto.codec.hello import HEADER, HEADER_SIZE, OFPT_HELLO, decode_hello, encode_hello
from pyvs import coverage

PACKET_INS_DROPPED = coverage.counter("packet_in_backlog")
NOT_READ = coverage.counter("ofconn_output_overflow")

OFPT_ERROR, OFPT_ECHO_REQUEST, OFPT_ECHO_REPLY = 1, 2, 3
BAD_REQUEST, BAD_VERSION, BAD_TYPE = 1, 0, 1  # OFPET_BAD_REQUEST and two codes of it

# Bytes queued for a peer.  Above the first, packet-ins are dropped (and counted); above the second
# long replies wait, above the third requests, until it reads; at the fourth it is cut off.
PACKET_IN_BACKLOG = 512 << 10
REPLY_BACKLOG = 256 << 10
REQUEST_BACKLOG = 4 << 20
OUTPUT_LIMIT = 16 << 20
# The same of all peers together: who has more than its due then is cut off.
TOTAL_LIMIT, DUE = 128 << 20, 1 << 20
# The most input that is kept unhandled: one largest message and what recv() adds to it.
INPUT_LIMIT = 256 << 10

# Messages that the switch does not see (HELLO, ECHO) in one call of next_message().
MOST_UNSEEN = 32

# Of what a peer says, for logs and status: bytes of text, versions.
MOST_TEXT, MOST_SHOWN = 256, 8
MOST_RETURNED = 0xFFFF - 12  # of a message, in the error that refuses it

HELLO_WAIT, RUNNING, CLOSED = "HELLO_WAIT", "RUNNING", "CLOSED"

VERSION_NAMES = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}
# What a bridge with an empty `protocols` column allows.
DEFAULT_VERSIONS = frozenset(VERSION_NAMES)


def encode_error(version: int, kind: int, code: int, data: bytes, xid: int) -> bytes:
    """An ERROR message of the types that are the same in all versions."""
    return (
        HEADER.pack(version, OFPT_ERROR, 12 + len(data), xid)
        + kind.to_bytes(2, "big")
        + code.to_bytes(2, "big")
        + data
    )


class Backlog:
    """Bytes that all connections have queued together."""

    total = 0


class OFConnection:
    """One connection.  `allowed` are wire versions; `version` is None until negotiated.

    `error` says why the state is CLOSED.  `n_packet_in_dropped` counts packet-ins that the peer
    was too slow for.  `snoop`, when set, is called with each whole message in either direction;
    `log`, a vconn_log.VconnLog, is told of them while somebody wants to see them.  With
    `tells_echoes`, next_message() gives ECHO_REQUESTs (answered already) and ECHO_REPLYs, too.
    """

    def __init__(self, allowed: Iterable[int] = DEFAULT_VERSIONS, log=None):
        self.allowed = frozenset(allowed) or DEFAULT_VERSIONS
        self.state = HELLO_WAIT
        self.version: int | None = None
        self.error: str | None = None
        self.snoop = None
        self.log = log
        self.tells_echoes = False
        self.n_packet_in_dropped = 0
        self.n_received = 0
        self.n_sent = 0
        self._input = bytearray()
        self._output: deque[bytes] = deque()
        self._backlog = 0
        self._replies: deque[Iterator[bytes]] = deque()
        self._only_hellos = True
        self._held = 0
        self._queue(encode_hello(self.allowed))

    # --- input

    def receive(self, data: bytes) -> None:
        """Take bytes of the peer; next_message() gives what came of them."""
        if self.state is not CLOSED:
            self._input += data

    def next_message(self) -> bytes | None:
        """The next message for the switch, or None when there is none (yet).

        Handshake and echo are done here, so many at a time that has_input may still be true.
        None too while a reply is under way, or the peer has not read what it asked for so far.
        """
        for _ in range(MOST_UNSEEN):
            raw = None if self._waits() else self._cut()
            if raw is None:
                return None
            self.n_received += 1
            if self.snoop:
                self.snoop(raw)
            if self.log:
                self.log.received(raw)
            if self.state is RUNNING and raw[1] not in _EVENTS:
                if self._message(raw):  # what _TRANSITIONS say of most
                    return raw
                continue
            handle, self.state = _TRANSITIONS[self.state, _EVENTS.get(raw[1], "message")]
            if handle(self, raw):
                return raw
        return None

    def _waits(self) -> bool:
        """Whether no message is handled for now."""
        if self.state is CLOSED or self._held:
            return True
        return bool(self._replies) or self._backlog >= REQUEST_BACKLOG

    def hold(self) -> None:
        """Handle no further message until release(): an answer is to come before."""
        self._held += 1

    def release(self) -> None:
        """One hold() less."""
        self._held -= 1

    @property
    def wants_input(self) -> bool:
        """Whether the socket should be read: False while input waits behind a long reply."""
        return len(self._input) < INPUT_LIMIT and not self._waits()

    @property
    def has_input(self) -> bool:
        """Whether next_message() might return something without more bytes."""
        data = self._input
        if self._waits() or len(data) < HEADER_SIZE:
            return False
        return len(data) >= (data[2] << 8 | data[3])

    def _cut(self) -> bytes | None:
        """Take one whole message off the input."""
        data = self._input
        if len(data) < HEADER_SIZE:
            return None
        length = data[2] << 8 | data[3]
        if length < HEADER_SIZE:
            self.fail(f"message of impossible length {length}")
            return None
        if len(data) < length:
            return None
        raw = bytes(data[:length])
        del data[:length]
        return raw

    # --- transitions; each returns whether the switch has to see the message

    def _first_hello(self, raw: bytes) -> bool:
        offered = decode_hello(raw)
        common = self.allowed & offered
        if not common:
            self._incompatible(
                raw,
                f"We support version {_versions(self.allowed)}, "
                f"you support version {_versions(offered)}, no common versions.",
            )
            return False
        self.version = max(common)
        if self.log:
            self.log.negotiated(self.version, self.allowed, offered)
        return False

    def _another_hello(self, raw: bytes) -> bool:
        """Before anything else, a second HELLO may lower the version; others are refused."""
        common = self.allowed & decode_hello(raw)
        if self._only_hellos and common and max(common) < self.version:
            self.version = max(common)
        else:
            self._refuse(raw, BAD_TYPE)
        return False

    def _not_hello(self, raw: bytes) -> bool:
        self._incompatible(raw, "the first message must be HELLO")
        return False

    def _echo(self, raw: bytes) -> bool:
        self._only_hellos = False
        if raw[0] not in VERSION_NAMES:
            return self._message(raw)
        reply = bytearray(raw)
        reply[1] = OFPT_ECHO_REPLY
        self._queue(bytes(reply))
        return self.tells_echoes and raw[0] == self.version

    def _echo_reply(self, raw: bytes) -> bool:
        return self.tells_echoes

    def _peer_error(self, raw: bytes) -> bool:
        return self.version is not None

    def _peer_refused(self, raw: bytes) -> bool:
        text = raw[12 : 12 + MOST_TEXT].decode("utf-8", "replace").rstrip("\0")
        self.fail(f"peer refused the version: {text}" if text else "peer refused the version")
        return False

    def _message(self, raw: bytes) -> bool:
        self._only_hellos = False
        if raw[0] != self.version:
            self._refuse(raw, BAD_VERSION)
            return False
        return True

    def _refuse(self, raw: bytes, code: int) -> None:
        """An error of type OFPET_BAD_REQUEST, in the message's version if there is such a one."""
        xid = int.from_bytes(raw[4:8], "big")
        version = raw[0] if raw[0] in VERSION_NAMES else self.version
        self._queue(encode_error(version, BAD_REQUEST, code, raw[:MOST_RETURNED], xid))

    def _ignore(self, raw: bytes) -> bool:
        return False

    def _incompatible(self, raw: bytes, text: str) -> None:
        """HELLO_FAILED, INCOMPATIBLE; what is queued still goes out before the socket closes."""
        version = max(self.allowed)
        xid = int.from_bytes(raw[4:8], "big")
        self._queue(encode_error(version, 0, 0, text.encode(), xid))
        self.fail(text)

    def fail(self, error: str) -> None:
        """Close, for this reason; a long reply stops where it is."""
        self.state = CLOSED
        self.error = self.error or error
        self._input.clear()
        self._replies.clear()

    # --- output

    def send(self, data: bytes) -> None:
        """Queue a whole message, or several."""
        if self.state is CLOSED:
            return
        backlog = self._backlog + len(data)
        if backlog > OUTPUT_LIMIT or (backlog > DUE and Backlog.total > TOTAL_LIMIT):
            NOT_READ.count += 1
            self.discard()
            self.fail("peer does not read")
            return
        self._queue(data)

    def discard(self) -> None:
        """Forget what is queued, and queue no more: the socket is gone, or nobody reads."""
        self.state = CLOSED
        self._output.clear()
        self._count(-self._backlog)

    def _count(self, size: int) -> None:
        self._backlog += size
        Backlog.total += size

    def send_packet_in(self, data: bytes) -> bool:
        """Queue a message that may be lost; False when the peer is too slow for it."""
        if self.state is not RUNNING or self._backlog > PACKET_IN_BACKLOG:
            self.n_packet_in_dropped += 1
            PACKET_INS_DROPPED.count += 1
            return False
        self._queue(data)
        return True

    def send_long(self, parts: Iterator[bytes]) -> None:
        """Queue a reply of many messages, which advance() makes as the peer reads."""
        if self.state is not CLOSED:
            self._replies.append(iter(parts))

    def _queue(self, data: bytes) -> None:
        self._output.append(data)
        self._count(len(data))
        self.n_sent += 1
        if self.snoop:
            self.snoop(data)
        if self.log:
            self.log.sent(data)

    @property
    def may_advance(self) -> bool:
        """Whether there is a long reply whose next part may be made."""
        return bool(self._replies) and self._backlog < REPLY_BACKLOG

    def advance(self) -> None:
        """Make one more part of the long reply; an exception of it is contained."""
        if not self.may_advance:
            return
        try:
            part = next(self._replies[0], None)
        except Exception:
            from pyvs import containment  # not above: commands, which answer nothing, start faster

            containment.caught("OpenFlow reply", f"in version {self.version}")
            self.fail("internal error")
            return
        if part is None:
            self._replies.popleft()
        else:
            self._queue(part)

    def pull(self, limit: int = 256 << 10) -> bytes:
        """About `limit` bytes to write now; b"" when there are none."""
        if not self._output:
            return b""
        parts, size = [], 0
        while self._output and size < limit:
            part = self._output.popleft()
            parts.append(part)
            size += len(part)
        self._count(-size)
        return b"".join(parts)

    def unpull(self, rest: bytes) -> None:
        """Give back what the socket did not take of pull()."""
        if rest:
            self._output.appendleft(rest)
            self._count(len(rest))

    @property
    def backlog(self) -> int:
        """Bytes queued for output."""
        return self._backlog

    @property
    def has_output(self) -> bool:
        return bool(self._output or self._replies)

    def probe(self) -> None:
        """Queue an ECHO_REQUEST, of the highest version while none is negotiated."""
        version = self.version or max(self.allowed)
        self.send(HEADER.pack(version, OFPT_ECHO_REQUEST, HEADER_SIZE, 0))


def _versions(versions: Iterable[int]) -> str:
    """For people, of what may be 256 versions."""
    shown = [VERSION_NAMES.get(v, f"0x{v:02x}") for v in sorted(versions)]
    return ", ".join(shown[:MOST_SHOWN]) + ", ..." * (len(shown) > MOST_SHOWN) or "none"


_EVENTS = {
    OFPT_HELLO: "hello",
    OFPT_ERROR: "error",
    OFPT_ECHO_REQUEST: "echo",
    OFPT_ECHO_REPLY: "echo reply",
}

_C = OFConnection
_TRANSITIONS = {
    (HELLO_WAIT, "hello"): (_C._first_hello, RUNNING),
    (HELLO_WAIT, "error"): (_C._peer_refused, CLOSED),
    (HELLO_WAIT, "echo"): (_C._not_hello, CLOSED),
    (HELLO_WAIT, "echo reply"): (_C._ignore, HELLO_WAIT),  # to a probe sent too early
    (HELLO_WAIT, "message"): (_C._not_hello, CLOSED),
    (RUNNING, "hello"): (_C._another_hello, RUNNING),
    (RUNNING, "error"): (_C._peer_error, RUNNING),
    (RUNNING, "echo"): (_C._echo, RUNNING),
    (RUNNING, "echo reply"): (_C._echo_reply, RUNNING),
    (RUNNING, "message"): (_C._message, RUNNING),
}
