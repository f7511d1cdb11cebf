"""Properties as messages from 1.4 on, and extensions, have them: 16 bits of type, 16 bits of length
(of all but the padding), a value, zeros up to a multiple of 8.

Source: OpenFlow 1.5.1, 7.2.
"""

from collections.abc import Callable, Iterator
from struct import Struct

from ofproto.codec.errors import OFError

from .base import aligned

HEAD = Struct("!HH")
EXPERIMENTER = 0xFFFF
FIRST_EXPERIMENTER = 0xFFFE  # of those that table features have


def split(data: bytes, error: str = "OFPBPC_BAD_LEN") -> Iterator[tuple[int, bytes]]:
    """(type, value) of each.  Raises OFError `error` where a length is wrong."""
    at, size = 0, len(data)
    while at < size:
        if size - at < HEAD.size:
            raise OFError(error, f"property of {size - at} bytes")
        kind, length = HEAD.unpack_from(data, at)
        end = at + (length + 7) // 8 * 8
        if length < HEAD.size or end > size:
            raise OFError(error, f"property of {length} bytes")
        yield kind, data[at + HEAD.size : at + length]
        at = end


def make(kind: int, value: bytes) -> bytes:
    """One property."""
    return aligned(HEAD.pack(kind, HEAD.size + len(value)) + value)


def unknown(kind: int, value: bytes, known: bool = False) -> OFError:
    """The error about a property that has no meaning here; `known`: its experimenter has one."""
    if kind != EXPERIMENTER:
        return OFError("OFPBPC_BAD_TYPE", f"property {kind}")
    vendor = int.from_bytes(value[:4], "big")
    if known:
        return OFError("OFPBPC_BAD_EXP_TYPE", f"type {int.from_bytes(value[4:8], 'big')}")
    return OFError("OFPBPC_BAD_EXPERIMENTER", f"experimenter {vendor:#x}")


class Fixed:
    """Values of one size by type: {type: (Struct, function(found, *values))}; a type that is not
    there is an error, or passed over when `loose`."""

    def __init__(self, rows: dict[int, tuple[Struct, Callable]], loose: bool = False):
        self.rows = rows
        self.loose = loose

    def read(self, data: bytes, found) -> None:
        """Give `found` what the properties say.  Raises OFError OFPBPC_*."""
        for kind, value in split(data):
            row = self.rows.get(kind)
            if row is None:
                if self.loose:
                    continue
                raise unknown(kind, value)
            layout, put = row
            if len(value) != layout.size:
                raise OFError("OFPBPC_BAD_LEN", f"property {kind} of {len(value)} bytes")
            put(found, *layout.unpack(value))
