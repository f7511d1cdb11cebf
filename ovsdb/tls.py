"""TLS of connections: files and their place, handshakes without blocking.

Peers identify themselves with certificates of one CA; the common name of a client's is its
name for RBAC.  `ssl` is slow to import, so only who uses TLS imports this module.
"""

import os
import select
import socket
import ssl
from typing import Any

from ovsdb.condition import Row
from ovsdb.rpc import Peer
from ovsdb.server import Connection, Loop, vlog
from ovsdb.tls_settings import TlsSettings
from pyvs import tls
from pyvs.log_limit import LimitedLog

_handshakes = LimitedLog(vlog, 5, 5)  # anybody may connect

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
CHUNK = 64 * 1024  # bytes given to OpenSSL, or asked for, at once


def new_context(loop: Loop, settings: TlsSettings, server_side: bool) -> ssl.SSLContext:
    """A context with the files as they are now; ValueError, OSError.

    While there is no certificate of the CA, and it may be taken from a peer, the context of a
    client verifies nothing: see TlsConnection.
    """
    files = {
        name: _resolve(loop, getattr(settings, name))
        for name in ("private_key", "certificate", "ca_cert")
    }
    missing = [name.replace("_", "-") for name, path in files.items() if not path]
    if missing:
        raise ValueError(f"TLS needs --{' and --'.join(missing)}")
    kind = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(kind)
    context.check_hostname = False  # certificates name switches, not hosts
    context.verify_mode = ssl.CERT_REQUIRED
    if settings.protocols:
        _set_protocols(context, settings.protocols)
    if settings.ciphers:
        context.set_ciphers(settings.ciphers)
    tls.load_identity(context, files["certificate"], files["private_key"], settings.peer_ca_cert)
    if files["ca_cert"] == "none" or (not server_side and to_bootstrap(loop, settings)):
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(files["ca_cert"])
    return context


def to_bootstrap(loop: Loop, settings: TlsSettings) -> str | None:
    """The file that the CA's certificate is yet to be saved in."""
    if not settings.bootstrap:
        return None
    path = _resolve(loop, settings.ca_cert)
    return path if path != "none" and not os.path.exists(path) else None


def _set_protocols(context: ssl.SSLContext, text: str) -> None:
    names = text.replace(",", " ").split()
    wanted = sorted(VERSIONS[name] for name in names if name in VERSIONS)
    if not wanted or len(wanted) != len(names):
        raise ValueError(f"{text}: unknown TLS protocol")
    context.minimum_version, context.maximum_version = wanted[0], wanted[-1]


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
        context: ssl.SSLContext,
        server_side: bool,
    ):
        sock.setblocking(False)
        wrapped = context.wrap_socket(sock, server_side=server_side, do_handshake_on_connect=False)
        super().__init__(loop, wrapped, session, probe)
        self._established = False
        self._bootstrap = None if server_side else to_bootstrap(loop, loop.tls)
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
