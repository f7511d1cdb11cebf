"""Receives JSON-RPC at the speed of C.

The `ovs` library, where it has no compiled parser, reads JSON character by character in Python:
0.3 s for the status of 1,000 interfaces, in which no upcall is answered.  install() has its
sessions split and parse with pyvs.streams.framing instead.
"""

import errno
import os
from typing import Any

import ovs.json
import ovs.jsonrpc
import ovs.vlog

from pyvs.streams.framing import FramingError, JsonStream

vlog = ovs.vlog.Vlog("jsonrpc")

RECEIVE_BYTES = 1 << 16


class Connection(ovs.jsonrpc.Connection):
    """The library's Connection but for how it receives."""

    def __init__(self, stream: Any):
        super().__init__(stream)
        self._stream = JsonStream()

    def recv(self) -> tuple[int, Any]:
        """(0, message), or (errno or EOF, None); EAGAIN when there is no whole message."""
        while not self.status:
            try:
                found = self._stream.next()
            except FramingError as error:
                return self._fail(errno.EPROTO, f"error parsing stream: {error}")
            if found is not None:
                return self._message(found)
            error, data = self.stream.recv(RECEIVE_BYTES)
            if error == errno.EAGAIN:
                return error, None
            if error:
                return self._fail(error, f"receive error: {os.strerror(error)}")
            if not data:
                self.error(ovs.jsonrpc.EOF)
                break
            self.received_bytes += len(data)
            self._stream.feed(data)
        return self.status, None

    def recv_wait(self, poller: Any) -> None:
        try:
            has_message = bool(self.status) or self._stream.peek()
        except FramingError:  # found again by recv()
            has_message = True
        if has_message:
            poller.immediate_wake()
        else:
            self.stream.recv_wait(poller)

    def _message(self, found: Any) -> tuple[int, Any]:
        message = ovs.jsonrpc.Message.from_json(found)
        if not isinstance(message, ovs.jsonrpc.Message):
            return self._fail(errno.EPROTO, f"received bad JSON-RPC message: {message}")
        if vlog.dbg_is_enabled():
            vlog.dbg(f"{self.name}: received {message}")
        return 0, message

    def _fail(self, error: int, text: str) -> tuple[int, None]:
        vlog.warn(f"{self.name}: {text}")
        self.error(error)
        return self.status, None


def install() -> None:
    """For all sessions that are opened from now on in this process."""
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        ovs.jsonrpc.Connection = Connection
