"""NXT_CT_FLUSH and NXT_CT_FLUSH_ZONE: a controller has the datapath forget connections.

A piece of the table in each of its turns; what it sends next waits until all is done.
"""

from ipaddress import IPv6Address
from typing import Any

import ovs.vlog

from ofproto.codec import messages
from ofproto.text.message_text_extended import format_ct_flush

vlog = ovs.vlog.Vlog("ct_dpif")

_NUMBERS = {
    "src_port": "src_port",
    "dst_port": "dst_port",
    "icmp_id": "id",
    "icmp_type": "type",
    "icmp_code": "code",
}


def _tuple(told: messages.CtTuple | None) -> dict[str, Any] | None:
    """As the datapath wants one; None where it names nothing."""
    found: dict[str, Any] = {}
    if told is None:
        return None
    for name in ("src", "dst"):
        number = getattr(told, name)
        if number:
            address = IPv6Address(number)
            found[name] = str(address.ipv4_mapped or address)
    for name, ours in _NUMBERS.items():
        if getattr(told, name) is not None:
            found[ours] = getattr(told, name)
    return found or None


def flush_zone(ofproto: Any, peer: Any, message: Any, _now: int) -> None:
    vlog.dbg(f"{ofproto.name}: ct_flush: zone {message.zone}")
    peer.work = ofproto.backer.ct_flush(zone=message.zone)


def flush(ofproto: Any, peer: Any, message: Any, _now: int) -> None:
    """A tuple without zone is of zone 0: ovs-ofctl(8)."""
    original, reply = _tuple(message.original), _tuple(message.reply)
    if message.protocol:
        original = {**(original or {}), "proto": message.protocol}
    if original is None and reply is None:
        what = "<all>" if message.zone is None else f"zone {message.zone}"
        vlog.dbg(f"{ofproto.name}: ct_flush: {what}")
        peer.work = ofproto.backer.ct_flush(zone=message.zone)
        return
    vlog.dbg(f"{ofproto.name}: ct_flush:{format_ct_flush(message)}")
    peer.work = ofproto.backer.ct_flush(zone=message.zone or 0, orig=original, reply=reply)


HANDLERS = {messages.CtFlushZone: flush_zone, messages.CtFlush: flush}
