"""A Match on the wire: OXM of OpenFlow 1.2 and later, and NXM."""

import re
from struct import Struct

from ofproto.codec.numbers import OF15, port_from_32, port_to_32

from . import fields, match_plan, notes
from .errors import OFError
from .fields import BY_CODE, BY_NAME, FIELDS, Field
from .match import SLOTS, VLAN_CFI, VLAN_PCP, VLAN_VID, Match
from .match_fixed import OFP11_MATCH_LEN, of11_decode, of11_encode

_U32 = Struct("!I")
OF11 = 2
_ZEROS = [bytes(n) for n in range(17)]
_VLAN_TCI, _VLAN_VID, _VLAN_PCP, _PACKET_TYPE = (
    BY_NAME[name] for name in ("vlan_tci", "vlan_vid", "vlan_pcp", "packet_type")
)
_WIDER = (BY_NAME["tun_flags"], BY_NAME["ct_state"])  # have more bits than are matched
_IN_PORT, _IP_DSCP = BY_NAME["in_port_oxm"], BY_NAME["ip_dscp"]
_COOKIE_CODE = 0x0001 << 16 | 30 << 9  # NXM_NX_COOKIE, which is no field of packets


# OXM and NXM


def _entries():
    """Header (an int; 64 bits for experimenters) -> (field, its prerequisite, place, decode): an
    exact value with a place, (start, end, mask bytes), is copied there; else
    decode(match, field, has_mask, data, position) takes it."""
    table = {}
    for field in FIELDS:
        if field.option is not None:
            continue  # of any length, see _decode_option
        slot = SLOTS[field]
        plain = (
            slot.whole
            and field.n_bytes == slot.end - slot.start
            and field.mask == slot.ones
            and field.text != "port"
            and field is not _PACKET_TYPE
        )
        place = (slot.start, slot.end, b"\xff" * field.n_bytes) if plain else None
        masked = _copy_masked if plain and field.maskable else _decode_one
        for header in field.headers:
            codes = [int.from_bytes(header.encode(has_mask), "big") for has_mask in (False, True)]
            table[codes[0]] = (field, field.prerequisite, place, _decode_one)
            table[codes[1]] = (field, field.prerequisite, None, masked)
    return table


def oxm_decode(data: bytes, strict: bool = True, cookie: list | None = None) -> Match:
    """The match of a run of OXM or NXM TLVs.  Raises OFError (OFPBMC_*).  With strict=False
    unknown fields are skipped; a field of another length than ours is unknown.  A NXM_NX_COOKIE
    is appended to `cookie` as (value, mask)."""
    match = match_plan.decode(data)
    if match is None:
        match = _oxm_decode(data, strict, cookie)
        if match_plan.wanted():
            _learn(data, match)
    return match


def _learn(data, match):
    parts = values_in(data)
    if parts:
        match_plan.learn(data, match, [part[:4] for part in parts])


def values_in(data: bytes) -> list[tuple[int, int, tuple[int, int] | None, bool, Field]] | None:
    """What match_plan.Plan wants to know of a run of TLVs that was decoded, and the fields; None
    where it has something that is no field."""
    parts = []
    for code, position, end in _tlvs(data):
        entry = _ENTRIES.get(code)
        if entry is None:
            return None  # the cookie, or something unknown
        field, _need, place, decode = entry
        has_mask = end - position > field.n_bytes
        if has_mask and decode is _copy_masked and any(data[position + field.n_bytes : end]):
            place = (SLOTS[field].start, SLOTS[field].end)
        elif place is not None:
            place = place[:2]
        free = place if field.name in match_plan.FREE else None
        parts.append((position, end, free, has_mask, field))
    return parts


def _oxm_decode(data, strict, cookie):
    match = Match()
    key, mask = match.key, match.mask
    entries = _ENTRIES
    for code, position, end in _tlvs(data):
        entry = entries.get(code)
        if entry is None:
            if not _decode_option(match, code, data[position:end]):
                _unknown(code, data[position:end], strict, cookie)
            continue
        field, need, place, decode = entry
        if place is None:
            decode(match, field, end - position > field.n_bytes, data, position)
            continue
        if need is not None and not match.allows(need):
            raise OFError("OFPBMC_BAD_PREREQ", field.name)
        start, stop, ones = place
        if mask[start:stop] != _ZEROS[stop - start]:
            raise OFError("OFPBMC_DUP_FIELD", field.name)
        key[start:stop] = data[position:end]
        mask[start:stop] = ones
    return match


def _tlvs(data):
    """Yields (header, where the value starts, where the TLV ends)."""
    position, size = 0, len(data)
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
        yield code, position, end
        position = end


def _copy_masked(match, field, _has_mask, data, position):
    """Value and mask whose bytes are those of the key."""
    width = field.n_bytes
    middle = position + width
    value, care = data[position:middle], data[middle : middle + width]
    number = int.from_bytes(care, "big")
    if int.from_bytes(value, "big") & ~number:
        raise _wild_ones(data, position)
    if not number:
        return  # an all-zero mask says nothing
    if not match.allows(field.prerequisite):
        raise OFError("OFPBMC_BAD_PREREQ", field.name)
    slot = SLOTS[field]
    if match.mask[slot.start : slot.end] != slot.wild:
        raise OFError("OFPBMC_DUP_FIELD", field.name)
    match.key[slot.start : slot.end] = value
    match.mask[slot.start : slot.end] = care


def fields_named(data: bytes) -> list[Field]:
    """The fields of a run of TLVs, which is right, those with empty masks included."""
    entries = (_ENTRIES.get(code) for code, _position, _end in _tlvs(data))
    return [entry[0] for entry in entries if entry]


def _wild_ones(data, position):
    """The error of a TLV with this value, for ones that its mask has not."""
    at, experimenter = position - 4, 0
    if data[at - 4 : at - 2] == b"\xff\xff" and at >= 4:
        at, experimenter = at - 4, int.from_bytes(data[at : at + 4], "big")
    head = _U32.unpack_from(data, at)[0]
    entry = f"{experimenter}:{head >> 16}:{head >> 9 & 0x7F}:{head >> 8 & 1}:{head & 0xFF}"
    return notes.noted(
        "OFPBMC_BAD_WILDCARDS",
        "nx_match",
        f"Rejecting NXM/OXM entry {entry} with 1-bits in value for bits wildcarded by the mask.",
    )


def _decode_option(match, code, body):
    """A tun_metadataN, which has as many bytes as its sender took; False where it is none."""
    base = BY_CODE.get((code >> 16, 0, code >> 9 & 0x7F))
    if base is None or base.option is None:
        return False
    has_mask = code >> 8 & 1
    width = len(body) >> has_mask
    if width << has_mask != len(body) or width > fields.MAX_OPTION:
        raise OFError("OFPBMC_BAD_LEN", f"{base.name} of {len(body)} bytes")
    if not match.is_wild(base):
        raise OFError("OFPBMC_DUP_FIELD", base.name)
    value = int.from_bytes(body[:width], "big")
    care = int.from_bytes(body[width:], "big") if has_mask else (1 << 8 * width) - 1
    if value & ~care:
        raise OFError("OFPBMC_BAD_WILDCARDS", base.name)
    try:
        match.set(match.option_field(base.option, width, bool(has_mask)), value, care)
    except ValueError as error:
        raise OFError("NXTTMFC_TABLE_FULL", str(error)) from None
    return True


def _unknown(code, body, strict, cookie):
    """A TLV that is no field of packets: NXM_NX_COOKIE, or an error."""
    if cookie is not None and code in (_COOKIE_CODE | 8, _COOKIE_CODE | 0x110):
        value = int.from_bytes(body[:8], "big")
        mask = int.from_bytes(body[8:], "big") if len(body) > 8 else (1 << 64) - 1
        if value & ~mask:
            raise OFError("OFPBMC_BAD_WILDCARDS", "cookie")
        cookie.append((value, mask))
    elif strict:
        raise OFError("OFPBMC_BAD_FIELD", f"OXM header {code:#x}")


def _decode_one(match, field, has_mask, data, position):
    value, care = oxm_value(field, has_mask, data, position)
    if care == 0:
        return  # an all-zero mask says nothing
    if care != field.mask and not field.maskable:
        raise OFError("OFPBMC_BAD_MASK", field.name)
    if not match.allows(field.prerequisite):
        raise OFError("OFPBMC_BAD_PREREQ", field.name)
    if not match.is_wild(field):
        raise OFError("OFPBMC_DUP_FIELD", field.name)
    match.set(field, value, care)


def oxm_value(field: Field, has_mask: bool, data: bytes, position: int) -> tuple[int, int]:
    """(value, mask) behind an OXM header, checked; ports as 16-bit numbers.  What is matched whole
    only may have a mask, for actions set parts of it."""
    width = field.n_bytes
    value = int.from_bytes(data[position : position + width], "big")
    care = field.mask
    if has_mask:
        wire = int.from_bytes(data[position + width : position + 2 * width], "big")
        if value & ~wire:
            raise _wild_ones(data, position)
        care &= wire
    if field.text == "port" and width == 4:
        value = port_from_32(value)
        if value is None:
            wire = int.from_bytes(data[position : position + width], "big")
            raise notes.bad_port("OFPBMC_BAD_VALUE", wire)
    elif not value_fits(field, value):
        raise OFError("OFPBMC_BAD_VALUE", field.name)
    return value, care


_ENTRIES = _entries()


def value_fits(field: Field, value: int) -> bool:
    """Whether a field may have this value."""
    return not value & ~field.mask and not (field.name == "arp_op" and value > 0xFF)


def oxm_encode(match: Match, version: int, cookie: tuple[int, int] | None = None) -> bytes:
    """The match as TLVs: NXM below version 3 (OpenFlow 1.2), else OXM.  `cookie`, for NXM
    requests, is (value, mask)."""
    shape, key = match.shape(), match.key
    steps = shape.steps.get(version)
    if steps is None:
        rows = shape.rows if version < OF15 else _with_xregs(shape.rows)
        steps = shape.steps[version] = [_step(row, version) for row in rows]
    out = []
    for head, start, end, tail, put in steps:
        if put is None:
            out += (head, key[start:end], tail)
        else:
            put(out, int.from_bytes(key[start:end], "big"))
    if cookie is not None and cookie[1]:
        whole = cookie[1] == (1 << 64) - 1
        out.append((_COOKIE_CODE | (8 if whole else 0x110)).to_bytes(4, "big"))
        out += (cookie[0].to_bytes(8, "big"), b"" if whole else cookie[1].to_bytes(8, "big"))
    return b"".join(out)


_REGISTER = re.compile(r"reg(\d+)\Z")


def _with_xregs(rows):
    """1.5 says pairs of registers as its own 64-bit ones."""
    found, masks, at = [], {}, 0
    for row in rows:
        register = _REGISTER.match(row[0].name)
        if register:
            number = int(register[1])
            shift = 0 if number & 1 else 32
            masks[number // 2] = masks.get(number // 2, 0) | row[5] << shift
            at = at or len(found)
        else:
            found.append(row)
    wide = []
    for number, mask in sorted(masks.items()):
        field = BY_NAME[f"xreg{number}"]
        slot = SLOTS[field]
        wide.append((field, slot.start, slot.end, slot.shift, slot.ones, mask))
    return found[:at] + wide + found[at:]


def _step(row, version):
    """How one field of a shape is encoded: (header, start, end, mask, None) where the key's bytes
    are the value's, else (None, start, end, None, put), put(out, the bytes' number)."""
    field, start, end, shift, bits, mask = row
    put_value = _SPECIAL.get(field) if version >= 3 else None
    if put_value is None:
        head, exact = _head(field, version, mask)
        alike = bits == (1 << 8 * field.n_bytes) - 1 and shift == 0 and field.text != "port"
        if head is not None and alike:
            tail = b"" if exact else mask.to_bytes(field.n_bytes, "big")
            return head, end - field.n_bytes, end, tail, None
        put_value = _put_plain

    def put(out, number):
        put_value(out, version, field, number >> shift & bits, mask)

    return None, start, end, None, put


def _put_plain(out, version, field, value, mask):
    _put(out, field, version, value, mask)


def _put_port(out, version, field, value, mask):
    _put(out, _IN_PORT, version, value, 0xFFFFFFFF)


def _put_tos(out, version, field, value, mask):
    if mask & 0xFC:
        _put(out, _IP_DSCP, version, value >> 2, 0x3F)


def _put_vlan(out, version, field, value, mask):
    vid_mask = mask & (VLAN_CFI | VLAN_VID)
    if mask == 0xFFFF and value == 0:
        _put(out, _VLAN_VID, version, 0, VLAN_CFI | VLAN_VID)
    elif mask & VLAN_PCP == 0 or (mask & VLAN_CFI and not value & VLAN_CFI):
        # no tag: no priority either
        _put(out, _VLAN_VID, version, value & vid_mask, vid_mask)
    elif value & VLAN_CFI:  # OXM has no bits of a priority: any of them are all of it
        _put(out, _VLAN_VID, version, value & vid_mask, vid_mask)
        _put(out, _VLAN_PCP, version, value >> 13, 7)
    elif not value and vid_mask:  # nor a priority where there may be no tag
        _put(out, _VLAN_VID, version, 0, vid_mask)
    else:  # no OXM says this; NXM's field may stand in any match
        _put(out, _VLAN_TCI, version, value, mask)


# What OXM says with other fields than NXM and the flow key
_SPECIAL = {
    BY_NAME["in_port"]: _put_port,
    BY_NAME["nw_tos"]: _put_tos,
    _VLAN_TCI: _put_vlan,
}


def _head(field, version, mask):
    """The header of a field with this mask, and whether it is without one."""
    exact = mask == field.mask or (field.text == "port" and mask >= 0xFFFF)
    if field in _WIDER or field.masked:
        exact = False
    return field.oxm(version, not exact), exact


def _put(out, field, version, value, mask):
    head, exact = _head(field, version, mask)
    if head is None:
        return
    if field.text == "port" and field.n_bytes == 4:
        value = port_to_32(value)
    out += (head, value.to_bytes(field.n_bytes, "big"))
    if not exact:
        out.append(mask.to_bytes(field.n_bytes, "big"))


_OXM_MATCH = Struct("!HH")


def decode_match(data: bytes, position: int = 0, strict: bool = True) -> tuple[Match, int]:
    """struct ofp_match of OpenFlow 1.1 and later at `position`: the match, and the position
    behind its padding.  1.1's structure (OFPMT_STANDARD) says what it is, and may stand in
    messages of any version."""
    if len(data) - position < 8:
        raise OFError("OFPBMC_BAD_LEN", "truncated match")
    kind, length = _OXM_MATCH.unpack_from(data, position)
    if kind == 0:
        end = position + OFP11_MATCH_LEN
        if length != OFP11_MATCH_LEN or end > len(data):
            raise OFError("OFPBMC_BAD_LEN", f"match of {length} bytes")
        return of11_decode(data, position), end
    if kind != 1:
        raise OFError("OFPBMC_BAD_TYPE", f"match type {kind}")
    end = position + (length + 7) // 8 * 8
    if length < 4 or end > len(data):
        raise OFError("OFPBMC_BAD_LEN", "match length")
    return oxm_decode(data[position + 4 : position + length], strict), end


def encode_match(match: Match, version: int) -> bytes:
    """struct ofp_match of OpenFlow 1.1 and later, padded to 8 bytes."""
    if version == OF11:
        return of11_encode(match)
    body = oxm_encode(match, version)
    length = 4 + len(body)
    return _OXM_MATCH.pack(1, length) + body + bytes(-length % 8)
