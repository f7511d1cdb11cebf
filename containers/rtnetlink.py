"""Requests to rtnetlink: devices, addresses and routes of this network namespace or another one.

A plug-in is executed anew for each container, and a network library takes longer to import than
all that it is to do; so the five requests that an endpoint needs are made here.  Layouts:
rtnetlink(7), netlink(7), if_link.h, veth.h.  Integers are host order, addresses network order.
"""

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import struct
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

# <linux/netlink.h>, <linux/rtnetlink.h>
NLMSG_ERROR = 2
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE = (
    16,
    17,
    18,
    20,
    22,
    24,
)
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLM_F_DUMP_INTR = 0x10
NLMSG_DONE = 3
DUMPS = 20  # until one is not interrupted
# <linux/if_link.h>, <linux/veth.h>
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 18, 20
IFLA_GROUP, IFLA_NET_NS_FD = 27, 28
ALIAS_BYTES = 255  # linux/if.h: IFALIASZ with the NUL
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
# <linux/if_addr.h>, <linux/rtnetlink.h>
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_F_NODAD = 1, 2, 4, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 3, 0, 253, 1
IFF_UP = 0x1
RTMGRP_LINK = 1

# What makes this host's own stack drop all that comes in by a device (ip-sysctl.rst): ARP is
# answered for none of its addresses, and no source is one that a route leads to by the device.
_DEAF = {
    "ipv4/conf/{}/arp_ignore": "8",
    "ipv4/conf/{}/rp_filter": "1",
    "ipv6/conf/{}/disable_ipv6": "1",
}

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst, src, tos, table, protocol, scope, type
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: len, type


class Link(NamedTuple):
    """A network device."""

    index: int
    name: str
    mac: str
    mtu: int
    is_up: bool


def _attribute(kind: int, payload: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, os.fsencode(text) + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("=I", number))


def _mac(mac: str | None) -> bytes:
    return _attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))) if mac else b""


def _mtu(mtu: int | None) -> bytes:
    return _number(IFLA_MTU, mtu) if mtu else b""


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message, {type: payload}; what is behind a broken one is left out."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > len(data):
            break
        found[kind & NLA_TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    return found


@contextlib.contextmanager
def inside(netns: int | None):
    """This thread is in the network namespace of the descriptor `netns` (None: stays)."""
    if netns is None:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(netns)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(netns: int) -> None:
    if _libc.setns(netns, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "entering the network namespace")


def enable_ipv6(netns: int, name: str) -> None:
    """A device of the namespace of the descriptor `netns` may have addresses of IPv6: runtimes
    forbid them by default where a container has no network of theirs (ip-sysctl.rst)."""
    with inside(netns):
        _set(f"ipv6/conf/{name}/disable_ipv6", "0")


def _set(path: str, value: str) -> None:
    """A setting of this thread's namespace, below net."""
    with open(f"/proc/sys/net/{path}", "r+") as file:
        if file.read().strip() != value:
            file.seek(0)
            file.write(value)


def make_deaf(name: str) -> None:
    """What comes in by this device is the switch's alone, which reads it before the host's stack
    does: else that would answer, and route, beside the switch and across its VLANs."""
    for path, value in _DEAF.items():
        with contextlib.suppress(FileNotFoundError):  # a host without IPv6
            _set(path.format(name), value)


def downs():
    """Yields the name of each device of this namespace that is seen to be down, as it appears or
    changes; None where others may have been missed: at first, and after news were lost."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, RTMGRP_LINK))
        yield None
        while True:
            try:
                data = sock.recv(1 << 17)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            for kind, body in _parsed(data):
                if kind == RTM_NEWLINK and not _IFINFO.unpack_from(body)[3] & IFF_UP:
                    yield os.fsdecode(attributes(body[_IFINFO.size :])[IFLA_IFNAME].rstrip(b"\0"))


def _parsed(data: bytes):
    """The messages of a datagram, (type, body)."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_rest = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + size]
        at += max((size + 3) & ~3, _HEADER.size)


def _raise_error(body: bytes, name: str) -> None:
    """What NLMSG_ERROR and NLMSG_DONE begin with: 0, or an errno below it."""
    number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if number > 0:
        raise OSError(number, os.strerror(number), name)


class Rtnetlink:
    """A socket for requests; errors of the kernel are raised as OSError, its file name the device.

    The socket belongs to the namespace in which it was made: `netns`, a descriptor that the
    caller may close afterwards, or this thread's.
    """

    def __init__(self, netns: int | None = None):
        with inside(netns):
            self._sock = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
        self._sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._sock.close()

    def add_veth(
        self,
        name: str,
        peer: str,
        netns: int,
        mac: str | None = None,
        mtu: int | None = None,
        group: int = 0,
    ) -> None:
        """A veth pair: `name` here, in a group (see group()), and `peer`, which gets the address
        `mac`, in the namespace of the descriptor `netns`.  Both appear in one step, or none."""
        peer_info = _IFINFO.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, peer) + _mac(mac)
        peer_info += _mtu(mtu) + _number(IFLA_NET_NS_FD, netns)
        data = _attribute(VETH_INFO_PEER | NLA_F_NESTED, peer_info)
        info = _text(IFLA_INFO_KIND, "veth") + _attribute(IFLA_INFO_DATA | NLA_F_NESTED, data)
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name) + _mtu(mtu)
        body += _number(IFLA_GROUP, group)
        body += _attribute(IFLA_LINKINFO | NLA_F_NESTED, info)
        self._request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, name)

    def group(self, number: int) -> dict[str, str]:
        """{name: alias, or ""} of the devices of this namespace that are in a group."""
        aliases = {}
        for body in self._dump(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0), "devices"):
            found = attributes(body[_IFINFO.size :])
            if found.get(IFLA_GROUP) == struct.pack("=I", number):
                name, alias = found[IFLA_IFNAME], found.get(IFLA_IFALIAS, b"")
                aliases[os.fsdecode(name.rstrip(b"\0"))] = os.fsdecode(alias.rstrip(b"\0"))
        return aliases

    def link(self, name: str) -> Link | None:
        """The device of that name, or None."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name)
        try:
            answer = self._request(RTM_GETLINK, 0, body, name)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        _family, _type, index, flags, _change = _IFINFO.unpack_from(answer)
        found = attributes(answer[_IFINFO.size :])
        mtu = struct.unpack("=I", found[IFLA_MTU])[0]
        return Link(index, name, found.get(IFLA_ADDRESS, b"").hex(":"), mtu, bool(flags & IFF_UP))

    def set_link(
        self,
        link: Link,
        *,
        up: bool | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        name: str | None = None,
        alias: str = "",
    ) -> None:
        """Change what is given of a device."""
        flags, change = (IFF_UP if up else 0, IFF_UP) if up is not None else (0, 0)
        body = _IFINFO.pack(0, 0, link.index, flags, change) + _mac(mac) + _mtu(mtu)
        body += _text(IFLA_IFNAME, name) if name else b""
        body += _attribute(IFLA_IFALIAS, os.fsencode(alias)) if alias else b""
        self._request(RTM_NEWLINK, 0, body, link.name)

    def delete_link(self, name: str) -> bool:
        """Delete a device (of a veth pair, both ends); False where there was none."""
        link = self.link(name)
        if link is None:
            return False
        try:
            self._request(RTM_DELLINK, 0, _IFINFO.pack(0, 0, link.index, 0, 0), name)
        except OSError as error:
            if error.errno != errno.ENODEV:  # its other end went meanwhile
                raise
        return True

    def add_address(self, link: Link, text: str) -> None:
        """An address with its prefix length; one of IPv6 is usable at once (no DAD)."""
        address = ipaddress.ip_interface(text)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        flags = 0 if address.version == 4 else IFA_F_NODAD
        packed = address.ip.packed
        body = _IFADDR.pack(family, address.network.prefixlen, flags, 0, link.index)
        body += _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed)
        if address.version == 4 and address.network.prefixlen < 31:
            body += _attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
        self._request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"{link.name}: {text}")

    def addresses(self, link: Link) -> set[str]:
        """The addresses of a device, with their prefix lengths."""
        found = set()
        for body in self._dump(RTM_GETADDR, _IFADDR.pack(0, 0, 0, 0, 0), "addresses"):
            _family, length, _flags, _scope, index = _IFADDR.unpack_from(body)
            parts = attributes(body[_IFADDR.size :])
            packed = parts.get(IFA_LOCAL, parts.get(IFA_ADDRESS))
            if index == link.index and packed:
                found.add(f"{ipaddress.ip_address(packed)}/{length}")
        return found

    def add_route(self, link: Link, destination: str, gateway: str | None) -> None:
        """A route; `destination` a prefix, 0.0.0.0/0 and ::/0 the default ones."""
        network = ipaddress.ip_network(destination, strict=False)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        scope = RT_SCOPE_UNIVERSE if gateway or network.version == 6 else RT_SCOPE_LINK
        body = _number(RTA_OIF, link.index)
        if network.prefixlen:
            body += _attribute(RTA_DST, network.network_address.packed)
        if gateway:
            body += _attribute(RTA_GATEWAY, ipaddress.ip_address(gateway).packed)
        head = _RTMSG.pack(
            family, network.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0
        )
        what = f"{link.name}: route to {destination}" + (f" via {gateway}" if gateway else "")
        self._request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, head + body, what)

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        size = _HEADER.size + len(body)
        self._sock.send(_HEADER.pack(size, kind, NLM_F_REQUEST | flags, self._sequence, 0) + body)

    def _messages(self):
        """The messages of the answer to the last request, (type, flags, body)."""
        while True:
            data, at = self._sock.recv(1 << 17), 0
            while at + _HEADER.size <= len(data):
                size, kind, flags, sequence, _pid = _HEADER.unpack_from(data, at)
                if sequence == self._sequence:
                    yield kind, flags, data[at + _HEADER.size : at + size]
                at += max((size + 3) & ~3, _HEADER.size)

    def _request(self, kind: int, flags: int, body: bytes, name: str) -> bytes:
        """The body of what answers a request; b"" for an acknowledgement alone."""
        self._send(kind, flags | NLM_F_ACK, body)
        answer = b""
        for type_, _flags, content in self._messages():
            if type_ != NLMSG_ERROR:
                answer = content
                continue
            _raise_error(content, name)
            return answer

    def _dump(self, kind: int, body: bytes, what: str) -> list[bytes]:
        """The bodies of all there is.  A dump in whose midst something changed is not one state,
        and is asked for again."""
        for _ in range(DUMPS):
            found, whole = [], True
            self._send(kind, NLM_F_DUMP, body)
            for type_, flags, content in self._messages():
                whole = whole and not flags & NLM_F_DUMP_INTR
                if type_ in (NLMSG_DONE, NLMSG_ERROR):
                    _raise_error(content, what)
                    break
                found.append(content)
            if whole:
                return found
        raise OSError(errno.EBUSY, f"changes all the time, {DUMPS} times", what)
