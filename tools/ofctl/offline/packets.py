"""Commands of pyvs-ofctl that make a packet of a flow, and a flow of a packet."""

import sys

from datapath.key import flow
from datapath.key.compose import compose
from ofproto.codec.fields import BY_NAME
from ofproto.codec.match import Match
from ofproto.codec.match_text import TextError, parse_match
from ofproto.codec.numbers import OFPP_NONE
from ofproto.xlate.trace import format_flow
from pyvs_tools.command import Fatal

from .codes import print_bytes

LARGEST = 0xFFFF  # bytes of a packet on standard input


def _match(text: str) -> Match:
    try:
        return parse_match(text)
    except TextError as error:
        raise Fatal(str(error)) from None


def compose_packet(_settings, text: str, payload_text: str | None = None) -> int:
    """compose-packet FLOW [L7]: a packet of the flow, with these bytes behind its L4 header, and
    whether its fields are those of the flow."""
    try:
        payload = None if payload_text is None else bytes.fromhex("".join(payload_text.split()))
    except ValueError:
        raise Fatal(f"{payload_text}: trailing garbage in packet data") from None
    match = _match(text)
    if match.is_wild(BY_NAME["in_port"]):
        match.set("in_port", OFPP_NONE)
    frame = compose(bytes(match.key), payload=payload)
    print_bytes(frame)
    wanted = format_flow(bytes(match.key))
    found = format_flow(flow.extract(frame, OFPP_NONE))
    if wanted == found:
        return 0
    sys.stdout.flush()
    sys.stderr.write(
        f"specified and extracted flows differ:\nspecified: {wanted}\nextracted: {found}\n"
    )
    return 1


def parse_packet(_settings) -> int:
    """parse-packet: the fields of the packet that standard input is."""
    frame = sys.stdin.buffer.read(LARGEST)
    text = format_flow(flow.extract(frame, OFPP_NONE))
    sys.stdout.write(text.removeprefix("in_port=ANY,") + "\n")  # it came in nowhere
    return 0
