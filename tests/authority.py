"""A certificate authority for tests of TLS, by openssl's command."""

import os
import shutil
import socket
import struct
import subprocess

import pytest

from pyvs_tools.ovsdb import rpc as ovsdb_rpc

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed"
)

NEW = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, path):
        self.path = path
        self._openssl(f"{NEW} -x509 -days 2 -subj /CN=ca -keyout {path}/ca.key -out {path}/ca.pem")

    def _openssl(self, words):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)

    def issue(self, name):
        """Key and certificate of that name: the options for them."""
        base, ca = os.path.join(self.path, name), os.path.join(self.path, "ca")
        self._openssl(f"{NEW} -subj /CN={name} -keyout {base}.key -out {base}.csr")
        self._openssl(
            f"x509 -req -in {base}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2"
            f" -out {base}.pem"
        )
        return [
            f"--private-key={base}.key",
            f"--certificate={base}.pem",
            f"--ca-cert={self.path}/ca.pem",
        ]

    def settings(self, name):
        """ovsdb_rpc's settings."""
        self.issue(name)
        tls = ovsdb_rpc.Tls()
        tls.private_key, tls.certificate, tls.ca_cert = (
            os.path.join(self.path, file) for file in (f"{name}.key", f"{name}.pem", "ca.pem")
        )
        return tls


def resetting(address):
    """Calls connect() to this (host, port), and resets: before a byte, in the middle of a
    ClientHello, and behind a record that is none.  Yields before each reset, for the server to have
    its turn, or not."""
    for said in (b"", b"\x16\x03\x01\x02\x00\x01\x00", b"\x15\x03\x03\x00\x02\x02\x00", b"GET / "):
        for waits in (False, True):
            sock = socket.create_connection(address)
            sock.sendall(said)
            if waits:
                yield said
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
