"""A command to a daemon's control socket, and its answer: a message of JSON-RPC each.

Scripts run such commands by the thousand, and `json`, `re`, `enum` and `socket` are more than half
of what a run takes.  So words that JSON has as they stand are written and read as such; only what
has to be escaped is for `json`, and the socket is the one that `socket` wraps.
"""

import _socket
import os

from pyvs import rundir
from pyvs.streams.short_path import ShortPath

_READ = 1 << 18
_SPACE = 8  # bytes of an answer's end in which its last one that counts must be
_ANSWERS = (
    ("result", b'{"id":0,"result":"', b'","error":null}'),
    ("error", b'{"id":0,"result":null,"error":"', b'"}'),
)


class Refused(Exception):
    """The daemon answered with an error, which str() is."""


class Disconnected(Exception):
    """The daemon closed the connection, or what it said is no answer."""


class Control:
    """A connection to the control socket `path`; of a relative one, that in the run directory.
    OSError where there is none.  `timeout`: the seconds that a daemon may say nothing."""

    def __init__(self, path, timeout=None):
        self.remote = path
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            with ShortPath(os.path.join(rundir.rundir(), path)) as short:
                self._sock.connect(short)
            self._sock.settimeout(timeout)
        except OSError:
            self._sock.close()
            raise

    def close(self):
        self._sock.close()

    def request(self, command, args):
        """The answer: text, or any JSON value where the daemon was asked for that.  Raises Refused,
        Disconnected."""
        try:
            self._sock.sendall(_question(command, args))
            answer = self._receive()
        except OSError as error:
            raise Disconnected(error.strerror or str(error)) from None
        if "result" not in answer and "error" not in answer:
            raise Disconnected("message from server is no answer")
        if (error := answer.get("error")) is not None:
            raise Refused(error if isinstance(error, str) else _dump(error))
        return answer.get("result")

    def _receive(self):
        data = bytearray()
        while True:
            more = self._sock.recv(_READ)
            if not more:
                raise Disconnected("End of file")
            data += more
            if data[-_SPACE:].rstrip().endswith(b"}"):
                try:
                    answer = _plain_answer(data) or _answer(data)
                except UnicodeDecodeError:
                    raise Disconnected("invalid UTF-8 from server") from None
                if answer is not None:
                    return answer


def _is_plain(word):
    return word.isascii() and word.isprintable() and '"' not in word and "\\" not in word


def _question(command, args):
    words = [command, *args]
    if not all(map(_is_plain, words)):
        return _dump({"id": 0, "method": command, "params": list(args)}).encode(
            "utf-8", "surrogateescape"
        )
    params = ",".join(f'"{word}"' for word in args)
    return f'{{"id":0,"method":"{command}","params":[{params}]}}'.encode()


def _plain_answer(data):
    """What pyvs' daemons answer, where at most the ends of lines are escaped; None: it is else."""
    for name, head, tail in _ANSWERS:
        if data.startswith(head) and data.endswith(tail):
            text = data[len(head) : -len(tail)]
            if b'"' in text or text.count(b"\\") != text.count(b"\\n"):
                return None
            return {name: text.decode().replace("\\n", "\n")}
    return None


def _dump(value):
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _answer(data):
    """Any answer; None where it is not whole yet."""
    import json

    if not data.lstrip().startswith(b"{"):
        raise Disconnected("message from server is not a JSON object")
    text = data.decode().lstrip()
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except RecursionError:
        raise Disconnected("too deeply nested JSON from server") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated"):
            return None
        raise Disconnected("invalid JSON from server") from None
    except ValueError:  # a number that is too long
        raise Disconnected("invalid JSON from server") from None
