"""Classifiers on the ingress of devices: clsact and its bpf filters, through rtnetlink.

A filter outlives the process that attached it, and names its owner: so the next one finds what was
left.  Layouts: rtnetlink(7), netlink(7), <linux/pkt_sched.h>, <linux/pkt_cls.h>.  Integers are host
order.  Each function raises OSError with what the kernel says.
"""

import contextlib
import errno
import os
import socket
import struct
import sys
import zlib
from collections.abc import Iterator

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS, TCA_BPF_ID = 6, 7, 8, 11
TCA_BPF_FLAG_ACT_DIRECT = 1
NLA_TYPE_MASK, NLA_F_NESTED = 0x3FFF, 0x8000
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS = 1, 2, 2
TCA_U32_SEL = 5
ACTIONS = {"u32": 7, "matchall": 2}  # where a classifier's actions are among its options
EGRESS_REDIRECT = 1
CLSACT_PARENT, CLSACT = 0xFFFFFFF1, 0xFFFF0000
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
ETH_P_ALL = 3

PREFERENCE = 0x5056  # among the filters of a device; of ours there is one
HANDLE = 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_TCMSG = struct.Struct("=BxxxiIII")  # family, device, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")
_MIRRED = struct.Struct("=7I")  # struct tc_mirred: five of tc_gen, what it does, device
_ANSWER = 1 << 16


def _attribute(kind: int, payload: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def attributes_of(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4
    return found


def _string(data: bytes | None) -> str:
    return (data or b"").partition(b"\0")[0].decode(errors="replace")


def owner(directory: str) -> str:
    """The name of the filters of the datapath process of a run directory."""
    return f"pyvs-{zlib.crc32(os.path.realpath(directory).encode()):08x}"


class Tc:
    """Filters of one owner: a name of up to 63 characters."""

    def __init__(self, owner: str):
        self.owner = owner

    def attach(self, index: int, fd: int) -> None:
        """The program for frames that a device receives, in place of one that the owner has there.

        EBUSY where others have filters there, of which we know not what they are to do first."""
        options = (
            _attribute(TCA_BPF_FD, struct.pack("=I", fd))
            + _text(TCA_BPF_NAME, self.owner)
            + _attribute(TCA_BPF_FLAGS, struct.pack("=I", TCA_BPF_FLAG_ACT_DIRECT))
        )
        with Requests() as requests:
            self._make_clsact(requests, index)
            requests.do(
                RTM_NEWTFILTER,
                NLM_F_CREATE | NLM_F_REPLACE,
                _TCMSG.pack(0, index, HANDLE, INGRESS, _info()),
                _text(TCA_KIND, "bpf") + _attribute(TCA_OPTIONS | NLA_F_NESTED, options),
            )

    def check(self, index: int) -> None:
        """Whether attach() could be, as far as it can be seen; its EBUSY if not."""
        with Requests() as requests:
            self._check(requests, index)

    def _check(self, requests: "Requests", index: int) -> None:
        if any(name != self.owner for name in requests.filters(index, INGRESS)):
            raise OSError(errno.EBUSY, "the device has filters of others")

    def _make_clsact(self, requests: "Requests", index: int) -> None:
        try:
            head = _TCMSG.pack(0, index, CLSACT, CLSACT_PARENT, 0)
            flags = NLM_F_CREATE | NLM_F_EXCL
            requests.do(RTM_NEWQDISC, flags, head, _text(TCA_KIND, "clsact"))
        except FileExistsError:
            self._check(requests, index)

    def detach(self, index: int) -> None:
        """Take the owner's filter away, and clsact where nothing else is left in it."""
        with contextlib.suppress(OSError), Requests() as requests:
            if self.owner not in requests.filters(index, INGRESS):
                return
            head = _TCMSG.pack(0, index, HANDLE, INGRESS, _info())
            requests.do(RTM_DELTFILTER, 0, head, _text(TCA_KIND, "bpf"))
            if not any(requests.filters(index, side) for side in (INGRESS, EGRESS)):
                head = _TCMSG.pack(0, index, CLSACT, CLSACT_PARENT, 0)
                requests.do(RTM_DELQDISC, 0, head, _text(TCA_KIND, "clsact"))

    def left(self) -> dict[int, int]:
        """The devices of this network namespace on which the owner has a filter, and the ids of
        their programs."""
        with Requests() as requests:
            devices = list(requests.with_clsact())
            found = {each: requests.filters(each, INGRESS).get(self.owner) for each in devices}
        return {index: program for index, program in found.items() if program is not None}

    def detach_all(self) -> None:
        """Leave nothing behind."""
        for index in self.left():
            self.detach(index)


def diversion(index: int) -> int | None:
    """The device that sends what the device `index` receives, by the only filter on its ingress: so
    CNI's bandwidth plug-in and others shape what comes from a container.  None: there is none."""
    with Requests() as requests:
        found = [each for each in requests.classifiers(index, INGRESS) if each is not None]
    return found[0] or None if len(found) == 1 else None


def _redirect(kind: str, info: int, options: dict[int, bytes]) -> int | None:
    """Where a filter sends all frames; 0: not all, or nowhere; None: it is the place of filters."""
    if kind == "u32" and TCA_U32_SEL not in options:
        return None
    actions = attributes_of(options.get(ACTIONS.get(kind, -1), b""))
    action = attributes_of(actions.get(1, b""))
    values = attributes_of(action.get(TCA_ACT_OPTIONS, b"")).get(TCA_MIRRED_PARMS, b"")
    if _string(action.get(TCA_ACT_KIND)) != "mirred" or len(values) < _MIRRED.size:
        return 0
    *_generic, what, target = _MIRRED.unpack_from(values)
    everything = _takes_all(options) if kind == "u32" else True
    everything = everything and info & 0xFFFF == socket.htons(ETH_P_ALL)
    return target if what == EGRESS_REDIRECT and everything else 0


def _takes_all(options: dict[int, bytes]) -> bool:
    """Whether no key of a u32 filter has a bit in its mask (struct tc_u32_sel)."""
    selector = options[TCA_U32_SEL]
    return not any(selector[at : at + 4].strip(b"\0") for at in range(16, len(selector), 16))


def _info() -> int:
    return PREFERENCE << 16 | socket.htons(ETH_P_ALL)


class Requests:
    """A socket for a few requests."""

    def __enter__(self) -> "Requests":
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._sequence = 0
        return self

    def __exit__(self, *_args) -> None:
        self._sock.close()

    def do(self, kind: int, flags: int, head: bytes, attributes: bytes = b"") -> None:
        """A request that is acknowledged."""
        for _ in self.ask(kind, flags | NLM_F_ACK, head, attributes):
            pass

    def with_clsact(self) -> Iterator[int]:
        for head, attributes in self.ask(RTM_GETQDISC, NLM_F_DUMP, _TCMSG.pack(0, 0, 0, 0, 0)):
            if _string(attributes.get(TCA_KIND)) == "clsact":
                yield _TCMSG.unpack_from(head)[1]

    def filters(self, index: int, parent: int) -> dict[str, int]:
        """The names of a device's bpf filters, and the kinds of others; the ids of their programs,
        0 where there is none."""
        request = _TCMSG.pack(0, index, 0, parent, 0)
        names = {}
        for head, attributes in self.ask(RTM_GETTFILTER, NLM_F_DUMP, request):
            kind = _string(attributes.get(TCA_KIND))
            if kind != "bpf":
                names[kind] = 0
            elif _TCMSG.unpack_from(head)[2]:  # else it is the place of filters, not one
                options = attributes_of(attributes.get(TCA_OPTIONS, b""))
                program = int.from_bytes(options.get(TCA_BPF_ID, b"")[:4], sys.byteorder)
                names[_string(options.get(TCA_BPF_NAME))] = program
        return names

    def classifiers(self, index: int, parent: int) -> Iterator[int | None]:
        """What _redirect() says of each of a device's filters."""
        request = _TCMSG.pack(0, index, 0, parent, 0)
        for head, attributes in self.ask(RTM_GETTFILTER, NLM_F_DUMP, request):
            _family, _index, handle, _parent, info = _TCMSG.unpack_from(head)
            kind = _string(attributes.get(TCA_KIND))
            options = attributes_of(attributes.get(TCA_OPTIONS, b""))
            yield _redirect(kind, info, options) if handle else None

    def ask(
        self, kind: int, flags: int, head: bytes, attributes: bytes = b"", size: int = _TCMSG.size
    ) -> Iterator[tuple[bytes, dict[int, bytes]]]:
        """Sends a request; yields (head of `size` bytes, attributes) of each answer."""
        self._sequence += 1
        body = head + attributes
        flags |= NLM_F_REQUEST
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0)
        self._sock.send(header + body)
        while True:
            for what, payload in self._messages(self._sock.recv(_ANSWER)):
                if what == NLMSG_DONE:
                    return
                if what == NLMSG_ERROR:
                    error = -struct.unpack_from("=i", payload)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                    return
                yield payload[:size], attributes_of(payload[size:])

    def _messages(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + _HEADER.size <= len(data):
            size, kind, _flags, sequence, _port = _HEADER.unpack_from(data, at)
            if size < _HEADER.size:
                return
            if sequence == self._sequence:
                yield kind, data[at + _HEADER.size : at + size]
            at += size + -size % 4
