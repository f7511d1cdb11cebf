"""tnl_push(...) as text, both ways, in the form that `ovs-dpctl dump-flows` prints; and
tnl_defrag(...), which Open vSwitch does not have: what fragments may be when they are a packet.

    tnl_push(tnl_port(4789),header(size=50,type=4,eth(...),ipv4(...),udp(...),vxlan(...)),out_port(1))

    tnl_defrag(out_port(1),udp(4789,tnl_pop(2)),ip(47,tnl_pop(3)))

The header's bytes are put together from tables: for each layer what a label means, where.
"""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from datapath.base.protocols import PROTO_IPV6, PROTO_UDP
from datapath.key import key_text

HEAD = struct.Struct("=IIHH")  # tunnel_push in tunnel_push.pxd
END = struct.Struct("=HHI")  # tunnel_end in odp.pxd
ETHERNET, IPV4, IPV6, UDP = 14, 20, 40, 8
GRE, VXLAN, GENEVE, ERSPAN, IP6ERSPAN, IP6GRE, GTPU, SRV6 = 3, 4, 5, 107, 108, 109, 110, 112
GRE_CSUM, GRE_KEY, GRE_SEQUENCE = 0x8000, 0x2000, 0x1000
GTPU_OPTIONAL = 7
ERSPAN_PROTOCOLS = {1: 0x88BE, 2: 0x22EB}
ERSPAN_SIZES = {1: 8, 2: 12}
SRH = 4


class _Bits(NamedTuple):
    """A label's value: `bits` bits, `shift` bits above the end of the word of `size` bytes at
    offset `at`; `form` is that of format()."""

    label: str
    at: int
    size: int
    form: str = "d"
    bits: int = 0
    shift: int = 0

    @property
    def ones(self) -> int:
        return (1 << (self.bits or 8 * self.size)) - 1

    def read(self, data: bytes) -> int:
        return int.from_bytes(data[self.at : self.at + self.size], "big") >> self.shift & self.ones

    def write(self, data: bytearray, value: int) -> None:
        if not 0 <= value <= self.ones:
            raise ValueError(f"{self.label}={value}: out of range")
        word = int.from_bytes(data[self.at : self.at + self.size], "big") | value << self.shift
        data[self.at : self.at + self.size] = word.to_bytes(self.size, "big")

    def text(self, data: bytes) -> str:
        return f"{self.label}={_FORMS[self.form](self.read(data))}"


def _alternate(value: int) -> str:
    """As C's %#x has it."""
    return f"{value:#x}" if value else "0"


_FORMS: dict[str, Callable[[int], str]] = {
    "d": str,
    "x": lambda value: f"{value:#x}",
    "#x": _alternate,
    "type": lambda value: f"0x{value:04x}",
    "mac": lambda value: value.to_bytes(6, "big").hex(":"),
    "ip4": lambda value: str(IPv4Address(value)),
    "ip6": lambda value: str(IPv6Address(value)),
}
_READERS: dict[str, Callable[[str], int]] = {
    "mac": lambda text: int.from_bytes(bytes.fromhex(text.replace(":", "")), "big"),
    "ip4": lambda text: int(IPv4Address(text)),
    "ip6": lambda text: int(IPv6Address(text)),
}

_ETH = [_Bits("dst", 0, 6, "mac"), _Bits("src", 6, 6, "mac"), _Bits("dl_type", 12, 2, "type")]
_IPV4 = [
    _Bits("src", 12, 4, "ip4"), _Bits("dst", 16, 4, "ip4"), _Bits("proto", 9, 1),
    _Bits("tos", 1, 1, "#x"), _Bits("ttl", 8, 1), _Bits("frag", 6, 2, "x"),
]  # fmt: skip
_IPV6 = [
    _Bits("src", 8, 16, "ip6"), _Bits("dst", 24, 16, "ip6"), _Bits("label", 0, 4, "d", 20),
    _Bits("proto", 6, 1), _Bits("tclass", 0, 4, "x", 8, 20), _Bits("hlimit", 7, 1),
]  # fmt: skip
_UDP = [_Bits("src", 0, 2), _Bits("dst", 2, 2), _Bits("csum", 6, 2, "x")]
_VXLAN = [_Bits("flags", 0, 4, "x"), _Bits("vni", 4, 4, "x", 24, 8)]
_VNI = _Bits("vni", 4, 4, "x", 24, 8)
_GTPU = [_Bits("flags", 0, 1, "x"), _Bits("msgtype", 1, 1), _Bits("teid", 4, 4, "x")]
_ERSPAN_VER = _Bits("ver", 0, 1, "d", 4, 4)
_ERSPAN = {
    1: [_ERSPAN_VER, _Bits("sid", 2, 2, "x", 10), _Bits("idx", 4, 4, "x", 20)],
    2: [
        _ERSPAN_VER, _Bits("sid", 2, 2, "x", 10), _Bits("dir", 10, 2, "d", 1, 3),
        _Bits("hwid", 10, 2, "x", 6, 4),
    ],
}  # fmt: skip


def _text(name: str, fields: list[_Bits], data: bytes) -> str:
    return f"{name}({','.join(field.text(data) for field in fields)})"


# ---- Formatting ----


def format_push(payload: bytes) -> str:
    """Of a payload that check_tunnel_push passed."""
    tnl_port, out_port, kind, size = HEAD.unpack_from(payload)
    header = payload[HEAD.size : HEAD.size + size]
    parts = [f"size={size},type={kind}", _text("eth", _ETH, header)]
    at = ETHERNET + (IPV6 if header[12:14] == b"\x86\xdd" else IPV4)
    if at == ETHERNET + IPV6:
        parts.append(_text("ipv6", _IPV6, header[ETHERNET:]))
    else:
        parts.append(_text("ipv4", _IPV4, header[ETHERNET:]))
    if kind in (VXLAN, GENEVE, GTPU):
        parts.append(_text("udp", _UDP, header[at:]))
        at += UDP
    parts += [text for text in [_FORMATS[kind](header[at:])] if text]
    return f"tnl_push(tnl_port({tnl_port}),header({','.join(parts)}),out_port({out_port}))"


def _format_options(options: bytes) -> str:
    parts = []
    while options:
        kind, type_, words = struct.unpack_from("!HBB", options)
        size = (words & 0x1F) * 4
        value = int.from_bytes(options[4 : 4 + size], "big")
        shown = f",{value:#x}" if size else ""
        parts.append(f"{{class={kind:#x},type={type_:#x},len={size}{shown}}}")
        options = options[4 + size :]
    return "".join(parts)


def _format_geneve(data: bytes) -> str:
    oam = "oam," if data[1] & 0x80 else ""
    critical = "crit," if data[1] & 0x40 else ""
    options = _format_options(data[8 : 8 + (data[0] & 0x3F) * 4])
    more = f",options({options})" if options else ""
    return f"geneve({oam}{critical}{_VNI.text(data)}{more})"


def _gre_fields(flags: int) -> list[tuple[str, int]]:
    """Those that the flags say are there: name, and bytes that are a number."""
    known = ((GRE_CSUM, "csum", 2), (GRE_KEY, "key", 4), (GRE_SEQUENCE, "seq", 4))
    return [(name, size) for flag, name, size in known if flags & flag]


def _format_gre(data: bytes) -> str:
    flags, protocol = struct.unpack_from("!HH", data)
    text = f"gre((flags={flags:#x},proto={protocol:#x})"
    at = 4
    for name, size in _gre_fields(flags):
        text += f",{name}={int.from_bytes(data[at : at + size], 'big'):#x}"
        at += 4
    return text + ")"


def _format_erspan(data: bytes) -> str:
    session = data[8:]
    return _text("erspan", _ERSPAN.get(session[0] >> 4, [_ERSPAN_VER]), session)


def _format_srv6(data: bytes) -> str:
    if not data:
        return ""
    segments = [str(IPv6Address(data[at : at + 16])) for at in range(8, 8 + 16 * (data[4] + 1), 16)]
    return f"srv6(segments_left={data[3]},segs({','.join(segments)}))"


_FORMATS: dict[int, Callable[[bytes], str]] = {
    VXLAN: lambda data: _text("vxlan", _VXLAN, data),
    GENEVE: _format_geneve,
    GRE: _format_gre,
    IP6GRE: _format_gre,
    ERSPAN: _format_erspan,
    IP6ERSPAN: _format_erspan,
    GTPU: lambda data: _text("gtpu", _GTPU, data),
    SRV6: _format_srv6,
}


# ---- Parsing ----


def _words(body: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in key_text.split(body))


def _build(fields: list[_Bits], body: str, size: int, ignored: tuple[str, ...] = ()) -> bytearray:
    """A layer of `size` bytes; each of its labels has to be given."""
    given = _words(body)
    data = bytearray(size)
    for field in fields:
        if field.label not in given:
            raise ValueError(f"{body}: {field.label} is missing")
        text = given.pop(field.label)
        field.write(data, _READERS.get(field.form, lambda text: int(text, 0))(text))
    if given.keys() - set(ignored):
        raise ValueError(f"{body}: unknown {', '.join(given)}")
    return data


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4(body: str) -> bytearray:
    data = _build(_IPV4, body, IPV4)
    data[0] = 0x45
    data[10:12] = checksum(data).to_bytes(2, "big")
    return data


def _ipv6(body: str) -> bytearray:
    data = _build(_IPV6, body, IPV6)
    data[0] |= 0x60
    return data


def _geneve(body: str) -> bytearray:
    data, options = bytearray(8), b""
    data[2:4] = b"\x65\x58"
    for part in key_text.split(body):
        if part in ("oam", "crit"):
            data[1] |= 0x80 if part == "oam" else 0x40
        elif part.startswith("vni="):
            _VNI.write(data, int(part[4:], 0))
        elif part.startswith("options("):
            options = _options(key_text.name_and_body(part)[1])
        else:
            raise ValueError(f"{part}: unknown part of geneve()")
    if len(options) > 252:
        raise ValueError("geneve: more than 252 bytes of options")
    data[0] = len(options) // 4
    return data + options


def _options(text: str) -> bytes:
    """`{class=0xffff,type=0x80,len=4,0xa}{...}`"""
    found = b""
    for item in text.replace("}{", "}|{").split("|") if text else ():
        if not (item.startswith("{") and item.endswith("}")):
            raise ValueError(f"{item}: expected {{class=N,type=N,len=N,VALUE}}")
        parts = item[1:-1].split(",")
        given = dict(part.partition("=")[::2] for part in parts[:3])
        if set(given) != {"class", "type", "len"} or len(parts) > 4:
            raise ValueError(f"{item}: expected {{class=N,type=N,len=N,VALUE}}")
        size = int(given["len"], 0)
        if size % 4 or not 0 <= size <= 124:
            raise ValueError(f"{item}: no such length")
        found += struct.pack("!HBB", int(given["class"], 0), int(given["type"], 0), size // 4)
        found += int(parts[3] if len(parts) == 4 else "0", 0).to_bytes(size, "big")
    return found


def _gre(body: str) -> bytearray:
    parts = key_text.split(body)
    if not parts or not parts[0].startswith("("):
        raise ValueError(f"gre({body}): expected (flags=N,proto=N)")
    given = _words(parts[0][1:-1])
    flags, protocol = int(given["flags"], 0), int(given["proto"], 0)
    data = bytearray(struct.pack("!HH", flags, protocol))
    rest = _words(",".join(parts[1:]))
    for name, size in _gre_fields(flags):
        data += int(rest.pop(name, "0"), 0).to_bytes(size, "big") + bytes(4 - size)
    if rest:
        raise ValueError(f"gre({body}): unknown {', '.join(rest)}")
    return data


def _erspan(body: str) -> bytearray:
    version = int(_words(body).get("ver", "0"), 0)
    if version not in _ERSPAN:
        raise ValueError(f"erspan({body}): unknown version")
    head = struct.pack("!HHI", GRE_SEQUENCE, ERSPAN_PROTOCOLS[version], 0)
    return bytearray(head) + _build(_ERSPAN[version], body, ERSPAN_SIZES[version])


def _gtpu(body: str) -> bytearray:
    data = _build(_GTPU, body, 8)
    return data + bytes(4 if data[0] & GTPU_OPTIONAL else 0)


def _srv6(body: str) -> bytearray:
    given = dict.fromkeys(("segments_left", "segs"), "")
    for part in key_text.split(body):
        if part.startswith("segs("):
            given["segs"] = key_text.name_and_body(part)[1]
        else:
            name, _, value = part.partition("=")
            given[name] = value
    segments = [IPv6Address(text.strip()).packed for text in given["segs"].split(",")]
    left = int(given["segments_left"], 0)
    return bytearray([0, 2 * len(segments), SRH, left, len(segments) - 1, 0, 0, 0]) + b"".join(
        segments
    )


_LAYERS: dict[str, Callable[[str], bytearray]] = {
    "eth": lambda body: _build(_ETH, body, ETHERNET),
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "udp": lambda body: _build(_UDP, body, UDP),
    "vxlan": lambda body: _build(_VXLAN, body, 8),
    "geneve": _geneve,
    "gre": _gre,
    "erspan": _erspan,
    "gtpu": _gtpu,
    "srv6": _srv6,
}


def _header(body: str) -> tuple[int, bytes]:
    """(type, bytes)"""
    size = kind = None
    data = bytearray()
    for part in key_text.split(body):
        if part.startswith("size="):
            size = int(part[5:], 0)
        elif part.startswith("type="):
            kind = int(part[5:], 0)
        else:
            name, inner = key_text.name_and_body(part)
            if name not in _LAYERS:
                raise ValueError(f"{name}: unknown part of header()")
            data += _LAYERS[name](inner)
    if kind == SRV6 and len(data) > ETHERNET + IPV6:
        # What is in the tunnel follows the routing header: IP of either version, as proto= said
        # where there is none.
        data[ETHERNET + IPV6] = data[ETHERNET + IPV6] or PROTO_IPV6
    if size != len(data) or kind not in _FORMATS:
        raise ValueError(f"header({body}): size={size} and type={kind} are not what follows")
    return kind, bytes(data)


def parse_push(body: str) -> bytes:
    """The payload of an action; ValueError says what is wrong."""
    given = dict(key_text.name_and_body(part) for part in key_text.split(body))
    if set(given) != {"tnl_port", "header", "out_port"}:
        raise ValueError(f"tnl_push({body}): expected tnl_port(N),header(...),out_port(N)")
    try:
        kind, header = _header(given["header"])
        head = HEAD.pack(int(given["tnl_port"], 0), int(given["out_port"], 0), kind, len(header))
    except (struct.error, OverflowError, KeyError) as error:
        raise ValueError(f"tnl_push({body}): {error}") from error
    return head + header


def format_defrag(payload: bytes) -> str:
    parts = [f"out_port({struct.unpack_from('=I', payload)[0]})"]
    for proto, udp_port, port in END.iter_unpack(payload[4:]):
        what = f"udp({udp_port}" if proto == PROTO_UDP else f"ip({proto}"
        parts.append(f"{what},tnl_pop({port}))")
    return f"tnl_defrag({','.join(parts)})"


def _parse_end(part: str) -> bytes:
    name, body = key_text.name_and_body(part)
    number, _, pop = body.partition(",")
    action, port = key_text.name_and_body(pop)
    if name not in ("udp", "ip") or action != "tnl_pop":
        raise ValueError(f"{part}: expected udp(PORT,tnl_pop(N)) or ip(PROTOCOL,tnl_pop(N))")
    which = (PROTO_UDP, int(number, 0)) if name == "udp" else (int(number, 0), 0)
    return END.pack(*which, int(port, 0))


def parse_defrag(body: str) -> bytes:
    """The payload of an action; ValueError says what is wrong."""
    first, *ends = key_text.split(body)
    name, port = key_text.name_and_body(first)
    if name != "out_port":
        raise ValueError(f"tnl_defrag({body}): expected out_port(N) first")
    return struct.pack("=I", int(port, 0)) + b"".join(_parse_end(part) for part in ends)
