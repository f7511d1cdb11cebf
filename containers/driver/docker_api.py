"""What Docker knows of the driver's networks, asked of its Engine API (HTTP on a unix socket)."""

import http.client
import json
import socket
from typing import Any

from ..errors import Unavailable

SOCKET = "/var/run/docker.sock"
PATIENCE = 10  # seconds
MOST = 1 << 26  # bytes of an answer


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("docker", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _get(path: str, what: str) -> Any:
    connection = _Connection(path)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        body = answer.read(MOST + 1)
        if len(body) > MOST:
            raise Unavailable(f"{path}: {what}: more than {MOST} bytes")
        if answer.status != http.client.OK:
            raise Unavailable(f"{path}: {what}: status {answer.status}")
        return json.loads(body)
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise Unavailable(f"{path}: {error}") from None
    finally:
        connection.close()


def endpoints_of_networks(path: str, driver: str) -> dict[str, set[str]]:
    """{network: its endpoints} for all networks of a driver; raises Unavailable."""
    try:
        return {
            each["Id"]: _endpoints(_get(path, f"/networks/{each['Id']}"))
            for each in _get(path, "/networks")
            if each["Driver"] == driver
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{path}: the answer lacks something: {error}") from None


def _endpoints(network: dict[str, Any]) -> set[str]:
    """Those with a container, and those that wait for one."""
    return {each["EndpointID"] for each in (network["Containers"] or {}).values()}
