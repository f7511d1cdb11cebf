"""The outer header in the text of flow keys and of set(tunnel(...)), as Open vSwitch has it:

    tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,ttl=64,tp_dst=6081,
           geneve({class=0xffff,type=0x1,len=4,0xa/0xf}),flags(df|key))

Values and masks are bytes of the key's tunnel part.
"""

import re
from collections.abc import Callable, Iterator

from . import flow
from .notations import Field, TooLong, format_value, name_and_body, number, parse_value, split

START = flow.KEY_PACKET_SIZE
SIZE = flow.KEY_DP_SIZE - START

_PLAIN = [
    Field("tun_id", "tun_id", "hexid"),
    Field("src", "tun_src", "ip4"),
    Field("dst", "tun_dst", "ip4"),
    Field("ipv6_src", "tun_ipv6_src", "ip6"),
    Field("ipv6_dst", "tun_ipv6_dst", "ip6"),
    Field("tos", "tun_tos", "hex"),
    Field("ttl", "tun_ttl", "dec"),
    Field("tp_src", "tun_tp_src", "dec"),
    Field("tp_dst", "tun_tp_dst", "dec"),
]
_GBP = [Field("id", "tun_gbp_id", "dec"), Field("flags", "tun_gbp_flags", "hex")]
_ERSPAN = [
    Field("ver", "tun_erspan_ver", "dec", 4),
    Field("idx", "tun_erspan_idx", "hexid", 20),
    Field("dir", "tun_erspan_dir", "dec", 1),
    Field("hwid", "tun_erspan_hwid", "hexid", 6),
]
_GTPU = [Field("flags", "tun_gtpu_flags", "hex"), Field("msgtype", "tun_gtpu_msgtype", "dec")]
_FLAGS = Field("flags", "tun_flags", "tun_flags", 4)
_OPTION = re.compile(
    r"\{class=(?P<cls>\w+(?:/\w+)?),type=(?P<type>\w+(?:/\w+)?),len=(?P<len>\d+)(?:/\w+)?"
    r"(?:,0x(?P<value>[0-9a-fA-F]{1,248})(?:/(?P<mask>0x[0-9a-fA-F]{1,248}|0))?)?\}"
)
_HEADER = 4  # bytes of an option before its value
OPTIONS_AT, MAX_OPTIONS = flow.MEMBERS["tun_metadata"]
MAX_VALUE = 124
MAX_ITEMS = 8191  # that Open vSwitch has room for in a message
MEMBERS = tuple(name for name in flow.MEMBERS if name.startswith("tun_"))


# ---- Formatting ----


# Of these Open vSwitch does not say that they are 0.
_UNSAID = ("tun_tos", "tun_tp_src", "tun_tp_dst")


def _shown(fields: list[Field], key: bytes, mask: bytes, more: bool = True) -> str:
    parts = []
    for field in fields:
        bits = number(mask, field.member) & field.ones
        value = number(key, field.member) & field.ones
        if bits and (value or more or field.member not in _UNSAID):
            parts.append(f"{field.label}={format_value(field, value, bits)}")
    return ",".join(parts)


def _masked(value: int, mask: int, ones: int) -> str:
    shown = f"{value:#x}" if value else "0"
    return shown if mask == ones else f"{shown}/{mask:#x}"


def options(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each of a run of options begins and ends.  It ends before one that is cut."""
    at = 0
    while at + _HEADER <= len(data):
        end = at + _HEADER + 4 * (data[at + 3] & 0x1F)
        if end > len(data):
            return
        yield at, end
        at = end


def _option(data: bytes, mask: bytes, more: bool) -> str:
    kind = _masked(int.from_bytes(data[:2], "big"), int.from_bytes(mask[:2], "big"), 0xFFFF)
    size = len(data) - _HEADER
    parts = [f"class={kind}", f"type={_masked(data[2], mask[2], 0xFF)}", f"len={size}"]
    if size and (more or any(mask[_HEADER:])):
        value, care = (int.from_bytes(each[_HEADER:], "big") for each in (data, mask))
        shown = f"{value:#x}"
        exact = care == (1 << 8 * size) - 1
        parts.append(shown if exact else f"{shown}/{care:#x}" if care else f"{shown}/0")
    return f"{{{','.join(parts)}}}"


def _geneve(key: bytes, mask: bytes, more: bool = True) -> str | None:
    """None: no option is matched, or in another way than by their headers' lengths at least."""
    size = number(key, "tun_opts_size")
    end = OPTIONS_AT + size
    data, care = key[OPTIONS_AT:end], mask[OPTIONS_AT:end]
    found = list(options(data))
    if number(mask, "tun_opts_size") != 0xFF or any(mask[end : OPTIONS_AT + MAX_OPTIONS]):
        return None
    if (found[-1:] and found[-1][1] != size) or (size and not found):
        return None
    if any(care[a + 3] != 0x1F or data[a + 3] & 0xE0 for a, _ in found):
        return None
    return "".join(_option(data[a:b], care[a:b], more) for a, b in found)


def shown(key: bytes, mask: bytes) -> set[str]:
    """The members that format_tunnel() shows."""
    hidden = set() if _geneve(key, mask) is not None else {"tun_opts_size", "tun_metadata"}
    return set(MEMBERS) - hidden


def format_tunnel(key: bytes, mask: bytes, more: bool = True) -> list[str]:
    """[the tunnel() of a whole key], or [] where nothing of it is matched.  Without `more` it lacks
    what Open vSwitch does not say."""
    parts = [_shown(_PLAIN, key, mask, more)]
    groups = {
        "vxlan(gbp({}))": _shown(_GBP, key, mask),
        "geneve({})": _geneve(key, mask, more),
        "erspan({})": _shown(_ERSPAN, key, mask),
        "gtpu({})": _shown(_GTPU, key, mask),
    }
    parts += [
        group.format(text)
        for group, text in groups.items()
        if text or (text is not None and group.startswith("geneve"))
    ]
    flags = number(mask, "tun_flags") & _FLAGS.ones
    if flags:
        value = number(key, "tun_flags") & _FLAGS.ones
        parts.append(f"flags({format_value(_FLAGS, value, flags)})")
    text = ",".join(part for part in parts if part)
    return [f"tunnel({text})"] if text else []


def format_flags(key: bytes) -> str:
    """`df|csum|key`, or 0, of a whole key."""
    return format_value(_FLAGS, number(key, "tun_flags") & _FLAGS.ones, _FLAGS.ones)


def format_set(part: bytes) -> str:
    """The tunnel() of an action that sets `part`, a key's tunnel part: what is not 0 in it."""
    key = bytes(START) + part.ljust(SIZE, b"\0")
    mask = bytearray(flow.KEY_DP_SIZE)
    keyed = number(key, "tun_flags") & 8
    erspan = _ERSPAN_OF.get(number(key, "tun_erspan_ver"), ())
    for name in MEMBERS:
        known = any(key[flow.MEMBERS[name][0] : sum(flow.MEMBERS[name])])
        if name in ("tun_ttl", "tun_flags") or name in erspan or (name == "tun_id" and keyed):
            known = True
        elif name == "tun_id" or (name.startswith("tun_erspan_") and name != "tun_erspan_ver"):
            known = False
        if known:
            offset, size = flow.MEMBERS[name]
            mask[offset : offset + size] = b"\xff" * size
    at, size = flow.MEMBERS["tun_opts_size"]
    end = OPTIONS_AT + number(key, "tun_opts_size")
    mask[OPTIONS_AT : OPTIONS_AT + MAX_OPTIONS] = bytes(MAX_OPTIONS)
    if end > OPTIONS_AT:
        mask[at : at + size] = b"\xff"
        mask[OPTIONS_AT:end] = b"\xff" * (end - OPTIONS_AT)
        for begin, _ in options(key[OPTIONS_AT:end]):
            mask[OPTIONS_AT + begin + 3] = 0x1F
    return format_tunnel(key, bytes(mask))[0]


_ERSPAN_OF = {1: ("tun_erspan_idx",), 2: ("tun_erspan_dir", "tun_erspan_hwid")}


# ---- Parsing ----

Read = Callable[[str], tuple[bytes, bytes]]  # the body of tunnel() as value and mask


class _Reader:
    def __init__(self) -> None:
        self.key = bytearray(flow.KEY_DP_SIZE)
        self.mask = bytearray(flow.KEY_DP_SIZE)
        self.seen: set[str] = set()

    def put(self, member: str, value: int, mask: int) -> None:
        if member in self.seen:
            raise ValueError(f"{member}: given twice")
        self.seen.add(member)
        offset, size = flow.MEMBERS[member]
        self.key[offset : offset + size] = value.to_bytes(size, "big")
        self.mask[offset : offset + size] = mask.to_bytes(size, "big")

    def values(self, fields: list[Field], items: list[str]) -> None:
        known = {field.label: field for field in fields}
        for item in items:
            label, equals, text = item.partition("=")
            if not equals or label not in known:
                raise ValueError(f"{item}: unknown field")
            field = known[label]
            self.put(field.member, *parse_value(field, text))

    def group(self, item: str) -> None:
        name, body = name_and_body(item)
        if name == "flags":
            self.put("tun_flags", *(parse_value(_FLAGS, body) if body else (0, _FLAGS.ones)))
        elif name == "geneve":
            self.geneve(body)
        elif name == "vxlan":
            inner, fields = name_and_body(body)
            if inner != "gbp":
                raise ValueError(f"{item}: unknown extension")
            self.values(_GBP, split(fields))
        elif name in ("erspan", "gtpu"):
            self.values(_ERSPAN if name == "erspan" else _GTPU, split(body))
        else:
            raise ValueError(f"{item}: unknown field")

    def geneve(self, body: str) -> None:
        data, mask = bytearray(), bytearray()
        at = 0
        while at < len(body):
            found = _OPTION.match(body, at)
            if found is None:
                raise ValueError(f"geneve({body}): not an option at {body[at:]}")
            one, care = _parse_option(found)
            data += one
            mask += care
            at = found.end()
        if len(data) > MAX_OPTIONS - _HEADER:
            raise ValueError("geneve(): too many options")
        self.put("tun_opts_size", len(data), 0xFF)
        self.key[OPTIONS_AT : OPTIONS_AT + len(data)] = data
        self.mask[OPTIONS_AT : OPTIONS_AT + len(data)] = mask


def _parse_number(text: str, bits: int) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    pair = int(value, 0), int(mask, 0) if slash else (1 << bits) - 1
    if not all(0 <= each < 1 << bits for each in pair):
        raise ValueError(f"{text}: out of range")
    return pair


def _parse_option(found: re.Match) -> tuple[bytes, bytes]:
    kind, kind_mask = _parse_number(found["cls"], 16)
    number_, number_mask = _parse_number(found["type"], 8)
    size = int(found["len"])
    if size % 4 or size > MAX_VALUE:
        raise ValueError(f"{found[0]}: length not 0, 4, 8, ... {MAX_VALUE}")
    value = int(found["value"] or "0", 16)
    exact = (1 << 8 * size) - 1 if found["value"] else 0  # no value: anything
    mask = int(found["mask"], 0) if found["mask"] else exact
    if max(value, mask) >> 8 * size:
        raise ValueError(f"{found[0]}: value longer than len")
    head = kind.to_bytes(2, "big") + bytes((number_, size // 4))
    head_mask = kind_mask.to_bytes(2, "big") + bytes((number_mask, 0x1F))
    return head + value.to_bytes(size, "big"), head_mask + mask.to_bytes(size, "big")


def masked(value: bytes, mask: bytes) -> bytes:
    """`value` without what `mask` leaves out."""
    care = int.from_bytes(value, "big") & int.from_bytes(mask, "big")
    return care.to_bytes(len(value), "big")


def parse_tunnel(body: str) -> tuple[bytes, bytes]:
    """What stands in tunnel(): value and mask of a key's tunnel part, SIZE bytes each."""
    reader = _Reader()
    items = split(body)
    if len(items) > MAX_ITEMS:
        raise TooLong(f"syntax error at tunnel({body})")
    reader.values(_PLAIN, [item for item in items if _is_plain(item)])
    for item in items:
        if not _is_plain(item):
            reader.group(item)
    return bytes(reader.key[START:]), bytes(reader.mask[START:])


def _is_plain(item: str) -> bool:
    return item.find("=") >= 0 and not 0 <= item.find("(") < item.find("=")


def parse_packet(body: str) -> tuple[bytes, bytes]:
    """As parse_tunnel(), of a packet: what has an ID has the flag that says so, too."""
    value, mask = parse_tunnel(body)
    return _keyed(value, mask), mask


def parse_set(body: str) -> bytes:
    """The tunnel part that set(tunnel(...)) of this body sets, as long as its options need."""
    value, mask = parse_tunnel(body)
    part = _keyed(masked(value, mask), mask)
    options_size = part[flow.MEMBERS["tun_opts_size"][0] - START]
    return part[: OPTIONS_AT - START + options_size]


def _keyed(value: bytes, mask: bytes) -> bytes:
    part = bytearray(value)
    key_at = flow.MEMBERS["tun_id"][0] - START
    if any(mask[key_at : key_at + 8]):
        part[flow.MEMBERS["tun_flags"][0] - START + 1] |= 8
    return bytes(part)
