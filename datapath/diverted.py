"""Ports whose frames somebody sends through another device before they are received.

What comes from a container is shaped by a filter on the ingress of its port that redirects all
frames to a device (an IFB) with a queueing discipline; so do CNI's bandwidth plug-in and scripts of
tc(8).  Packet sockets get frames before such filters: the port is to receive what the other device
sends.  Runs in the control thread.
"""

import contextlib
import errno
import math
import socket
import struct
import time

import ovs.vlog
from ovs.poller import POLLIN

from datapath.bpf.tc import diversion
from datapath.netdev.af_packet import PacketNetdev

vlog = ovs.vlog.Vlog("dpif_netdev")

RTMGRP_TC = 8
TC_H_ROOT, TC_H_MAJOR, INGRESS = 0xFFFFFFFF, 0xFFFF0000, 0xFFFF0000
HEADER, TCMSG = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII")
MOST = 64  # messages of one turn
SIZE = 1 << 16
GONE = (errno.ENODEV, errno.ENXIO)  # the one device or the other: that is heard of, too
AGAIN = 1.0  # seconds after what failed
# And after news: who has a port's frames sent on gives the other device its discipline next (CNI's
# plug-in does), and what that device is to send meanwhile the kernel drops.
SETTLED = 0.05


def look(port, settled: bool = True, is_told: bool = False) -> float:
    """Have a port take its frames from where they are sent on, once that is `settled`; after how
    many seconds it is to be looked at once more, 0: not."""
    if not isinstance(port, PacketNetdev) or port.type != "system":
        return 0
    try:
        source = diversion(port.ifindex) or port.ifindex
        if source == port.source:
            return 0
        if not settled and source != port.ifindex:
            return SETTLED
        port.take_from(source)
        vlog.info(f"{port.name}: its frames come by device {source} now")
    except OSError as error:
        if not is_told and error.errno not in GONE:
            vlog.warn(f"{port.name}: filters of its ingress are passed over: {error.strerror}")
        return 0 if error.errno == errno.EOPNOTSUPP else AGAIN
    return 0


class Diversions:
    """Watches filters of the ports' devices; `ports` returns the ports there are."""

    def __init__(self, ports):
        self._ports = ports
        self._sock = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        self._sock.bind((0, RTMGRP_TC))
        self._failed: set[int] = set()  # ports' devices
        self._again: dict[int, float] = {}  # when to look once more, by time.monotonic()

    def run(self) -> None:
        """Look at the ports of whose ingress there are news, or at all after news were lost."""
        changed, lost = self._news()
        now = time.monotonic()
        due = {index for index, when in self._again.items() if when <= now}
        if not (changed or lost or due):
            return
        ports = {port.ifindex: port for port in list(self._ports())}
        self._failed &= ports.keys()
        self._again = {i: when for i, when in self._again.items() if i in ports and i not in due}
        for index in ports if lost else ports.keys() & (changed | due):
            self._look(ports[index], index in due, now)

    def _look(self, port, settled: bool, now: float) -> None:
        index = port.ifindex
        pause = look(port, settled, index in self._failed)
        (self._failed.add if pause == AGAIN else self._failed.discard)(index)
        if pause:
            self._again[index] = min(self._again.get(index, math.inf), now + pause)

    def wait(self, poller) -> None:
        poller.fd_wait(self._sock.fileno(), POLLIN)
        if self._again:
            poller.timer_wait(max(0, min(self._again.values()) - time.monotonic()) * 1000 + 1)

    def close(self) -> None:
        self._sock.close()

    def _news(self) -> tuple[set[int], bool]:
        """Devices with other filters on their ingress than before; whether more may have them."""
        changed: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST):
                try:
                    changed.update(_devices(self._sock.recv(SIZE)))
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    return changed, True
        return changed, False


def _devices(data: bytes):
    """Those of a datagram's messages that are about an ingress."""
    at = 0
    while at + HEADER.size + TCMSG.size <= len(data):
        size = HEADER.unpack_from(data, at)[0]
        _family, index, _handle, parent, _info = TCMSG.unpack_from(data, at + HEADER.size)
        if parent & TC_H_MAJOR == INGRESS and parent != TC_H_ROOT:
            yield index
        at += max(size + -size % 4, HEADER.size)
