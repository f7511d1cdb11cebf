"""A good client of a control socket."""

import json
import socket


def call(path, method, *params):
    """What a good client does; the reply's result."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(path)
        sock.sendall(json.dumps({"method": method, "params": params, "id": 0}).encode())
        data = b""
        while True:
            data += sock.recv(1 << 16) or _closed(method)
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            assert reply["error"] is None, reply
            return reply["result"]


def _closed(method):
    raise EOFError(f"no reply to {method}")
