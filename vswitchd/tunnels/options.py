"""The options column of a tunnel interface as a TunnelConfig.

What is refused and what is only warned of, and in which words, is as in Open vSwitch; so are
numbers, of which as much is taken as reads as a number.
"""

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from ofproto.xlate.bridges.tunnel_config import (
    DEFAULT_TTL,
    ERSPAN,
    FLOW,
    KINDS,
    LEGACY_L3,
    PACKET_TYPES,
    PTAP,
    WITH_PORT,
    Address,
    TunnelConfig,
)

# More digits make no other number.
_NUMBER = re.compile(
    r"\s*(?:0[xX](?P<hex>[0-9a-fA-F]{1,64})|(?P<octal>0[0-7]{1,64})|(?P<decimal>[0-9]{1,64}))"
)
_DECIMAL = re.compile(r"\s*([0-9]{0,64})")
_LARGEST = (1 << 64) - 1
_EXTS = ("gbp", "gpe")
# Options that all types have, and others that only these have.
_COMMON = {
    *("remote_ip", "local_ip", "key", "in_key", "out_key", "tos", "ttl", "df_default"),
    *("egress_pkt_mark", "packet_type"),
}
_OF_KINDS = {
    "dst_port": WITH_PORT,
    "csum": ("gre", "ip6gre", "geneve", "stt", "vxlan"),
    "exts": ("vxlan",),
    "seq": ("gre", "ip6gre"),
    **dict.fromkeys(("erspan_ver", "erspan_idx", "erspan_dir", "erspan_hwid"), ERSPAN),
    "srv6_segs": ("srv6",),
    "srv6_flowlabel": ("srv6",),
    "payload_type": ("bareudp",),
}
# What asks for encryption: the kernel's, which frames from packet sockets do not pass.
_IPSEC = ("psk", "remote_cert", "remote_name")
_FLOWLABELS = ("copy", "zero", "compute")
MAX_SEGMENTS = 6


class Parsed(NamedTuple):
    """`config` None: it cannot be a port, and `text` is for the error column; else `text` is what
    the log is to say, or ""."""

    config: TunnelConfig | None
    text: str


class _Refused(Exception):
    """The port cannot be: for the error column."""


def number(text: str, base: int = 0) -> int:
    """What of the text reads as a number, in C's notation (`base` 0) or of base 10; else 0."""
    if base:
        return min(int(_DECIMAL.match(text)[1] or 0), _LARGEST)
    found = _NUMBER.match(text)
    if found is None:
        return 0
    return min(int(found[found.lastgroup], _BASES[found.lastgroup]), _LARGEST)


_BASES = {"hex": 16, "octal": 8, "decimal": 10}


class _Options:
    """Of one interface; `told` are the sentences so far, each with the interface's name."""

    def __init__(self, name: str, kind: str, options: Mapping[str, str]):
        self.name = name
        self.kind = kind
        self.options = options
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(f"{self.name}: {text}")

    def refuse(self, text: str) -> None:
        self.tell(text)
        raise _Refused

    def config(self) -> TunnelConfig:
        for option in _IPSEC:
            if option in self.options:
                self.refuse(
                    f"IPsec is not supported ('{option}'), and clear text is not sent instead"
                )
        for option in self.options:
            if option not in _COMMON and self.kind not in _OF_KINDS.get(option, ()):
                self.tell(f"unknown {self.kind} argument '{option}'")
        return TunnelConfig(
            kind=self.kind,
            **self.addresses(),
            in_key=self.key("in_key"),
            out_key=self.key("out_key"),
            dst_port=self.dst_port(),
            **self.header(),
            **self.extensions(),
            **self.erspan(),
            **self.segments(),
        )

    # --- addresses

    def addresses(self) -> dict[str, Any]:
        remote, local = self.address("remote_ip"), self.address("local_ip")
        if isinstance(remote, IPv4Address | IPv6Address) and remote.is_multicast:
            self.refuse(f"multicast remote_ip={self.options['remote_ip']} not allowed")
        if remote is None:
            self.refuse(f"{self.kind} type requires valid 'remote_ip' argument")
        if local == FLOW and remote != FLOW:
            self.refuse(f"{self.kind} type requires 'remote_ip=flow' with 'local_ip=flow'")
        if not isinstance(remote, str) and local is not None and type(local) is not type(remote):
            self.refuse("'remote_ip' and 'local_ip' has to be of the same address family")
        return {"remote": remote, "local": local}

    def address(self, option: str) -> Address | str | None:
        text = self.options.get(option)
        if text is None or text == FLOW:
            return text
        try:
            return ip_address(text)
        except ValueError:
            self.tell(f"bad {self.kind} '{option}'")
            return None

    # --- keys and fields of the outer header

    def key(self, option: str) -> int | str | None:
        text = self.options.get(option, self.options.get("key"))
        if text is None or text == FLOW:
            return text
        return number(text)

    def dst_port(self) -> int:
        default = KINDS[self.kind].dst_port
        if self.kind not in WITH_PORT or "dst_port" not in self.options:
            return default
        return number(self.options["dst_port"], 10) & 0xFFFF

    def header(self) -> dict[str, Any]:
        get = self.options.get
        tos, ttl, mark = get("tos", ""), get("ttl", ""), get("egress_pkt_mark")
        return {
            "tos": 0 if tos == "inherit" else self.tos(tos),
            "tos_inherit": tos == "inherit",
            "ttl": number(ttl, 10) & 0xFF or DEFAULT_TTL,
            "ttl_inherit": ttl == "inherit",
            "df": get("df_default") != "false",
            "csum": get("csum") == "true" and self.kind in _OF_KINDS["csum"],
            "seq": get("seq") == "true" and self.kind in _OF_KINDS["seq"],
            "egress_mark": None if mark is None else number(mark, 10) & 0xFFFFFFFF,
        }

    def tos(self, text: str) -> int:
        value = number(text)
        if text and (value & ~0xFC or not _NUMBER.fullmatch(text)):
            self.tell(f"invalid TOS {text}")
            return 0
        return value

    # --- what only some types have

    def extensions(self) -> dict[str, Any]:
        words = self.options.get("exts", "").split(",") if self.kind == "vxlan" else []
        words = [word.strip() for word in words if word.strip()]
        for word in words:
            if word not in _EXTS:
                self.tell(f"unknown extension '{word}'")
        exts = frozenset(words) & frozenset(_EXTS)
        return {"exts": exts, "packet_type": self.packet_type("gpe" in exts)}

    def packet_type(self, has_gpe: bool) -> str:
        layers = KINDS[self.kind].layers + ((LEGACY_L3,) if has_gpe else ())
        kind = self.options.get("packet_type", layers[0])
        if kind not in PACKET_TYPES:
            self.refuse(f"unknown packet_type '{kind}'")
        if kind != PTAP and kind not in layers:
            what = "VXLAN (without GPE)" if self.kind == "vxlan" else self.kind
            layer = kind[-2:].upper()
            self.refuse(f"{kind} configured on {what} tunnel that cannot carry {layer} traffic")
        return kind

    def erspan(self) -> dict[str, Any]:
        if self.kind not in ERSPAN or "erspan_ver" not in self.options:
            return {}
        text = self.options["erspan_ver"]
        if text == FLOW:
            return dict.fromkeys(("erspan_ver", *_ERSPAN_VALUES), FLOW)
        version = number(text, 10)
        if version not in (1, 2):
            self.refuse(f"invalid erspan version: {text}")
        names = ("erspan_idx",) if version == 1 else ("erspan_dir", "erspan_hwid")
        return {"erspan_ver": version, **{name: self.erspan_value(name) for name in names}}

    def erspan_value(self, option: str) -> int | str:
        text = self.options.get(option, "0")
        if text == FLOW:
            return FLOW
        what, most = _ERSPAN_VALUES[option]
        digits = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{1,8})", text)
        value = int(digits[1], 16) if digits else -1
        if not 0 <= value <= most:
            self.refuse(f"invalid erspan {what}: {text}")
        return value

    def segments(self) -> dict[str, Any]:
        if self.kind != "srv6":
            return {}
        words = [word for word in self.options.get("srv6_segs", "").split(",") if word]
        label = self.options.get("srv6_flowlabel", "copy")
        try:
            segments = tuple(IPv6Address(word.strip()) for word in words)
        except AddressValueError:
            self.refuse("bad srv6 'srv6_segs'")
        if len(segments) > MAX_SEGMENTS:
            self.refuse(f"too many segments: {MAX_SEGMENTS} at most")
        if label not in _FLOWLABELS:
            self.tell(f"invalid srv6_flowlabel '{label}'")
            label = "copy"
        return {"srv6_segs": segments, "srv6_flowlabel": label}


# Hexadecimal numbers: option -> what it is called, and the largest value
_ERSPAN_VALUES = {
    "erspan_idx": ("index", 0xFFFFF),
    "erspan_dir": ("direction", 1),
    "erspan_hwid": ("hardware ID", 0x3F),
}


def parse(name: str, kind: str, options: Mapping[str, str]) -> Parsed:
    """The options of interface `name` of type `kind`, one of KINDS."""
    found = _Options(name, kind, options)
    try:
        config = found.config()
    except _Refused:
        config = None
    return Parsed(config, "\n".join(found.told))
