"""Which devices the host's own stack uses: it has an address there, or another device above it.

The others are a switch's alone, once they are its ports.  The kernel tells of changes by
rtnetlink(7); layouts: netlink(7), <linux/if_link.h>, <linux/if_addr.h>.
"""

import socket
import struct

from datapath.bpf.tc import NLM_F_DUMP, Requests, attributes_of

RTM_GETLINK, RTM_GETADDR = 18, 22
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_LINK_NETNSID = 5, 10, 18, 37
IFLA_INFO_KIND, IFA_PROTO = 1, 11
RT_SCOPE_LINK = 253

_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_NUMBER = struct.Struct("=I")
_RECEIVE_BYTES = 1 << 16
MOST_NEWS = 1000  # that are read at a time


class HostUse:
    """What the kernel said last, in the network namespace of the process."""

    def __init__(self) -> None:
        self._used: set[int] | None = None
        self._heard = False
        self._below: set[int] = set()
        self._news = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        try:
            self._news.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        except OSError:
            self._news.close()
            raise

    def close(self) -> None:
        self._news.close()

    def _listen(self) -> None:
        for _ in range(MOST_NEWS):
            try:
                self._news.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:  # news were lost: there were some
                pass
            self._used, self._heard = None, True

    def changed(self) -> bool:
        """Whether something may have changed since this was asked last."""
        self._listen()
        heard, self._heard = self._heard, False
        return heard

    def used(self) -> set[int]:
        """The numbers of the devices.  Raises OSError."""
        self._listen()
        if self._used is None:
            with Requests() as requests:
                self._used = _with_addresses(requests) | self._below_others(requests)
        return self._used

    def _below_others(self, requests: Requests) -> set[int]:
        """Devices that are a bridge's or bond's, or on which a VLAN's or the like are, or were: one
        that went to another network namespace is not told of any more."""
        request = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        there, mastered, below = set(), set(), set()
        for head, attributes in requests.ask(RTM_GETLINK, NLM_F_DUMP, request, size=_LINK.size):
            index = _LINK.unpack(head)[2]
            there.add(index)
            if IFLA_MASTER in attributes:
                mastered.add(index)
            if IFLA_LINK_NETNSID not in attributes and not _is_veth(attributes):
                below.add(_NUMBER.unpack(attributes.get(IFLA_LINK, bytes(4))[:4])[0])
        self._below = (self._below | below) & there
        return mastered | self._below


def _with_addresses(requests: Requests) -> set[int]:
    """Devices with addresses, besides those that IPv6 gives to all: where the kernel says of some
    address who made it, it says so of these."""
    request = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    found, local, says_who = set(), set(), False
    for head, attributes in requests.ask(RTM_GETADDR, NLM_F_DUMP, request, size=_ADDRESS.size):
        family, _prefix, _flags, scope, index = _ADDRESS.unpack(head)
        says_who = says_who or IFA_PROTO in attributes
        if family == socket.AF_INET or scope != RT_SCOPE_LINK:
            found.add(index)
        elif IFA_PROTO not in attributes:
            local.add(index)
    return found | local if says_who else found


def _is_veth(attributes: dict[int, bytes]) -> bool:
    """IFLA_LINK tells its other end."""
    info = attributes_of(attributes.get(IFLA_LINKINFO, b""))
    return info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") == b"veth"
