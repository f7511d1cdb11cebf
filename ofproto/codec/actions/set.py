"""Actions that write fields: set_field, load and move, and those of OpenFlow 1.0 for one field.

They are few kinds of meaning with many forms on the wire: which one is sent depends on version,
field and mask, as Open vSwitch sends them.  Sources: OpenFlow 1.0.1 5.2.4, 1.3.5 7.2.5;
ovs-actions(7).
"""

from functools import lru_cache
from struct import Struct

from datapath.base.protocols import PROTO_SCTP, PROTO_TCP, PROTO_UDP
from ofproto.codec.errors import OFError
from ofproto.codec.fields import (
    BY_CODE,
    BY_NAME,
    EXPERIMENTER_CLASS,
    MAX_OPTION,
    field,
    option_field,
)
from ofproto.codec.match import VLAN_CFI, VLAN_VID
from ofproto.codec.match_text import TextError, format_value, parse_eth, parse_int, parse_value
from ofproto.codec.match_wire import oxm_value, value_fits
from ofproto.codec.notes import noted
from ofproto.codec.numbers import OF10, OF11, OF12, OF15

from .base import (
    Action,
    format_subfield,
    long_number,
    need,
    nicira,
    number,
    parse_subfield,
    standard,
    unsupported,
)

_REG_LOAD = Struct("!HIQ")
_REG_MOVE = Struct("!HHH")
_PUSH_VLAN = standard(17, b"\x81\x00\0\0")
_VLAN_VID_FIELD, _VLAN_PCP, _VLAN_TCI = (BY_NAME[n] for n in ("vlan_vid", "vlan_pcp", "vlan_tci"))


# Headers of fields in actions


def field_at(body: bytes, at: int):
    """(field, position behind it) of a 4 or 8 byte header without value.  Raises OFError
    BAD_SET_TYPE, BAD_LEN."""
    size = 8 if body[at : at + 2] == b"\xff\xff" else 4
    if len(body) < at + size:
        raise OFError("OFPBAC_BAD_LEN", "truncated field")
    head = int.from_bytes(body[at : at + 4], "big")
    experimenter = int.from_bytes(body[at + 4 : at + size], "big")
    found = BY_CODE.get((head >> 16, experimenter, head >> 9 & 0x7F))
    length = head & 0xFF if size == 4 else (head & 0xFF) - 4
    if found is None or head >> 8 & 1 or (length != found.n_bytes and found.option is None):
        raise OFError("OFPBAC_BAD_SET_TYPE", f"field {head:#x}")
    return found, at + size


def field_header(action: Action, field, version: int) -> bytes:
    """The header that Nicira's actions carry: NXM's, where there is one, in all versions."""
    header = field.oxm(OF10, False)
    if header is None:
        raise unsupported(action, version)
    return header


def check_bits(field, start: int, n_bits: int) -> None:
    if not n_bits or start + n_bits > field.part_bits:
        raise OFError("OFPBAC_BAD_SET_LEN", f"bits {start}..{start + n_bits - 1} of {field.name}")


def check_writable(field) -> None:
    if not field.writable:
        raise OFError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} is read-only")


def check_zero(data: bytes) -> None:
    if any(data):
        raise OFError("NXBRC_MUST_BE_ZERO")


@lru_cache(256)
def _runs(mask: int) -> list[tuple[int, int]]:
    """(first bit, bits) of each run of ones, of 64 at most."""
    runs, start = [], 0
    while rest := mask >> start:
        start += (rest & -rest).bit_length() - 1
        rest = mask >> start
        n = min(64, (~rest & rest + 1).bit_length() - 1)
        runs.append((start, n))
        start += n
    return runs


def _loads(action: Action, field, value: int, mask: int, version: int) -> bytes:
    """Nicira's loads of the bits of `mask`."""
    header = field_header(action, field, version)
    # An experimenter's field does not fit into REG_LOAD, nor one of many lengths.
    if len(header) != 4 or field.option is not None:
        return _load2(field, value, mask, version)
    head = int.from_bytes(header, "big")
    mask &= (1 << field.part_bits) - 1  # what follows the rest of vlan_vid, parts of it have not
    return b"".join(
        nicira(7, _REG_LOAD.pack(start << 6 | n - 1, head, value >> start & ((1 << n) - 1)))
        for start, n in _runs(mask)
    )


def _load2(field, value, mask, version):
    return nicira(33, _entry(field, value, None if mask == field.mask else mask, version))


def _entry(field, value: int, mask: int | None, version: int) -> bytes:
    """A field's header, value and mask; of an option without zeros that both begin with."""
    if field.option is not None:
        width = max(1, (max(value, mask or 0).bit_length() + 7) // 8)
        field = option_field(field.option, min(width, field.n_bytes), 0)
    data = field.oxm(version, mask is not None) + value.to_bytes(field.n_bytes, "big")
    return data if mask is None else data + mask.to_bytes(field.n_bytes, "big")


# OpenFlow 1.0's actions for one field, and their like


class Setter:
    """Text name, field, type in 1.0 and from 1.1 on, Nicira's subtype, bytes of the value, zeros
    before it in Nicira's form, and how the value is read from text and printed."""

    __slots__ = ("field", "format", "name", "nx", "of10", "of11", "parse", "size", "skip")

    def __init__(self, name, field, of10, of11, nx, size, skip, parse, format):
        self.name = name
        self.field = BY_NAME[field]
        self.of10 = of10
        self.of11 = of11
        self.nx = nx
        self.size = size
        self.skip = skip
        self.parse = parse
        self.format = format

    @property
    def standard_size(self) -> int:
        """Bytes of the standard forms, behind type and length."""
        return 12 if self.size == 6 else 4

    def standard(self, number: int, value: int) -> bytes:
        data = value.to_bytes(self.size, "big")
        return standard(number, data + bytes(self.standard_size - self.size))

    def nicira(self, value: int) -> bytes:
        return nicira(self.nx, bytes(self.skip) + value.to_bytes(self.size, "big"))

    def decode(self, body: bytes, _version: int = 0) -> "SetField":
        value = int.from_bytes(body[: self.size], "big")
        if not value_fits(self.field, value):
            raise OFError("OFPBAC_BAD_ARGUMENT", f"{self.name} {value:#x}")
        return SetField(self.field, value, None, self.name)

    def decode_nicira(self, body: bytes, _version: int) -> "SetField":
        return self.decode(body[self.skip :])


def _short(what, bits, valid=None):
    """Parser of a number of 8 or 16 bits."""
    return lambda text: number(text, what, bits, valid)


def _tos(text):
    value = number(text, "TOS", 8)
    if value & 3:
        raise TextError(f"{text}: not a valid TOS")
    return value


def _address(text):
    try:
        return parse_value(BY_NAME["ip_src"], (text or "").replace("/", "?"), None)[0]
    except TextError:
        raise TextError(f"{text or ''}: could not convert to IP address") from None


def _ethernet(text):
    try:
        return parse_eth(text or "")
    except TextError:
        raise TextError(f"invalid mac address {text or ''}") from None


def _decimal(value):
    return f":{value}"


def _hex(value):
    return f":{value:#x}" if value else ":0"


def _call(value):
    return f"({value})"


def _eth_text(value):
    return f":{value.to_bytes(6, 'big').hex(':')}"


def _ip_text(value):
    return f":{'.'.join(map(str, value.to_bytes(4, 'big')))}"


def _long(bits, what="", valid=-1):
    return lambda text: long_number((text or "").strip("()"), bits, what, valid)


_VID, _PCP = _short("VLAN VID", 16, 0xFFF), _short("VLAN PCP", 8, 7)
SETTERS = (
    Setter("mod_vlan_vid", "dl_vlan", 1, 1, None, 2, 0, _VID, _decimal),
    Setter("mod_vlan_pcp", "dl_vlan_pcp", 2, 2, None, 1, 0, _PCP, _decimal),
    Setter("mod_dl_src", "eth_src", 4, 3, None, 6, 0, _ethernet, _eth_text),
    Setter("mod_dl_dst", "eth_dst", 5, 4, None, 6, 0, _ethernet, _eth_text),
    Setter("mod_nw_src", "ip_src", 6, 5, None, 4, 0, _address, _ip_text),
    Setter("mod_nw_dst", "ip_dst", 7, 6, None, 4, 0, _address, _ip_text),
    Setter("mod_nw_tos", "nw_tos", 8, 7, None, 1, 0, _tos, _decimal),
    Setter("mod_nw_ecn", "nw_ecn", None, 8, None, 1, 0, _short("ECN", 8, 3), _decimal),
    Setter("mod_tp_src", "tcp_src", 9, 9, None, 2, 0, _short("source port", 16), _decimal),
    Setter("mod_tp_dst", "tcp_dst", 10, 10, None, 2, 0, _short("destination port", 16), _decimal),
    Setter("set_mpls_label", "mpls_label", None, 13, 30, 4, 2, _long(32, "MPLS label", 0xFFFFF),
           _call),
    Setter("set_mpls_tc", "mpls_tc", None, 14, 31, 1, 0, _short("MPLS TC", 8, 7), _call),
    Setter("set_tunnel", "tun_id", None, None, 2, 4, 2, _long(64), _hex),
    Setter("set_tunnel64", "tun_id", None, None, 9, 8, 6, _long(64), _hex),
)  # fmt: skip
_BY_TEXT = {setter.name: setter for setter in SETTERS}
# What OpenFlow 1.0 has an action for, under whatever name: field -> (setter, shift of the value)
IN_10 = {setter.field: (setter, 0) for setter in SETTERS if setter.of10} | {
    _VLAN_VID_FIELD: (_BY_TEXT["mod_vlan_vid"], 0),
    _VLAN_PCP: (_BY_TEXT["mod_vlan_pcp"], 0),
    BY_NAME["ip_dscp"]: (_BY_TEXT["mod_nw_tos"], 2),
    BY_NAME["udp_src"]: (_BY_TEXT["mod_tp_src"], 0),
    BY_NAME["udp_dst"]: (_BY_TEXT["mod_tp_dst"], 0),
}
# The same of 1.1
IN_11 = {setter.field: (setter, 0) for setter in SETTERS if setter.of11} | {
    field: row for field, row in IN_10.items() if row[0].of11
}
_TAGGING = ("mod_vlan_vid", "mod_vlan_pcp")
_CHANGE_TAG = ("set_vlan_vid", "set_vlan_pcp")  # 1.1's actions, which add no tag
# mod_tp_*: whatever the L4 protocol is
_L4 = {"mod_tp_src": "src", "mod_tp_dst": "dst"}
_PROTOCOLS = {PROTO_TCP: "tcp", PROTO_UDP: "udp", PROTO_SCTP: "sctp"}


class SetField(Action):
    """Sets a field, or its bits in `mask` (None: all).

    `legacy` is the name of the action that said it when that is not set_field, else False:
    mod_vlan_vid and mod_vlan_pcp add a tag where there is none, set_vlan_* do not, mod_tp_src and
    mod_tp_dst set the port of any L4 protocol.
    """

    FIELDS = ("field", "value", "mask", "legacy")
    DEFAULTS = (None, False)

    @property
    def in_context(self) -> bool:
        return bool(self.legacy)

    def encode(self, version):
        if self.legacy in _CHANGE_TAG:
            return SetField(self.field, self.value).encode(version)
        if self.legacy:
            return self._encode_legacy(version, -1)
        if version == OF10:
            return self._encode_10()
        if version == OF11 and self.mask is None:
            return self._encode_11()
        if self.mask is None and version >= OF12:
            return self._set_field(self.field, self.value, None, version)
        if version >= OF15:
            return self._set_field(self.field, self.value, self.mask, version)
        return _loads(self, self.field, self.value, self._mask, version)

    @property
    def _mask(self):
        return self.field.mask if self.mask is None else self.mask

    def encode_in(self, version, context):
        if self.legacy in _CHANGE_TAG:
            return self.encode(version)
        push = b""
        if self.legacy in _TAGGING:
            if version > OF10 and not context.has_vlan:
                push = _PUSH_VLAN
            context.has_vlan = True
        return push + self._encode_legacy(version, context.nw_proto)

    def _set_field(self, field, value, mask, version):
        if field.oxm(version, mask is not None) is None:
            raise unsupported(self, version)
        data = _entry(field, value, mask, version)
        return standard(25, data + bytes(-(4 + len(data)) % 8))

    def _encode_legacy(self, version, nw_proto):
        setter = _BY_TEXT[self.legacy]
        if version == OF10 and setter.of10:
            return setter.standard(setter.of10, self.value)
        if version == OF11 and setter.of11:
            return setter.standard(setter.of11, self.value)
        if version <= OF11 and setter.nx:
            if self.value >> 8 * setter.size:
                setter = _BY_TEXT["set_tunnel64"]
            return setter.nicira(self.value)
        field, value = self._modern(nw_proto)
        if version >= OF12:
            return self._set_field(field, value, None, version)
        return _loads(self, field, value, field.mask, version)

    def _modern(self, nw_proto):
        """Field and value by which later versions say it."""
        name = self.field.name
        if name == "dl_vlan":
            return _VLAN_VID_FIELD, self.value | VLAN_CFI
        if name == "dl_vlan_pcp":
            return _VLAN_PCP, self.value
        if name == "nw_tos":
            return BY_NAME["ip_dscp"], self.value >> 2
        if self.legacy in _L4:
            protocol = _PROTOCOLS.get(nw_proto, "tcp")
            return BY_NAME[f"{protocol}_{_L4[self.legacy]}"], self.value
        return self.field, self.value

    def _encode_11(self):
        setter, shift = IN_11.get(self.field, (None, 0))
        if setter is None:
            return _loads(self, self.field, self.value, self.field.mask, OF11)
        return setter.standard(setter.of11, self.value << shift & setter.field.mask)

    def _encode_10(self):
        setter, shift = IN_10.get(self.field, (None, 0))
        if setter and self.mask is None:
            return setter.standard(setter.of10, self.value << shift & setter.field.mask)
        if self.field is _VLAN_TCI and self.mask is None:
            if not self.value & VLAN_CFI:
                return standard(3, bytes(4))  # strip_vlan
            vid, pcp = _BY_TEXT["mod_vlan_vid"], _BY_TEXT["mod_vlan_pcp"]
            return vid.standard(vid.of10, self.value & VLAN_VID) + pcp.standard(
                pcp.of10, self.value >> 13
            )
        return _loads(self, self.field, self.value, self._mask, OF10)

    def decode_oxm(body, version):
        """SET_FIELD and Nicira's REG_LOAD2."""
        field, has_mask, at, end = _oxm_header(body)
        value, mask = oxm_value(field, has_mask, body[:end], at)
        if any(body[end:]):
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", "padding is not zero")
        check_writable(field)
        if field is _VLAN_VID_FIELD and version >= OF12 and not has_mask and not value & VLAN_CFI:
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", "vlan_vid without the present bit")
        if field.option is not None:
            return SetField(BY_NAME[field.name], value, mask if has_mask else None)
        return SetField(field, value, mask if has_mask and mask != field.mask else None)

    def decode_vid_11(body, _version):
        vid = _BY_TEXT["mod_vlan_vid"].decode(body).value
        return SetField(_VLAN_VID_FIELD, vid | VLAN_CFI, None, "set_vlan_vid")

    def decode_pcp_11(body, _version):
        pcp = _BY_TEXT["mod_vlan_pcp"].decode(body).value
        return SetField(_VLAN_PCP, pcp, None, "set_vlan_pcp")

    # 1.2 and later have SET_FIELD instead of 1.1's, but Open vSwitch takes these, too.
    WIRE = (
        *((OF10, OF10, s.of10, s.standard_size, s.decode) for s in SETTERS if s.of10),
        *((OF11, OF15, s.of11, s.standard_size, s.decode) for s in SETTERS if (s.of11 or 0) > 2),
        (OF11, OF15, 1, 4, decode_vid_11),
        (OF11, OF15, 2, 4, decode_pcp_11),
        (OF12, OF15, 25, None, decode_oxm),
    )
    NX = (
        *((s.nx, 6 if s.size < 8 else 14, s.decode_nicira) for s in SETTERS if s.nx),
        (33, None, decode_oxm),
    )

    def parse(argument, names):
        text, arrow, name = (argument or "").partition("->")
        if not arrow:
            raise TextError(f"{argument or ''}: missing `->'")
        if not name:
            raise TextError(f"{argument}: missing field name following `->'")
        found = field(name)
        if found is None:
            raise TextError(f"{name} is not a valid OXM field name")
        if not found.writable:
            raise TextError(f"{name} is read-only")
        value, mask = parse_value(found, text, names)
        if not value_fits(found, value):
            raise TextError(f"{text} is not a valid value for field {name}")
        if not found.headers:  # dl_vlan, dl_vlan_pcp
            if found not in IN_10:
                raise TextError(f"{name} is read-only")
            return SetField(found, value, None, IN_10[found][0].name)
        if mask in (None, found.mask):
            return SetField(found, value)
        return SetField(found, value & mask, mask)

    def parse_vid(argument, _names):
        vid = _BY_TEXT["mod_vlan_vid"].parse(argument)
        return SetField(_VLAN_VID_FIELD, vid | VLAN_CFI, None, "set_vlan_vid")

    def parse_pcp(argument, _names):
        pcp = _BY_TEXT["mod_vlan_pcp"].parse(argument)
        return SetField(_VLAN_PCP, pcp, None, "set_vlan_pcp")

    TEXT = {"set_field": parse, "set_vlan_vid": parse_vid, "set_vlan_pcp": parse_pcp} | {
        s.name: lambda a, n, s=s: SetField(s.field, s.parse(a), None, s.name) for s in SETTERS
    }

    def format(self, names=None):
        if self.legacy in _CHANGE_TAG:
            return f"{self.legacy}:{self.value & VLAN_VID}"
        if self.legacy:
            return self.legacy + _BY_TEXT[self.legacy].format(self.value)
        value = format_value(self.field, self.value, self.mask, names)
        return f"set_field:{value}->{self.field.name}"

    def check(self, context):
        if self.legacy in _TAGGING:
            context.tags = context.tags or 1
        elif self.legacy in _L4 and context.match is not None:
            if context.match.nw_proto not in _PROTOCOLS:
                context.require_after_10(self.field)
        elif self.legacy:
            needed = _VLAN_PCP if self.legacy in _CHANGE_TAG else self.field
            context.require_after_10(needed)
        else:
            check_set(self.field, context)
            if self.field is _VLAN_TCI and self.mask is None:
                context.tags = bool(self.value & VLAN_CFI)


def check_set(field, context) -> None:
    """A field may be written in this flow."""
    needed = _VLAN_PCP if field is _VLAN_VID_FIELD else field  # a tag is changed, not made
    if not context.holds(needed.prerequisite):
        text = f"set_field {field.name} lacks correct prerequisites"
        raise noted("OFPBAC_MATCH_INCONSISTENT", "ofp_actions", text)
    context.set_field(needed)


def check_destination(field, context) -> None:
    """A field may be where this flow's action leaves its result."""
    context.destination(_VLAN_PCP if field is _VLAN_VID_FIELD else field)


def _oxm_header(data: bytes):
    """(field, has_mask, where the value starts, where the TLV ends) of a whole TLV in an action.

    Raises OFError BAD_SET_TYPE, BAD_SET_LEN.
    """
    if len(data) < 4:
        raise OFError("OFPBAC_BAD_SET_LEN", "truncated field")
    head = int.from_bytes(data[:4], "big")
    end = 4 + (head & 0xFF)
    oxm_class, code, has_mask = head >> 16, head >> 9 & 0x7F, bool(head >> 8 & 1)
    experimenter, start = 0, 4
    if oxm_class == EXPERIMENTER_CLASS:
        experimenter, start = int.from_bytes(data[4:8], "big"), 8
    if end > len(data):
        raise OFError("OFPBAC_BAD_SET_LEN", "truncated field")
    found = BY_CODE.get((oxm_class, experimenter, code))
    if found is None:
        raise OFError("OFPBAC_BAD_SET_TYPE", f"OXM header {head:#x}")
    if found.option is not None:
        width = end - start >> has_mask
        if width << has_mask != end - start or width > MAX_OPTION:
            raise OFError("OFPBAC_BAD_SET_LEN", found.name)
        return option_field(found.option, width, 0), has_mask, start, end
    if end - start != found.n_bytes * (1 + has_mask):
        raise OFError("OFPBAC_BAD_SET_LEN", found.name)
    return found, has_mask, start, end


class RegLoad(Action):
    """Sets bits [start, start + n_bits) of a field."""

    FIELDS = ("field", "start", "n_bits", "value")

    def encode(self, version):
        mask = (1 << self.n_bits) - 1 << self.start
        if version >= OF15:
            mask &= self.field.mask  # nw_tos is without ECN
            whole = None if mask == self.field.mask else mask
            return SetField(self.field, self.value << self.start & mask, whole).encode(version)
        return _loads(self, self.field, self.value << self.start, mask, version)

    def most_bytes(self):
        """A load of each 64 bits, or a masked set-field of 1.5."""
        if self.field.option is not None or any(h.experimenter for h in self.field.headers):
            return None
        return max(24 * -(-self.n_bits // 64), (8 + 2 * self.field.n_bytes + 7) & ~7)

    def decode(body, _version):
        bits, _head, value = _REG_LOAD.unpack(body)
        field, _at = field_at(body, 2)
        start, n_bits = bits >> 6, (bits & 0x3F) + 1
        check_bits(field, start, n_bits)
        check_writable(field)
        if value >> n_bits:
            raise OFError("OFPBAC_BAD_SET_ARGUMENT", f"{value:#x} in {n_bits} bits")
        return RegLoad(field, start, n_bits, value)

    NX = ((7, 14, decode),)

    def parse(argument, _names):
        text, arrow, destination = need(argument, "load").partition("->")
        if not arrow:
            raise TextError(f"{argument}: missing `->'")
        if not destination:
            raise TextError(f"{argument}: missing field name following `->'")
        field, start, n_bits = parse_subfield(destination)
        if not field.writable:
            raise TextError(f"{destination} is read-only")
        try:
            value = parse_int(text, "load", 128)
        except TextError:
            raise TextError(f"{argument}: cannot parse integer value") from None
        if value >> n_bits:
            raise TextError(f"{argument}: value {value:#x} does not fit into {n_bits} bits")
        return RegLoad(field, start, n_bits, value)

    TEXT = {"load": parse}

    def format(self, names=None):
        value = f"{self.value:#x}" if self.value else "0"
        return f"load:{value}->{format_subfield(self.field, self.start, self.n_bits)}"

    def check(self, context):
        check_set(self.field, context)


class RegMove(Action):
    """Copies bits from one field to another."""

    FIELDS = ("src", "src_start", "n_bits", "dst", "dst_start")

    @property
    def destination(self):
        return self.dst, self.dst_start, self.n_bits

    def encode(self, version):
        head = _REG_MOVE.pack(self.n_bits, self.src_start, self.dst_start)
        if version >= OF15:
            data = head + bytes(2) + self.src.oxm(version, False) + self.dst.oxm(version, False)
            return standard(28, data + bytes(-(4 + len(data)) % 8))
        src, dst = (field_header(self, field, version) for field in (self.src, self.dst))
        return nicira(6, head + src + dst)

    def decode(body, _version):
        return RegMove.of_bytes(body, _REG_MOVE.size)

    def decode_copy(body, _version):
        """COPY_FIELD of 1.5."""
        check_zero(body[6:8])
        return RegMove.of_bytes(body, _REG_MOVE.size + 2)

    def decode_onf(body, _version):
        """The same as the ONF's extension for 1.3."""
        check_zero(body[6:8])
        return RegMove.of_bytes(body, _REG_MOVE.size + 2)

    @classmethod
    def of_bytes(cls, body, at):
        """A move whose fields begin at `at`."""
        if len(body) < at + 8:
            raise OFError("OFPBAC_BAD_LEN", f"move of {len(body)} bytes")
        n_bits, src_start, dst_start = _REG_MOVE.unpack_from(body)
        src, at = field_at(body, at)
        dst, at = field_at(body, at)
        check_zero(body[at:])
        check_bits(src, src_start, n_bits)
        check_bits(dst, dst_start, n_bits)
        check_writable(dst)
        return cls(src, src_start, n_bits, dst, dst_start)

    WIRE = ((OF15, OF15, 28, None, decode_copy),)
    NX = ((6, None, decode),)
    ONF = ((3200, None, decode_onf),)

    def parse(argument, _names):
        source, arrow, destination = need(argument, "move").partition("->")
        if not arrow:
            raise TextError(f"{argument}: missing `->' following source")
        src, src_start, n_bits = parse_subfield(source, argument)
        dst, dst_start, dst_bits = parse_subfield(destination)
        if n_bits != dst_bits:
            raise TextError(
                f"{argument}: source field is {n_bits} bits wide but destination is "
                f"{dst_bits} bits wide"
            )
        if not dst.writable:
            raise TextError(f"{destination} is read-only")
        return RegMove(src, src_start, n_bits, dst, dst_start)

    TEXT = {"move": parse}

    def format(self, names=None):
        source = format_subfield(self.src, self.src_start, self.n_bits)
        return f"move:{source}->{format_subfield(self.dst, self.dst_start, self.n_bits)}"

    def check(self, context):
        context.source(self.src)
        check_destination(self.dst, context)
