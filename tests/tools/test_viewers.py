"""pyvs-exporter and pyvs-top without a switch: wrong words, and a machine without threads."""

import socket
import threading

import pytest

from pyvs_tools.exporter import http
from pyvs_tools.exporter import main as exporter
from pyvs_tools.top import main as top

DIGITS = "9" * 5000


@pytest.mark.parametrize(
    "main, option",
    [
        *((exporter.main, f"--listen={word}") for word in ("x", ":1", "h:", "h:65536")),
        (exporter.main, f"--listen=h:{DIGITS}"),
        *((top.main, f"--iterations={word}") for word in ("0", "00", "x", "-1", "1.5", DIGITS)),
        *((top.main, f"--delay={word}") for word in ("x", "", "0", "-3", "nan", "-inf")),
    ],
)
def test_wrong_words_are_refused_in_one_line(main, option, capsys):
    assert main([option]) == 1
    out, errors = capsys.readouterr()
    assert not out and errors.startswith("pyvs-") and errors.count("\n") == 1, errors[-300:]


def test_no_thread_costs_a_client_and_not_the_server(monkeypatch):
    server = http.Server(("127.0.0.1", 0), lambda path: (200, "text/plain", b"yes"))
    threading.Thread(target=server.serve, daemon=True).start()

    def ask():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            try:
                return b"".join(iter(lambda: client.recv(4096), b""))
            except ConnectionResetError:
                return b""

    def start(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert not any(ask() for _ in range(http.MOST + 2))
    assert ask().endswith(b"yes")
