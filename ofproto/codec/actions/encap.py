"""encap and decap of whole headers: Ethernet, NSH, MPLS (ovs-actions(7))."""

from struct import Struct

from ofproto.codec.errors import OFError
from ofproto.codec.match_text import TextError, parse_int, split_terms

from .base import OF13, Action, nicira, unsupported
from .set import check_zero

# Packet types: namespace (1: Ethertypes) and number
PT_ETHERNET, PT_NSH, PT_MPLS, PT_MPLS_MC = 0x00000000, 0x0001894F, 0x00018847, 0x00018848
PT_NEXT = 0x0000FFFE  # what the header says that follows
_TYPES = {PT_ETHERNET: "ethernet", PT_NSH: "nsh", PT_MPLS: "mpls", PT_MPLS_MC: "mpls_mc"}
_NUMBERS = {name: number for number, name in _TYPES.items()}
_NSH_CLASS, _MD_TYPE, _TLV = 4, 1, 2
_HEAD = Struct("!HI")
_PROPERTY = Struct("!HBB")
_TLV_HEAD = Struct("!HBB")
MAX_CONTEXT = 248  # bytes of metadata in a NSH header


class Encap(Action):
    """A new outermost header.  `md_type` of NSH (0: not told), and its `tlvs`, (class, type,
    bytes)."""

    FIELDS = ("packet_type", "md_type", "tlvs")
    DEFAULTS = (0, ())

    def encode(self, version):
        if version < OF13:
            raise unsupported(self, version)
        body = _HEAD.pack(0, self.packet_type)
        if self.md_type:
            body += _property(_MD_TYPE, bytes((self.md_type,)))
        for kind, number, data in self.tlvs:
            value = _TLV_HEAD.pack(kind, number, len(data)) + data
            body += _property(_TLV, value + bytes(-(_PROPERTY.size + len(value)) % 8))
        return nicira(46, body)

    def decode(body, _version):
        if len(body) < _HEAD.size:
            raise OFError("OFPBAC_BAD_LEN", f"encap of {len(body)} bytes")
        _size, packet_type = _HEAD.unpack_from(body)
        if packet_type not in _TYPES:
            raise OFError("NXBAC_BAD_HEADER_TYPE", f"packet type {packet_type:#x}")
        md_type, tlvs = 0, []
        for kind, data in _properties(body[_HEAD.size :], packet_type):
            if kind == _MD_TYPE:
                md_type = data[0] if data else 0
                if md_type not in (1, 2):
                    raise OFError("NXBAC_BAD_ED_PROP", f"md_type {md_type}")
            else:
                tlvs.append(_tlv(data))
        return Encap(packet_type, md_type, tuple(tlvs))

    NX = ((46, None, decode),)

    def parse(argument, _names):
        terms = split_terms(argument or "")
        if len(terms) != 1 or terms[0][0] not in _NUMBERS:
            raise TextError("Encap hdr not supported: " if terms else "Missing encap hdr: ")
        name, inner = terms[0]
        if not inner:
            return Encap(_NUMBERS[name])
        if name != "nsh":
            raise TextError(f"{name}: no properties")
        return _parse_nsh(inner)

    TEXT = {"encap": parse}

    def check(self, context):
        if self.packet_type != PT_ETHERNET:
            context.ethertype = self.packet_type & 0xFFFF
        elif context.packet_type:
            context.ethertype = context.packet_type & 0xFFFF
        context.packet_type = self.packet_type
        context.tags = 0

    def format(self, names=None):
        words = [f"md_type={self.md_type}"] if self.md_type else []
        words += [f"tlv({kind:#06x},{number},0x{data.hex()})" for kind, number, data in self.tlvs]
        inner = f"({','.join(words)})" if words else ""
        return f"encap({_TYPES[self.packet_type]}{inner})"


def _inside(packet_type, ethertype):
    """The packet type of a packet below its Ethernet header; None: unknown."""
    return 1 << 16 | ethertype if packet_type == PT_ETHERNET and ethertype > 0 else None


def _property(kind, data):
    body = _PROPERTY.pack(_NSH_CLASS, kind, _PROPERTY.size + len(data)) + data
    return body + bytes(-len(body) % 8)


def _properties(data, packet_type):
    at = 0
    while len(data) - at >= _PROPERTY.size:
        space, kind, length = _PROPERTY.unpack_from(data, at)
        if not length and not any(data[at:]):
            return
        end = at + (length + 7) // 8 * 8
        if length < _PROPERTY.size or end > len(data):
            raise OFError("NXBAC_BAD_ED_PROP", f"property of {length} bytes")
        if packet_type != PT_NSH or space != _NSH_CLASS or kind not in (_MD_TYPE, _TLV):
            raise OFError("NXBAC_UNKNOWN_ED_PROP", f"property {space}, {kind}")
        yield kind, data[at + _PROPERTY.size : at + length]
        at = end


def _tlv(data):
    if len(data) < _TLV_HEAD.size:
        raise OFError("NXBAC_BAD_ED_PROP", "truncated tlv")
    kind, number, size = _TLV_HEAD.unpack_from(data)
    if _TLV_HEAD.size + size > len(data):
        raise OFError("NXBAC_BAD_ED_PROP", f"tlv of {size} bytes")
    return kind, number, data[_TLV_HEAD.size : _TLV_HEAD.size + size]


def _parse_nsh(text):
    md_type, tlvs = 0, []
    for key, value in split_terms(text):
        if key == "md_type":
            md_type = parse_int(value or "", "md_type", 8)
            if md_type not in (1, 2):
                raise TextError("invalid md_type")
        elif key == "tlv":
            words = [word.strip() for word in (value or "").split(",")]
            if len(words) != 3 or not words[2].startswith("0x"):
                raise TextError("Invalid NSH TLV header")
            try:
                data = bytes.fromhex(words[2][2:])
            except ValueError:
                raise TextError("Invalid NSH TLV header") from None
            if len(data) > MAX_CONTEXT - _TLV_HEAD.size:
                raise TextError("NSH TLV header is too long")
            kind, number = parse_int(words[0], "class", 16), parse_int(words[1], "type", 8)
            tlvs.append((kind, number, data))
        else:
            raise TextError(f"Invalid property: {key}")
    return Encap(PT_NSH, md_type, tuple(tlvs))


class Decap(Action):
    """Takes off the outermost header; `packet_type` is that of what is below, PT_NEXT: as the
    header says."""

    FIELDS = ("packet_type",)
    DEFAULTS = (PT_NEXT,)

    def encode(self, version):
        if version < OF13:
            raise unsupported(self, version)
        return nicira(47, _HEAD.pack(0, self.packet_type))

    def decode(body, _version):
        check_zero(body[6:])
        return Decap(_HEAD.unpack_from(body)[1])

    NX = ((47, 6, decode),)

    def parse(argument, _names):
        if not argument:
            return Decap()
        terms = split_terms(argument)
        if len(terms) != 1 or terms[0][0] != "packet_type":
            raise TextError(f"Invalid decap argument: {argument}")
        words = dict(split_terms(terms[0][1] or ""))
        if set(words) != {"ns", "type"}:
            raise TextError("Missing packet_type attribute ns or type")
        space = parse_int(words["ns"] or "", "ns", 16)
        return Decap(space << 16 | parse_int(words["type"] or "", "type", 16))

    TEXT = {"decap": parse}

    def check(self, context):
        if context.ethertype is None:
            context.ethertype = 0 if context.match is None else max(context.match.eth_type, 0)
        context.packet_type = _inside(context.packet_type, context.ethertype)
        if context.packet_type is None:
            context.ethertype = 0

    def format(self, names=None):
        if self.packet_type == PT_NEXT:
            return "decap()"
        kind = self.packet_type & 0xFFFF
        shown = f"{kind:#x}" if kind else "0"
        return f"decap(packet_type(ns={self.packet_type >> 16},type={shown}))"
