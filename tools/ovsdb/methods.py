"""Connection methods, as ovsdb(7) has them, and the sockets that they mean."""

import os
import socket

from pyvs import digits, rundir
from pyvs.streams.short_path import ShortPath
from pyvs.streams.tls_settings import TlsSettings as Tls

DEFAULT_OVSDB_PORT = 6640


class ConnectError(Exception):
    """No connection could be made; str() is the reason, `remote` the method that failed, `errno`
    what the system said, None where it was not asked."""

    def __init__(self, remote, reason, errno=None):
        super().__init__(reason)
        self.remote = remote
        self.errno = errno


def split_remotes(text):
    """The connection methods in a list such as "tcp:[::1]:6640,unix:/x"; a comma counts only
    where a new method begins, because file names may contain commas."""
    parts = []
    for piece in text.split(","):
        scheme = piece.strip().split(":", 1)[0]
        if parts and scheme not in ("tcp", "ssl", "unix", "ptcp", "pssl", "punix"):
            parts[-1] += "," + piece
        else:
            parts.append(piece.strip())
    return parts


def host_port(text, default_port, remote):
    """(host, port) of "HOST[:PORT]", where an IPv6 address stands in brackets."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConnectError(remote, "bad address")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    port = port or str(default_port)
    number = digits.number(port, 65535)
    if number is None:
        raise ConnectError(remote, f"bad port number {port}")
    return host, number


def _unix(path, action):
    """Calls action(path), of a relative one that in the run directory (ovsdb(7))."""
    with ShortPath(os.path.join(rundir.rundir(), path)) as short:
        return action(short)


def _wrap_tls(sock, tls, server_side):
    from . import tls as ovsdb_tls

    return ovsdb_tls.wrap(sock, tls, server_side)


def _connect_inet(remote, rest):
    host, port = host_port(rest, DEFAULT_OVSDB_PORT, remote)
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _listen(remote, scheme, rest):
    """Waits for one connection on a passive method."""
    if scheme == "punix":
        server = socket.socket(socket.AF_UNIX)
        rest = os.path.join(rundir.rundir(), rest)
        with _suppress_missing():
            os.unlink(rest)
        _unix(rest, server.bind)
    else:
        port, _, host = rest.partition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, int(port or DEFAULT_OVSDB_PORT)))
    server.listen(1)
    try:
        return server.accept()[0]
    finally:
        server.close()
        if scheme == "punix":
            with _suppress_missing():
                os.unlink(rest)


class _suppress_missing:
    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        return kind is FileNotFoundError


def open_socket(remote, tls=None):
    """A connected socket for one connection method.  Raises ConnectError."""
    scheme, colon, rest = remote.partition(":")
    try:
        if not colon:
            raise ConnectError(remote, "Address family not supported by protocol")
        if scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            _unix(rest, sock.connect)
            return sock
        if scheme == "tcp":
            return _connect_inet(remote, rest)
        if scheme == "ssl":
            return _wrap_tls(_connect_inet(remote, rest), tls or Tls(), False)
        if scheme in ("punix", "ptcp"):
            return _listen(remote, scheme, rest)
        if scheme == "pssl":
            return _wrap_tls(_listen(remote, scheme, rest), tls or Tls(), True)
    except socket.gaierror as error:
        raise ConnectError(remote, error.strerror) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConnectError(remote, reason, getattr(error, "errno", None)) from None
    raise ConnectError(remote, "Address family not supported by protocol")
