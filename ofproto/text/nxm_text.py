"""Matches as the names of their TLVs: `NXM_OF_IN_PORT(0001), OXM_OF_VLAN_VID_W(1123/1fff)`.

Errors in text raise TextError, whose message is for the user.
"""

import re

from ofproto.codec.fields import BY_CODE, FIELDS, Header
from ofproto.codec.match_text import TextError

_COOKIE_CODE = 0x0001 << 16 | 30 << 9  # NXM_NX_COOKIE, which is no field of packets
_EXPERIMENTER = 0xFFFF
_TERM = re.compile(r"\s*([^\s(]+)\s*\(\s*([0-9a-fA-F]*)(?:\s*/\s*([0-9a-fA-F]*))?\s*\)\s*,?\s*")


def _headers() -> dict[str, Header]:
    return {header.name: header for field in FIELDS for header in field.headers}


_HEADERS = _headers()


def format_tlvs(data: bytes) -> str:
    """The TLVs of bytes, `<any>` where there are none.  Raises TextError."""
    terms, at = [], 0
    while at < len(data):
        head = int.from_bytes(data[at : at + 4], "big")
        end = at + 4 + (head & 0xFF)
        start = at + (8 if head >> 16 == _EXPERIMENTER else 4)
        if end > len(data) or start > end:
            raise TextError("truncated TLV")
        terms.append(_term(head, data[at + 4 : start], data[start:end]))
        at = end
    return ", ".join(terms) or "<any>"


def _term(head, experimenter, body):
    has_mask = head >> 8 & 1
    name = _name(head, int.from_bytes(experimenter, "big"))
    value = body.hex()
    if has_mask:
        half = len(body) // 2
        value = f"{body[:half].hex()}/{body[half:].hex()}"
    return f"{name}{'_W' if has_mask else ''}({value})"


def _name(head, experimenter):
    if head in (_COOKIE_CODE | 8, _COOKIE_CODE | 0x110):
        return "NXM_NX_COOKIE"
    code = (head >> 16, experimenter, head >> 9 & 0x7F)
    field = BY_CODE.get(code)
    for header in field.headers if field else ():
        if (header.oxm_class, header.experimenter, header.number) == code:
            return header.name
    return f"{code[0]:04x}:{code[2]}"


def parse_tlvs(text: str) -> bytes:
    """The bytes of TLVs by name, or by their headers as hexadecimal numbers."""
    text = text.strip()
    if text == "<any>":
        return b""
    out, at = [], 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise TextError(f"{text[at:]}: not NAME(VALUE) or NAME_W(VALUE/MASK)")
        out.append(_parse_term(*found.groups()))
        at = found.end()
    return b"".join(out)


def _parse_term(name, value, mask):
    try:
        body = bytes.fromhex(value) + bytes.fromhex(mask or "")
    except ValueError:
        raise TextError(f"{name}: odd number of hexadecimal digits") from None
    plain = name[:-2] if mask is not None and name.endswith("_W") else name
    header = _HEADERS.get(plain)
    if header is not None:
        return header.encode(mask is not None) + body
    if plain == "NXM_NX_COOKIE":
        head = _COOKIE_CODE | (0x110 if mask is not None else 8)
        return head.to_bytes(4, "big") + body
    if re.fullmatch(r"[0-9a-fA-F]{8}|[0-9a-fA-F]{16}", name):
        return bytes.fromhex(name) + body
    raise TextError(f"{name}: unknown field")
