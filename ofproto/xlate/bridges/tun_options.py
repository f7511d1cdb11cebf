"""Geneve options of packets, and what tables see of them: tun_metadataN.

In a packet, and in the datapath's keys, options stand one behind the other in any order (RFC 8926,
section 3.5).  Inside ofproto each has its place in a space of OPTION_SPACE bytes (the key's
tun_metadata), as the bridge's TLV table allots it, and a bit in `present` (tun_present), since an
option may be there and have no value, or the value 0 (ovs-fields(7), "Tunnel Fields").  What is
mapped to no field tables cannot see, nor does it go on to other tunnels.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, NamedTuple

from datapath.key import flow
from datapath.key.outer_text import options
from ofproto.codec.actions.placed import with_options
from ofproto.codec.errors import OFError
from ofproto.codec.fields import OPTION_SPACE, Field, OptionField, option_field
from ofproto.codec.match import SLOTS, Match

_HEAD = Struct("!HBB")  # class, type, reserved:3 length:5 in words
_HEAD_MASK = b"\xff\xff\xff\x1f"
_PRESENT_AT = flow.MEMBERS["tun_present"][0]
_PRESENT = slice(_PRESENT_AT, _PRESENT_AT + 8)


class Place(NamedTuple):
    """Where an option stands that is tun_metadata`index`: bytes of the space."""

    index: int
    option_class: int
    option_type: int
    offset: int
    length: int


class Layout:
    """The places of a bridge's options; it does not change."""

    def __init__(self, places: Iterable[Place] = ()):
        self.places = {place.index: place for place in sorted(places)}
        self._by_option = {(p.option_class, p.option_type): p for p in self.places.values()}

    # --- fields of matches and actions

    def field(self, index: int) -> OptionField:
        """tun_metadata`index`.  Raises OFError where it is mapped to no option."""
        place = self.places.get(index)
        if place is None:
            raise OFError("NXFMFC_INVALID_TLV_FIELD", f"tun_metadata{index} is not mapped")
        return option_field(index, place.length, place.offset)

    def _of_field(self, field: Any) -> Field:
        return self.field(field.option)

    def of_match(self, match: Match) -> None:
        """Changes a match that was read without this layout.  Raises OFError, then it is as it was
        or of no use."""
        if not match.options:
            return
        found = [(self.field(each.option), each, *match.get(each)) for each in match.options]
        match.clear_options()
        for own, read, value, mask in found:
            exact = mask == read.mask and not read.masked
            if (value if exact else mask) >> own.n_bits:
                raise OFError("OFPBMC_BAD_LEN", f"{value:#x} for {own.name}")
            match.set(own, value, None if exact else mask)

    def of_actions(self, actions: Any) -> Any:
        """Actions or instructions that were read without this layout.  Raises OFError."""
        if getattr(actions, "plain", False):
            return actions
        made = with_options(actions, self._of_field)
        if made is actions and hasattr(actions, "plain"):
            actions.plain = True
        return made

    def of_message(self, message: Any) -> None:
        """Changes a message that was read without this layout.  Raises OFError."""
        for each in (message, getattr(message, "packet_in", None), *_of(message, "monitors")):
            match = getattr(each, "match", None)
            if match is not None:
                self.of_match(match)
        for each in (message, *_of(message, "buckets")):
            for name in ("actions", "instructions"):
                actions = getattr(each, name, None)
                if actions:
                    setattr(each, name, self.of_actions(actions))

    def match_all(self, match: Match, key: bytes) -> None:
        """Have a match tell the options that a translation's key (KEY_SIZE bytes) has."""
        present = int.from_bytes(key[_PRESENT], "big")
        for index in self.places:
            if present >> index & 1:
                field = self.field(index)
                slot = SLOTS[field]
                match.set(field, int.from_bytes(key[slot.start : slot.end], "big"))

    def of_key(self, key: bytes, mask: bytes) -> Match:
        """A translation's key and mask (KEY_SIZE bytes each) as a match: the options with bits in
        the mask are its own."""
        present = int.from_bytes(mask[_PRESENT], "big")
        found = tuple(self.field(index) for index in self.places if present >> index & 1)
        return Match(_masked(key, mask), mask, found)

    # --- packets

    def _found(self, raw: bytes) -> Iterator[tuple[Place, int]]:
        """The options that are mapped, with where their values begin.  One of another length than
        its map says is not it."""
        for at, end in options(raw):
            option_class, option_type, _ = _HEAD.unpack_from(raw, at)
            place = self._by_option.get((option_class, option_type))
            if place is not None and place.length == end - at - _HEAD.size:
                yield place, at + _HEAD.size

    def unpack(self, raw: bytes) -> tuple[bytes, int]:
        """(space, present) of a packet's options; of two of one type the last one counts."""
        space, present = bytearray(OPTION_SPACE), 0
        for place, at in self._found(raw):
            space[place.offset : place.offset + place.length] = raw[at : at + place.length]
            present |= 1 << place.index
        return bytes(space), present

    def pack(self, space: bytes, present: int) -> bytes:
        """The options of a packet that is sent, in the order of their fields."""
        out = bytearray()
        for index, place in self.places.items():
            if present >> index & 1:
                out += _HEAD.pack(place.option_class, place.option_type, place.length // 4)
                out += space[place.offset : place.offset + place.length]
        return bytes(out)

    def spans(self, present: int) -> list[tuple[int, int]]:
        """(offset, length) of these options' values."""
        return [(p.offset, p.length) for p in self.places.values() if present >> p.index & 1]

    def mask(self, raw: bytes, space_mask: bytes) -> bytes:
        """The mask of a packet's options (their size is matched besides) where tables looked at the
        bits `space_mask` of the space: headers whole, since they say which option is where."""
        out = bytearray(len(raw))
        for at, _ in options(raw):
            out[at : at + _HEAD.size] = _HEAD_MASK
        for place, at in self._found(raw):
            care = space_mask[place.offset : place.offset + place.length]
            out[at : at + place.length] = care
        return bytes(out)


NO_OPTIONS = Layout()


def _masked(key: bytes, mask: bytes) -> bytes:
    care = int.from_bytes(key, "big") & int.from_bytes(mask, "big")
    return care.to_bytes(len(key), "big")


def _of(message: Any, name: str) -> Any:
    return getattr(message, name, None) or ()


def fit(lengths: dict[int, int], taken: Iterable[Place] = ()) -> dict[int, int] | None:
    """Offsets for options of these lengths (by index) beside those that are `taken`: each in one
    piece, the longest first.  None: there is no such room."""
    spans = sorted((place.offset, place.offset + place.length) for place in taken)
    offsets = {}
    for index in sorted(lengths, key=lambda each: (-lengths[each], each)):
        length, at = lengths[index], 0
        for start, end in spans:
            if start - at >= length:
                break
            at = max(at, end)
        if at + length > OPTION_SPACE:
            return None
        offsets[index] = at
        spans = sorted([*spans, (at, at + length)])
    return offsets
