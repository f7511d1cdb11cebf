"""OpenFlow: whole conversations with a bridge, of messages that the codec's own rows say, bent.

Each message is a sample of its class in a version and form that can say it; then lengths, counts
and other numbers become those at the limits, parts are repeated up to a message's 64 KB, put into
each other, cut and swapped.
"""

import contextlib
import select
import socket
import struct

from ofproto.codec import messages as m
from ofproto.codec.hello import HEADER, encode_hello
from tests import daemons
from tests.hostile.campaign import SwitchCampaign
from tests.of_client import Client
from tests.ofproto.codec_samples import SAMPLES

VERSIONS = range(1, 7)
NUMBERS = (0, 1, 3, 4, 7, 8, 9, 15, 16, 24, 0x7FFF, 0x8000, 0xFFF7, 0xFFF8, 0xFFFE, 0xFFFF)
MOST = 0xFFF8


def _encoded():
    """(version, bytes) of every sample in every version and form that can say it."""
    found = []
    for message, _versions, form in SAMPLES:
        for version in VERSIONS:
            for more in (form, {}):
                with contextlib.suppress(ValueError, m.OFError, TypeError):
                    found.append((version, message.encode(version, 7, **more)))
    return sorted(set(found))


MESSAGES = _encoded()
BY_VERSION = {v: [raw for version, raw in MESSAGES if version == v] for v in VERSIONS}


def bend(rng, raw):
    """A message with a few changes; mostly with a header that is right again."""
    data = bytearray(raw)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        _CHANGES[rng.randrange(len(_CHANGES))](rng, data)
    del data[MOST:]
    if len(data) < 8:
        data += bytes(8 - len(data))
    if rng.random() < 0.9:
        data[2:4] = len(data).to_bytes(2, "big")
    return bytes(data)


def _at(rng, data, step=1):
    return rng.randrange(max(1, len(data) // step)) * step


def _number(rng, data):
    at = _at(rng, data, 2)
    data[at : at + 2] = rng.choice(NUMBERS).to_bytes(2, "big")


def _near_the_truth(rng, data):
    """Some number is a little more or less: lengths and counts are among them."""
    at = _at(rng, data, 2)
    old = int.from_bytes(data[at : at + 2], "big")
    data[at : at + 2] = (old + rng.choice((-8, -4, -1, 1, 4, 8)) & 0xFFFF).to_bytes(2, "big")


def _byte(rng, data):
    at = _at(rng, data)
    data[at : at + 1] = rng.randbytes(1)


def _repeat(rng, data):
    """A part again and again: lists at their limits."""
    begin = _at(rng, data, 8)
    part = bytes(data[begin : begin + 8 * rng.choice((1, 1, 2, 3, 5))])
    most = max(1, (MOST - len(data)) // max(1, len(part)))
    data[begin:begin] = part * min(most, rng.choice((1, 2, 100, 10_000)))


def _nest(rng, data):
    """Actions in each other, as clone and ct have them, or instructions: lengths all the way."""
    begin = _at(rng, data, 8)
    inner = bytes(data[begin:])
    for _ in range(rng.choice((1, 2, 64, 101, 500))):
        if len(inner) + 16 > MOST - begin:
            break
        head = struct.pack("!HHIH6x", 0xFFFF, len(inner) + 16, 0x2320, rng.choice((35, 42, 43)))
        inner = head + inner
    data[begin:] = inner


def _cut(rng, data):
    begin = _at(rng, data)
    del data[begin : begin + rng.choice((1, 2, 4, 8, 1000))]


def _swap(rng, data):
    other = rng.choice(MESSAGES)[1]
    begin = _at(rng, data, 8)
    data[begin:] = other[rng.randrange(len(other)) // 8 * 8 :]


_CHANGES = (_number, _number, _near_the_truth, _near_the_truth, _byte, _repeat, _nest, _cut, _swap)


def hello(rng, version):
    """Most are right."""
    if rng.random() < 0.85:
        return encode_hello({version})
    bitmap = rng.randbytes(4 * rng.choice((0, 1, 2, 1900)))
    body = struct.pack("!HH", rng.choice((0, 1, 1, 2)), (4 + len(bitmap)) & 0xFFFF) + bitmap
    return HEADER.pack(rng.choice((0, version, 0x63, 255)), 0, 8 + len(body), 1) + body


def conversation(rng):
    """What a peer sends, in pieces."""
    version = rng.choice((1, 1, 4, 4, 4, *VERSIONS))
    yield hello(rng, version)
    samples = BY_VERSION[version]
    for _ in range(rng.choice((1, 3, 10, 30))):
        raw = rng.choice(samples)
        data = bend(rng, raw)
        if rng.random() < 0.05:
            data = data * min(1000, (1 << 20) // len(data))
        if rng.random() < 0.1:
            at = rng.randrange(len(data))
            yield data[:at]
            data = data[at:]
        yield data


class OpenflowCampaign(SwitchCampaign):
    """vswitchd with a bridge, where hostile peers come by a service socket."""

    name = "openflow"

    def __enter__(self):
        self._switch = daemons.Switch()
        try:
            self._switch.start(vswitchd=["--enable-dummy"])
            self._socket = str(self._switch.directory / "of.sock")
            self._switch.vsctl(
                *("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure"),
                *("--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy"),
                *("--", "set-controller", "br0", f"punix:{self._socket}"),
            )
        except BaseException:
            self._switch.close()
            raise
        return self

    def __exit__(self, *exc):
        self._switch.close()

    def bystander(self):
        client = Client.unix(self._switch.directory / "br0.mgmt")
        client.hello()

        def probe():
            client.ask(m.FlowStatsRequest())
            client.barrier()

        return probe

    def attack(self, rng):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(self._socket)
            reads = rng.random() < 0.8
            for data in conversation(rng):
                if reads:
                    self._send_reading(sock, data)
                else:
                    sock.settimeout(0.05)
                    sock.sendall(data)
            if reads and rng.random() < 0.7:
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.05)
                with contextlib.suppress(OSError):
                    while sock.recv(1 << 16):
                        pass

    @staticmethod
    def _send_reading(sock, data):
        """Send, and take what comes meanwhile."""
        sock.settimeout(0)
        while data:
            if not any(select.select([sock], [sock], [], 5)):
                return
            with contextlib.suppress(BlockingIOError):
                if not sock.recv(1 << 18):
                    return
            with contextlib.suppress(BlockingIOError):
                data = data[sock.send(data) :]
