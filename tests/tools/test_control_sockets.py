"""Commands to control sockets, and what daemons of all kinds may answer."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from pyvs_tools.control import Control, Disconnected, Refused


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serves one connection that is answered with given pieces; returns what was asked."""
    monkeypatch.setenv("PYVS_RUNDIR", str(tmp_path))
    asked = []

    def serve(*pieces):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s.ctl"))
        listener.listen()

        def answer():
            with listener, listener.accept()[0] as peer:
                asked.append(json.loads(peer.recv(1 << 16).decode(errors="surrogateescape")))
                for piece in pieces:
                    peer.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        threads.append(thread)
        return asked

    threads = []
    yield serve
    for thread in threads:
        thread.join(10)


ANSWERED = [
    ([b'{"id":0,"result":"","error":null}'], ""),
    ([b'{"id":0,"result":"a\\nb\\n","error":null}'], "a\nb\n"),
    ([b'{"id":0,"result":"a\\\\n","error":null}'], "a\\n"),
    ([b'{"id":0,"result":"a\\"b","error":null}'], 'a"b'),
    ([b'{"id":0,"result":"","error":null}', b"\n"], ""),
    ([b'{"error":null,"id":0,"result":"x"}'], "x"),
    ([b' { "result" : "\xc3\xa9" , "error" : null, "id":0}'], "\xe9"),
    ([b'{"id":0,"result":"\xc3\xa9","error":null}'], "\xe9"),
    ([b'{"id":0,"result":{"a":[1]},"error":null}'], {"a": [1]}),
    ([b'{"id":0,"result":"x}', b'y","error":null}'], "x}y"),
    ([b'{"id":0,"result":"x","error":null}'[:-1], b"}"], "x"),
    ([b'{"id":0,"result":null,"error":null}'], None),
    ([b'{"id":0,"result":"a\\"}","error":null}'], 'a"}'),
    ([b'{"id":0,"result":"a\\"}', b'","error":null}'], 'a"}'),
    ([b'{"id":0,"result":{"a":{}', b',"b":1},"error":null}'], {"a": {}, "b": 1}),
    ([b'{"id":0,"result":"\\"","error":null} {"id":1}'], '"'),
]


@pytest.mark.parametrize(("pieces", "answer"), ANSWERED)
def test_answers(served, pieces, answer):
    asked = served(*pieces)
    control = Control("s.ctl")
    assert control.request("a/b", ["x", "-1"]) == answer
    control.close()
    assert asked == [{"id": 0, "method": "a/b", "params": ["x", "-1"]}]


@pytest.mark.parametrize(
    "word", ["", "a b", 'a"b', "a\\b", "\xe9", "a\nb", "\udcff", "\x7f", "\u2028"]
)
def test_words(served, word):
    asked = served(b'{"id":0,"result":"","error":null}')
    assert Control("s.ctl").request("c", [word]) == ""
    assert asked[0]["params"] == [word]


@pytest.mark.parametrize(
    ("pieces", "error", "text"),
    [
        ([b'{"id":0,"result":null,"error":"no\\n"}'], Refused, "no\n"),
        ([b'{"error":"no \\"x\\"","id":0,"result":null}'], Refused, 'no "x"'),
        ([b'{"id":0,"result":null,"error":{"a":1}}'], Refused, '{"a":1}'),
        ([], Disconnected, "End of file"),
        ([b'{"id":0,"result":"x'], Disconnected, "End of file"),
        ([b"{}"], Disconnected, "message from server is no answer"),
        ([b'{"id":0,"result":tru}'], Disconnected, "invalid JSON from server"),
        ([b'{"id":' + b"1" * 5000 + b"}"], Disconnected, "invalid JSON from server"),
        ([b"[{}"], Disconnected, "message from server is not a JSON object"),
        ([b'{"id":0,"result":"\xff","error":null}'], Disconnected, "invalid UTF-8 from server"),
        ([b'{"a":' + b"[" * 100_000 + b"}"], Disconnected, "too deeply nested JSON from server"),
    ],
)
def test_no_answer(served, pieces, error, text):
    served(*pieces)
    with pytest.raises(error) as raised:
        Control("s.ctl").request("c", [])
    assert str(raised.value) == text


def test_a_long_path(tmp_path, monkeypatch):
    """Longer than an address of a socket may be."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    monkeypatch.chdir(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.ctl")
        listener.listen()
        Control(str(directory / "s.ctl")).close()
    with pytest.raises(FileNotFoundError):
        Control(str(directory / "other.ctl"))


def test_little_is_loaded():
    """A thousand commands in a row are usual: none of these is to be read for each."""
    program = (
        "import sys; before = set(sys.modules); import pyvs_tools.appctl;"
        "print(*sorted({'re', 'enum', 'json', 'socket', 'signal', 'collections', 'typing'}"
        " & set(sys.modules) - before))"
    )
    command = [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}; {program}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == []
