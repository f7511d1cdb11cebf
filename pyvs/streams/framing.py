"""Splits a byte stream into JSON texts that follow each other with or without white space.

OVSDB's JSON-RPC has no other framing (RFC 7047 section 4).  Most messages are found and
parsed in one step; a scanner, which remembers how far it came, finds the ends of the rest.
"""

import re
from typing import Any

import orjson

from pyvs.streams.json_scan import may_be_one, scan

MAX_DEPTH = 1000
MAX_MESSAGE = 256 * 1024 * 1024  # bytes, where the owner of the stream does not say less

_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
# How many times to guess the end of a message by "}{" before scanning for it.
_GUESSES = 2


class FramingError(Exception):
    """The stream cannot be read on: it is not JSON, too deep or too long."""


class JsonStream:
    """feed() bytes as they come, then take the messages with next()."""

    __slots__ = (
        "_buffer",
        "_depth",
        "_found",
        "_fresh",
        "_in_string",
        "_limit",
        "_scanned",
        "_tried",
    )

    def __init__(self, limit: int | None = None):
        self._buffer = bytearray()
        self._fresh: bytes | None = None  # what came first into the empty buffer, not yet in it
        self._found: dict | None = None  # by peek()
        self._limit = limit or MAX_MESSAGE
        self._restart()

    def _restart(self) -> None:
        """Forget what was learnt about the message at the start of the buffer."""
        self._scanned = 0
        self._depth = 0
        self._in_string = False
        self._tried = False

    @property
    def pending(self) -> int:
        """The number of bytes that are not taken yet."""
        return self.waiting()

    def waiting(self) -> int:
        """As `pending`."""
        fresh = self._fresh
        waiting = len(self._buffer)
        return waiting if fresh is None else waiting + len(fresh)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        if self._fresh is not None:
            self._settle()
        if self._buffer or not data:
            self._buffer += data
        else:
            self._fresh = data

    def _settle(self) -> None:
        self._buffer += self._fresh  # type: ignore[arg-type]
        self._fresh = None

    def peek(self) -> bool:
        """Whether next() has a message.  Raises FramingError."""
        if self._found is None:
            self._found = self.next()
        return self._found is not None

    def next(self) -> Any:
        """The next JSON object, or None when it is not whole yet.  Raises FramingError."""
        if self._found is not None:
            found, self._found = self._found, None
            return found
        fresh = self._fresh
        if fresh is not None:
            if may_be_one(fresh):  # most often
                message = _loads(fresh)
                if message is not None:
                    self._fresh = None
                    return message
            self._settle()
        buffer = self._buffer
        if not buffer:
            return None
        if not self._tried:
            self._tried = True
            message = self._guess()
            if message is not None:
                return message
        end = self._scan()
        if end is None:
            if len(buffer) > self._limit:
                raise FramingError(f"message exceeds the limit of {self._limit} bytes")
            return None
        try:
            message = orjson.loads(memoryview(buffer)[:end])
        except orjson.JSONDecodeError as error:
            raise FramingError(f"error parsing stream: {error}") from None
        self._consume(end)
        return message

    def _guess(self) -> Any:
        """Try whether the buffer, or what is before a "}{" in it, is one whole message."""
        buffer = self._buffer
        at = buffer.find(b"}{") + 1
        if at == 0:
            return self._whole()
        for _ in range(_GUESSES):
            message = _loads(memoryview(buffer)[:at])
            if message is not None:
                self._consume(at)
                return message
            at = buffer.find(b"}{", at) + 1
            if at == 0:
                return self._whole()
        return None

    def _whole(self) -> Any:
        """The buffer as one message, or None."""
        buffer = self._buffer
        if buffer[-1] not in b"}\n":
            return None
        message = _loads(buffer)
        if message is not None:
            buffer.clear()
            self._tried = False
        return message

    def _consume(self, end: int) -> None:
        del self._buffer[:end]
        self._restart()

    def _scan(self) -> int | None:
        """Go on looking for the end of the first message; its offset, or None."""
        buffer = self._buffer
        at = self._scanned
        if self._depth == 0:
            start = _NOT_SPACE.search(buffer, at)
            if start is None:
                buffer.clear()
                self._restart()
                return None
            at = start.start()
            if buffer[at] != 0x7B:
                raise FramingError("message is not a JSON object")
        at, depth, in_string = scan(buffer, at, self._depth, self._in_string, MAX_DEPTH)
        if depth > MAX_DEPTH:
            raise FramingError(f"input exceeds maximum nesting depth {MAX_DEPTH}")
        if depth == 0:
            return at
        self._scanned, self._depth, self._in_string = at, depth, in_string
        return None


def _loads(data: Any) -> dict | None:
    """The JSON object that `data` is, or None."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return message if type(message) is dict else None
