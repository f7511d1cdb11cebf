"""--bootstrap-ca-cert and --peer-ca-cert: the CA's certificate comes with the first peer's."""

import errno
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

import ovs.stream
import pytest

from pyvs.process import options
from pyvs.streams import tls, tls_stream
from tests.authority import Authority, needs_openssl
from tests.ovsdb.ovsdb_world import Daemon, directory, wait_until
from tests.ovsdb.test_tls_rbac import SCHEMA

pytestmark = needs_openssl


def text(path):
    with open(path) as file:
        return file.read().strip()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def world():
    """(directory, authority, options of a server's own certificate, a file for the CA's)."""
    with directory() as path:
        authority = Authority(path)
        yield path, authority, authority.issue("server"), os.path.join(path, "learnt.pem")


@pytest.mark.parametrize("with_peer_ca", [False, True])
def test_clients_learn_from_the_server(world, with_peer_ca):
    path, authority, own, learnt = world
    port = free_port()
    more = [f"--peer-ca-cert={authority.path}/ca.pem"] if with_peer_ca else []
    server = Daemon("pyvs", path, SCHEMA, options=[*own, *more, f"--remote=pssl:{port}:127.0.0.1"])
    try:
        program = "import sys; from pyvs_tools.ovsdb.client import main; sys.exit(main())"
        identity = [each for each in authority.issue("client") if "ca-cert" not in each]
        command = [sys.executable, "-c", program, *identity, f"--bootstrap-ca-cert={learnt}"]
        for _ in range(2):
            done = subprocess.run(
                [*command, "list-dbs", f"ssl:127.0.0.1:{port}"], capture_output=True, text=True
            )
            assert done.stdout.split() == ["Rights", "_Server"], done.stderr
            assert text(learnt) == text(f"{authority.path}/ca.pem")
    finally:
        server.kill()


class Acceptor(threading.Thread):
    """A TLS server that counts the connections that send something."""

    def __init__(self, authority, chain):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = os.path.join(authority.path, "server")
        tls.load_identity(self.context, f"{own}.pem", f"{own}.key", chain)
        self.context.verify_mode = ssl.CERT_NONE
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.shaken = 0
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                with self.context.wrap_socket(sock, server_side=True) as wrapped:
                    self.shaken += 1
                    wrapped.recv(1)
            except OSError:
                if self.listener.fileno() < 0:
                    return


def test_the_server_learns_from_whom_it_connects_to(world):
    path, authority, own, learnt = world
    own = [each for each in own if not each.startswith("--ca-cert")]
    acceptor = Acceptor(authority, f"{authority.path}/ca.pem")
    remote = f"--remote=ssl:127.0.0.1:{acceptor.port}"
    server = Daemon("pyvs", path, SCHEMA, options=[*own, remote, f"--bootstrap-ca-cert={learnt}"])
    try:
        wait_until(lambda: os.path.exists(learnt) and text(learnt), "the certificate")
        assert text(learnt) == text(f"{authority.path}/ca.pem")
        wait_until(lambda: acceptor.shaken >= 2, "the second connection")
        assert "bootstrapped the CA certificate" in server.log
    finally:
        server.kill()
        acceptor.listener.close()


def test_a_peer_that_does_not_send_its_ca_teaches_nothing(world):
    path, authority, own, learnt = world
    own = [each for each in own if not each.startswith("--ca-cert")]
    acceptor = Acceptor(authority, None)
    remote = f"--remote=ssl:127.0.0.1:{acceptor.port}"
    server = Daemon("pyvs", path, SCHEMA, options=[*own, remote, f"--bootstrap-ca-cert={learnt}"])
    try:
        wait_until(lambda: "does not send its authority's certificate" in server.log, "the log")
        assert not os.path.exists(learnt)
    finally:
        server.kill()
        acceptor.listener.close()


def test_streams_of_the_library(world, monkeypatch):
    """What vswitchd's connections are made of."""
    _path, authority, own, learnt = world
    for name in ("_SSL_private_key_file", "_SSL_certificate_file", "_SSL_ca_cert_file"):
        monkeypatch.setattr(ovs.stream.Stream, name, None)
    monkeypatch.setattr(
        ovs.stream.Stream, "_SOCKET_METHODS", dict(ovs.stream.Stream._SOCKET_METHODS)
    )
    monkeypatch.setattr(tls_stream.TlsStream, "may_bootstrap", False)
    given = [tuple(each[2:].split("=")) for each in own if not each.startswith("--ca-cert")]
    options.use_ssl({name: [value] for name, value in [*given, ("bootstrap-ca-cert", learnt)]})
    acceptor = Acceptor(authority, f"{authority.path}/ca.pem")
    try:
        results = []
        for _ in range(2):
            error, stream = ovs.stream.Stream.open(f"ssl:127.0.0.1:{acceptor.port}")
            assert error == 0
            deadline = time.monotonic() + 20
            while (error := stream.connect()) == errno.EAGAIN:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            results.append(error)
            stream.close()
        assert results == [errno.EPROTO, 0]
        assert text(learnt) == text(f"{authority.path}/ca.pem")
    finally:
        acceptor.listener.close()
