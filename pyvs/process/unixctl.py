"""The server of control sockets: JSON-RPC requests whose methods are the commands that were
registered with ovs.unixctl.command_register.

In place of the `ovs` library's own server, whose connections end the daemon by a request that it
cannot answer, and which reads JSON character by character.  The commands' callbacks are called
alike: callback(connection, arguments, aux), and reply by connection.reply(text) or
connection.reply_error(text), at once or later.
"""

import errno
import os
import re
import select
import socket
from typing import Any

import ovs.unixctl
import ovs.vlog

from pyvs import containment, coverage
from pyvs.log_limit import LimitedLog
from pyvs.streams import json_text
from pyvs.streams.framing import FramingError, JsonStream
from pyvs.streams.listener import Listener

vlog = ovs.vlog.Vlog("unixctl")
_syntax = LimitedLog(vlog, 5, 5)

REQUESTS = coverage.counter("unixctl_received")

MOST_CLIENTS = 64
MAX_REQUEST = 1 << 18  # bytes; arguments are typed by people and scripts
# Characters of the arguments, frames aside: to read as many as a flow takes about 15 ms.
MOST_TEXT = 1 << 14
MESSAGES_PER_TURN = 10
_RECEIVE = 1 << 16
_FORMATS = ("text", "json")
_FRAME = re.compile("[0-9A-Fa-f]{2048,}")


def escaped(text: str) -> bytes:
    """What stands between the quotes of a JSON string."""
    try:
        return json_text.dumps(text)[1:-1]
    except (TypeError, ValueError):  # a file's name that is not UTF-8
        return json_text.dumps(text.encode(errors="backslashreplace").decode())[1:-1]


def _lines(body: str | None) -> str:
    """Clients print it as it is: the last line ends, too."""
    return body + "\n" if body and not body.endswith("\n") else body or ""


class Connection:
    """A client; it has one request answered after the other."""

    def __init__(self, sock: socket.socket, name: str):
        self.name = name
        self._sock = sock
        self._stream = JsonStream(MAX_REQUEST)
        self._output = bytearray()
        self._id: Any = None
        self.pending = False  # a request was not answered yet
        self.closed = False
        self._as_json = False

    # --- for commands

    def reply(self, body: str | None) -> None:
        """Answer the request."""
        self.reply_escaped([escaped(_lines(body))])

    def reply_escaped(self, pieces: list[bytes]) -> None:
        """The same; of a long text, pieces that escaped() gave."""
        before, after = b'"', b'"'
        if self._as_json:
            before, after = b'{"reply-format":"plain","reply":"', b'"}'
        self._answer("success", [b'"result":', before, *pieces, after, b',"error":null'])

    def reply_error(self, body: str | None) -> None:
        """Refuse the request."""
        self._answer("error", [b'"result":null,"error":"', escaped(_lines(body)), b'"'])

    def _answer(self, kind: str, members: list[bytes]) -> None:
        if self.closed or not self.pending:
            return
        self.pending = False
        if vlog.dbg_is_enabled():
            vlog.dbg(f"replying with {kind}")
        for part in (b'{"id":', json_text.dumps(self._id), b",", *members, b"}"):
            self._output += part
        self._send()

    # --- for the server

    def run(self) -> None:
        """Serve what came; closes itself when the client has gone or makes no sense."""
        if self._output and not self._send():
            return
        if self.pending:
            if _hung_up(self._sock):
                self.close()
            return
        for _ in range(MESSAGES_PER_TURN):
            try:
                message = self._stream.next()
            except FramingError as error:
                self._refuse(str(error))
                return
            if message is None:
                if not self._receive():
                    return
                continue
            self._handle(message)
            if self.closed or (self._output and not self._send()) or self.pending:
                return

    def _receive(self) -> bool:
        """Whether something was there to receive."""
        try:
            data = self._sock.recv(_RECEIVE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._stream.feed(data)
        return True

    def _send(self) -> bool:
        """Whether everything has been sent."""
        try:
            while self._output:
                del self._output[: self._sock.send(self._output)]
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def _refuse(self, reason: str) -> None:
        _syntax.warn(f"{self.name}: {reason}")
        self.close()

    def _handle(self, message: dict) -> None:
        method, params = message.get("method"), message.get("params")
        self._id = message.get("id")
        if type(method) is not str or type(params) is not list or self._id is None:
            self._refuse("received what is not a request")
            return
        REQUESTS.count += 1
        if vlog.dbg_is_enabled():
            vlog.dbg(f"received request {method}[{', '.join(map(str, params))}]")
        self.pending = True
        error = self._call(method, params)
        if error:
            self.reply_error(error)

    def _call(self, method: str, params: list) -> str | None:
        command = ovs.unixctl.commands.get(method)
        if command is None:
            hint = 'use "list-commands" to see a list of valid commands'
            return f'"{method}" is not a valid command ({hint})'
        if len(params) < command.min_args:
            return f'"{method}" command requires at least {command.min_args} arguments'
        if len(params) > command.max_args:
            return f'"{method}" command takes at most {command.max_args} arguments'
        if not all(type(each) is str for each in params):
            return f'"{method}" command has non-string argument'
        if _texts(params) > MOST_TEXT:
            return f'"{method}" command takes at most {MOST_TEXT} characters besides frames'
        try:
            command.callback(self, params, command.aux)
        except Exception as error:
            containment.caught("unixctl command", f"{method} {' '.join(params)}")
            return f"{method}: internal error ({type(error).__name__}: {error})\n"
        return None

    def set_format(self, words: list[str]) -> None:
        """set-options --format text|json"""
        name, equals, value = words[0].partition("=")
        value = value if equals else words[1] if len(words) == 2 else ""
        if name != "--format" or value.lower() not in _FORMATS or len(words) > 2 - bool(equals):
            self.reply_error("usage: set-options --format text|json\n")
            return
        self._as_json = value.lower() == "json"
        self.reply(None)

    def wait(self, poller: Any) -> None:
        """Wake up when run() has something to do."""
        if self._output:
            poller.fd_wait(self._sock, select.POLLOUT)
        elif self.pending:
            poller.fd_wait(self._sock, 0)  # an end is told anyway
        elif self._stream.pending and self._has_message():
            poller.immediate_wake()
        else:
            poller.fd_wait(self._sock, select.POLLIN)

    def _has_message(self) -> bool:
        try:
            return self._stream.peek()
        except FramingError:
            return True  # run() finds it again

    def close(self) -> None:
        """End the connection; an answer that comes later goes nowhere."""
        self.closed = True
        self._sock.close()


def _texts(words: list[str]) -> int:
    """The size of all together but those that are one hex number, which costs little to read."""
    return sum(len(word) for word in words if not _FRAME.fullmatch(word))


def _hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))


class Server:
    """Listens on a path; run() and wait(poller) in a daemon's loop."""

    def __init__(self, path: str):
        self._listener = Listener(f"punix:{path}", 0, MOST_CLIENTS)
        self._connections: list[Connection] = []
        ovs.unixctl.command_register(
            "set-options",
            "[--format text|json]",
            1,
            2,
            lambda connection, words, _aux: connection.set_format(words),
            None,
        )

    def run(self) -> None:
        """Accept clients, serve them."""
        for _ in range(MOST_CLIENTS):
            accepted = self._listener.accept(len(self._connections))
            if accepted is None:
                break
            self._connections.append(Connection(accepted.sock, accepted.name))
        for connection in list(self._connections):
            try:
                connection.run()
            except Exception:
                containment.caught("unixctl connection", connection.name)
                connection.close()
            if connection.closed:
                self._connections.remove(connection)
                self._listener.resume()

    def wait(self, poller: Any) -> None:
        """Wake up for a client."""
        self._listener.wait(poller)
        for connection in self._connections:
            connection.wait(poller)

    def close(self) -> None:
        """End all connections, stop listening."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._listener.close()


def listen(path: str) -> Server:
    """A server on a socket of this path; OSError, which names it."""
    try:
        return Server(path)
    except OSError as error:
        code = error.errno or errno.EINVAL
        raise OSError(code, error.strerror or os.strerror(code), path) from error
