"""Listening sockets: of OpenFlow, OVSDB and the control sockets, with Open vSwitch's targets.

    punix:FILE   ptcp:[PORT][:HOST]   pssl:[PORT][:HOST]

HOST is an address: a name would have to be looked up, and is refused.  Who connects is anybody;
what accepting can meet with (a client that has gone, no descriptor left, too many clients) ends
no daemon and keeps no loop busy.
"""

import contextlib
import errno
import os
import resource
import socket
import stat
import time
from typing import Any, NamedTuple

import ovs.fatal_signal
import ovs.vlog

from pyvs import coverage, rundir
from pyvs.log_limit import LimitedLog

from .short_path import ShortPath

vlog = ovs.vlog.Vlog("stream")
_accepting = LimitedLog(vlog, 5, 5)  # anybody may connect

ACCEPTED = coverage.counter("pstream_open")
REFUSED = coverage.counter("pstream_refused")
OUT_OF_DESCRIPTORS = coverage.counter("pstream_paused")

BACKLOG = 256
REFUSED_AT_ONCE = 32  # by one accept(): who connects as fast as we refuse holds nothing up
PAUSE = 0.2  # s without accept() after there was no descriptor or no memory for a client
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_POLLIN = 1


class Accepted(NamedTuple):
    """A client: a non-blocking socket, yet without TLS, and what to call it."""

    sock: socket.socket
    name: str


class Listener:
    """A passive target.  OSError when it cannot listen, with EINVAL for its form.

    At most `most_clients` may be connected: further ones are closed as soon as they come.  They
    are to be counted by who owns them; a share of the descriptors stays for the daemon itself.
    """

    def __init__(self, target: str, default_port: int, most_clients: int | None = None):
        if "\0" in target:
            raise OSError(errno.EINVAL, "a target with a NUL")
        self.name = target
        self.method, _, rest = target.partition(":")
        self.has_tls = self.method == "pssl"
        self.most_clients = most_clients or default_most_clients()
        self._path: str | None = None
        self._count = 0  # of those accepted: peers of unix sockets have no address
        self._resume_at: float | None = None  # monotonic s, during a pause
        self._poller: Any = None  # what wait() was called with since the last accept()
        if self.method == "punix":
            self._listen_unix(os.path.join(rundir.rundir(), rest))
        else:
            self._listen_tcp(rest, default_port)
        self.socket.setblocking(False)

    def _listen_unix(self, path: str) -> None:
        """For the owner only; a socket that an earlier process left behind is replaced."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)
            try:
                with ShortPath(path) as short:
                    self.socket.bind(short)
            finally:
                os.umask(before)
            self.socket.listen(BACKLOG)
            self._inode = os.lstat(path).st_ino
        except OSError:
            self.socket.close()
            raise
        self._path = path
        ovs.fatal_signal.add_file_to_unlink(path)

    def _listen_tcp(self, rest: str, default_port: int) -> None:
        port, _, host = rest.partition(":")
        family, address = passive_address(host.strip("[]"), port, default_port)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(address)
            self.socket.listen(BACKLOG)
        except OSError:
            self.socket.close()
            raise

    @property
    def port(self) -> int | None:
        """The TCP port that it listens on; None for a unix socket."""
        return None if self._path else self.socket.getsockname()[1]

    def accept(self, clients: int = 0) -> Accepted | None:
        """The next client, or None; `clients` are connected already."""
        ready, self._poller = getattr(self._poller, "ready", None), None
        if ready is not None and self.socket.fileno() not in ready and self._resume_at is None:
            return None  # every bridge has two listeners: no system call for nothing
        if self._resume_at is not None:
            if time.monotonic() < self._resume_at:
                return None
            self._resume_at = None
        for _ in range(REFUSED_AT_ONCE):
            try:
                sock, address = self.socket.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                _accepting.warn(f"{self.name}: accept: {error.strerror}")
                if error.errno in _EXHAUSTED:
                    OUT_OF_DESCRIPTORS.count += 1
                    self._resume_at = time.monotonic() + PAUSE
                return None
            if clients < self.most_clients:
                accepted = self._prepare(sock, address)
                if accepted is not None:
                    return accepted
                continue
            REFUSED.count += 1
            _accepting.warn(f"{self.name}: {clients} clients are connected: no more are accepted")
            sock.close()
        return None

    def _prepare(self, sock: socket.socket, address: Any) -> Accepted | None:
        """None: it has gone already."""
        self._count += 1
        try:
            sock.setblocking(False)
            if self._path:
                name = f"unix#{self._count}"
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                host = f"[{address[0]}]" if ":" in address[0] else address[0]
                name = f"{'ssl' if self.has_tls else 'tcp'}:{host}:{address[1]}"
        except OSError as error:
            _accepting.warn(f"{self.name}: {error.strerror}")
            sock.close()
            return None
        ACCEPTED.count += 1
        return Accepted(sock, name)

    @property
    def paused(self) -> bool:
        """Whether accept() is of no use before resume() or for PAUSE seconds."""
        return self._resume_at is not None

    def resume(self) -> None:
        """A descriptor was closed: accept() may succeed again."""
        self._resume_at = None

    def wait(self, poller: Any) -> None:
        """Wake up when accept() may have a client."""
        self._poller = poller
        if self._resume_at is None:
            poller.fd_wait(self.socket, _POLLIN)
        else:
            poller.timer_wait(1000 * max(0.0, self._resume_at - time.monotonic()) + 1)

    def close(self) -> None:
        """Stop; removes the socket's file if it is still ours."""
        self.socket.close()
        if self._path:
            with contextlib.suppress(OSError):
                if os.lstat(self._path).st_ino == self._inode:
                    ovs.fatal_signal.unlink_file_now(self._path)


def default_most_clients() -> int:
    """Of one listener, half of the descriptors that the process may have."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, soft // 2))


def parse_port(text: str, default_port: int) -> int:
    """A port's number; OSError (EINVAL)."""
    if not text:
        return default_port
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > 65535:
        raise OSError(errno.EINVAL, f"bad port number {text}")
    return int(text)


def passive_address(host: str, port: str, default_port: int) -> tuple[int, tuple]:
    """(family, address to bind to); OSError (EINVAL).  All IPv4 addresses without `host`."""
    number = parse_port(port, default_port)
    try:
        found = socket.getaddrinfo(
            host or "0.0.0.0", number, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError, ValueError):
        raise OSError(errno.EINVAL, f"bad IP address {host}") from None
    family, _kind, _protocol, _name, address = found[0]
    return family, address
