"""Tuples of tracked connections as text, as ovs-ofctl(8) has them in ct-flush:

    ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1

Errors in text raise TextError, whose message is for the user.
"""

from ipaddress import AddressValueError, IPv4Address, IPv6Address

from datapath.base.protocols import PROTO_ICMP, PROTO_ICMPV6
from ofproto.codec.match_text import TextError, parse_int, split_terms
from ofproto.codec.messages import CtFlush, CtTuple

_MAPPED = 0xFFFF << 32  # in front of an IPv4 address
_ICMP = (PROTO_ICMP, PROTO_ICMPV6)
# key -> attribute of a CtTuple
_ADDRESSES = {
    f"ct_{kind}_{side}": (side, kind) for kind in ("nw", "ipv6") for side in ("src", "dst")
}
_PORTS = {"ct_tp_src": "src_port", "ct_tp_dst": "dst_port"}
_OF_ICMP = {"icmp_id": 16, "icmp_type": 8, "icmp_code": 8}


def parse_flush(texts: list[str], zone: int | None = None) -> CtFlush:
    """What ct-flush forgets: tuples of the original and the reply direction (each may be empty),
    of one IP protocol and one of IPv4 and IPv6."""
    flush = CtFlush(zone=zone)
    kinds: set[str] = set()
    for side, text in zip(("original", "reply"), texts, strict=False):
        if text:
            setattr(flush, side, _parse_tuple(text, flush, kinds))
    return flush


def _parse_tuple(text, flush, kinds):
    found = CtTuple()
    for key, value in split_terms(text):
        if not value:
            raise TextError(f"field {key} missing value")
        if key in _ADDRESSES:
            _set_address(found, key, value, kinds)
        elif key == "ct_nw_proto":
            if flush.protocol:
                raise TextError(f"{key} is set multiple times")
            flush.protocol = _number(key, value, 8)
        elif key in _PORTS:
            setattr(found, _PORTS[key], _number(key, value, 16))
        elif key in _OF_ICMP:
            if flush.protocol not in _ICMP:
                raise TextError("invalid L4 fields")
            setattr(found, key, _number(key, value, _OF_ICMP[key]))
        else:
            raise TextError(f"invalid conntrack tuple field: {key}")
    if not flush.protocol and (found.src_port or found.dst_port):
        raise TextError("port is set without protocol")
    return found


def _set_address(found, key, value, kinds):
    name, kind = _ADDRESSES[key]
    if kinds - {kind}:
        raise TextError(f"the L3 protocol does not match {value}")
    kinds.add(kind)
    if getattr(found, name):
        raise TextError(f"{key} is set multiple times")
    try:
        number = int(IPv6Address(value)) if kind == "ipv6" else _MAPPED | int(IPv4Address(value))
    except AddressValueError:
        raise TextError(f"failed to parse field {key}") from None
    setattr(found, name, number)


def _number(key, value, bits):
    try:
        return parse_int(value, key, bits)
    except TextError:
        raise TextError(f"failed to parse field {key}") from None
