"""Messages on datapath.sock: how vswitchd and pyvs-dpctl ask the datapath process.

A message is HEADER, `text_size` bytes of JSON (an object), then the rest as bytes.  A request
carries an operation's name in "op", and is answered in order by one message with the same
sequence number: its JSON has "error" (an errno) and "text" when it failed.  Host byte order.

A flow's bytes, in requests and replies: FLOW, then where keys are given KEY_DP_SIZE bytes of
masked key and as many of mask, then the actions, padded to 8.  Terse ones are FLOW alone, with 0
for the actions' size.

A datapath process outlives an upgrade of the rest, and keys, actions and the rings' records have
no form of their own: LAYOUT says whether the two sides are of one mind about them.
"""

import socket
import struct
import zlib
from collections import namedtuple
from collections.abc import Iterator

import orjson

from datapath.key.flow import KEY_DP_SIZE, MEMBERS

HEADER = struct.Struct("=III")  # bytes of the whole message, of its JSON, sequence number
# ufid, packets, bytes, used (ms), packets and bytes of earlier actions, TCP flags, whether the
# kernel cache has it, actions' size
FLOW = struct.Struct("=16sQQQQQHHI")
FD = struct.Struct("=i")
VNET = struct.Struct("=BBHHHH")
MAX_MESSAGE = 4 << 20
MAX_REQUEST = 256 << 10  # the largest has a packet and a list of actions
MAX_FDS = 253  # SCM_MAX_FD

# To be raised with every change of a request, an action or a record; keys are looked at.
REVISION = 9
LAYOUT = f"{REVISION}-{zlib.crc32(repr(list(MEMBERS.items())).encode()):08x}"

# One datapath flow.  key and mask: KEY_DP_SIZE bytes; used: ms of CLOCK_MONOTONIC of the last
# packet, 0 for never; tcp_flags: OR of all packets, host order.  earlier_packets, earlier_bytes:
# how much of packets and bytes was counted before the actions were last given.  offloaded: the
# kernel forwards packets of it by itself.  framed: who gave the flow said that its packets have an
# Ethernet header, and nothing of it.
FlowInfo = namedtuple(
    "FlowInfo",
    "ufid key mask actions packets bytes used tcp_flags earlier_packets earlier_bytes offloaded"
    " framed",
    defaults=(0, 0, False, False),
)


_new = tuple.__new__  # a FlowInfo of all its values, without the namedtuple's own function between


def followed_by(info: FlowInfo, later: FlowInfo) -> FlowInfo:
    """A flow that was deleted, made again and deleted again, as one."""
    return later._replace(
        packets=info.packets + later.packets,
        bytes=info.bytes + later.bytes,
        tcp_flags=info.tcp_flags | later.tcp_flags,
        earlier_packets=info.packets + later.earlier_packets,
        earlier_bytes=info.bytes + later.earlier_bytes,
        used=max(info.used, later.used),
    )


class ProtocolError(ValueError):
    """The bytes are no message of ours; the connection is of no more use."""


def encode(body: dict, data: bytes = b"", seq: int = 0) -> bytes:
    """One message."""
    text = orjson.dumps(body)
    return HEADER.pack(HEADER.size + len(text) + len(data), len(text), seq) + text + data


def decode(buffer: bytearray, most: int = MAX_MESSAGE) -> tuple[dict, bytes, int] | None:
    """Take the first message out of `buffer`: (body, data, seq), or None while it is incomplete.

    Raises ProtocolError, also for one of more than `most` bytes.
    """
    if len(buffer) < HEADER.size:
        return None
    size, text_size, seq = HEADER.unpack_from(buffer)
    if not HEADER.size + text_size <= size <= most:
        raise ProtocolError(f"a message of {size} bytes, {text_size} of JSON")
    if len(buffer) < size:
        return None
    try:
        body = orjson.loads(buffer[HEADER.size : HEADER.size + text_size])
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"bad JSON: {error}") from None
    if not isinstance(body, dict):
        raise ProtocolError("the JSON is no object")
    with memoryview(buffer) as view:
        data = bytes(view[HEADER.size + text_size : size])
    del buffer[:size]
    return body, data, seq


def complete(buffer: bytearray, most: int = MAX_MESSAGE) -> bool:
    """Whether decode() has something to say: a message, or that there will be none."""
    if len(buffer) < HEADER.size:
        return False
    size, text_size, _seq = HEADER.unpack_from(buffer)
    return len(buffer) >= size or not HEADER.size + text_size <= size <= most


def terse_flows(data: bytes) -> Iterator[FlowInfo]:
    """The flows in a reply's bytes that has counters only; the rest is None."""
    for ufid, packets, n_bytes, used, before, bytes_before, flags, off, _ in FLOW.iter_unpack(data):
        counters = (packets, n_bytes, used, flags, before, bytes_before, bool(off), False)
        yield _new(FlowInfo, (ufid, None, None, None, *counters))


def terse_record(info: FlowInfo) -> bytes:
    """The bytes that terse_flows() makes this of."""
    counters = (info.packets, info.bytes, info.used, info.earlier_packets, info.earlier_bytes)
    return FLOW.pack(info.ufid, *counters, info.tcp_flags, info.offloaded, 0)


def flows(data: bytes, keys: bool = True) -> Iterator[FlowInfo]:
    """The flows, with actions and with or without keys, in a reply's bytes."""
    at = 0
    key = mask = None
    while at + FLOW.size <= len(data):
        ufid, packets, n_bytes, used, *earlier, flags, offloaded, size = FLOW.unpack_from(data, at)
        at += FLOW.size
        if keys:
            key, mask = data[at : at + KEY_DP_SIZE], data[at + KEY_DP_SIZE : at + 2 * KEY_DP_SIZE]
            at += 2 * KEY_DP_SIZE
        counters = (packets, n_bytes, used, flags, *earlier, bool(offloaded), False)
        yield _new(FlowInfo, (ufid, key, mask, data[at : at + size], *counters))
        at += size + 7 & ~7


class Receiver:
    """What comes by a socket, into memory that stays: a new megabyte for each message costs more
    than the message."""

    def __init__(self, size: int, most_fds: int) -> None:
        self._room = memoryview(bytearray(size))
        self._ancillary = socket.CMSG_LEN(most_fds * FD.size)

    def receive(self, sock: socket.socket, buffer: bytearray, fds: list[int]) -> int:
        """recvmsg(2): bytes behind those in `buffer`, how many, and descriptors into `fds`."""
        n, ancillary, _flags, _address = sock.recvmsg_into(
            [self._room], self._ancillary, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += (fd for (fd,) in FD.iter_unpack(data[: len(data) // FD.size * FD.size]))
        buffer += self._room[:n]
        return n
