"""An OpenFlow peer for tests: real bytes on a real socket, nothing done unasked.

`turn`, when given, is called while it waits: the switch under test, where that lives in the
test's own process.
"""

import contextlib
import itertools
import select
import socket
import time

from ofproto.codec import messages as m
from ofproto.codec.hello import encode_hello

SECONDS = 10.0
ECHO_REQUEST, ECHO_REPLY = 2, 3


class Closed(AssertionError):
    """The switch closed the connection."""


class Client:
    """`unasked` has the messages (decoded) that came while something else was waited for."""

    def __init__(self, sock, version=4, turn=None):
        self.sock = sock
        self.sock.setblocking(False)
        self.version = version
        self.turn = turn
        self.unasked = []
        self._input = b""
        self._xids = itertools.count(0x1000)

    @classmethod
    def unix(cls, path, version=4, turn=None):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        return cls(sock, version, turn)

    @classmethod
    def tcp(cls, port, version=4, turn=None):
        return cls(socket.create_connection(("127.0.0.1", port)), version, turn)

    # --- bytes

    def write(self, data):
        """Send all of these bytes."""
        deadline = time.monotonic() + SECONDS
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[self.sock.send(data) :]
                continue
            self._pause(deadline, self.sock, "room to write")

    def _pause(self, deadline, for_writing, what):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        if self.turn:
            self.turn()
        wanted = [for_writing] if for_writing else []
        select.select([self.sock], wanted, [], 0.002 if self.turn else 0.5)

    def read(self, what="a message", seconds=SECONDS):
        """The next message as bytes; echo requests are answered."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self._input) >= 8:
                length = int.from_bytes(self._input[2:4], "big")
                if len(self._input) >= length:
                    raw, self._input = self._input[:length], self._input[length:]
                    if raw[1] != ECHO_REQUEST:
                        return raw
                    self.write(raw[:1] + bytes([ECHO_REPLY]) + raw[2:])
                    continue
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                self._pause(deadline, None, what)
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(f"closed while waiting for {what}")
            self._input += data

    def closed(self):
        """Waits until the switch has closed the connection; the messages before that."""
        found = []
        with contextlib.suppress(Closed):
            while True:
                found.append(m.decode(self.read("the end")))
        return found

    # --- messages

    def hello(self, *versions):
        """The handshake: theirs is read, ours sent."""
        theirs = m.decode(self.read("HELLO"))
        assert isinstance(theirs, m.Hello), theirs
        self.write(encode_hello(versions or range(1, self.version + 1)))
        return theirs

    def send(self, message, **form):
        """Send a message, or bytes with any xid; returns the xid that it has now."""
        xid = next(self._xids)
        if not isinstance(message, bytes):
            message = message.encode(self.version, xid, **form)
        self.write(message[:4] + xid.to_bytes(4, "big") + message[8:])
        return xid

    def next(self):
        """The next message, decoded."""
        return self.unasked.pop(0) if self.unasked else m.decode(self.read())

    def reply(self, xid):
        """The message with this xid; lists in several parts are one."""
        found = None
        while True:
            message = m.decode(self.read(f"a reply with xid {xid:#x}"))
            if message.xid != xid:
                self.unasked.append(message)
                continue
            if found is None:
                found = message
            else:
                name = type(message).__slots__[0]
                getattr(found, name).extend(getattr(message, name))
            if not getattr(message, "more", False):
                return found

    def ask(self, message, **form):
        """Send, and wait for the reply."""
        return self.reply(self.send(message, **form))

    def barrier(self):
        """Waits until all that was sent is done; returns what came meanwhile and before."""
        assert isinstance(self.ask(m.BarrierRequest()), m.BarrierReply)
        found, self.unasked = self.unasked, []
        return found

    def do(self, *messages, **form):
        """Send these and a barrier: nothing may be said to them but that."""
        for message in messages:
            self.send(message, **form)
        found = self.barrier()
        errors = [each for each in found if isinstance(each, m.Error)]
        assert not errors, errors
        self.unasked = found

    def refused(self, message, **form):
        """The name of the error that answers a message; it must quote the message."""
        xid = next(self._xids)
        raw = message if isinstance(message, bytes) else message.encode(self.version, xid, **form)
        raw = raw[:4] + xid.to_bytes(4, "big") + raw[8:]
        self.write(raw)
        answer = self.reply(xid)
        assert isinstance(answer, m.Error), answer
        assert answer.data == raw[: len(answer.data)] and len(answer.data) >= min(64, len(raw))
        return answer.name

    def wait_for(self, kind):
        """The next message of this class that comes (or came) unasked."""
        for number, message in enumerate(self.unasked):
            if isinstance(message, kind):
                return self.unasked.pop(number)
        while True:
            message = m.decode(self.read(kind.__name__))
            if isinstance(message, kind):
                return message
            self.unasked.append(message)

    def close(self):
        self.sock.close()
