"""Where exports go: UDP to addresses that the configuration names.  Sending never waits."""

import ipaddress
import socket
from collections.abc import Iterable

import ovs.vlog

from pyvs import coverage
from pyvs.log_limit import LimitedLog

_limited = LimitedLog(ovs.vlog.Vlog("collectors"), 1, 5)
_failed = coverage.counter("export_send_failed")
MAX_COLLECTORS = 64  # of one exporter: each has a socket, and each datagram goes to all of them


class Collectors:
    """`targets`: ADDRESS:PORT, an IPv6 address in brackets; the port is `port` where it is left
    out.  Unusable ones are told of, and left out; so is what comes behind MAX_COLLECTORS."""

    def __init__(self, targets: Iterable[str], port: int):
        self._sockets: list[tuple[str, socket.socket]] = []
        for target in targets:
            if len(self._sockets) == MAX_COLLECTORS:
                _limited.warn(f"{target}: an exporter has {MAX_COLLECTORS} collectors at most")
                break
            try:
                self._sockets.append((target, _connected(target, port)))
            except (OSError, ValueError) as error:
                _limited.warn(f"{target}: no collector ({error})")

    def __len__(self) -> int:
        return len(self._sockets)

    def send(self, datagrams: Iterable[bytes]) -> tuple[int, int]:
        """How many were sent, and how many not."""
        sent = failed = 0
        for datagram in datagrams:
            for target, each in self._sockets:
                try:
                    each.send(datagram)
                    sent += 1
                except OSError as error:
                    _limited.warn(f"{target}: sending to collector failed ({error.strerror})")
                    _failed.count += 1
                    failed += 1
        return sent, failed

    def source(self) -> str | None:
        """The address from which the first is sent to."""
        return self._sockets[0][1].getsockname()[0] if self._sockets else None

    def close(self) -> None:
        for _, each in self._sockets:
            each.close()
        self._sockets = []


def _connected(target: str, port: int) -> socket.socket:
    host, text = target, ""
    if target.startswith("["):
        host, _, text = target[1:].partition("]")
    elif target.count(":") == 1:
        host, _, text = target.partition(":")
    address = ipaddress.ip_address(host)  # names would have to be looked up
    number = int(text.strip(":") or port)
    if not 0 < number < 1 << 16:
        raise ValueError(f"{number} is no port")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.connect((host, number))
    except BaseException:
        made.close()
        raise
    return made
