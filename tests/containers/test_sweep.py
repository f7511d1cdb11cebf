"""The sweep of what Docker has forgotten, with answers of Docker's that are made up here."""

import http.server
import socketserver
import threading

import pytest

from containers.database import Database
from containers.driver import calls, docker_api, state
from containers.driver.sweep import Sweep
from containers.errors import Unavailable


class Docker(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An Engine API that answers each GET with `answers[path]`."""

    daemon_threads = True

    def __init__(self, path):
        self.answers = {"/networks": b"[]"}
        super().__init__(path, _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def address_string(self):
        return "docker"

    def log_message(self, *_words):
        pass


@pytest.fixture
def docker(tmp_path):
    with Docker(str(tmp_path / "docker.sock")) as server:
        server.path = str(tmp_path / "docker.sock")
        yield server
        server.shutdown()


@pytest.mark.system
def test_each_driver_sweeps_its_own(bridge, docker):
    """Two Dockers have a driver each on one switch: neither takes the other's for forgotten."""
    remote = f"unix:{bridge.directory}/db.sock"
    with Database(remote) as database:
        for driver in ("pyvs", "other"):
            made = state.Network(id=f"n-{driver}", bridge="br0", mode="l2", driver=driver)
            state.keep(database, "br0", made)
            end = state.Endpoint(f"e-{driver}", made.id, [], "")
            state.keep(database, "br0", end)
        sweep = Sweep(remote, docker.path, "pyvs")
        for left in (2, 1):
            sweep.look()
            assert len(state.networks(database)) == len(state.endpoint_networks(database)) == left
        sweep.look()
        (network,) = state.networks(database)
        assert network.driver == "other"
        assert state.endpoint_networks(database) == {"e-other": "n-other"}


@pytest.mark.system
def test_an_endpoint_that_is_not_in_its_container(bridge, docker, monkeypatch):
    """Docker has put it back, or is about to take it: while it knows it, it is to stay."""
    remote = f"unix:{bridge.directory}/db.sock"
    docker.answers = {
        "/networks": LIST,
        "/networks/n": b'{"Containers": {"ep-e": {"EndpointID": "e"}}}',
    }
    monkeypatch.setattr(calls, "put_back", lambda _database: {"e"})
    with Database(remote) as database:
        state.keep(database, "br0", state.Network(id="n", bridge="br0", mode="l2"))
        state.keep(database, "br0", state.Endpoint("e", "n", [], ""))
        sweep = Sweep(remote, docker.path, "pyvs")
        for _look in range(3):
            sweep.look()
            assert state.endpoint_networks(database) == {"e": "n"}
        docker.answers["/networks/n"] = b'{"Containers": {}}'
        sweep.look()
        assert state.endpoint_networks(database) == {} and len(state.networks(database)) == 1


LIST = b'[{"Id": "n", "Driver": "pyvs"}]'
LIES = {
    "no JSON": (b"<html>", b"{}"),
    "no list": (b"7", b"{}"),
    "no networks": (b'[{"Id": "n"}]', b"{}"),
    "a network that is gone": (LIST, None),
    "no containers": (LIST, b"{}"),
    "containers that are none": (LIST, b'{"Containers": {"x": 7}}'),
    "a pit": (b"[" * 100_000, b"{}"),
    "too much": (b" " * (docker_api.MOST + 1), b"{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_docker_that_does_not_say_decides_nothing(docker, lie):
    docker.answers = dict(zip(("/networks", "/networks/n"), LIES[lie], strict=True))
    with pytest.raises(Unavailable):
        docker_api.endpoints_of_networks(docker.path, "pyvs")


def test_a_docker_that_says(docker):
    docker.answers = {
        "/networks": LIST,
        "/networks/n": b'{"Containers": {"c": {"EndpointID": "e"}}}',
    }
    assert docker_api.endpoints_of_networks(docker.path, "pyvs") == {"n": {"e"}}
