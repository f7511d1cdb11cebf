"""Frames of the switch's own, of protocols and bonds: out of a port, past the tables."""

from typing import Any, NamedTuple

from ofproto.codec.actions import Output
from ofproto.codec.match import Match
from ofproto.codec.numbers import OFPP_NONE
from ofproto.rules.compile import compile_actions


class PacketOut(NamedTuple):
    """What of a PACKET_OUT the Backer looks at."""

    packet: bytes
    in_port: int
    match: Match


def send(backer: Any, xbridge: Any, number: int, frame: bytes, now: int) -> None:
    """Through a patch port it goes to the peer's bridge.  It counts as what the port sent."""
    message = PacketOut(frame, OFPP_NONE, Match())
    backer.packet_out(xbridge, message, compile_actions([Output(number)]), now)
