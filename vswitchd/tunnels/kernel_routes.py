"""The kernel's routes and addresses, followed through rtnetlink(7).

Whatever the kernel tells of a change only says that there is one: then all is listed anew, at most
every RELIST_MS, as the messages of a change do not say what another route hides.  The few
attributes needed are parsed here; integers are in host order.
"""

import errno
import select
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import ovs.vlog

from ofproto.underlay import addresses
from ofproto.underlay.routes import MAX_ROUTES

vlog = ovs.vlog.Vlog("route_table")

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE = 20, 22, 24, 26
# Of <linux/rtnetlink.h>: IPv4 addresses, IPv4 routes, IPv6 addresses, IPv6 routes
GROUPS = 0x10 | 0x40 | 0x100 | 0x400
RTM_F_CLONED = 0x200
RTN_UNICAST, RTN_LOCAL = 1, 2
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH = 1, 4, 5, 6, 7, 9
RTA_TABLE, RTA_MARK, RTA_VIA = 15, 16, 18
IFA_ADDRESS, IFA_LOCAL = 1, 2
RT_SCOPE_LINK = 253

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
# rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefixlen, flags, scope, index
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: len, flags, hops, ifindex
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF

RECEIVE_BYTES = 1 << 18
MESSAGES = 4  # receptions in one run: a long table comes in several rounds
RELIST_MS = 200
RETRY_MS = 1000
# What a listing consists of, one after the other.
LISTINGS = (RTM_GETADDR, RTM_GETROUTE)


class KernelAddress(NamedTuple):
    index: int
    address: int
    bits: int
    is_global: bool


class KernelRoute(NamedTuple):
    """`source` 0: whichever is the device's."""

    network: int
    bits: int
    mark: int
    index: int
    gateway: int
    source: int
    metric: int
    is_local: bool


def _attributes(data: bytes, at: int, end: int) -> dict[int, bytes]:
    found = {}
    while at + _ATTRIBUTE.size <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > end:
            break
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    return found


def _number(payload: bytes) -> int:
    return int.from_bytes(payload[:4], sys.byteorder)


def _prefix(family: int, bits: int) -> int:
    return bits + (addresses.IPV4_BITS if family == socket.AF_INET else 0)


def parse_address(data: bytes, at: int, end: int) -> KernelAddress | None:
    """Of the body of an RTM_NEWADDR."""
    if at + _ADDRESS.size > end:
        return None
    family, bits, _, scope, index = _ADDRESS.unpack_from(data, at)
    found = _attributes(data, at + _ADDRESS.size, end)
    octets = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS) or b""
    if len(octets) != _size(family):
        return None
    address = addresses.from_packed(octets)
    return KernelAddress(index, address, _prefix(family, bits), scope < RT_SCOPE_LINK)


def _size(family: int) -> int:
    """Bytes of an address; -1 for a family that no tunnel has."""
    return {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family, -1)


def parse_route(data: bytes, at: int, end: int) -> KernelRoute | None:
    """Of the body of an RTM_NEWROUTE; None for what leads nowhere, or is in other tables."""
    if at + _ROUTE.size > end:
        return None
    family, bits, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(data, at)
    found = _attributes(data, at + _ROUTE.size, end)
    table = _number(found[RTA_TABLE]) if RTA_TABLE in found else table
    size = _size(family)
    if size < 0 or flags & RTM_F_CLONED or kind not in (RTN_UNICAST, RTN_LOCAL):
        return None
    if table not in (RT_TABLE_MAIN, RT_TABLE_LOCAL):
        return None
    index, gateway = _next_hop(found)
    octets = found.get(RTA_DST, bytes(size))
    if not index or len(octets) != size:
        return None
    return KernelRoute(
        addresses.from_packed(octets),
        _prefix(family, bits),
        _number(found.get(RTA_MARK, b"")),
        index,
        gateway,
        _address(found.get(RTA_PREFSRC, b"")),
        _number(found.get(RTA_PRIORITY, b"")),
        kind == RTN_LOCAL,
    )


def _address(octets: bytes) -> int:
    return addresses.from_packed(octets) if len(octets) in (4, 16) else 0


def _next_hop(found: dict[int, bytes]) -> tuple[int, int]:
    """(device, gateway); of several the first."""
    hops = found.get(RTA_MULTIPATH, b"")
    if RTA_OIF not in found and len(hops) >= _NEXT_HOP.size:
        size, _, _, index = _NEXT_HOP.unpack_from(hops)
        found = _attributes(hops, _NEXT_HOP.size, min(size, len(hops)))
        return index, _gateway(found)
    return _number(found.get(RTA_OIF, b"")), _gateway(found)


def _gateway(found: dict[int, bytes]) -> int:
    if RTA_VIA in found:  # of another family: u16 family, address
        return _address(found[RTA_VIA][2:])
    return _address(found.get(RTA_GATEWAY, b""))


class KernelRoutes:
    """`routes` and `addresses` as last listed whole; `changed` rises when they are other ones."""

    def __init__(self) -> None:
        """Raises OSError."""
        self.routes: list[KernelRoute] = []
        self.addresses: list[KernelAddress] = []
        self.indexes: set[int] = set()  # of the devices of both
        self.changed = 0
        self._found: list[Any] = []
        self._listing: int | None = None  # place in LISTINGS
        self._sequence = 0
        self._due: int | None = 0  # ms, when to list anew; None: nothing changed
        self._told_of_limit = False
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, GROUPS))
        self._socket.setblocking(False)
        self._ours = self._socket.getsockname()[0]

    def close(self) -> None:
        self._socket.close()

    def settle(self, now: int, seconds: float = 1.0) -> None:
        """Waits for a whole listing: for commands that are to show what there is."""
        self._due = now if self._due is None else self._due
        self.run(max(now, self._due))
        while self._listing is not None and select.select([self._socket], [], [], seconds)[0]:
            self.run(now)

    def run(self, now: int) -> None:
        for _ in range(MESSAGES):
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._again(now)  # messages were lost
                continue
            self._messages(data, now)
        if self._listing is None and self._due is not None and now >= self._due:
            self._due = None
            self._found = []
            self._list(0)

    def wait(self, poller: Any) -> None:
        poller.fd_wait(self._socket, select.POLLIN)
        if self._listing is None and self._due is not None:
            poller.timer_wait_until(self._due)

    def _again(self, now: int, later: int = RELIST_MS) -> None:
        if self._due is None:
            self._due = now + later

    def _list(self, number: int) -> None:
        self._listing = number
        self._sequence += 1
        body = _ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        size = _HEADER.size + len(body)
        kind, flags = LISTINGS[number], NLM_F_REQUEST | NLM_F_DUMP
        self._socket.send(_HEADER.pack(size, kind, flags, self._sequence, 0) + body)

    def _messages(self, data: bytes, now: int) -> None:
        for kind, asked, at, end in _split(data):
            if asked[1] != self._ours:  # it tells of a change, with the number of who made it
                self._again(now)
            elif self._listing is None or asked[0] != self._sequence:
                continue
            elif kind == NLMSG_DONE:
                self._listed(now)
            elif kind == NLMSG_ERROR:
                vlog.warn("listing the kernel's routes failed")
                self._listing = None
                self._again(now, RETRY_MS)
            elif len(self._found) < MAX_ROUTES:
                parse = parse_address if kind == RTM_NEWADDR else parse_route
                found = parse(data, at, end)
                if found is not None:
                    self._found.append(found)
            elif not self._told_of_limit:
                self._told_of_limit = True
                vlog.warn(f"the kernel has more than {MAX_ROUTES} routes: tunnels use no others")

    def _listed(self, now: int) -> None:
        if self._listing + 1 < len(LISTINGS):
            self._list(self._listing + 1)
            return
        self._listing = None
        routes = [each for each in self._found if isinstance(each, KernelRoute)]
        found = [each for each in self._found if isinstance(each, KernelAddress)]
        if (routes, found) != (self.routes, self.addresses):
            self.routes, self.addresses = routes, found
            self.indexes = {each.index for each in self._found}
            self.changed += 1


def _split(data: bytes) -> Iterator[tuple[int, tuple[int, int], int, int]]:
    """(type, (sequence, socket) that asked, first byte and end of the body) of each message."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, _, *asked = _HEADER.unpack_from(data, at)
        if size < _HEADER.size or at + size > len(data):
            return
        yield kind, (asked[0], asked[1]), at + _HEADER.size, at + size
        at += (size + 3) & ~3
