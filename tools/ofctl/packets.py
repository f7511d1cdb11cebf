"""Commands of pyvs-ofctl that move packets: packet-out, probe, ping, benchmark."""

import sys
import time

from ofproto.codec import messages as m
from ofproto.codec.actions.base import parse_actions
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.codec.match_text import parse_port, set_term, split_terms
from ofproto.codec.messages.packet import is_pipeline_field
from ofproto.codec.numbers import OFPP_NONE
from ofproto.text.flow_text import TextError
from pyvs import digits
from pyvs_tools.command import Fatal

from .switch import find_port

ETHERNET_HEADER = 14
PINGS = 10
PING_BYTES = 64


# packet-out


def _packet(text, what=""):
    digits = "".join(text.split())
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise Fatal(f"{what}Trailing garbage in packet data") from None
    if len(data) < ETHERNET_HEADER:
        raise Fatal(f"{what}Packet data too short for Ethernet")
    return data


def _actions(text, names):
    try:
        return parse_actions(text, names)
    except TextError as error:
        raise Fatal(str(error)) from None


def parse_packet_out(text: str, names=None) -> m.PacketOut:
    """`in_port=1,packet=HEX,actions=...`, and fields that a packet has besides.  Raises Fatal."""
    before, found, actions = text.partition("actions=")
    port, packet, match = OFPP_NONE, None, Match()
    for key, value in split_terms(before):
        if key == "in_port":
            port = parse_port(value or "", names)
            if port is None:
                raise Fatal(f"{value} is not a valid OpenFlow port")
        elif key == "packet":
            packet = _packet(value or "", "packet: ")
        elif not _set_field(match, key, value, names):
            raise Fatal(f"unknown keyword {key}" if value else f"field {key} missing value")
        elif not is_pipeline_field(BY_NAME[key].name if key in BY_NAME else key):
            raise Fatal(f"{key} is not a valid pipeline field for PACKET_OUT")
    if packet is None:
        raise Fatal("must specify packet")
    return m.PacketOut(packet, port, _actions(actions, names) if found else [], match=match)


def _set_field(match, key, value, names):
    try:
        return set_term(match, key, value, names)
    except TextError as error:
        raise Fatal(str(error)) from None


def packet_out(settings, target, *words):
    """packet-out SWITCH PACKET-OUT, or SWITCH IN_PORT ACTIONS PACKET..."""
    session = settings.connect(target)
    names = settings.numbers(session)
    if len(words) == 1:
        session.tell(parse_packet_out(words[0], names))
        return
    if len(words) == 2:
        raise Fatal("'packet-out' command requires at least 4 arguments")
    port = find_port(settings, session, words[0])
    if port is None:
        raise Fatal(f"{target}: unknown port `{words[0]}'")
    actions = _actions(words[1], names)
    packets = [_packet(text) for text in words[2:]]
    for packet in packets:
        session.tell(m.PacketOut(packet, port, actions))


# probe, ping, benchmark


def _echo(session, data):
    """Send an echo request; returns the xid of its reply, when that is the same."""
    xid = session.next_xid()
    session.send_raw(m.EchoRequest(data).encode(session.version, xid))
    raw = session.receive_echo(xid)
    if raw[8:] != data:
        raise Fatal(f"{session.target}: reply does not match request")
    return xid


def probe(settings, target):
    """probe TARGET"""
    _echo(settings.connect(target), b"")


def _size(text, what):
    size = digits.number(text, 0xFFFF - 8)
    if size is None:
        raise Fatal(f"{what} must be between 0 and {0xFFFF - 8}")
    return size


def ping(settings, target, size=str(PING_BYTES)):
    """ping TARGET [N]"""
    import os

    payload = _size(size, "payload")
    session = settings.connect(target)
    for _ in range(PINGS):
        data = os.urandom(payload)
        start = time.perf_counter()
        xid = _echo(session, data)
        took = (time.perf_counter() - start) * 1000
        sys.stdout.write(f"{payload} bytes from {target}: xid={xid:08x} time={took:.1f} ms\n")


def benchmark(settings, target, size, count):
    """benchmark TARGET N COUNT"""
    payload = _size(size, "payload")
    number = digits.number(count)
    if number is None:
        raise Fatal(f"invalid count {count}")
    total = (payload + 8) * number
    session = settings.connect(target)
    sys.stdout.write(
        f"Sending {number} packets * {payload + 8} bytes (with header) = {total} bytes total\n"
    )
    start = time.perf_counter()
    for _ in range(number):
        _echo(session, bytes(payload))
    took = max(time.perf_counter() - start, 1e-9)
    sys.stdout.write(
        f"Finished in {took * 1000:.1f} ms ({number / took:.0f} packets/s) "
        f"({total / took:.0f} bytes/s)\n"
    )
