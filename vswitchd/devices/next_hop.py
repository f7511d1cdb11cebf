"""The Ethernet address by which this host reaches an IPv4 address, as the kernel knows it now.

One question to rtnetlink(7) for the route, one to arp(7) for the neighbour: neither sends a packet,
and neither reads a table that may be large.
"""

import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
# rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: len, type
_ARP = struct.Struct("=H2x4s8xH14sI4x12x16s")  # arpreq: sockaddr_in, sockaddr, flags, mask, device

RTM_NEWROUTE, RTM_GETROUTE, NLM_F_REQUEST = 24, 26, 1
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RTN_UNICAST = 1
SIOCGARP, ATF_COM = 0x8954, 0x02
TIMEOUT = 0.2  # seconds: the kernel answers at once


def next_hop(ip: str) -> str | None:
    """ "aa:bb:cc:dd:ee:ff" of the gateway, or of the host itself where it is a neighbour; None for
    an address of our own, without a route, or while the neighbour is not known."""
    with contextlib.suppress(OSError, struct.error):
        gateway, index = _route(socket.inet_aton(ip))
        if index:
            return _neighbour(gateway, socket.if_indextoname(index))
    return None


def _route(address: bytes) -> tuple[bytes, int]:
    """(gateway or the address itself, interface index or 0)."""
    body = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + _ATTRIBUTE.pack(8, RTA_DST)
    size = _HEADER.size + len(body) + len(address)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(TIMEOUT)
        sock.send(_HEADER.pack(size, RTM_GETROUTE, NLM_F_REQUEST, 1, 0) + body + address)
        answer = sock.recv(4096)
    kind = _HEADER.unpack_from(answer)[1]
    if kind != RTM_NEWROUTE or _ROUTE.unpack_from(answer, _HEADER.size)[7] != RTN_UNICAST:
        return address, 0
    attributes = dict(_attributes(answer, _HEADER.size + _ROUTE.size))
    index = int.from_bytes(attributes.get(RTA_OIF, b""), sys.byteorder)
    return attributes.get(RTA_GATEWAY, address), index


def _attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3


def _neighbour(address: bytes, device: str) -> str | None:
    request = _ARP.pack(socket.AF_INET, address, 0, b"", 0, device.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        _, _, _, hardware, flags, _ = _ARP.unpack(fcntl.ioctl(sock, SIOCGARP, request))
    return hardware[:6].hex(":") if flags & ATF_COM else None
