"""Sockets of OpenFlow connections: targets as Open vSwitch writes them, non-blocking.

Active targets go through ovs.stream.  Passive ones are made here: ovs.stream listens on
neither IPv6 nor TLS, and its unix sockets take their permissions from the umask.
"""

import errno
import itertools
import os
import socket
import ssl
import stat

import ovs.dirs
import ovs.socket_util
import ovs.stream
import ovs.util
import ovs.vlog

from pyvs.log_limit import LimitedLog

limited = LimitedLog(ovs.vlog.Vlog("streams"), per_minute=5, burst=5)

OFP_PORT = 6653
ACTIVE = ("tcp", "ssl", "unix")
_numbers = itertools.count()  # peers of unix sockets have no address to tell them apart
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


def normalize(target: str) -> str:
    """The target with its default port filled in."""
    method, _, rest = target.partition(":")
    if method in ("tcp", "ssl"):
        host, port = split_host(rest)
        shown = f"[{host}]" if ":" in host else host
        return f"{method}:{shown}:{port or OFP_PORT}"
    return target


def needs_probes(target: str) -> bool:
    """Whether a dead peer would go unnoticed without inactivity probes."""
    return not target.startswith(("unix:", "punix:"))


def open_active(target: str, dscp: int | None = None) -> ovs.stream.Stream:
    """Begin to connect.  Raises OSError."""
    if target.startswith("ssl:") and not ovs.stream.Stream._SSL_ca_cert_file:
        raise OSError(errno.ENOPROTOOPT, "Private key, certificate and CA are not configured")
    try:
        error, stream = ovs.stream.Stream.open(
            normalize(target), ovs.stream.Stream.DSCP_DEFAULT if dscp is None else dscp
        )
    except ssl.SSLError as reason:
        raise OSError(errno.EPROTO, str(reason)) from reason
    except (ValueError, OverflowError) as reason:  # a host or port that cannot be
        raise OSError(errno.EINVAL, str(reason)) from reason
    if error:
        raise OSError(error, os.strerror(error))
    return stream


class Listener:
    """A passive target.  Raises OSError when it cannot listen."""

    def __init__(self, target: str):
        self.name = target
        self._path = None
        self._has_tls = False
        self._poller = None  # what wait() was called with since the last accept()
        method, _, rest = target.partition(":")
        if method == "punix":
            self._listen_unix(ovs.util.abs_file_name(ovs.dirs.RUNDIR, rest))
        else:
            self._has_tls = method == "pssl"
            if self._has_tls:
                _server_context()
            self._listen_tcp(rest)
        self.socket.setblocking(False)

    def _listen_unix(self, path: str) -> None:
        """For the owner only; a socket that an earlier process left behind is replaced."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.exists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
            before = os.umask(0o177)
            try:
                self.socket.bind(path)
            finally:
                os.umask(before)
            self.socket.listen(64)
        except OSError:
            self.socket.close()
            raise
        self._path = path
        self._inode = os.lstat(path).st_ino

    def _listen_tcp(self, rest: str) -> None:
        """`[PORT][:HOST]`; all addresses of both families when there is no host."""
        port, _, host = rest.partition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            number = int(port or OFP_PORT)
        except ValueError as reason:
            raise OSError(errno.EINVAL, f"bad port number {port}") from reason
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((host, number))
            self.socket.listen(64)
        except OSError:
            self.socket.close()
            raise
        except (ValueError, OverflowError) as reason:
            self.socket.close()
            raise OSError(errno.EINVAL, str(reason)) from reason

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self.socket.getsockname()[1]

    def accept(self) -> ovs.stream.Stream | None:
        """The next connection, or None."""
        ready, self._poller = getattr(self._poller, "ready", None), None
        if ready is not None and self.socket.fileno() not in ready:
            return None  # every bridge has two listeners: no system call for nothing
        try:
            sock, address = self.socket.accept()
        except OSError:
            return None
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX:
            return ovs.stream.Stream(sock, f"unix#{next(_numbers)}", 0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"tcp:{address[0]}:{address[1]}"
        if not self._has_tls:
            return ovs.stream.Stream(sock, name, 0)
        try:
            context = _server_context()  # certificates are renewed while we listen
        except OSError as reason:
            limited.warn(f"{self.name}: {reason}")
            sock.close()
            return None
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return ovs.stream.SSLStream(wrapped, name.replace("tcp:", "ssl:"), 0)

    def wait(self, poller) -> None:
        self._poller = poller
        poller.fd_wait(self.socket, 1)  # POLLIN

    def close(self) -> None:
        """Stop; removes the socket file if it is still ours."""
        self.socket.close()
        if self._path:
            try:
                if os.lstat(self._path).st_ino == self._inode:
                    os.unlink(self._path)
            except FileNotFoundError:
                pass


def _server_context() -> ssl.SSLContext:
    stream = ovs.stream.Stream
    if not (stream._SSL_private_key_file and stream._SSL_certificate_file):
        raise OSError(errno.ENOPROTOOPT, "Private key, certificate and CA are not configured")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(stream._SSL_certificate_file, stream._SSL_private_key_file)
        if stream._SSL_ca_cert_file:
            context.load_verify_locations(stream._SSL_ca_cert_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as reason:
        raise OSError(errno.EPROTO, str(reason)) from reason
    return context
