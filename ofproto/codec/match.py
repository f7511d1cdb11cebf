"""Match: the fields of a flow, as flow key and mask.

Its forms on the wire are in match_wire, its text form in match_text.  `key` and `mask` are
KEY_SIZE bytes each in the layout of datapath/key/flow.pxd; `key & ~mask` is always zero, so equal
matches have equal bytes.  in_port holds the 16-bit OpenFlow port number.  VLAN fields live in the
outer tag's tci, whose CFI bit means "a tag is present".
"""

from datapath.base.protocols import PROTO_ICMPV6, WITH_PORTS
from datapath.key.flow import KEY_SIZE, MEMBERS

from . import fields
from .fields import (
    BY_NAME,
    FIELDS,
    OPTION_SPACE,
    Field,
    OptionField,
    Prerequisite,
    option_field,
)

VLAN_CFI, VLAN_VID, VLAN_PCP = 0x1000, 0x0FFF, 0xE000
OFP_VLAN_NONE = 0xFFFF  # OpenFlow 1.0: no tag

_ZERO = bytes(KEY_SIZE)


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


class _Slots(dict):
    """Those of FIELDS, and others' for as long as they are asked for."""

    def __missing__(self, field):
        return Slot(field)


SLOTS = _Slots((field, Slot(field)) for field in FIELDS)
_OPTIONS_AT, _OPTIONS_END = MEMBERS["tun_metadata"][0], sum(MEMBERS["tun_present"])
_PRESENT_AT = MEMBERS["tun_present"][0]
_NO_OPTIONS = bytes(_OPTIONS_END - _OPTIONS_AT)


def _f(name):
    return BY_NAME[name]


_ETH_TYPE, _NW_PROTO = SLOTS[_f("eth_type")], SLOTS[_f("nw_proto")]
_TCI, _CT_STATE = SLOTS[_f("vlan_tci")], SLOTS[_f("ct_state")]
_IN_PORT = SLOTS[_f("in_port")]
_FRAG_AT = SLOTS[_f("ip_frag")].start
_TP_SRC, _TP_DST = SLOTS[_f("tcp_src")], SLOTS[_f("tcp_dst")]
_DL_VLAN, _PACKET_TYPE = _f("dl_vlan"), _f("packet_type")
_PCP_FIELDS = (_f("vlan_pcp"), _f("dl_vlan_pcp"))


def _tracked(state, mask):
    """Whether ct_state says that there is a connection: by a state that only one has, or as one
    that is tracked and not invalid."""
    if state & fields.CS_OF_CONNECTION:
        return True
    return bool(state & fields.CS_TRACKED and mask & fields.CS_INVALID) and not (
        state & fields.CS_INVALID
    )


class Match:
    """The fields that a flow matches; starts as match-all.  Mutable; hash only when done.

    `options`: the tun_metadataN that it matches, a tuple of OptionFields that say where their
    values stand: where the bridge's table has them (xlate/bridges/tun_options), or one behind the
    other where no table is known."""

    __slots__ = ("key", "mask", "options")

    def __init__(
        self,
        key: bytes = _ZERO,
        mask: bytes = _ZERO,
        options: tuple[OptionField, ...] = (),
    ):
        self.key = bytearray(key)
        self.mask = bytearray(mask)
        self.options = options

    @property
    def key_bytes(self) -> bytes:
        """The flow key, KEY_SIZE bytes."""
        return bytes(self.key)

    @property
    def mask_bytes(self) -> bytes:
        """The mask, KEY_SIZE bytes."""
        return bytes(self.mask)

    def __eq__(self, other):
        if not isinstance(other, Match):
            return False
        if self.options == other.options:
            return self.mask == other.mask and self.key == other.key
        return self._values() == other._values()

    def __hash__(self):
        return hash(self._values())

    def _values(self):
        """What it matches, wherever options stand, and however long they are."""
        if not self.options:
            return bytes(self.key), bytes(self.mask), ()
        rest = self.copy()
        rest.clear_options()
        found = []
        for field in self.options:
            value, mask = self.get(field)
            exact = mask == field.mask and not field.masked
            found.append((field.option, value, None if exact else mask))
        return bytes(rest.key), bytes(rest.mask), tuple(found)

    def __repr__(self):
        parts = (f"{field.name}={value:#x}/{mask:#x}" for field, value, mask in self.fields())
        return f"<Match {','.join(parts)}>"

    def copy(self) -> "Match":
        """An independent copy."""
        return Match(self.key, self.mask, self.options)

    def set(self, field: Field | str, value: int, mask: int | None = None) -> None:
        """Match `value` where `mask` (default: all of the field) has ones, replacing what the
        match said of the field.  Ports are 16-bit numbers here.  No prerequisites are checked."""
        if isinstance(field, str):
            field = BY_NAME[field]
        if field is _DL_VLAN:
            self._set_dl_vlan(value)
            return
        if field is _PACKET_TYPE and value == 0:
            return  # the default of a match on headers: Rule adds it
        if field.option is not None:
            field = self._take_option(field, value, mask)
        slot = SLOTS[field]
        if mask is None or mask & field.mask == field.mask:
            care = slot.exact
        else:
            care = mask << slot.shift & slot.exact
        self._store(slot, value << slot.shift, care, slot.exact)
        if field in _PCP_FIELDS and care:
            self._store(_TCI, VLAN_CFI, VLAN_CFI, VLAN_CFI)

    def say_ethernet(self) -> None:
        """Match Ethernet packets in so many words, which matches else do without any."""
        self._store(SLOTS[_PACKET_TYPE], 0, _PACKET_TYPE.mask, _PACKET_TYPE.mask)

    def _store(self, slot, value, care, clear):
        start, end = slot.start, slot.end
        size = end - start
        old_mask = int.from_bytes(self.mask[start:end], "big") & ~clear
        old_key = int.from_bytes(self.key[start:end], "big") & ~clear
        self.mask[start:end] = (old_mask | care).to_bytes(size, "big")
        self.key[start:end] = (old_key | value & care).to_bytes(size, "big")

    def _take_option(self, field, value, mask):
        """Where an option is to stand; that it is there, is matched from now on."""
        if field.offset is None:
            size = max(1, (max(value, mask or 0).bit_length() + 7) // 8)
            field = self.option_field(field.option, size, mask not in (None, field.mask))
        if field not in self.options:
            before = self.option(field.option)
            if before is not None:
                self._store(SLOTS[before], 0, 0, before.mask)
            options = [each for each in self.options if each is not before]
            self.options = tuple(sorted([*options, field], key=lambda each: each.option))
        at, bit = _PRESENT_AT + 7 - field.option // 8, 1 << field.option % 8
        self.key[at] |= bit
        self.mask[at] |= bit
        return field

    def option_field(self, option: int, size: int, masked: bool) -> OptionField:
        """Room for `size` bytes of an option behind those that there are.  ValueError: no room."""
        at = max((each.offset + each.n_bytes for each in self.options), default=0)
        if at + size > OPTION_SPACE:
            raise ValueError(f"more than {OPTION_SPACE} bytes of tunnel options")
        return option_field(option, size, at, masked)

    def clear_options(self) -> None:
        """No tun_metadataN is matched any more."""
        self.key[_OPTIONS_AT:_OPTIONS_END] = _NO_OPTIONS
        self.mask[_OPTIONS_AT:_OPTIONS_END] = _NO_OPTIONS
        self.options = ()

    def option(self, number: int) -> OptionField | None:
        """The field that tun_metadata`number` is here; None where it is not matched."""
        return next((each for each in self.options if each.option == number), None)

    def has_option(self, number: int) -> bool:
        """Whether packets have the option that is matched; of keys of packets as matches, which
        may be of such as have it not."""
        return bool(self.key[_PRESENT_AT + 7 - number // 8] >> number % 8 & 1)

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
        if field.option is not None:
            found = self.option(field.option)
            if found is None:
                return 0, 0
            field = found
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
        if field.option is not None:
            return self.option(field.option) is None
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
        if need.special == "ethernet":
            return not any(self.key[_TYPE_AT : _TYPE_AT + 4])
        if need.special == "vlan":
            return self._bits(_TCI, VLAN_CFI)
        if need.special == "in_port":
            return self._exact(_IN_PORT) >= 0
        if need.special == "ct":
            at = _CT_STATE.end - 1
            return _tracked(self.key[at], self.mask[at])
        at, proto = _ETH_TYPE.start, _NW_PROTO.start
        eth_type = self.key[at] << 8 | self.key[at + 1]
        if self.mask[at : at + 2] != b"\xff\xff":
            eth_type = -1
            if self.key[_TYPE_AT + 1] == 1:  # a packet type's number is an Ethertype, too
                eth_type = int.from_bytes(self.key[_TYPE_AT : _TYPE_AT + 4], "big") - (1 << 16)
        if eth_type not in need.eth:
            return False
        if need.proto is None:
            return True
        if self.mask[proto] != 0xFF or self.key[proto] != need.proto:
            return False
        return need.types is None or (
            self._exact(_TP_SRC) in need.types and self._exact(_TP_DST) <= 0
        )

    def allows(self, need: Prerequisite | None) -> bool:
        """Whether a field of this prerequisite may be matched, read or written: it holds, and is
        not about ports where the match is on later fragments, which have none."""
        if not self.holds(need):
            return False
        later = self.key[_FRAG_AT] & fields.FRAG_LATER
        return not later or need is None or need.proto not in WITH_PORTS

    def _bits(self, slot, bits):
        mask = int.from_bytes(self.mask[slot.start : slot.end], "big")
        key = int.from_bytes(self.key[slot.start : slot.end], "big")
        return key & mask & bits == bits

    def shape(self) -> "Shape":
        """What this match has in common with others that have the same mask and protocols."""
        key = self.key
        ports = _ANY_PORTS
        if key[_PROTO_AT] == PROTO_ICMPV6:  # ND's fields want certain types
            ports = bytes(key[_TP_SRC.start : _TP_DST.end])
        states = bytes((key[_PROTO_AT], key[_TCI.start] & _CFI_BYTE, key[_CT_STATE.end - 1]))
        types = bytes((*key[_ETH_TYPE.start : _ETH_TYPE.end], *key[_TYPE_AT : _TYPE_AT + 4]))
        signature = b"".join((self.mask, types, states, ports))
        if self.options:
            signature = (signature, self.options)
        found = _SHAPES.get(signature)
        if found is None:
            if len(_SHAPES) >= _MAX_SHAPES:
                _SHAPES.clear()
            found = _SHAPES[signature] = Shape(self)
        return found

    def fields(self):
        """Yields (field, value, mask) of what is matched, each slot once, under the field whose
        prerequisites hold (tcp_src or udp_src ...), in encoding order.  VLAN comes as vlan_tci,
        DSCP as nw_tos, registers as reg0 .. reg15."""
        key = self.key
        for field, start, end, shift, bits, mask in self.shape().rows:
            yield field, int.from_bytes(key[start:end], "big") >> shift & bits, mask

    def loose_fields(self):
        """Yields (field, value, mask) of what is matched in packets that have no such field, which
        OpenFlow 1.0 and text can say."""
        kept = self.shape().kept
        if kept == self.mask:
            return
        rest = Match(self.key, bytes(a & ~b for a, b in zip(self.mask, kept, strict=True)))
        for field in _LOOSE:
            value, mask = rest.get(field)
            if mask:
                yield field, value, mask

    def normalize(self) -> None:
        """Drop what no field with fulfilled prerequisites matches (OpenFlow 1.0, flow text)."""
        kept = self.shape().kept
        if kept != self.mask:
            care = int.from_bytes(kept, "big") & int.from_bytes(self.mask, "big")
            self.mask[:] = care.to_bytes(KEY_SIZE, "big")
            self.key[:] = (int.from_bytes(self.key, "big") & care).to_bytes(KEY_SIZE, "big")


_ALIASES_OF_A_SLOT = {
    "in_port_oxm", "vlan_vid", "vlan_pcp", "dl_vlan", "dl_vlan_pcp", "ip_dscp",
    *(f"xreg{i}" for i in range(8)), *(f"xxreg{i}" for i in range(4)),
}  # fmt: skip
_LOOSE = [
    BY_NAME[name]
    for name in ("ip_src", "ip_dst", "nw_proto", "nw_tos", "nw_ecn", "nw_ttl", "tcp_src", "tcp_dst")
]
_CANONICAL = [f for f in FIELDS if f.name not in _ALIASES_OF_A_SLOT and f.option is None]


class Shape:
    """Which fields matches of one mask match, if the values on which prerequisites depend are the
    same, too.  Tables have few shapes, so what follows from one is worked out once.

    `rows` has (field, start, end, shift, bits, mask) of each in encoding order, where the value is
    `key[start:end] >> shift & bits`; `kept` is the mask of these; `steps` is for match_wire.
    """

    __slots__ = ("kept", "rows", "steps")

    def __init__(self, match: Match):
        self.rows = []
        self.steps: dict[int, list] = {}
        kept = Match()
        for field in _CANONICAL:
            slot = SLOTS[field]
            if match.mask[slot.start : slot.end] == slot.wild or not match.holds(
                field.prerequisite
            ):
                continue
            value, mask = match.get(field)
            if mask:
                bits = slot.ones if slot.ones == field.mask else slot.ones & field.mask
                self.rows.append((field, slot.start, slot.end, slot.shift, bits, mask))
                kept.set(field, value, mask)
        for field in match.options:
            slot = SLOTS[field]
            _value, mask = match.get(field)
            self.rows.append((field, slot.start, slot.end, 0, slot.ones, mask))
            kept.set(field, 0, mask)
        if match.options:
            self.rows.sort(key=lambda row: row[0].index)
        self.kept = bytes(kept.mask)


_SHAPES: dict[bytes | tuple, Shape] = {}
_MAX_SHAPES = 1024
_TYPE_AT = SLOTS[_PACKET_TYPE].start
_PROTO_AT = _NW_PROTO.start
_CFI_BYTE = VLAN_CFI >> 8
_ANY_PORTS = b""
