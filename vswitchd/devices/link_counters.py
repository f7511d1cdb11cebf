"""What the kernel counts of network devices, and nobody else can: see netlink(7), rtnetlink(7)."""

import contextlib
import errno
import socket
import struct
from typing import NamedTuple

from vswitchd.devices.links import NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR

# <linux/rtnetlink.h>, <linux/if_link.h>
RTM_NEWSTATS, RTM_GETSTATS = 92, 94
IFLA_STATS_LINK_64 = 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_IF_STATS = struct.Struct("=BxxxII")  # if_stats_msg: family, ifindex, filter_mask
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: len, type
_MULTICAST, _MISSED = 8 * 8, 15 * 8  # offsets of rtnl_link_stats64
_RECEIVE_BYTES = 1 << 16


class LinkCounters(NamedTuple):
    rx_multicast: int
    rx_missed: int  # the device had no room for them


def link_counters() -> dict[int, LinkCounters]:
    """Of all devices of this network namespace, by ifindex; without a kernel that tells, none.

    The kernel answers a dump at once: 0.1 ms for ten devices."""
    found: dict[int, LinkCounters] = {}
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel,
    ):
        kernel.setblocking(False)
        body = _IF_STATS.pack(socket.AF_UNSPEC, 0, 1 << (IFLA_STATS_LINK_64 - 1))
        length = _HEADER.size + len(body)
        kernel.send(_HEADER.pack(length, RTM_GETSTATS, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
        while _take(kernel.recv(_RECEIVE_BYTES), found):
            pass
    return found


def _take(data: bytes, found: dict[int, LinkCounters]) -> bool:
    """Messages of one answer.  Returns whether there are more to come.  Raises OSError."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if kind == NLMSG_DONE:
            return False
        if kind == NLMSG_ERROR or length < _HEADER.size:
            raise OSError(errno.EOPNOTSUPP, "no counters of devices")
        values = at + _HEADER.size + _IF_STATS.size
        size, what = _ATTRIBUTE.unpack_from(data, values)
        if kind == RTM_NEWSTATS and what == IFLA_STATS_LINK_64 and size > _MISSED + 8:
            _, ifindex, _ = _IF_STATS.unpack_from(data, at + _HEADER.size)
            values += _ATTRIBUTE.size
            offsets = (_MULTICAST, _MISSED)
            counted = (struct.unpack_from("=Q", data, values + each)[0] for each in offsets)
            found[ifindex] = LinkCounters(*counted)
        at += (length + 3) & ~3
    return True
