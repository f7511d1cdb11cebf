"""How values stand in the text of flow keys and datapath actions, and how that is taken apart."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from . import flow

SIZES = {name: size for name, (_, size) in flow.MEMBERS.items()}
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[9]", "[10]", "[11]")
EXTHDR_FLAGS = ("nonext", "esp", "auth", "dest", "frag", "router", "hop", "unrep", "unseq")
CT_FLAGS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
TUN_FLAGS = ("oam", "df", "csum", "key")
FRAGMENTS = ("no", "0x2", "first", "later")
# Parentheses in one another: enough for all actions that may be, and little work per character.
MOST_OPEN = 256


class TooLong(ValueError):
    """There is more of something than a message of the datapath has room for."""


class Field:
    """A value within a group: some bits of a member, in some notation."""

    __slots__ = ("bits", "kind", "label", "member", "shift")

    def __init__(self, label: str, member: str, kind: str, bits: int = 0, shift: int = 0):
        self.label = label
        self.member = member
        self.kind = kind
        self.bits = bits or SIZES[member] * 8
        self.shift = shift

    @property
    def ones(self) -> int:
        return (1 << self.bits) - 1


# ---- Notations: kind -> (format, parse) of a plain value; values are integers ----


def _parse_int(text: str) -> int:
    return int(text, 0)


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def _parse_mac(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6 or any(len(part) not in (1, 2) for part in parts):
        raise ValueError(f"{text}: not an Ethernet address")
    return int.from_bytes(bytes(int(part, 16) for part in parts), "big")


def _fragment(value: int) -> str:
    return FRAGMENTS[(value & 1) << 1 | (value >> 1 & 1)]


def _parse_fragment(text: str) -> int:
    known = {"no": 0, "first": flow.FRAG_ANY, "later": flow.FRAG_ANY | flow.FRAG_LATER}
    return known[text] if text in known else int(text, 0)


KINDS: dict[str, tuple[Callable[[int], str], Callable[[str], int]]] = {
    "dec": (str, _parse_int),
    "hex": (lambda value: f"{value:#x}" if value else "0", _parse_int),
    "hexid": (lambda value: f"{value:#x}", _parse_int),
    "hex4": (lambda value: f"0x{value:04x}", _parse_int),
    "mac": (_mac, _parse_mac),
    "ip4": (lambda value: str(IPv4Address(value)), lambda text: int(IPv4Address(text))),
    "ip6": (lambda value: str(IPv6Address(value)), lambda text: int(IPv6Address(text))),
    "frag": (_fragment, _parse_fragment),
}
FLAGS = {
    "tcp_flags": TCP_FLAGS,
    "ct_state": CT_FLAGS,
    "ipv6_exthdr": EXTHDR_FLAGS,
    "tun_flags": TUN_FLAGS,
}
# Masks of these are written as numbers, those of addresses as addresses.
NUMBER_KINDS = ("dec", "hex", "hexid", "hex4", "frag")


def _format_flags(names: tuple[str, ...], value: int, mask: int, ones: int) -> str:
    if mask == ones:
        if value >> len(names):
            return f"{value:#x}"
        return "|".join(n for i, n in enumerate(names) if value >> i & 1) or "0"
    if mask >> len(names):
        return f"{value:#x}/{mask:#x}"
    return "".join(
        ("+" if value >> i & 1 else "-") + name for i, name in enumerate(names) if mask >> i & 1
    )


def _parse_flags(names: tuple[str, ...], text: str, ones: int) -> tuple[int, int]:
    if text[:1] not in ("+", "-"):
        if text[:1].isdigit():
            value, _, mask = text.partition("/")
            return int(value, 0), int(mask, 0) if mask else ones
        return sum(1 << names.index(name) for name in text.split("|")), ones
    value = mask = 0
    for part in text.replace("+", " +").replace("-", " -").split():
        bit = 1 << names.index(part[1:])
        mask |= bit
        value |= bit if part[0] == "+" else 0
    return value, mask


def format_value(field: Field, value: int, mask: int) -> str:
    """value, or value/mask where the mask does not cover the whole field."""
    if field.kind in FLAGS:
        return _format_flags(FLAGS[field.kind], value, mask, field.ones) or "0/0"
    show = KINDS[field.kind][0]
    if mask == field.ones:
        return show(value)
    if field.kind in NUMBER_KINDS:
        if not mask:
            return f"{show(value)}/0"
        return f"{value:#x}/{mask:#x}" if field.kind == "frag" else f"{show(value)}/{mask:#x}"
    return f"{show(value)}/{show(mask)}"


def parse_value(field: Field, text: str) -> tuple[int, int]:
    """The value and the mask that format_value wrote; ValueError.  The value may have bits where
    the mask has none: whoever reads "ttl=255/0" as a packet takes it at its word."""
    try:
        if field.kind in FLAGS:
            value, mask = _parse_flags(FLAGS[field.kind], text, field.ones)
        else:
            read = KINDS[field.kind][1]
            plain, _, masked = text.partition("/")
            value = read(plain)
            mask = field.ones
            if masked:
                mask = int(masked, 0) if field.kind in NUMBER_KINDS else read(masked)
    except ValueError as error:
        raise ValueError(f"{text}: bad value for {field.label or field.member}") from error
    if not 0 <= value <= field.ones or not 0 <= mask <= field.ones:
        raise ValueError(f"{text}: out of range for {field.label or field.member}")
    return value, mask


# ---- Members and words ----


def number(data: bytes, member: str) -> int:
    """A member as an integer."""
    offset, size = flow.MEMBERS[member]
    return int.from_bytes(data[offset : offset + size], "big")


def split(text: str) -> list[str]:
    """Splits at commas outside of parentheses; ValueError where these do not pair."""
    parts: list[str] = []
    depth = start = 0
    for i, char in enumerate(text):
        if char == "(":
            depth += 1
            if depth > MOST_OPEN:
                raise ValueError(f"more than {MOST_OPEN} parentheses in one another")
        elif char == ")":
            depth -= 1
            if depth < 0:
                raise ValueError(f"{text}: ')' without '('")
        elif char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth:
        raise ValueError(f"{text}: '(' without ')'")
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def name_and_body(item: str) -> tuple[str, str]:
    """The two parts of NAME(BODY)."""
    name, found, body = item.partition("(")
    if not found or not body.endswith(")"):
        raise ValueError(f"{item}: expected NAME(...)")
    return name.strip(), body[:-1]
