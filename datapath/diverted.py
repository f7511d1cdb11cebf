"""Ports whose frames somebody sends through another device before they are received.

What comes from a container is shaped by a filter on the ingress of its port that redirects all
frames to a device (an IFB) with a queueing discipline; so do CNI's bandwidth plug-in and scripts of
tc(8).  Packet sockets get frames before such filters: the port is to receive what the other device
sends.  Runs in the control thread.
"""

import contextlib
import errno
import socket
import struct

import ovs.vlog
from ovs.poller import POLLIN

from datapath.bpf.tc import diversion
from datapath.netdev.af_packet import PacketNetdev
from pyvs import clock

vlog = ovs.vlog.Vlog("dpif_netdev")

RTMGRP_TC = 8
TC_H_ROOT, TC_H_MAJOR, INGRESS = 0xFFFFFFFF, 0xFFFF0000, 0xFFFF0000
HEADER, TCMSG = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII")
MOST = 64  # messages of one turn
SIZE = 1 << 16
AGAIN_MS = 1000  # after what failed


def look(port, is_another_try: bool = False) -> bool:
    """Have a port take its frames from where they are sent on; whether another try is of no use."""
    if not isinstance(port, PacketNetdev) or port.type != "system":
        return True
    try:
        source = diversion(port.ifindex) or port.ifindex
        if source != port.source:
            port.take_from(source)
            vlog.info(f"{port.name}: its frames come by device {source} now")
    except OSError as error:
        if not is_another_try:
            vlog.warn(f"{port.name}: filters of its ingress are passed over: {error.strerror}")
        return error.errno == errno.EOPNOTSUPP
    return True


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
        self._again_at = 0  # ms

    def run(self) -> None:
        """Look at the ports of whose ingress there are news, or at all after news were lost."""
        changed, lost = self._news()
        failed = self._failed
        if failed and clock.msec() >= self._again_at:
            changed |= failed
        if not (changed or lost):
            return
        for port in list(self._ports()):
            if lost or port.ifindex in changed:
                done = look(port, port.ifindex in failed)
                (failed.discard if done else failed.add)(port.ifindex)
        failed &= {port.ifindex for port in self._ports()}
        self._again_at = clock.msec() + AGAIN_MS

    def wait(self, poller) -> None:
        poller.fd_wait(self._sock.fileno(), POLLIN)
        if self._failed:
            poller.timer_wait_until(self._again_at)

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
