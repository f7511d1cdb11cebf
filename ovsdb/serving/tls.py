"""TLS of connections: files and their place, handshakes without blocking.

Peers identify themselves with certificates of one CA; the common name of a client's is its
name for RBAC.  `ssl` is slow to import, so only who uses TLS imports this module.
"""

import select
import socket
import ssl
from typing import Any

from ovsdb.data.condition import Row
from ovsdb.serving.rpc import Peer
from ovsdb.serving.server import Connection, Loop, vlog
from pyvs.log_limit import LimitedLog
from pyvs.streams import tls
from pyvs.streams.tls_settings import TlsSettings

_handshakes = LimitedLog(vlog, 5, 5)  # anybody may connect

CHUNK = 64 * 1024  # bytes given to OpenSSL, or asked for, at once


def contexts(loop: Loop) -> tls.Contexts:
    """Those of the server; its settings, and the databases that they name, may change."""
    if loop.tls_contexts is None:
        loop.tls_contexts = tls.Contexts(lambda: _resolved(loop))
    return loop.tls_contexts


def _resolved(loop: Loop) -> TlsSettings:
    """The settings with the names of files as the databases have them now; ValueError."""
    given = loop.tls
    settings = TlsSettings(
        *(_resolve(loop, each) for each in (given.private_key, given.certificate, given.ca_cert)),
        given.peer_ca_cert,
        given.bootstrap,
    )
    settings.protocols, settings.ciphers = given.protocols, given.ciphers
    return settings


def _resolve(loop: Loop, value: str | None) -> str:
    """A file's name; db:DB,TABLE,COLUMN stands for the one that a database names."""
    if value is None or not value.startswith("db:"):
        return value or ""
    database_name, _, rest = value.removeprefix("db:").partition(",")
    table_name, _, column = rest.partition(",")
    database = loop.service.databases.get(database_name)
    table = database.tables.get(table_name) if database is not None else None
    if table is None or column not in table.schema.columns:
        raise ValueError(f'"{value}": no such database, table or column')
    rows: list[Row] = list(table.rows.values())
    names = [atom for row in rows for atom in row[column] if type(atom) is str and atom]
    return names[0] if names else ""


class TlsConnection(Connection):
    """A connection inside TLS.  The handshake goes on while others are served."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        session: Peer,
        probe: int,
        server_side: bool,
    ):
        """ValueError or OSError when TLS is not possible: `sock` stays its caller's."""
        sock.setblocking(False)
        context = contexts(loop).get(server_side)
        wrapped = context.wrap_socket(sock, server_side=server_side, do_handshake_on_connect=False)
        super().__init__(loop, wrapped, session, probe)
        self._established = False
        self._bootstrap = None if server_side else tls.to_bootstrap(_resolved(loop))
        if not server_side:
            self._handshake()

    def ready(self, events: int) -> None:
        if self._established:
            super().ready(events)
        else:
            self._handshake()

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._set_mask(select.EPOLLIN)
        except ssl.SSLWantWriteError:
            self._set_mask(select.EPOLLOUT)
        except OSError as error:
            _handshakes.warn(f"{self.name}: TLS handshake failed: {error}")
            self.close(f"TLS handshake failed: {error}")
        else:
            if self._bootstrap:
                self._take_ca(self._bootstrap)
                return
            self._established = True
            self.session.client_id = _common_name(self._tls.getpeercert())
            self._set_mask(select.EPOLLIN)
            self.loop.dirty.add(self)
            super()._receive()

    def _take_ca(self, path: str) -> None:
        """Save the CA's certificate, and end this connection, which nobody has verified."""
        try:
            tls.bootstrap(self._tls, path)
        except tls.BootstrapError as error:
            vlog.err(f"{self.name}: could not bootstrap the CA certificate: {error}")
            self.close(f"could not bootstrap the CA certificate: {error}")
        else:
            vlog.info(f"{self.name}: bootstrapped the CA certificate to {path}")
            self.close(f"bootstrapped the CA certificate to {path}")

    @property
    def _tls(self) -> Any:
        return self.sock

    def flush(self) -> None:
        if not self._established and not self.session.closed:
            return
        super().flush()
        # What OpenSSL has read already makes no descriptor readable.
        if self.fd >= 0 and not self.session.backlog and self._tls.pending():
            super()._receive()

    def _read(self) -> bytes:
        try:
            data = self._tls.recv(CHUNK)
            while data and self._tls.pending():
                data += self._tls.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        return data

    def _write(self, output: list) -> int:
        if not self._established:
            raise BlockingIOError
        try:
            return self._tls.send(memoryview(output[0])[:CHUNK])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None


def _common_name(certificate: dict | None) -> str | None:
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return value
    return None
