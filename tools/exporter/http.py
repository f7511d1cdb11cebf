"""As much of HTTP as a scrape needs, for clients that may be anybody.

A connection is one request of at most LARGEST bytes, which has to be there within PATIENCE, and one
answer; of connections there are at most MOST, and further ones are closed at once.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

LARGEST = 8192
PATIENCE = 5.0  # seconds, for the whole request, and for each piece of the answer to be taken
MOST = 16

Answer = tuple[int, str, bytes]  # status, type, body
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
            408: "Request Timeout", 431: "Request Header Fields Too Large",
            500: "Internal Server Error"}  # fmt: skip
_TEXT = "text/plain; charset=utf-8"


class RequestError(Exception):
    """`status` is what the client is answered."""

    def __init__(self, status: int):
        super().__init__(_REASONS[status])
        self.status = status


def read_request(client: socket.socket) -> tuple[str, str]:
    """(method, path) of a request, read up to its empty line."""
    octets, end = b"", time.monotonic() + PATIENCE
    while b"\r\n\r\n" not in octets and b"\n\n" not in octets:
        left = end - time.monotonic()
        if left <= 0:
            raise RequestError(408)
        client.settimeout(left)
        try:
            more = client.recv(LARGEST)
        except TimeoutError:
            raise RequestError(408) from None
        if not more:
            raise RequestError(400)
        octets += more
        if len(octets) > LARGEST:
            raise RequestError(431)
    words = octets.split(b"\n", 1)[0].decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise RequestError(400)
    return words[0], words[1].partition("?")[0]


class Server:
    """`respond(path)` gives the answer to a GET."""

    def __init__(self, address: tuple[str, int], respond: Callable[[str], Answer]):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=MOST)
        self._respond = respond
        self._places = threading.Semaphore(MOST)

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def serve(self) -> None:
        """For ever."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # no descriptor, or the client is gone already
                time.sleep(0.05)
                continue
            if not self._places.acquire(blocking=False):
                client.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()
            except RuntimeError:  # no thread is to be had
                self._places.release()
                client.close()
                time.sleep(0.05)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                method, (status, kind, body) = self._answer(client)
                head = (
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                client.settimeout(PATIENCE)
                client.sendall(head.encode() + (b"" if method == "HEAD" else body))
        finally:
            self._places.release()

    def _answer(self, client: socket.socket) -> tuple[str, Answer]:
        method = ""
        try:
            method, path = read_request(client)
            if method not in ("GET", "HEAD"):
                raise RequestError(405)
            return method, self._respond(path)
        except RequestError as error:
            return method, (error.status, _TEXT, f"{error}\n".encode())
        except Exception as error:  # a fault of ours is this client's answer, and nobody else's
            return method, (500, _TEXT, f"{type(error).__name__}\n".encode())
