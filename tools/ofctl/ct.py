"""Commands of pyvs-ofctl for connections that are tracked: ovs-ofctl(8)."""

from typing import Any

from ofproto.codec import messages as m
from ofproto.codec.match_text import TextError
from ofproto.text.ct_text import parse_flush
from pyvs import digits
from pyvs_tools.command import Fatal


def _zone(text: str, complaint: str) -> int:
    zone = digits.number(text, 0xFFFF)
    if zone is None:
        raise Fatal(complaint)
    return zone


def ct_flush_zone(settings: Any, target: str, zone: str) -> None:
    """ct-flush-zone SWITCH ZONE"""
    number = _zone(zone, f'invalid zone_id "{zone}"')
    settings.connect(target).tell(m.CtFlushZone(number))


def ct_flush(settings: Any, target: str, *words: str) -> None:
    """ct-flush SWITCH [zone=N] [TUPLE [TUPLE]]: of the original and the reply direction"""
    zone, tuples = None, list(words)
    if tuples and tuples[0].startswith("zone="):
        zone = _zone(tuples.pop(0).removeprefix("zone="), "Failed to parse zone")
    if len(tuples) > 2:
        raise Fatal("ct-flush takes two tuples at most")
    try:
        flush = parse_flush(tuples, zone)
    except TextError as error:
        raise Fatal(f"Failed to parse ct-tuple: {error}") from None
    settings.connect(target).tell(flush)
