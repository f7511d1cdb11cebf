"""Multipart requests that a peer sends in several messages (OpenFlow 1.3.5, 7.3.5): made one."""

from ofproto.codec.errors import OFError
from ofproto.codec.messages.base import OFPT_MULTIPART_REQUEST, in_parts
from ofproto.codec.numbers import OF13

_BODY = 16  # bytes of header, type and flags before it
_TYPE, _FLAGS = slice(8, 10), slice(10, 12)
_MORE = 1  # OFPMPF_REQ_MORE

MOST_BEGUN = 4  # requests of which parts are missing
MOST_SIZE = 0xFFFF  # bytes: a request put together has to be a message again


class Parts:
    """Of one connection.  Bounded, so there is no time by which the rest has to come."""

    def __init__(self) -> None:
        self._begun: dict[bytes, bytearray] = {}  # by xid

    def join(self, raw: bytes) -> bytes | None:
        """A message as it is to be handled; None for a part that is not the last.

        Before 1.3 the flag means nothing, and a request of which each part makes sense alone
        (table features) is handled part by part.  Raises OFError.
        """
        if raw[1] != OFPT_MULTIPART_REQUEST or raw[0] < OF13 or len(raw) < _BODY:
            return raw
        more = int.from_bytes(raw[_FLAGS], "big") & _MORE
        xid = raw[4:8]
        begun = self._begun.pop(xid, None)
        if begun is None and not more:
            return raw
        alone = in_parts(raw)
        if begun is None:
            if alone:
                return raw
            begun = bytearray(raw)
        elif begun[_TYPE] != raw[_TYPE]:
            raise OFError("OFPBRC_BAD_STAT", "a part of another type")
        else:
            begun += raw[_BODY:]
        if len(begun) > MOST_SIZE or len(self._begun) >= MOST_BEGUN:
            raise OFError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", "too much of requests in parts")
        if more:
            self._begun[xid] = begun
            return None
        begun[2:4] = len(begun).to_bytes(2, "big")
        begun[_FLAGS] = bytes(2)
        return bytes(begun)
