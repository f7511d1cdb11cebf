"""A small blocking JSON-RPC client for OVSDB servers (RFC 7047 section 4).

The commands start often and live briefly, so this needs nothing but `socket` and `json`.
One request is outstanding at a time; echo requests of the server are answered on the way,
other notifications are kept until somebody asks for them.
"""

import json

from .methods import ConnectError, Tls, open_socket, split_remotes

__all__ = ["Client", "ConnectError", "Disconnected", "RpcError", "Tls", "connect", "open_socket"]
_READ = 1 << 18


class Disconnected(Exception):
    """The peer closed the connection, or broke the protocol."""


class RpcError(Exception):
    """The peer answered with an error; `error` is its JSON value."""

    def __init__(self, error):
        super().__init__(json.dumps(error, separators=(",", ":"), ensure_ascii=False))
        self.error = error


class Client:
    """One connection.  `trace`, when given, is called with each message as text."""

    def __init__(self, sock, remote, trace=None):
        self.sock = sock
        self.remote = remote
        self.trace = trace
        self.pending = []  # notifications not yet fetched
        self._buffer = b""
        self._messages = []
        self._next_id = 0
        self._decoder = json.JSONDecoder()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def send(self, message):
        """Sends one JSON-RPC message (a dict)."""
        text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
        if self.trace:
            self.trace(f"{self.remote}: send {text}")
        try:
            self.sock.sendall(text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise Disconnected(error.strerror or str(error)) from None

    def _parse(self):
        # A message ends with "}": trying to parse only then keeps large replies linear.
        if not self._buffer.rstrip().endswith(b"}"):
            return
        try:
            text = self._buffer.decode()
        except UnicodeDecodeError:
            raise Disconnected("invalid UTF-8 from server") from None
        position, messages = 0, []
        while position < len(text):
            if text[position] in " \t\r\n":
                position += 1
                continue
            try:
                message, position = self._decoder.raw_decode(text, position)
            except json.JSONDecodeError:
                if text[position] != "{":
                    raise Disconnected("invalid JSON from server") from None
                break
            except RecursionError:
                raise Disconnected("too deeply nested JSON from server") from None
            if not isinstance(message, dict):
                raise Disconnected("message from server is not a JSON object")
            messages.append(message)
        self._buffer = text[position:].encode()
        self._messages += messages

    def fetch(self):
        """Reads what the server has sent, at least a byte; blocks."""
        try:
            data = self.sock.recv(_READ)
        except OSError as error:
            raise Disconnected(error.strerror or str(error)) from None
        if not data:
            raise Disconnected("End of file")
        self._buffer += data
        self._parse()

    def receive(self):
        """The next message, whatever it is; blocks."""
        while not self._messages:
            self.fetch()
        message = self._messages.pop(0)
        if self.trace:
            self.trace(f"{self.remote}: received {json.dumps(message, ensure_ascii=False)}")
        return message

    def has_message(self):
        """True when receive() would return without reading from the socket."""
        return bool(self._messages)

    def _answer(self, message):
        """Answers an echo; keeps any other notification."""
        if message.get("method") == "echo" and message.get("id") is not None:
            self.send({"id": message["id"], "result": message.get("params", []), "error": None})
        elif "method" in message:
            self.pending.append(message)

    def request(self, method, params):
        """The result of a call.  Raises RpcError, Disconnected."""
        self._next_id += 1
        identity = self._next_id
        self.send({"method": method, "params": params, "id": identity})
        while True:
            message = self.receive()
            if "method" in message or message.get("id") != identity:
                self._answer(message)
                continue
            if message.get("error") is not None:
                raise RpcError(message["error"])
            return message.get("result")

    def post(self, method, params):
        """Sends a call whose reply nobody looks at."""
        self._next_id += 1
        self.send({"method": method, "params": params, "id": self._next_id})

    def has_some(self):
        """Whether there is something for ready() to look at."""
        return bool(self.pending or self._messages)

    def ready(self):
        """The next notification of what was read, or None."""
        while not self.pending and self._messages:
            self._answer(self.receive())
        return self.pending.pop(0) if self.pending else None

    def notification(self):
        """The next notification (a dict with method and params); blocks."""
        while not self.pending:
            self._answer(self.receive())
        return self.pending.pop(0)


def _is_leader(client, database):
    """False when the server is a follower or disconnected member of a cluster."""
    try:
        select = {
            "op": "select",
            "table": "Database",
            "where": [["name", "==", database]],
            "columns": ["model", "connected", "leader"],
        }
        rows = client.request("transact", ["_Server", select])[0]["rows"]
    except (RpcError, KeyError, IndexError, TypeError):
        return True
    return not rows or rows[0].get("model") != "clustered" or bool(rows[0].get("leader"))


def connect(remotes, tls=None, trace=None, database=None):
    """A Client for the first method of the list `remotes` (text, comma-separated) that works.
    With several methods and a `database`, cluster members that do not lead are passed over.
    Raises ConnectError of the last one."""
    methods = split_remotes(remotes)
    failure = None
    for remote in methods:
        try:
            client = Client(open_socket(remote, tls), remote, trace)
        except ConnectError as error:
            failure = error
            continue
        if len(methods) == 1 or database is None or _is_leader(client, database):
            return client
        client.close()
        failure = ConnectError(remote, "not the cluster leader")
    raise failure
