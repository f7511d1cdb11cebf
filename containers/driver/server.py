"""HTTP on the plug-in's socket: POST with a JSON object, answered with one.

Each connection has a thread, and each call a database connection of its own, for Docker sends
several at once and each waits for the switch.
"""

import errno
import http.server
import io
import json
import os
import socket
import socketserver
import sys
import threading
import time
from typing import Any

import ovs.vlog

from pyvs import digits

from ..database import Database
from ..errors import BadRequest, Fault
from .calls import CALLS, answer
from .connections import Connections
from .state import DRIVER

vlog = ovs.vlog.Vlog("docker_driver")

MAX_BODY = 1 << 18
# Calls under way; others wait.
MAX_CALLS = 32
# Seconds in which a peer must have sent its request, and the next one on the same connection.
PATIENCE = 30
# accept(2): what passes when others close something, and how many seconds later it is tried again.
SCARCE, LATER = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM), 0.1
CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"


def driver_name(path: str) -> str:
    """By which name Docker calls the driver whose socket, or spec file, this is."""
    return os.path.basename(path).removesuffix(".sock").removesuffix(".spec")


class _Input(io.RawIOBase):
    """What a peer sends.  Between two reads it is known to be waited for, or not."""

    def __init__(self, connection: socket.socket, connections: Connections):
        self._socket, self._connections = connection, connections

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._connections.await_input(self._socket, PATIENCE):
            raise TimeoutError
        return self._socket.recv_into(buffer)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Input(self.connection, self.server.connections))

    def do_POST(self) -> None:
        """One call."""
        asked = self._body()
        with self.server.connections.call(self.connection):
            status, said = self._call(asked)
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _call(self, asked: Any) -> tuple[int, dict[str, Any]]:
        if self.path not in CALLS:
            return 404, {"Err": f"{self.path}: no such call"}
        try:
            if not isinstance(asked, dict):
                raise BadRequest("the request is not a JSON object")
            with self.server.calls, Database(self.server.remote) as database:
                return 200, answer(database, self.path, {**asked, DRIVER: self.server.name})
        except BadRequest as error:
            vlog.warn(f"{self.path}: {error}")
            return 400, {"Err": str(error)}
        except (Fault, OSError) as error:
            vlog.warn(f"{self.path}: {error}")
            return 500, {"Err": str(error)}
        except Exception as error:  # whatever it is, Docker waits for an answer
            vlog.exception(self.path)
            return 500, {"Err": f"internal error: {type(error).__name__}: {error}"}

    def _body(self) -> Any:
        """What was sent, or None where it is no JSON or too long (then the connection ends)."""
        text = self.headers.get("Content-Length", "0")
        size = digits.number(text, MAX_BODY)
        if size is None or "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close_connection = True
            return None
        try:
            return json.loads(self.rfile.read(size) or b"{}")
        except (ValueError, RecursionError):
            return None

    def address_string(self) -> str:
        return "docker"

    def log_message(self, format: str, *arguments: Any) -> None:
        vlog.dbg(format % arguments)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Listens at `path`, which is this process' until close().

    `spec` is a file by which Docker finds it (Docker's "Plugin discovery"), as it has to where the
    socket is not in /run/docker/plugins.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, remote: str | None, spec: str | None = None):
        self.remote = remote
        self.path, self.spec = path, spec
        self.name = driver_name(spec or path)
        self.calls = threading.BoundedSemaphore(MAX_CALLS)
        self.connections = Connections(PATIENCE)
        self._remove_dead_socket()
        super().__init__(path, _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        if spec:
            os.makedirs(os.path.dirname(spec), exist_ok=True)
            with open(spec, "w") as file:
                file.write(f"unix://{path}\n")

    def _remove_dead_socket(self) -> None:
        """A socket that nobody listens on any more is in the way; a living one is another's."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.path)
            except ConnectionRefusedError:
                os.unlink(self.path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(self.path), exist_ok=True)

    def get_request(self) -> tuple[socket.socket, Any]:
        """accept(2); raises OSError, which means that there is none, or no room."""
        if not self.connections.make_room():
            raise BlockingIOError
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in SCARCE:
                self.connections.cut_oldest()
                time.sleep(LATER)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.connections.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        self.connections.remove(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second, and after each connection."""
        self.connections.cut_overdue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            vlog.dbg("a connection ended in the middle of a request")
        else:
            vlog.exception("a request ended")

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()
        for path in filter(None, (self.path, self.spec)):
            os.unlink(path)
