"""Frames of the switch's own, of protocols and bonds: out of a port, past the tables."""

from typing import Any, NamedTuple

from ofproto.codec.actions import Action, Output, SetField
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.codec.numbers import OFPP_NONE
from ofproto.rules.compile import compile_actions


class PacketOut(NamedTuple):
    """What of a PACKET_OUT the Backer looks at."""

    packet: bytes
    in_port: int
    match: Match


def send(backer: Any, xbridge: Any, number: int, frame: bytes, now: int, oam: bool = False) -> None:
    """Through a patch port it goes to the peer's bridge.  It counts as what the port sent.  With
    `oam`, a tunnel's header says that it is of the network's own, where it has a bit for that."""
    message = PacketOut(frame, OFPP_NONE, Match())
    actions: list[Action] = [Output(number)]
    if oam:
        actions.insert(0, SetField(BY_NAME["tun_flags"], 1, 1))
    backer.packet_out(xbridge, message, compile_actions(actions), now)
