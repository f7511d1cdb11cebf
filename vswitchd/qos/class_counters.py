"""What the kernel has counted of a device's traffic classes: one dump of rtnetlink(7).

A class takes 5 us so, where pyroute2, which makes objects of all that a message has, takes 150 us;
there may be 61,440.  Layouts: linux/rtnetlink.h, linux/gen_stats.h; integers in host order.
"""

import os
import socket
import struct
from collections.abc import Iterator

RTM_NEWTCLASS, RTM_GETTCLASS = 40, 42
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
TCA_STATS2, TCA_STATS_BASIC, TCA_STATS_QUEUE = 7, 1, 3
NLA_TYPE_MASK = 0x3FFF
MOST_BYTES = 1 << 17  # of a datagram
PATIENCE = 1  # second, that the kernel never needs

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_TCMSG = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")  # len, type
_BASIC = struct.Struct("=QI")  # gnet_stats_basic: bytes, packets
_DROPS = struct.Struct("=8xI")  # gnet_stats_queue: behind qlen and backlog


def _attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """{type: where it begins and ends}"""
    found = {}
    while at + _ATTRIBUTE.size <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > end:
            break
        found[kind & NLA_TYPE_MASK] = at + _ATTRIBUTE.size, at + size
        at += (size + 3) & ~3
    return found


def _counted(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Packets, bytes, drops, of a class' attributes."""
    stats = _attributes(data, *_attributes(data, at, end).get(TCA_STATS2, (0, 0)))
    octets = packets = drops = 0
    begin, end = stats.get(TCA_STATS_BASIC, (0, 0))
    if end - begin >= _BASIC.size:
        octets, packets = _BASIC.unpack_from(data, begin)
    begin, end = stats.get(TCA_STATS_QUEUE, (0, 0))
    if end - begin >= _DROPS.size:
        (drops,) = _DROPS.unpack_from(data, begin)
    return packets, octets, drops


def read(ifindex: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """(handle, (packets, bytes, drops)) of each class; raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(PATIENCE)
        body = _TCMSG.pack(0, ifindex, 0, 0, 0)
        size = _HEADER.size + len(body)
        sock.send(_HEADER.pack(size, RTM_GETTCLASS, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
        while True:
            data, at = sock.recv(MOST_BYTES), 0
            while at + _HEADER.size <= len(data):
                size, kind, *_rest = _HEADER.unpack_from(data, at)
                begin = at + _HEADER.size
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, begin)[0]
                    raise OSError(number, os.strerror(number))
                if kind == RTM_NEWTCLASS:
                    handle = _TCMSG.unpack_from(data, begin)[2]
                    yield handle, _counted(data, begin + _TCMSG.size, at + size)
                at += max((size + 3) & ~3, _HEADER.size)
