"""Where the values of a flow's text lie in its message, and those of a row in its text: found out
by trial, so that the parsers, the printers and the codec stay the only ones that know.

A value of one line is tried with another one: the message has to change at one place, to that
value, and codec/value_places and codec/action_places have to say that any value may stand there.
What was found is tried with several values in all places at once.  flow_lines and flow_rows have
plans made of this.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ofproto.codec import action_places, messages, value_places
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_NAME
from ofproto.codec.instructions import GotoTable
from ofproto.codec.match_text import DEFAULT_PRIORITY
from ofproto.codec.match_wire import values_in
from ofproto.codec.messages.base import OFPT_VENDOR
from ofproto.codec.numbers import OF10, OF12, OF13, OF14, OFPP_MAX

from .tokens import shown, tokens_of

Encode = Callable[[bytes], bytes | None]

DECIMAL, HEX, IPV4, MAC, IPV6 = range(1, 6)
_SIZES = {IPV4: 4, MAC: 6, IPV6: 16}  # bytes of values that are written like that
_MOST_NUMBER = 8
_ROW_VERSIONS = (OF10, OF12, OF13, OF14)  # whose rows end with match and instructions
_MOST_TABLE = 0xFE
_TABLE_AT, _TABLE_AT_NX, _TABLE_AT_10 = 24, 24, 56
_MOD_MATCH_AT_10, _ROW_MATCH_AT_10 = 8, 4
_VLAN_AT_10 = 18  # in the match, as the next
_NETWORKS_10 = ((28, 8), (32, 14))  # where they are, first bit of the wildcards
_VID, _PRESENT = 0xFFF, 0x1000
# Fields of matches -> the largest value, bits beside it
_NUMBERS = {
    "vlan_vid": (_VID, _PRESENT),
    "vlan_tci": (_VID, 0xFFFF - _VID),
    **{name: (BY_NAME[name].mask, 0) for name in ("mpls_label", "ct_zone", "ct_mark", "nw_ttl")},
}


class Place(NamedTuple):
    """Bytes [begin, end) of a message.  `mask`: bits of the value that count.  `keep`: bits beside
    it.  `least`, `most`: the smallest and the largest value."""

    begin: int
    end: int
    most: int
    mask: int = -1
    keep: int = 0
    least: int = 0

    @property
    def size(self) -> int:
        return self.end - self.begin

    def has(self, raw: bytes) -> bool:
        """Whether such a value is there."""
        return self.least <= self.get(raw) <= self.most

    def get(self, raw: bytes) -> int:
        return int.from_bytes(raw[self.begin : self.end], "big") & self.mask & ~self.keep

    def put(self, raw: bytearray, value: int) -> None:
        """Write a value as it stands in a message."""
        value = value & self.mask | int.from_bytes(raw[self.begin : self.end], "big") & self.keep
        raw[self.begin : self.end] = value.to_bytes(self.size, "big")


def _place(begin, end, is_port=False):
    most = OFPP_MAX - 1 if is_port else _largest(begin, end)
    return Place(begin, end, most)


def _masked(raw, begin, end, mask_begin, most, keep=0):
    """A value of a match, with its mask (`mask_begin` 0: none)."""
    if not mask_begin:
        return Place(begin, end, most, keep=keep)
    mask = int.from_bytes(raw[mask_begin : mask_begin + end - begin], "big")
    return Place(begin, end, most, mask, keep)


def _copied(raw, copies):
    return [
        _place(each.begin, each.end, True)
        if each.is_port
        else _masked(raw, each.begin, each.end, each.mask_begin, _largest(each.begin, each.end))
        for each in copies
    ]


def _largest(begin, end):
    return (1 << 8 * (end - begin)) - 1


def places_of_mod(raw: bytes, mod: messages.FlowMod) -> list[Place]:
    """Of a FLOW_MOD that was decoded: where any value up to `most` may stand."""
    found = value_places.of_mod(raw, mod)
    if found is None:
        return []
    numbers = [(found.cookie, 8), (found.idle, 2), (found.hard, 2), (found.importance, 2)]
    if found.fixed_priority is None:
        numbers.append((found.priority, 2))
    places = [_place(at, at + size) for at, size in numbers if at]
    places += _copied(raw, found.copies)
    tail = value_places.mod_instructions_at(raw)
    places += _of_actions(raw, tail, mod.version)
    if mod.version == OF10 and raw[1] != OFPT_VENDOR:
        places += _in_structure(raw, _MOD_MATCH_AT_10)
    else:
        places += _numbers_of_match(raw, *value_places.tlvs_of_mod(raw))
    return places + _table_of(raw, mod)


def places_of_row(raw: bytes, version: int, nxm: bool) -> list[Place]:
    """The same of a row of flow statistics, but for the numbers before its match."""
    found = value_places.of_row(raw, version, nxm)
    if found is None:
        return []
    at = value_places.row_priority_at(version, nxm)
    places = [_place(at, at + 2)]
    places += _copied(raw, found)
    if version == OF10 and not nxm:
        places += _in_structure(raw, _ROW_MATCH_AT_10)
    if version > OF10 or nxm:
        places += _numbers_of_match(raw, *value_places.tlvs_of_row(raw, version))
    return places + _of_actions(raw, value_places.row_instructions_at(raw, version, nxm), version)


def _of_actions(raw, at, version):
    found = action_places.of_instructions(raw, at, version)
    places = [_place(each.begin, each.end, each.is_port) for each in found]
    for begin, end, least, most, keep in action_places.numbers_of(raw, at, version):
        places.append(Place(begin, end, most, keep=keep, least=least))
    return places


def _in_structure(raw, begin):
    """Of 1.0's match what value_places leaves out: the VLAN, networks."""
    wild = int.from_bytes(raw[begin : begin + 4], "big")
    at = begin + _VLAN_AT_10
    places = [Place(at, at + 2, _VID)]
    for at, shift in _NETWORKS_10:
        ignored = wild >> shift & 0x3F
        if 0 < ignored < 32:
            at += begin
            places.append(Place(at, at + 4, _largest(at, at + 4), -1 << ignored))
    return places


def _numbers_of_match(raw, at, size):
    """Fields with limits that no other depends on."""
    places = []
    for begin, end, _free, has_mask, field in values_in(raw[at : at + size]) or ():
        if field.name not in _NUMBERS:
            continue
        middle = (begin + end) // 2 if has_mask else end
        mask_at = at + middle if has_mask else 0
        places.append(_masked(raw, at + begin, at + middle, mask_at, *_NUMBERS[field.name]))
    return places


def _table_of(raw, mod):
    """Its table, unless another one has to come behind it."""
    if any(isinstance(each, GotoTable) for each in mod.instructions):
        return []
    if mod.version > OF10:
        at = _TABLE_AT
    else:
        at = _TABLE_AT_NX if raw[1] == OFPT_VENDOR else _TABLE_AT_10
    return [Place(at, at + 1, _MOST_TABLE)]


# Lines


class LinePlaces(NamedTuple):
    """`raw`: the line's message, without xid.  `places`: number of a token -> Place."""

    raw: bytes
    places: dict[int, Place]


def line_places(
    line: bytes, encode: Encode, table_in_command: bool, known: dict[int, Place] | None = None
) -> LinePlaces | None:
    """Of a line that encode() makes a message of, in one form.  `known`: what another form has;
    what such a message does not say is left out.  None where it cannot be said."""
    raw, tokens = encode(line), tokens_of(line)
    if raw is None or tokens is None:
        return None
    try:
        mod = messages.decode(raw, table_in_command)
    except OFError:
        return None
    free, found, unsaid = places_of_mod(raw, mod), {}, {}
    for i in range(len(tokens[1])) if known is None else known:
        place = _place_of(line, tokens[1], i, raw, free, encode)
        if place is not None:
            found[i] = place
            free = [each for each in free if each.begin >= place.end or each.end <= place.begin]
        elif known is not None:
            unsaid[i] = known[i]
    proven = _is_proven(line, tokens[1], raw, found, unsaid, encode)
    return LinePlaces(raw, found) if proven else None


def with_values(line: bytes, tokens: list, values: dict[int, int]) -> bytes:
    """A line with other values in place of some of its tokens."""
    parts, at = [], 0
    for i, (begin, end, form, _value) in enumerate(tokens):
        if i in values:
            parts += [line[at:begin], shown(form, values[i])]
            at = end
    return b"".join([*parts, line[at:]])


def _suits(form, place):
    """Whether what is written like that may fill a place."""
    if form in _SIZES:
        return place.size == _SIZES[form]
    return place.size <= _MOST_NUMBER


def _place_of(line, tokens, i, raw, free, encode):
    """Where the value of a token stands, or None."""
    _begin, _end, form, value = tokens[i]
    for place in free:
        if not _suits(form, place) or not place.least <= value <= place.most:
            continue
        same = bytearray(raw)
        place.put(same, value)
        if same != raw:
            continue
        other = bytearray(raw)
        number = _flipped(value, place)
        place.put(other, number)
        if other != raw and encode(with_values(line, tokens, {i: number})) == other:
            return place
    return None


def _flipped(value, place):
    number = value ^ ((1 << 8 * place.size) - 1)
    if place.least <= number <= place.most:
        return number
    return place.most if value != place.most else place.most - 1


def _is_proven(line, tokens, raw, places, unsaid, encode):
    """Whether other values, all at once, become what they have to become."""
    draw = Random(1)
    for choose in (min, max, draw.choice, draw.choice, draw.choice):
        values = {}
        for i, (_begin, _end, most, _mask, _keep, least) in (places | unsaid).items():
            values[i] = choose([least, draw.randint(least, most), draw.randint(least, most), most])
        want = bytearray(raw)
        for i, place in places.items():
            place.put(want, values[i])
        if encode(with_values(line, tokens, values)) != want:
            return False
    return True


# Rows


class RowSlots(NamedTuple):
    """`slots`: (Place, how its value is written, how 0 is) in the order of the text; before each,
    and behind the last, stands one of `literals`."""

    literals: list[bytes]
    slots: list[tuple[Place, int, int]]


def row_slots(row: bytes, body: Encode, version: int, nxm: bool, named: bool) -> RowSlots | None:
    """Where the values of a row of flow statistics stand in its text, which body() makes of it.
    `named`: numbers may have names.  None where it cannot be said."""
    if version not in _ROW_VERSIONS:
        return None
    places: list[Place] = []
    for place in _open_places(row, version, nxm):
        overlaps = any(place.begin < other.end and other.begin < place.end for other in places)
        limited = place.most < _largest(place.begin, place.end)
        if overlaps or (named and limited) or not place.has(row):
            continue
        if not _is_shown(row, body, place, place.least):
            place = place._replace(least=place.least + 1)  # 0 is left out
            if not place.has(row) or not _is_shown(row, body, place, place.least):
                continue
        places.append(place)
    return _slots(row, body, places)


def _open_places(row, version, nxm):
    """But for a priority that is not printed."""
    priority = value_places.row_priority_at(version, nxm)
    usual = int.from_bytes(row[priority : priority + 2], "big") == DEFAULT_PRIORITY
    places = places_of_row(row, version, nxm)
    return [each for each in places if not (usual and each.begin == priority)]


def _with(row, places, values):
    made = bytearray(row)
    for place, value in zip(places, values, strict=True):
        place.put(made, value)
    return bytes(made)


def _shown_values(place):
    """Two values that no other token of a text has, and that are not printed in another way."""
    span = place.most - place.least
    return place.least + span * 5 // 7, place.least + span * 4 // 9


def _is_shown(row, body, place, least):
    """Whether a value is all that changes in the text, by one token: from `least` on."""
    found = []
    for value in (*_shown_values(place), least):
        tokens = tokens_of(body(_with(row, [place], [value])) or b"\0")
        if tokens is None:
            return False
        found.append([number for _begin, _end, _form, number in tokens[1]])
    if len({len(numbers) for numbers in found}) > 1:
        return False
    changed = [i for i, number in enumerate(found[0]) if number != found[1][i]]
    want = [value & place.mask for value in (*_shown_values(place), least)]
    return len(changed) == 1 and [numbers[changed[0]] for numbers in found] == want


def _slots(row, body, places):
    """The text cut where the values of these places are."""
    text = body(_with(row, places, [_shown_values(place)[0] for place in places]))
    zeros = body(_with(row, places, [place.least for place in places]))
    if text is None or zeros is None:
        return None
    tokens, least = tokens_of(text), tokens_of(zeros)
    if tokens is None or least is None or len(tokens[1]) != len(least[1]):
        return None
    order = {}
    for place in places:
        i = _token_of(row, body, places, place, tokens[1])
        if i is None or i in order:
            return None
        order[i] = place
    literals, slots, at = [], [], 0
    for i, place in sorted(order.items()):
        begin, end, form, _value = tokens[1][i]
        literals.append(text[at:begin])
        slots.append((place, form, least[1][i][2] if not place.least else form))
        at = end
    made = RowSlots([*literals, text[at:]], slots)
    return made if _is_printed(row, body, made) else None


def _token_of(row, body, places, place, tokens):
    """The number of the token that shows a place's value while the others have theirs."""
    values = [_shown_values(each)[each is place] for each in places]
    other = tokens_of(body(_with(row, places, values)) or b"")
    if other is None or len(other[1]) != len(tokens):
        return None
    changed = [i for i, token in enumerate(tokens) if token[2:] != other[1][i][2:]]
    return changed[0] if len(changed) == 1 else None


def _is_printed(row, body, made):
    """Whether other values, all at once, are printed as the plan will have it."""
    draw = Random(1)
    places = [place for place, _form, _zero in made.slots]
    tries = [[place.get(row) for place in places]]
    for choose in (min, max, draw.choice, draw.choice, draw.choice):
        tries.append(
            [
                choose(
                    [p.least, draw.randint(p.least, p.most), draw.randint(p.least, p.most), p.most]
                )
                for p in places
            ]
        )
    for values in tries:
        parts = []
        for literal, (place, form, zero), value in zip(
            made.literals, made.slots, values, strict=False
        ):
            parts += [literal, shown(form if value & place.mask else zero, value & place.mask)]
        if body(_with(row, places, values)) != b"".join([*parts, made.literals[-1]]):
            return False
    return True
