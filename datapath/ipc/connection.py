"""A connection to datapath.sock: requests, each of which waits for its answer, but not for ever."""

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from os import PathLike
from typing import ClassVar

from datapath.ipc import protocol
from pyvs.streams.short_path import ShortPath

TIMEOUT = 10.0  # seconds to wait for an answer, for who can wait
# Requests for which the kernel makes or takes devices, or whose answer is of no use when it comes
# late: who has no time gives them that more.
SLOW = (
    "port_add", "port_del", "upcall_register", "kernel_cache_set", "kernel_cache_hand_over",
    "dp_add", "dp_del",
)  # fmt: skip
SLOWER = 20
SOON = 0.05  # seconds without an answer after which who waits in steps lets others go on,
LONGEST = 2.0  # and those after which it waits no longer
NO_ANSWER = "the datapath process does not answer"
RECEIVE = 1 << 18  # bytes at once


class DpifError(OSError):
    """The datapath process refused a request: `errno`, and `strerror` in its words."""


class DpifStalled(TimeoutError):
    """The datapath process has not answered yet: the connection goes on, but takes no request
    until the answer is there (Connection.settled)."""


class Connection:
    """Every request may raise DpifError, and ConnectionError or TimeoutError when the process is
    gone; then this object is of no more use."""

    # While somebody runs who can wait in steps: waits for a moment, and lets others go on.
    waits: ClassVar[Callable[["Connection"], None] | None] = None

    def __init__(self, path: str | PathLike[str], patience: float | None = None) -> None:
        """`patience`: seconds after which a request raises DpifStalled; None: it waits TIMEOUT,
        and the connection ends then."""
        self.path = os.fspath(path)
        self.patience = patience
        self.unanswered: str | None = None  # the request whose answer is outstanding
        self._awaited: list | None = None  # where that is to go
        self.late: dict[bytes, protocol.FlowInfo] = {}  # by ufid: deletions answered late
        self.sending: list[int] = []  # descriptors that go with the next request
        self.buffer = bytearray()
        self.receiver = protocol.Receiver(RECEIVE, protocol.MAX_FDS)
        self.seq = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT if patience is None else patience)
        try:
            with ShortPath(self.path) as short:
                self.sock.connect(short)
        except OSError:
            self.sock.close()
            raise

    def close(self) -> None:
        """End it; the datapath goes on.  Idempotent."""
        self.sock.close()

    def fileno(self) -> int:
        """The socket's: readable when the process has gone."""
        return self.sock.fileno()

    def alive(self) -> bool:
        """Whether the process is still there."""
        if self.sock.fileno() < 0:
            return False
        try:
            if not self._is_readable():
                return True
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    # --- requests

    def _send(self, op, data, words):
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        message = protocol.encode({"op": op, **words}, data, self.seq)
        if len(message) > protocol.MAX_REQUEST:
            # The process would end the connection, and the next one that asks for the same.
            raise DpifError(errno.EMSGSIZE, f"{op}: a request of {len(message)} bytes")
        if self.sending:  # they go with a request that is small
            socket.send_fds(self.sock, [message], self.sending)
        else:
            self.sock.sendall(message)

    def _read(self, fds):
        if not self.receiver.receive(self.sock, self.buffer, fds):
            raise ConnectionResetError(104, "the datapath process closed the connection")

    def _is_readable(self):
        """The socket has a timeout, which recv() would wait for whatever its flags are."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def _receive(self, fds):
        while (message := protocol.decode(self.buffer)) is None:
            self._read(fds)
        if message[2] != self.seq:
            raise protocol.ProtocolError(f"answer {message[2]} to request {self.seq}")
        return self._checked(message)

    def _checked(self, message):
        body, data, _seq = message
        if "error" in body:
            raise DpifError(body["error"], body.get("text", os.strerror(body["error"])))
        return body, data

    def _request(self, op, data=b"", fds=None, patience=None, **words):
        """One request and its answer, (body, data).  `patience`: another than the usual one."""
        received = [] if fds is None else fds
        if not self.settled():
            self._wait_until(lambda: self.unanswered is None)
        try:
            self._send(op, data, words)
            return self._answer(op, received, patience)
        except DpifStalled:
            raise
        except (TimeoutError, ConnectionError, protocol.ProtocolError) as error:
            # What comes later would answer another question.
            self.sock.close()
            if isinstance(error, protocol.ProtocolError):
                raise ConnectionResetError(104, str(error)) from None
            raise
        finally:
            if fds is None:
                for fd in received:
                    os.close(fd)

    def _answer(self, op, fds, patience):
        if self.patience is None:
            return self._receive(fds)
        if patience is None:
            patience = self.patience * (SLOWER if op in SLOW else 1)
        self.sock.settimeout(patience if Connection.waits is None else SOON)
        try:
            return self._receive(fds)
        except TimeoutError:
            self.unanswered = op
            if Connection.waits is None:
                raise DpifStalled(110, NO_ANSWER) from None
        finally:
            self.sock.settimeout(self.patience)
        return self._late_answer()

    def _wait_until(self, is_there: Callable[[], bool]) -> None:
        """In steps.  Raises DpifStalled, and ConnectionError when it ends meanwhile."""
        end = time.monotonic() + LONGEST
        while not is_there():
            if self.sock.fileno() < 0:
                raise ConnectionResetError(104, "lost the datapath process")
            if Connection.waits is None or time.monotonic() >= end:
                raise DpifStalled(110, NO_ANSWER)
            Connection.waits(self)

    def _late_answer(self):
        """The outstanding one, which settled() takes."""
        here = self._awaited = []
        try:
            self._wait_until(lambda: bool(here))
        finally:
            if self._awaited is here:
                self._awaited = None
        return self._checked(here[0])

    def settled(self) -> bool:
        """Whether no answer is outstanding; does not wait for one.  Raises ConnectionError."""
        fds = []
        if self.unanswered is None:
            return True
        if self.sock.fileno() < 0:
            raise ConnectionResetError(104, "the connection is closed")
        try:
            while (message := protocol.decode(self.buffer)) is None:
                if not self._is_readable():
                    return False
                self._read(fds)
        except (ConnectionError, protocol.ProtocolError) as error:
            self.sock.close()
            raise ConnectionResetError(104, str(error)) from None
        finally:
            for fd in fds:
                os.close(fd)
        if self._awaited is not None:
            self._awaited.append(message)
            self._awaited = None
        elif self.unanswered == "flow_del_many" and "error" not in message[0]:
            self._keep_late(protocol.terse_flows(message[1]))
        self.unanswered = None
        return True

    def _keep_late(self, gone: Iterable[protocol.FlowInfo]) -> None:
        """What was deleted, for the next flow_del_many()."""
        for info in gone:
            first = self.late.get(info.ufid)
            self.late[info.ufid] = protocol.followed_by(first, info) if first else info
