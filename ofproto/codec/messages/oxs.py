"""Statistics as 1.5 has them: OXS, a list of TLVs like a match's (OpenFlow 1.5.1, 7.2.4)."""

from struct import Struct

from ofproto.codec.errors import OFError

from .base import aligned

DURATION, IDLE_TIME, FLOWS, PACKETS, BYTES = 0, 1, 3, 4, 5  # fields
_BASIC = 0x8002  # class
_HEAD, _TLV = Struct("!2xH"), Struct("!HBB")
_U64, _U32, _TIME = Struct("!Q"), Struct("!I"), Struct("!II")
_LAYOUTS = {DURATION: _TIME, IDLE_TIME: _TIME, FLOWS: _U32, PACKETS: _U64, BYTES: _U64}
_UNKNOWN_64 = (1 << 64) - 1


def read(data: bytes, at: int) -> tuple[dict, int]:
    """({field: number, or (seconds, nanoseconds)}, position behind) of struct ofp_stats.  Fields of
    other classes are passed over.  Raises OFError."""
    if len(data) - at < _HEAD.size:
        raise OFError("OFPBRC_BAD_LEN", "truncated statistics")
    length = _HEAD.unpack_from(data, at)[0]
    end, whole = at + length, at + (length + 7) // 8 * 8
    if length < _HEAD.size or whole > len(data):
        raise OFError("OFPBRC_BAD_LEN", f"statistics of {length} bytes")
    found, at = {}, at + _HEAD.size
    while at < end:
        if end - at < _TLV.size:
            raise OFError("OFPBRC_BAD_LEN", "truncated OXS header")
        kind, number, size = _TLV.unpack_from(data, at)
        at += _TLV.size
        if at + size > end:
            raise OFError("OFPBRC_BAD_LEN", f"OXS of {size} bytes")
        layout = _LAYOUTS.get(number >> 1) if kind == _BASIC else None
        if layout is not None:
            if size != layout.size:
                raise OFError("OFPBRC_BAD_LEN", f"OXS of {size} bytes")
            values = layout.unpack_from(data, at)
            value = values[0] if len(values) == 1 else values
            found[number >> 1] = None if value == _UNKNOWN_64 and layout is _U64 else value
        at += size
    return found, whole


def write(stats: dict) -> bytes:
    """struct ofp_stats of what is not None."""
    parts = []
    for number, value in stats.items():
        if value is not None:
            layout = _LAYOUTS[number]
            values = value if isinstance(value, tuple) else (value,)
            parts.append(_TLV.pack(_BASIC, number << 1, layout.size) + layout.pack(*values))
    body = b"".join(parts)
    return aligned(_HEAD.pack(_HEAD.size + len(body)) + body)
