"""HELLO: the versions that a peer speaks, as bytes.

Sources: OpenFlow 1.0.1 5.5.1, 1.3.5 6.3.1 and 7.5.1.
"""

from collections.abc import Iterable
from struct import Struct

from .notes import note

HEADER = Struct("!BBHI")  # version, type, length, xid
HEADER_SIZE = 8
OFPT_HELLO = 0

_ELEMENT = Struct("!HH")  # type, length
OFPHET_VERSIONBITMAP = 1
# What a header's version can say: bits behind these are no versions, and there may be 500,000.
MAX_VERSION = 0xFF


def encode_hello(versions: Iterable[int], xid: int = 0) -> bytes:
    """HELLO of the highest version; with a bitmap unless that says the same as the header."""
    versions = set(versions)
    top = max(versions)
    body = b""
    if versions != set(range(1, top + 1)):
        words = top // 32 + 1
        bits = sum(1 << version for version in versions).to_bytes(4 * words, "little")
        bitmap = b"".join(bits[at : at + 4][::-1] for at in range(0, len(bits), 4))
        body = _ELEMENT.pack(OFPHET_VERSIONBITMAP, 4 + len(bitmap)) + bitmap
        body += bytes(-len(body) % 8)
    return HEADER.pack(top, OFPT_HELLO, HEADER_SIZE + len(body), xid) + body


def decode_hello(message: bytes) -> set[int]:
    """The versions that a HELLO offers: those of its bitmap, else all up to the header's.

    Elements that are unknown or broken are passed over, as the specification wants.
    """
    at = HEADER_SIZE
    while at + 4 <= len(message):
        kind, length = _ELEMENT.unpack_from(message, at)
        if length < 4 or at + length > len(message):
            break
        if kind == OFPHET_VERSIONBITMAP and length >= 8:
            return _sane(_bitmap(message[at + 4 : at + length // 4 * 4]))
        at += (length + 7) // 8 * 8
    return set(range(1, message[0] + 1))


LAST_KNOWN = 0x1F  # of the versions that a bitmap's first word has


def _sane(versions: set[int]) -> set[int]:
    if 0 in versions:
        note("ofp_util", "peer claims to support invalid OpenFlow version 0x00")
    if not any(0 < version <= LAST_KNOWN for version in versions):
        note("ofp_util", "peer does not support any OpenFlow version (between 0x01 and 0x1f)")
    return versions


def _bitmap(words: bytes) -> set[int]:
    """The versions of a bitmap's whole 32-bit words, the first of which has versions 0 to 31."""
    words = words[: (MAX_VERSION + 1) // 8]
    return {
        8 * at + bit
        for at in range(0, len(words), 4)
        for bit in range(32)
        if int.from_bytes(words[at : at + 4], "big") >> bit & 1
    }
