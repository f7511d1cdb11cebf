"""The text of ct actions (struct ct_action in odp.pxd), as Open vSwitch's datapaths print it."""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from datapath.actions import odp
from datapath.key import key_text

# flags; zone, mark, mask; label, mask; addresses; ports; helper; timeout policy
_PORTS_AND_REST = struct.Struct(f"=HHB3x{odp.TIMEOUT_NAME}s")
_LABEL = 16
SIZE = 2 + 2 + 8 + 2 * _LABEL + 32 + _PORTS_AND_REST.size
HELPERS = {odp.HELPER_FTP: "ftp", odp.HELPER_TFTP: "tftp"}
RANGE_FLAGS = {
    "persistent": odp.FLAG_PERSISTENT,
    "hash": odp.FLAG_HASH,
    "random": odp.FLAG_RANDOM,
}
_FULL = {"mark": (1 << 32) - 1, "label": (1 << 128) - 1}


class CtAction:
    """A ct action as plain values: flags as odp.FLAG_*, addresses of 4 or 16 bytes."""

    def __init__(self) -> None:
        self.flags = self.zone = self.helper = 0
        self.mark, self.label = (0, 0), (0, 0)
        self.addresses = (bytes(4), bytes(4))
        self.ports = (0, 0)
        self.timeout = ""

    def pack(self) -> bytes:
        """The payload of ACT_CT; ValueError, struct.error or OverflowError where it cannot be."""
        name = self.timeout.encode()
        if len(name) >= odp.TIMEOUT_NAME:
            raise ValueError(f"timeout={self.timeout}: too long")
        return b"".join(
            (
                struct.pack("=H", self.flags),
                struct.pack("!HII", self.zone, *self.mark),
                *(value.to_bytes(_LABEL, "big") for value in self.label),
                *(address.ljust(16, b"\0") for address in self.addresses),
                _PORTS_AND_REST.pack(*self.ports, self.helper, name),
            )
        )

    @classmethod
    def unpack(cls, payload: bytes) -> "CtAction":
        a = cls()
        a.flags = struct.unpack_from("=H", payload)[0]
        a.zone, *mark = struct.unpack_from("!HII", payload, 2)
        a.mark = (mark[0], mark[1])
        label, address = 12, 12 + 2 * _LABEL
        values = [payload[at : at + _LABEL] for at in (label, label + _LABEL)]
        a.label = (int.from_bytes(values[0], "big"), int.from_bytes(values[1], "big"))
        size = 16 if a.flags & odp.FLAG_IPV6 else 4
        a.addresses = (payload[address:][:size], payload[address + 16 :][:size])
        *ports, a.helper, name = _PORTS_AND_REST.unpack_from(payload, address + 32)
        a.ports = (ports[0], ports[1])
        a.timeout = name.rstrip(b"\0").decode(errors="replace")
        return a


# ---- Formatting ----


def _format_range(a: CtAction) -> str:
    first, last = (str(ip_address(address)) for address in a.addresses)
    bracket = "[{}]" if a.flags & odp.FLAG_IPV6 and a.ports[0] else "{}"
    text = bracket.format(first)
    if last != first:
        text += "-" + bracket.format(last)
    if a.ports[0]:
        text += f":{a.ports[0]}"
        if a.ports[1] != a.ports[0]:
            text += f"-{a.ports[1]}"
    return text


def _format_nat(a: CtAction) -> str:
    if not a.flags & (odp.FLAG_SRC | odp.FLAG_DST):
        return "nat"
    which = "src" if a.flags & odp.FLAG_SRC else "dst"
    flags = [name for name, flag in RANGE_FLAGS.items() if a.flags & flag]
    if any(a.addresses[0]) or a.ports[0]:
        which += f"={_format_range(a)}"
    return f"nat({','.join([which, *flags])})"


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def format_ct(payload: bytes) -> str:
    """ct(...) of the payload of an ACT_CT that check_actions passed."""
    a = CtAction.unpack(payload)
    parts = []
    if a.flags & odp.FLAG_COMMIT:
        parts.append("force_commit" if a.flags & odp.FLAG_FORCE else "commit")
    if a.zone:
        parts.append(f"zone={a.zone}")
    if a.flags & odp.FLAG_MARK:
        parts.append(f"mark={_hex(a.mark[0])}/{_hex(a.mark[1])}")
    if a.flags & odp.FLAG_LABEL:
        mask = "" if a.label[1] == _FULL["label"] else f"/{_hex(a.label[1])}"
        parts.append(f"label={_hex(a.label[0])}{mask}")
    if a.helper:
        parts.append(f"helper={HELPERS[a.helper]}")
    if a.timeout:
        parts.append(f"timeout={a.timeout}")
    if a.flags & odp.FLAG_NAT:
        parts.append(_format_nat(a))
    return f"ct({','.join(parts)})" if parts else "ct"


# ---- Parsing ----


def _masked(name: str, text: str) -> tuple[int, int]:
    value, _, mask = text.partition("/")
    numbers = int(value, 0), int(mask, 0) if mask else _FULL[name]
    if not all(0 <= number <= _FULL[name] for number in numbers):
        raise ValueError(f"{name}={text}: out of range")
    return numbers


def _address_range(text: str) -> tuple[str, str]:
    """What ADDRESSES[:PORTS] says of either; IPv6 stands in brackets where ports follow."""
    if text.startswith("["):
        addresses, _, ports = text.rpartition("]")
        return (addresses + "]").replace("[", "").replace("]", ""), ports.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    addresses, _, ports = text.partition(":")
    return addresses, ports


def _parse_range(a: CtAction, text: str) -> None:
    addresses, ports = _address_range(text)
    first, _, last = addresses.partition("-")
    ends: list[IPv4Address | IPv6Address] = [ip_address(first), ip_address(last or first)]
    if ends[0].version != ends[1].version:
        raise ValueError(f"{text}: addresses of two kinds")
    if ends[0].version == 6:
        a.flags |= odp.FLAG_IPV6
    a.addresses = (ends[0].packed, ends[1].packed)
    if ports:
        first, _, last = ports.partition("-")
        a.ports = (int(first), int(last or first))


def _parse_nat(a: CtAction, body: str) -> None:
    a.flags |= odp.FLAG_NAT
    for part in key_text.split(body):
        name, _, text = part.partition("=")
        if name in ("src", "dst"):
            a.flags |= odp.FLAG_SRC if name == "src" else odp.FLAG_DST
            if text:
                _parse_range(a, text)
        elif part in RANGE_FLAGS:
            a.flags |= RANGE_FLAGS[part]
        else:
            raise ValueError(f"{part}: unknown option of nat()")


def _set_number(name: str, flag: int) -> Callable[[CtAction, str], None]:
    def put(a: CtAction, text: str) -> None:
        a.flags |= flag
        setattr(a, name, _masked(name, text))

    return put


def _set_helper(a: CtAction, text: str) -> None:
    known = {name: number for number, name in HELPERS.items()}
    if text not in known:
        raise ValueError(f"helper={text}: unknown helper")
    a.helper = known[text]


def _set_zone(a: CtAction, text: str) -> None:
    a.zone = int(text, 0)


def _set_timeout(a: CtAction, text: str) -> None:
    a.timeout = text


_VALUES: dict[str, Callable[[CtAction, str], None]] = {
    "zone": _set_zone,
    "mark": _set_number("mark", odp.FLAG_MARK),
    "label": _set_number("label", odp.FLAG_LABEL),
    "helper": _set_helper,
    "timeout": _set_timeout,
}
_WORDS = {"commit": odp.FLAG_COMMIT, "force_commit": odp.FLAG_COMMIT | odp.FLAG_FORCE}


def parse_ct(body: str) -> bytes:
    """The payload of ct(BODY); ValueError says what is wrong."""
    a = CtAction()
    for part in key_text.split(body):
        name, found, text = part.partition("=")
        if part in _WORDS:
            a.flags |= _WORDS[part]
        elif part == "nat":
            _parse_nat(a, "")
        elif part.startswith("nat("):
            _parse_nat(a, key_text.name_and_body(part)[1])
        elif found and name in _VALUES:
            _VALUES[name](a, text)
        else:
            raise ValueError(f"{part}: unknown option of ct()")
    return a.pack()
