"""Match: the fields of a flow, as flow key and mask, and its OXM, NXM and OpenFlow 1.0 forms.

The text form is in match_text.  `key` and `mask` are KEY_SIZE bytes each in the layout of
datapath/flow.pxd; `key & ~mask` is always zero, so equal matches have equal bytes.  in_port
holds the 16-bit OpenFlow port number.  VLAN fields live in the outer tag's tci, whose CFI bit
means "a tag is present".
"""

from functools import lru_cache
from struct import Struct

from datapath.flow import KEY_SIZE, MEMBERS

from . import fields
from .errors import OFError
from .fields import BY_NAME, FIELDS, Field, Prerequisite, port_from_32, port_to_32

VLAN_CFI, VLAN_VID, VLAN_PCP = 0x1000, 0x0FFF, 0xE000
OFP_VLAN_NONE = 0xFFFF  # OpenFlow 1.0: no tag

_ZERO = bytes(KEY_SIZE)
_ZEROS = [bytes(n) for n in range(17)]
_U16, _U32 = Struct("!H"), Struct("!I")


class Slot:
    """Where a field lies: bytes [start, end) of the key, shifted left by `shift` bits there."""

    __slots__ = ("end", "exact", "full", "ones", "shift", "start", "whole", "wild")

    def __init__(self, field: Field):
        member, shift, bits = field.slot
        offset, size = MEMBERS[member]
        size = max(size, (shift + bits + 7) // 8)
        skip = size - (shift + bits + 7) // 8  # leading bytes that the field does not touch
        trail = shift // 8  # trailing ones
        self.start = offset + skip
        self.end = offset + size - trail
        self.shift = shift - trail * 8
        self.ones = (1 << bits) - 1
        self.full = self.ones << self.shift
        self.whole = self.full == (1 << 8 * (self.end - self.start)) - 1
        wide = bits > field.n_bits and field.n_bits == field.mask.bit_length()
        # the mask, within the slot, of an exact match
        self.exact = self.full if wide else field.mask << self.shift
        if field.mask.bit_length() > bits:
            self.exact = self.full
        self.wild = bytes(self.end - self.start)


SLOTS = {field: Slot(field) for field in FIELDS}


def _f(name):
    return BY_NAME[name]


_ETH_TYPE, _NW_PROTO = SLOTS[_f("eth_type")], SLOTS[_f("nw_proto")]
_TCI, _CT_STATE = SLOTS[_f("vlan_tci")], SLOTS[_f("ct_state")]
_TP_SRC, _TP_DST = SLOTS[_f("tcp_src")], SLOTS[_f("tcp_dst")]
_VLAN_VID, _VLAN_TCI, _DL_VLAN = _f("vlan_vid"), _f("vlan_tci"), _f("dl_vlan")
_PCP_FIELDS = (_f("vlan_pcp"), _f("dl_vlan_pcp"))
_TUN_FLAGS = _f("tun_flags")
_PACKET_TYPE, _COOKIE_CODE = _f("packet_type"), (0x0001 << 16 | 30 << 9)


class Match:
    """The fields that a flow matches; starts as match-all.  Mutable; hash only when done."""

    __slots__ = ("key", "mask")

    def __init__(self, key: bytes = _ZERO, mask: bytes = _ZERO):
        self.key = bytearray(key)
        self.mask = bytearray(mask)

    @property
    def key_bytes(self) -> bytes:
        """The flow key, KEY_SIZE bytes."""
        return bytes(self.key)

    @property
    def mask_bytes(self) -> bytes:
        """The mask, KEY_SIZE bytes."""
        return bytes(self.mask)

    def __eq__(self, other):
        return isinstance(other, Match) and self.mask == other.mask and self.key == other.key

    def __hash__(self):
        return hash((bytes(self.key), bytes(self.mask)))

    def __repr__(self):
        from .match_text import format_match

        return f"<Match {format_match(self)}>"

    def copy(self) -> "Match":
        """An independent copy."""
        return Match(self.key, self.mask)

    def set(self, field: Field | str, value: int, mask: int | None = None) -> None:
        """Match `value` where `mask` (default: all of the field) has ones, replacing what the
        match said of the field.  Ports are 16-bit numbers here.  No prerequisites are checked."""
        if isinstance(field, str):
            field = BY_NAME[field]
        if field is _DL_VLAN:
            self._set_dl_vlan(value)
            return
        if field is _PACKET_TYPE and value == 0:
            return  # every packet here is Ethernet
        slot = SLOTS[field]
        if mask is None or mask & field.mask == field.mask:
            care = slot.exact
        else:
            care = mask << slot.shift & slot.exact
        self._store(slot, value << slot.shift, care, slot.exact)
        if field in _PCP_FIELDS and care:
            self._store(_TCI, VLAN_CFI, VLAN_CFI, VLAN_CFI)

    def _store(self, slot, value, care, clear):
        start, end = slot.start, slot.end
        size = end - start
        old_mask = int.from_bytes(self.mask[start:end], "big") & ~clear
        old_key = int.from_bytes(self.key[start:end], "big") & ~clear
        self.mask[start:end] = (old_mask | care).to_bytes(size, "big")
        self.key[start:end] = (old_key | value & care).to_bytes(size, "big")

    def _set_dl_vlan(self, vid):
        if vid == OFP_VLAN_NONE:
            self._store(_TCI, 0, 0xFFFF, 0xFFFF)
        else:
            keep = VLAN_CFI | VLAN_VID
            self._store(_TCI, vid & VLAN_VID | VLAN_CFI, keep, keep)

    def get(self, field: Field | str) -> tuple[int, int]:
        """(value, mask) of a field; the mask is 0 when it is not matched at all."""
        if isinstance(field, str):
            field = BY_NAME[field]
        slot = SLOTS[field]
        mask = int.from_bytes(self.mask[slot.start : slot.end], "big") >> slot.shift & slot.ones
        value = int.from_bytes(self.key[slot.start : slot.end], "big") >> slot.shift & slot.ones
        if slot.ones != field.mask:  # a slot of another width than the field
            full = slot.exact >> slot.shift
            mask = field.mask if mask & full == full and full else mask & field.mask
            value &= field.mask  # what else the slot holds, as nw_ecn beside nw_tos, is not its
        return value, mask

    def is_wild(self, field: Field) -> bool:
        """Whether no bit of the field matters."""
        slot = SLOTS[field]
        raw = self.mask[slot.start : slot.end]
        return raw == slot.wild or not int.from_bytes(raw, "big") & slot.full

    def _exact(self, slot) -> int:
        """The value in a slot; -1 when it is not matched exactly."""
        mask = int.from_bytes(self.mask[slot.start : slot.end], "big")
        if mask & slot.full != slot.full:
            return -1
        return int.from_bytes(self.key[slot.start : slot.end], "big") >> slot.shift & slot.ones

    @property
    def eth_type(self) -> int:
        """The Ethertype; -1 when it is not matched."""
        return self._exact(_ETH_TYPE)

    @property
    def nw_proto(self) -> int:
        """The IP protocol (or ARP opcode); -1 when it is not matched."""
        return self._exact(_NW_PROTO)

    def holds(self, need: Prerequisite | None) -> bool:
        """Whether a field's prerequisite is matched."""
        if need is None:
            return True
        if need.special == "vlan":
            return self._bits(_TCI, VLAN_CFI)
        if need.special == "ct":
            return self._bits(_CT_STATE, fields.CS_TRACKED)
        if self._exact(_ETH_TYPE) not in need.eth:
            return False
        if need.proto is None:
            return True
        if self._exact(_NW_PROTO) != need.proto:
            return False
        return need.types is None or (
            self._exact(_TP_SRC) in need.types and self._exact(_TP_DST) <= 0
        )

    def _bits(self, slot, bits):
        mask = int.from_bytes(self.mask[slot.start : slot.end], "big")
        key = int.from_bytes(self.key[slot.start : slot.end], "big")
        return key & mask & bits == bits

    def fields(self):
        """Yields (field, value, mask) of what is matched, each slot once, under the field whose
        prerequisites hold (tcp_src or udp_src ...), in encoding order.  VLAN comes as vlan_tci,
        DSCP as nw_tos, registers as reg0 .. reg15."""
        for field in _canonical(bytes(self.mask)):
            if not self.holds(field.prerequisite):
                continue
            value, mask = self.get(field)
            if mask:
                yield field, value, mask

    def normalize(self) -> None:
        """Drop what no field with fulfilled prerequisites matches (OpenFlow 1.0, flow text)."""
        done = Match()
        for field, value, mask in self.fields():
            done.set(field, value, mask)
        self.key, self.mask = done.key, done.mask


_ALIASES_OF_A_SLOT = {
    "in_port_oxm", "vlan_vid", "vlan_pcp", "dl_vlan", "dl_vlan_pcp", "ip_dscp",
    *(f"xreg{i}" for i in range(8)), *(f"xxreg{i}" for i in range(4)),
}  # fmt: skip
_CANONICAL = [f for f in FIELDS if f.name not in _ALIASES_OF_A_SLOT]


@lru_cache(1024)  # tables have many flows of few masks
def _canonical(mask: bytes) -> tuple[Field, ...]:
    """Those whose slots are not all wild in a mask."""
    return tuple(f for f in _CANONICAL if mask[SLOTS[f].start : SLOTS[f].end] != SLOTS[f].wild)


# OXM and NXM


def _entries():
    """Header (an int; 64 bits for experimenters) -> (field, has_mask, fast), `fast` being
    (start, end, mask bytes) for fields that are copied as they are."""
    table = {}
    for field in FIELDS:
        slot = SLOTS[field]
        plain = (
            slot.whole
            and field.n_bytes == slot.end - slot.start
            and field.mask == slot.ones
            and field.text != "port"
            and field is not _PACKET_TYPE
        )
        fast = (slot.start, slot.end, b"\xff" * field.n_bytes) if plain else None
        for header in field.headers:
            for has_mask in (False, True):
                code = int.from_bytes(header.encode(has_mask), "big")
                table[code] = (field, has_mask, fast)
    return table


_ENTRIES = _entries()


def oxm_decode(data: bytes, strict: bool = True, cookie: list | None = None) -> Match:
    """The match of a run of OXM or NXM TLVs.  Raises OFError (OFPBMC_*).  With strict=False
    unknown fields are skipped; a field of another length than ours is unknown.  A NXM_NX_COOKIE
    is appended to `cookie` as (value, mask)."""
    match = Match()
    key, mask = match.key, match.mask
    position, size = 0, len(data)
    entries = _ENTRIES
    while position < size:
        if size - position < 4:
            raise OFError("OFPBMC_BAD_LEN", "truncated OXM header")
        code = _U32.unpack_from(data, position)[0]
        end = position + 4 + (code & 0xFF)
        if end > size:
            raise OFError("OFPBMC_BAD_LEN", "OXM longer than its match")
        position += 4
        if code >> 16 == fields.EXPERIMENTER_CLASS:
            if end - position < 4:
                raise OFError("OFPBMC_BAD_LEN", "truncated experimenter OXM")
            code = code << 32 | _U32.unpack_from(data, position)[0]
            position += 4
        entry = entries.get(code)
        if entry is None:
            _unknown(code, data[position:end], strict, cookie)
            position = end
            continue
        field, has_mask, fast = entry
        if fast and not has_mask:
            start, stop, ones = fast
            if not match.holds(field.prerequisite):
                raise OFError("OFPBMC_BAD_PREREQ", field.name)
            if mask[start:stop] != _ZEROS[stop - start]:
                raise OFError("OFPBMC_DUP_FIELD", field.name)
            key[start:stop] = data[position:end]
            mask[start:stop] = ones
        else:
            _decode_one(match, field, has_mask, data, position)
        position = end
    return match


def _unknown(code, body, strict, cookie):
    if cookie is not None and code & ~0x1FF == _COOKIE_CODE and len(body) in (8, 16):
        full = (1 << 64) - 1
        wide = len(body) == 16
        cookie.append(
            (int.from_bytes(body[:8], "big"), int.from_bytes(body[8:], "big") if wide else full)
        )
        if cookie[-1][0] & ~cookie[-1][1]:
            raise OFError("OFPBMC_BAD_WILDCARDS", "cookie")
        return
    if strict:
        raise OFError("OFPBMC_BAD_FIELD", f"OXM header {code:#x}")


def _decode_one(match, field, has_mask, data, position):
    value, care = oxm_value(field, has_mask, data, position)
    if care == 0:
        return  # an all-zero mask says nothing
    if not match.holds(field.prerequisite):
        raise OFError("OFPBMC_BAD_PREREQ", field.name)
    if not match.is_wild(field):
        raise OFError("OFPBMC_DUP_FIELD", field.name)
    match.set(field, value, care)


def oxm_value(field: Field, has_mask: bool, data: bytes, position: int) -> tuple[int, int]:
    """(value, mask) behind an OXM header, checked; ports as 16-bit numbers."""
    width = field.n_bytes
    value = int.from_bytes(data[position : position + width], "big")
    care = field.mask
    if has_mask:
        wire = int.from_bytes(data[position + width : position + 2 * width], "big")
        if value & ~wire:
            raise OFError("OFPBMC_BAD_WILDCARDS", field.name)
        care &= wire
        if not field.maskable and care not in (0, field.mask):
            raise OFError("OFPBMC_BAD_MASK", field.name)
    if field.text == "port" and width == 4:
        value = port_from_32(value)
        if value is None:
            raise OFError("OFPBMC_BAD_VALUE", field.name)
    elif not value_fits(field, value):
        raise OFError("OFPBMC_BAD_VALUE", field.name)
    return value, care


def value_fits(field: Field, value: int) -> bool:
    """Whether a field may have this value."""
    return not value & ~field.mask and not (field.name == "arp_op" and value > 0xFF)


def oxm_encode(match: Match, version: int, cookie: tuple[int, int] | None = None) -> bytes:
    """The match as TLVs: NXM below version 3 (OpenFlow 1.2), else OXM.  `cookie`, for NXM
    requests, is (value, mask)."""
    out = []
    # A masked ct_state matters to the order: it is the prerequisite of the other ct_ fields,
    # and stands before them in FIELDS.
    for field, value, mask in match.fields():
        if field is _VLAN_TCI and version >= 3:
            _put_vlan(out, version, value, mask)
        elif field.name == "nw_tos" and version >= 3:
            if mask & 0xFC:
                _put(out, BY_NAME["ip_dscp"], version, value >> 2, 0x3F)
        elif field.name == "in_port" and version >= 3:
            _put(out, BY_NAME["in_port_oxm"], version, value, 0xFFFFFFFF)
        else:
            _put(out, field, version, value, mask)
    if cookie is not None and cookie[1]:
        out.append((_COOKIE_CODE | 0x110).to_bytes(4, "big"))
        out += (cookie[0].to_bytes(8, "big"), cookie[1].to_bytes(8, "big"))
    return b"".join(out)


def _put_vlan(out, version, value, mask):
    vid_mask = mask & (VLAN_CFI | VLAN_VID)
    if mask == 0xFFFF and value == 0:
        _put(out, _VLAN_VID, version, 0, VLAN_CFI | VLAN_VID)
    elif mask & VLAN_PCP == 0:
        _put(out, _VLAN_VID, version, value & vid_mask, vid_mask)
    elif mask & VLAN_PCP == VLAN_PCP and value & vid_mask & VLAN_CFI:
        _put(out, _VLAN_VID, version, value & vid_mask, vid_mask)
        _put(out, _PCP_FIELDS[0], version, value >> 13, 7)
    else:  # no OXM says this; NXM's field may stand in any match
        _put(out, _VLAN_TCI, version, value, mask)


def _put(out, field, version, value, mask):
    exact = mask == field.mask or (field.text == "port" and mask >= 0xFFFF)
    if field is _TUN_FLAGS:  # the field has more bits than are matched
        exact = False
    head = field.oxm(version, not exact)
    if head is None:
        return
    if field.text == "port" and field.n_bytes == 4:
        value = port_to_32(value)
    out += (head, value.to_bytes(field.n_bytes, "big"))
    if not exact:
        out.append(mask.to_bytes(field.n_bytes, "big"))


_OXM_MATCH = Struct("!HH")


def decode_match(data: bytes, position: int = 0, strict: bool = True) -> tuple[Match, int]:
    """struct ofp_match of OpenFlow 1.2 and later at `position`: the match, and the position
    behind its padding.  OFPMT_STANDARD (1.1) is refused."""
    if len(data) - position < 8:
        raise OFError("OFPBMC_BAD_LEN", "truncated match")
    kind, length = _OXM_MATCH.unpack_from(data, position)
    if kind != 1:
        raise OFError("OFPBMC_BAD_TYPE", f"match type {kind}")
    end = position + (length + 7) // 8 * 8
    if length < 4 or end > len(data):
        raise OFError("OFPBMC_BAD_LEN", "match length")
    return oxm_decode(data[position + 4 : position + length], strict), end


def encode_match(match: Match, version: int) -> bytes:
    """struct ofp_match of OpenFlow 1.2 and later, padded to 8 bytes."""
    body = oxm_encode(match, version)
    length = 4 + len(body)
    return _OXM_MATCH.pack(1, length) + body + bytes(-length % 8)


# OpenFlow 1.0

_OFP10 = Struct("!IH6s6sHBxHBBxxIIHH")
OFP10_MATCH_LEN = _OFP10.size
(
    _W_IN_PORT,
    _W_DL_VLAN,
    _W_DL_SRC,
    _W_DL_DST,
    _W_DL_TYPE,
    _W_NW_PROTO,
    _W_TP_SRC,
    _W_TP_DST,
) = (1 << i for i in range(8))
_W_NW_SRC_SHIFT, _W_NW_DST_SHIFT = 8, 14
_W_PCP, _W_TOS = 1 << 20, 1 << 21
OFP10_WILDCARDS = _W_ALL = (1 << 22) - 1


def of10_decode(data: bytes, position: int = 0) -> Match:
    """struct ofp_match of OpenFlow 1.0.  As the specification's errata say, fields without their
    prerequisites are ignored."""
    (wild, in_port, dl_src, dl_dst, dl_vlan, pcp, dl_type, tos, proto, src, dst, tp_src, tp_dst) = (
        _OFP10.unpack_from(data, position)
    )
    match = Match()
    put = match.set
    if not wild & _W_IN_PORT:
        put("in_port", in_port)
    if not wild & _W_DL_SRC:
        put("eth_src", int.from_bytes(dl_src, "big"))
    if not wild & _W_DL_DST:
        put("eth_dst", int.from_bytes(dl_dst, "big"))
    if not wild & _W_DL_VLAN:
        put("dl_vlan", dl_vlan)
    if not wild & _W_PCP and (wild & _W_DL_VLAN or dl_vlan != OFP_VLAN_NONE):
        put("dl_vlan_pcp", pcp & 7)
    if wild & _W_DL_TYPE:
        return match
    put("eth_type", dl_type)
    if not wild & _W_NW_PROTO:
        put("nw_proto", proto)
    if not wild & _W_TOS:
        put("nw_tos", tos)
    for name, address, shift in (
        ("ip_src", src, _W_NW_SRC_SHIFT),
        ("ip_dst", dst, _W_NW_DST_SHIFT),
    ):
        ignored = wild >> shift & 0x3F
        if ignored < 32:
            put(name, address, 0xFFFFFFFF & ~((1 << ignored) - 1))
    if not wild & _W_TP_SRC:
        put("tcp_src", tp_src)
    if not wild & _W_TP_DST:
        put("tcp_dst", tp_dst)
    match.normalize()
    return match


def of10_encode(match: Match) -> bytes:
    """struct ofp_match of OpenFlow 1.0; what it cannot say is left out (see `fits_of10`)."""
    wild = _W_ALL & ~(0x3F << _W_NW_SRC_SHIFT | 0x3F << _W_NW_DST_SHIFT)
    wild |= 32 << _W_NW_SRC_SHIFT | 32 << _W_NW_DST_SHIFT
    say = dict.fromkeys(
        ("in_port", "dl_src", "dl_dst", "dl_vlan", "pcp", "dl_type", "nw_tos", "nw_proto",
         "nw_src", "nw_dst", "tp_src", "tp_dst"), 0)  # fmt: skip
    bits = {"in_port": _W_IN_PORT, "dl_src": _W_DL_SRC, "dl_dst": _W_DL_DST, "dl_type": _W_DL_TYPE,
            "nw_proto": _W_NW_PROTO, "nw_tos": _W_TOS, "tp_src": _W_TP_SRC,
            "tp_dst": _W_TP_DST}  # fmt: skip
    for field, value, mask in match.fields():
        name = field.of10
        if field is _VLAN_TCI:
            wild = _vlan_to_10(say, wild, value, mask)
        elif name in ("nw_src", "nw_dst"):
            shift = _W_NW_SRC_SHIFT if name == "nw_src" else _W_NW_DST_SHIFT
            prefix = _cidr(mask)
            if prefix is not None:
                wild = wild & ~(0x3F << shift) | (32 - prefix) << shift
                say[name] = value
        elif name is not None and mask == field.mask:
            wild &= ~bits[name]
            say[name] = value
    return _OFP10.pack(
        wild, say["in_port"], say["dl_src"].to_bytes(6, "big"), say["dl_dst"].to_bytes(6, "big"),
        say["dl_vlan"], say["pcp"], say["dl_type"], say["nw_tos"], say["nw_proto"],
        say["nw_src"], say["nw_dst"], say["tp_src"], say["tp_dst"])  # fmt: skip


def _vlan_to_10(say, wild, value, mask):
    if not mask & VLAN_CFI:
        return wild
    if not value & VLAN_CFI:
        say["dl_vlan"] = OFP_VLAN_NONE
        return wild & ~_W_DL_VLAN
    if mask & VLAN_VID == VLAN_VID:
        say["dl_vlan"] = value & VLAN_VID
        wild &= ~_W_DL_VLAN
    if mask & VLAN_PCP == VLAN_PCP:
        say["pcp"] = value >> 13
        wild &= ~_W_PCP
    return wild


def _cidr(mask: int) -> int | None:
    """The prefix length of a 32-bit mask, or None."""
    inverse = ~mask & 0xFFFFFFFF
    return None if inverse & (inverse + 1) else 32 - inverse.bit_length()


def fits_of10(match: Match) -> bool:
    """Whether OpenFlow 1.0 can say this match exactly."""
    return of10_decode(of10_encode(match)) == match
