"""Sockets of OpenFlow connections: targets as Open vSwitch writes them, non-blocking.

Active targets go through ovs.stream, passive ones through pyvs.streams.listener: ovs.stream
listens on neither IPv6 nor TLS, and its unix sockets take their permissions from the umask.
"""

import errno
import os
import socket
import ssl
from typing import Any

import ovs.stream
import ovs.vlog

from pyvs.log_limit import LimitedLog
from pyvs.streams import listener, resolver, tls_stream

limited = LimitedLog(ovs.vlog.Vlog("stream"), per_minute=5, burst=5)

OFP_PORT = 6653
ACTIVE = ("tcp", "ssl", "unix")
PASSIVE = ("ptcp", "pssl", "punix")


def kind(target: str) -> str:
    """ "active", "passive", or "" for a target of unknown form."""
    method, colon, _ = target.partition(":")
    if colon and method in ACTIVE:
        return "active"
    return "passive" if colon and method in PASSIVE else ""


def split_host(text: str) -> tuple[str, str]:
    """("HOST", "PORT") of `HOST[:PORT]` and `[IPV6][:PORT]`; "" for what is missing."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") > 1:  # a bare IPv6 address
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def needs_probes(target: str) -> bool:
    """Whether a dead peer would go unnoticed without inactivity probes."""
    return not target.startswith(("unix:", "punix:"))


class _NoLookup:
    """That of a unix socket."""

    def fileno(self) -> int:
        return -1

    def addresses(self) -> list[tuple[int, tuple | None]]:
        return [(socket.AF_UNIX, None)]

    def close(self) -> None:
        pass


def lookup(target: str) -> Any:
    """A resolver.Lookup of an active target's host.  Raises OSError for a target that cannot be."""
    method, _, rest = target.partition(":")
    if method not in ("tcp", "ssl"):
        return _NoLookup()
    host, port = split_host(rest)
    return resolver.Lookup(host, listener.parse_port(port, OFP_PORT))


def open_active(target: str, address: tuple, dscp: int | None = None) -> ovs.stream.Stream:
    """Begin to connect to one of the addresses that lookup() found.  Raises OSError."""
    if target.startswith("ssl:") and not ovs.stream.Stream._SSL_ca_cert_file:
        raise OSError(errno.ENOPROTOOPT, "Private key, certificate and CA are not configured")
    try:
        error, stream = ovs.stream.Stream.open(
            _numeric(target, address), ovs.stream.Stream.DSCP_DEFAULT if dscp is None else dscp
        )
    except ssl.SSLError as reason:
        raise OSError(errno.EPROTO, str(reason)) from reason
    except (ValueError, OverflowError) as reason:  # a host or port that cannot be
        raise OSError(errno.EINVAL, str(reason)) from reason
    if error:
        raise OSError(error, os.strerror(error))
    return stream


def _numeric(target: str, address: tuple) -> str:
    """The target with the host's address, so that nothing is left to look up."""
    family, found = address
    if family == socket.AF_UNIX:
        return target
    host, port = found[:2]
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return f"{target.partition(':')[0]}:{shown}:{port}"


class Listener:
    """A passive target, whose clients are streams.  Raises OSError when it cannot listen."""

    def __init__(self, target: str, most_clients: int | None = None):
        self.name = target
        if target.startswith("pssl:"):
            _server_context()  # tell at once what is missing
        self._listener = listener.Listener(target, OFP_PORT, most_clients)

    @property
    def port(self) -> int | None:
        """The TCP port that it listens on."""
        return self._listener.port

    def accept(self, clients: int = 0) -> ovs.stream.Stream | None:
        """The next connection, or None; `clients` are connected already."""
        accepted = self._listener.accept(clients)
        if accepted is None:
            return None
        sock, name = accepted
        if not self._listener.has_tls:
            return ovs.stream.Stream(sock, name, 0)
        try:
            wrapped = _server_context().wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        except OSError as reason:  # of the files; of a peer that has gone
            limited.warn(f"{self.name}: {reason}")
            sock.close()
            return None
        return ovs.stream.SSLStream(wrapped, name, 0)

    def wait(self, poller) -> None:
        self._listener.wait(poller)

    def close(self) -> None:
        """Stop; removes the socket file if it is still ours."""
        self._listener.close()


def _server_context() -> ssl.SSLContext:
    try:
        return tls_stream.contexts.get(True)
    except ValueError as reason:
        raise OSError(
            errno.ENOPROTOOPT, "Private key, certificate and CA are not configured"
        ) from reason
