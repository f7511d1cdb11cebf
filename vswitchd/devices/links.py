"""The kernel's network devices, followed through rtnetlink.

One non-blocking socket tells of every device of this network namespace: which exist, their
addresses, flags and carrier, and when one appears, changes or goes (deleted, renamed, or moved
to another namespace: all the same from here).  The few attributes needed are parsed here,
because the switch must start fast and a host with a thousand containers sends many messages;
rtnetlink(7), if_link.h and netlink(7) define the layouts.  All integers are host order.
"""

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import ovs.vlog

vlog = ovs.vlog.Vlog("netdev_linux")

# <linux/netlink.h>, <linux/rtnetlink.h>
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
RTMGRP_LINK = 1
RTEXT_FILTER_SKIP_STATS = 8

# <linux/if_link.h>
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_EXT_MASK = 1, 3, 4, 18, 29
IFLA_CARRIER_CHANGES = 35
IFLA_INFO_KIND = 1
NLA_TYPE_MASK = 0x3FFF

# <linux/if.h>
IFF_UP, IFF_LOOPBACK, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x8, 0x40, 0x10000

# <linux/if_arp.h>
ARPHRD_ETHER = 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: len, type

RECEIVE_BYTES = 1 << 18
BUFFER_BYTES = 4 << 20

# Seconds until a dump that failed is asked for again: doubled with each failure in a row.
RETRY_FIRST, RETRY_MOST = 0.1, 10.0


class Link(NamedTuple):
    """A network device as the kernel last described it."""

    ifindex: int
    name: str
    mac: str  # "aa:bb:cc:dd:ee:ff", "" for a device without an Ethernet address
    mtu: int
    flags: int  # IFF_*
    kind: str  # "veth", "tun", ...; "" for hardware and the loopback device
    carrier_changes: int
    hardware: int = ARPHRD_ETHER  # ARPHRD_*

    @property
    def can_be_port(self) -> bool:
        """Whether it carries Ethernet frames to and from somewhere."""
        return self.hardware == ARPHRD_ETHER and not self.flags & IFF_LOOPBACK

    @property
    def is_up(self) -> bool:
        """Whether the administrator has it up."""
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        """Whether frames can pass: up, and the other end (cable, peer) is up too."""
        return bool(self.flags & IFF_LOWER_UP)


def _attributes(data: bytes, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The (type, payload) of each well-formed rtattr; stops at the first that is not."""
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _u32(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "little" if struct.pack("=H", 1)[0] else "big")


def parse_link(data: bytes, offset: int, end: int) -> Link | None:
    """The Link in the body of an RTM_NEWLINK or RTM_DELLINK message.

    None when the message is not of the device itself (a bridge's port, family AF_BRIDGE, has
    messages of the same types) or is malformed.
    """
    if offset + _IFINFO.size > end:
        return None
    family, hardware, ifindex, flags, _change = _IFINFO.unpack_from(data, offset)
    if family != socket.AF_UNSPEC:
        return None
    found = dict(_attributes(data, offset + _IFINFO.size, end))
    if IFLA_IFNAME not in found:
        return None
    info = found.get(IFLA_LINKINFO, b"")
    kind = dict(_attributes(info, 0, len(info))).get(IFLA_INFO_KIND, b"")
    address = found.get(IFLA_ADDRESS, b"")
    return Link(
        ifindex=ifindex,
        name=_text(found[IFLA_IFNAME]),
        mac=address.hex(":") if len(address) == 6 else "",
        mtu=_u32(found.get(IFLA_MTU, b"")),
        flags=flags,
        kind=_text(kind),
        carrier_changes=_u32(found.get(IFLA_CARRIER_CHANGES, b"")),
        hardware=hardware,
    )


def _error_code(data: bytes, offset: int, end: int) -> int:
    """The errno in the body of an NLMSG_ERROR or NLMSG_DONE message; 0 when it has none."""
    return abs(struct.unpack_from("=i", data, offset)[0]) if offset + 4 <= end else 0


class Links:
    """The network devices of this network namespace: `by_name`, kept current by run().

    `change_seqno` grows whenever `by_name` differs from before, and `changed` has the names under
    which it does, until take_changed().
    """

    def __init__(self):
        """Opens the socket and reads all devices.  Raises OSError."""
        self.by_name: dict[str, Link] = {}
        self.change_seqno = 0
        self.changed: set[str] = set()
        self._by_index: dict[int, Link] = {}
        # ifindexes seen in the running dump; None when no dump runs
        self._seen: set[int] | None = None
        self._interrupted = False
        self._sequence = 0
        self._retry_after = RETRY_FIRST
        self._retry_at: float | None = None  # monotonic s; None when no dump has failed
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((0, RTMGRP_LINK))
        self._socket.setblocking(False)
        self._request_dump()
        while self._seen is not None:
            select.select([self._socket], [], [], 1.0)
            self.run()

    def close(self) -> None:
        self._socket.close()

    def get(self, name: str) -> Link | None:
        return self.by_name.get(name)

    def by_index(self, ifindex: int) -> Link | None:
        return self._by_index.get(ifindex)

    def take_changed(self) -> set[str]:
        """The names of devices that came, went, were replaced or changed since the last call."""
        names, self.changed = self.changed, set()
        return names

    def wait(self, poller: Any) -> None:
        poller.fd_wait(self._socket, select.POLLIN)
        if self._retry_at is not None:
            poller.timer_wait(1000 * max(0.0, self._retry_at - time.monotonic()) + 1)

    def run(self) -> bool:
        """Take in all that the kernel has told.  Returns whether anything changed."""
        before = self.change_seqno
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._request_dump()
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Messages were lost: ask for everything again.
                self._request_dump()
                continue
            self._messages(data)
        return self.change_seqno != before

    def _request_dump(self) -> None:
        self._sequence += 1
        self._retry_at = None
        self._seen = set()
        self._interrupted = False
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        body += _ATTRIBUTE.pack(8, IFLA_EXT_MASK) + struct.pack("=I", RTEXT_FILTER_SKIP_STATS)
        flags = NLM_F_REQUEST | NLM_F_DUMP
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, RTM_GETLINK, flags, self._sequence, 0)
        try:
            self._socket.send(header + body)
        except OSError as error:
            self._dump_failed(error.errno or errno.EIO)

    def _messages(self, data: bytes) -> None:
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _pid = _HEADER.unpack_from(data, offset)
            if length < _HEADER.size or offset + length > len(data):
                return
            of_dump = self._seen is not None and sequence == self._sequence
            if of_dump and flags & NLM_F_DUMP_INTR:
                self._interrupted = True
            if kind in (RTM_NEWLINK, RTM_DELLINK):
                link = parse_link(data, offset + _HEADER.size, offset + length)
                if link is not None:
                    self._take(link, kind == RTM_NEWLINK)
            elif kind == NLMSG_DONE and of_dump:
                self._dump_ended(_error_code(data, offset + _HEADER.size, offset + length))
            elif kind == NLMSG_ERROR and of_dump:
                code = _error_code(data, offset + _HEADER.size, offset + length)
                self._dump_failed(code or errno.EPROTO)
            offset += (length + 3) & ~3

    def _take(self, link: Link, exists: bool) -> None:
        if self._seen is not None:
            self._seen.add(link.ifindex)
        old = self._by_index.get(link.ifindex)
        if exists and link == old:
            return
        if old is not None:
            self._forget(old)
        if exists:
            self._by_index[link.ifindex] = link
            self.by_name[link.name] = link
            self.changed.add(link.name)
        self.change_seqno += 1

    def _forget(self, link: Link) -> None:
        del self._by_index[link.ifindex]
        self.changed.add(link.name)
        # A rename may already have given the name to another device.
        if self.by_name.get(link.name) is link:
            del self.by_name[link.name]

    def _dump_ended(self, code: int) -> None:
        if code:  # the kernel could not go on: what is missing need not be gone
            self._dump_failed(code)
            return
        seen, self._seen = self._seen or set(), None
        self._retry_after = RETRY_FIRST
        if self._interrupted:
            self._request_dump()
            return
        for ifindex in self._by_index.keys() - seen:
            self._forget(self._by_index[ifindex])
            self.change_seqno += 1

    def _dump_failed(self, code: int) -> None:
        """What is known may be stale until another dump succeeds, so ask again, but not at once:
        EBUSY lasts as long as the dump before, ENOBUFS as long as memory is short."""
        self._seen = None
        self._retry_at = time.monotonic() + self._retry_after
        vlog.warn(
            f"listing the network devices failed ({os.strerror(code)});"
            f" again in {self._retry_after:g} s"
        )
        self._retry_after = min(2 * self._retry_after, RETRY_MOST)
