"""The text form of values and matches: `tcp,in_port=1,nw_src=10.0.0.0/8`, as ovs-ofctl(8) has it.

Errors in text raise TextError, whose message is for the user.
"""

import re
import socket
from collections.abc import Callable, Iterable

from pyvs import digits

from . import fields, numbers
from .fields import BY_NAME, Field
from .match import SLOTS, VLAN_CFI, VLAN_PCP, VLAN_VID, Match
from .notes import note

MOST_TERMS = 1000  # of a match
MOST_OPEN = 256  # parentheses in one another: each has all characters looked at once more
DEFAULT_PRIORITY = 0x8000
PortNames = dict[int, str] | None
PortNumbers = dict[str, int] | None
ALL_TABLES = 0xFF


class Names(dict):
    """Ports' names by number, or numbers by name, and `tables`: the same of tables.  A plain dict
    of ports may stand wherever these may."""

    def __init__(self, ports, tables):
        super().__init__(ports)
        self.tables = tables


class TextError(ValueError):
    """Flow or action text that cannot be understood."""


# Splitting


# Runs of characters: what separates terms, a key, and what a value has in and out of parentheses
# without that it means something.
_SEPARATORS, _KEY = re.compile(r"[, \t\r\n]*"), re.compile(r"[^:=(, \t\r\n]*")
_INNER, _OUTER = re.compile(r'[^"()\[\]{}]*'), re.compile(r'[^"()\[\]{}, \t\r\n]*')


def split_terms(text: str) -> list[tuple[str, str | None]]:
    """`a=1,b(2,3),c:4->d` as [("a", "1"), ("b", "2,3"), ("c", "4->d")]; a bare word's value is
    None.  Commas and white space separate, but not within parentheses or double quotes."""
    terms = []
    position, size = 0, len(text)
    while True:
        position = _SEPARATORS.match(text, position).end()
        if position >= size:
            return terms
        start = position
        if text[position] == '"':
            position = _quote_end(text, position)
        position = _KEY.match(text, position).end()
        key, value = text[start:position], None
        if position < size and text[position] in ":=":
            start = position + 1
            position = _value_end(text, start)
            value = text[start:position]
        elif position < size and text[position] == "(":
            end = _closing(text, position)
            value = text[position + 1 : end]
            position = end + 1
            if text.startswith("->", position):  # check_pkt_larger(100)->reg0[0]
                end = _value_end(text, position)
                value += ")" + text[position:end]
                position = end
        if not key and value is None:
            raise TextError(f"{text}: syntax error")
        terms.append((key, value))


def _quote_end(text, position):
    """Behind the string that starts at `position`, as JSON has them."""
    position += 1
    while position < len(text) and text[position] != '"':
        position += 2 if text[position] == "\\" else 1
    return position + 1


def _value_end(text, position):
    depth = 0
    while True:
        position = (_INNER if depth else _OUTER).match(text, position).end()
        if position >= len(text):
            return position
        char = text[position]
        if char == '"':
            position = _quote_end(text, position)
            continue
        if char in "([{":
            depth += 1
            _check_depth(depth)
        elif depth and char in ")]}":
            depth -= 1
        else:
            return position
        position += 1


def _closing(text, position):
    depth = 0
    for i in range(position, len(text)):
        if text[i] == "(":
            depth += 1
            _check_depth(depth)
        elif text[i] == ")":
            depth -= 1
            if depth == 0:
                return i
    return len(text)  # which closes what is open, as in Open vSwitch


def _check_depth(depth):
    if depth > MOST_OPEN:
        raise TextError("actions are nested too deeply")


def parse_int(text: str, what: str, bits: int = 64) -> int:
    """A decimal, hexadecimal (0x) or octal (0) number below 2**bits; `what` for the error."""
    number = _int(text)
    if number is None:
        raise TextError(f'invalid {what} "{text}"')
    if number >> bits:
        raise TextError(f'invalid {what} "{text}"')
    return number


def _int(text) -> int | None:
    try:
        if len(text) > 1 and text[0] == "0" and text[1] in "01234567":
            return int(text, 8)
        number = int(text, 0)
    except (ValueError, IndexError):
        return None
    return number if number >= 0 and "_" not in text else None


# Ports


def unquote(text: str) -> str:
    """What a string in double quotes, with JSON's escapes, stands for; other text as it is."""
    if text[:1] != '"':
        return text
    import json

    try:
        return json.loads(text)
    except ValueError:
        raise TextError(f"{text}: not a quoted string") from None


def parse_port(text: str, names: PortNumbers = None) -> int | None:
    """A port by number (16-bit, or the reserved 32-bit ones), reserved name, or `names`."""
    if digits.are_all(text):
        number = digits.number(text, 0xFFFFFFFF)
        port = number
        if number is not None and number > 0xFFFF:
            port = numbers.port_from_32(number)
        if port is None:
            reach = "0 through ffff or 0xffffff00 through 0xffffffff"
            note("ofp_port", f"port {text.lstrip('0')} is outside the supported range {reach}")
        elif number == port and port in numbers.PORT_NAMES:
            note(
                "ofp_port",
                f"referring to port {numbers.PORT_NAMES[port]} as {port} is deprecated for "
                "compatibility with OpenFlow 1.1 and later",
            )
        return port
    if text.upper() in numbers.PORT_NUMBERS:
        return numbers.PORT_NUMBERS[text.upper()]
    if names:
        return names.get(unquote(text))
    return None


def parse_table(text: str, names: PortNumbers = None) -> int | None:
    """A table's number, 0 to 255, by number or by name; None where it is neither."""
    if digits.are_all(text):
        table = digits.number(text, ALL_TABLES)
        if table is None:
            note("ofp_table", f"table {text} is outside the supported range 0 through {ALL_TABLES}")
        return table
    tables = getattr(names, "tables", None)
    return tables.get(unquote(text)) if tables else None


def format_table(table: int, names: PortNames = None) -> str:
    """A table's name, where it has one that can be read again, or its number."""
    tables = getattr(names, "tables", None)
    name = tables.get(table) if tables else None
    if name is None:
        return str(table)
    return name if _PLAIN_NAME.match(name) else f'"{name}"'


_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")


def format_port(port: int, names: PortNames = None) -> str:
    """A port's reserved name, or its name in `names` (quoted where it could be misread), or its
    number."""
    if port in numbers.PORT_NAMES:
        return numbers.PORT_NAMES[port]
    name = names.get(port) if names else None
    if name is None:
        return str(port)
    plain = _PLAIN_NAME.match(name) and name.upper() not in numbers.PORT_NUMBERS
    return name if plain else f'"{name}"'


# Values: a parser (text, field, names) -> (value, mask) and a formatter (value, mask, field,
# names) -> text for each text form.


def _format_integer(value, mask, field, names):
    shown = f"0x{value:x}" if value and field.text != "decimal" else str(value)
    return shown if mask == field.mask else f"{shown}/0x{mask:x}"


def _parse_integer(text, field, names):
    value_text, slash, mask_text = text.partition("/")
    limit = 8 * field.n_bytes
    value = _int(value_text)
    if value is None:
        if re.match(r"-\d+\Z", value_text):
            raise TextError(_too_large(value_text, field))
        raise TextError(f"{text}: bad syntax for {field.name} value")
    if value >> limit:
        raise TextError(_too_large(value_text, field))
    if not slash:
        return value, None
    mask = _int(mask_text)
    if mask is None:
        raise TextError(f"{text}: bad syntax for {field.name} mask")
    if mask >> limit:
        raise TextError(_too_large(text, field, "mask"))
    return value, mask


def _too_large(text, field, what="value"):
    return f"{text}: {what} too large for {field.n_bytes}-byte field {field.name}"


def format_eth(value: int) -> str:
    """aa:bb:cc:dd:ee:ff"""
    return value.to_bytes(6, "big").hex(":")


def _format_ethernet(value, mask, field, names):
    return format_eth(value) if mask == field.mask else f"{format_eth(value)}/{format_eth(mask)}"


def parse_eth(text: str) -> int:
    """An Ethernet address."""
    parts = text.split(":")
    if len(parts) != 6 or not all(re.match(r"[0-9A-Fa-f]{1,2}\Z", part) for part in parts):
        raise TextError(f"{text}: invalid Ethernet address")
    return int.from_bytes(bytes(int(part, 16) for part in parts), "big")


def _parse_ethernet(text, field, names):
    address, slash, mask = text.partition("/")
    try:
        return parse_eth(address), parse_eth(mask) if slash else None
    except TextError:
        raise TextError(f"{text}: invalid Ethernet address") from None


def _format_address(value, mask, field, names, family, bits):
    size = bits // 8
    text = socket.inet_ntop(family, value.to_bytes(size, "big"))
    if mask == field.mask:
        return text
    inverse = ~mask & field.mask
    if inverse & (inverse + 1) == 0:
        return f"{text}/{bits - inverse.bit_length()}"
    return f"{text}/{socket.inet_ntop(family, mask.to_bytes(size, 'big'))}"


def _parse_address(text, field, names, family, bits):
    address, slash, mask_text = text.partition("/")
    version = "IPv6" if bits == 128 else "IP"
    value = _address(family, address, f"{text}: invalid {version} address")
    if not slash:
        return value, None
    if digits.are_all(mask_text):
        prefix = digits.number(mask_text, bits)
        if prefix is None:
            raise TextError(
                f"{text}: {'IPv6' if bits == 128 else 'IPv4'} network prefix bits not between 0 "
                f"and {bits}, inclusive"
            )
        return value, field.mask & ~((1 << bits - prefix) - 1)
    return value, _address(family, mask_text, f"{text}: invalid {version} address")


def _address(family, text, error):
    try:
        return int.from_bytes(socket.inet_pton(family, text), "big")
    except (OSError, ValueError):
        raise TextError(error) from None


def _format_ipv4(value, mask, field, names):
    return _format_address(value, mask, field, names, socket.AF_INET, 32)


def _parse_ipv4(text, field, names):
    return _parse_address(text, field, names, socket.AF_INET, 32)


def _format_ipv6(value, mask, field, names):
    return _format_address(value, mask, field, names, socket.AF_INET6, 128)


def _parse_ipv6(text, field, names):
    return _parse_address(text, field, names, socket.AF_INET6, 128)


def _format_port(value, mask, field, names):
    whole = mask & field.mask == field.mask  # actions set parts of it, too
    return format_port(value & 0xFFFF, names) if whole else f"{value}/{mask:#x}"


def _parse_port(text, field, names):
    port = parse_port(text, names)
    if port is None:
        raise TextError(f"{text}: invalid or unknown port for {field.name}")
    return port, None


def _format_frag(value, mask, field, names):
    for name, bits in fields.FRAG_NAMES.items():
        if bits == (value, mask):
            return name
    return f"0x{value:x}/0x{mask:x}"


def _parse_frag(text, field, names):
    if text in fields.FRAG_NAMES:
        return fields.FRAG_NAMES[text]
    raise TextError(
        f'{text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"'
    )


_FLAG_BITS = {
    "ct_state": fields.CT_STATE_BITS,
    "tcp_flags": fields.TCP_FLAG_BITS,
    "tun_flags": fields.TUN_FLAG_BITS,
    "tun_outer_flags": fields.TUN_OUTER_FLAG_BITS,
    "ipv6_exthdr": fields.IPV6_EXTHDR_BITS,
}
_FLAG_WORDS = {
    "ct_state": "ct_state",
    "tcp_flags": "TCP",
    "tun_flags": "tunnel",
    "tun_outer_flags": "tunnel",
    "ipv6_exthdr": "IPv6 extension header",
}


def _format_flags(value, mask, field, names):
    """`+syn-ack` with a mask, `syn|ack` without."""
    bits = _FLAG_BITS[field.text]
    if mask == field.mask and field.text not in ("tun_flags", "tun_outer_flags"):
        return "|".join(name for i, name in enumerate(bits) if value >> i & 1) or "0"
    return "".join(
        ("+" if value >> i & 1 else "-") + name for i, name in enumerate(bits) if mask >> i & 1
    )


def _parse_flags(text, field, names):
    bits = _FLAG_BITS[field.text]
    value_text, slash, _ = text.partition("/")
    if _int(value_text) is not None:
        return _parse_flag_numbers(text, field)
    if text[:1] in ("+", "-"):
        return _parse_signed_flags(text, field, bits)
    if slash:
        raise TextError(f"{text}: mask must be a number")
    value = 0
    for name in text.split("|"):
        value |= 1 << _flag(name, field, bits)
    return value, None


def _parse_flag_numbers(text, field):
    value, mask = _parse_integer(text, field, None)
    if (value | (mask or 0)) & ~field.mask and (mask is None or value & mask & ~field.mask):
        raise TextError(f"{text}: unknown {_FLAG_WORDS[field.text]} flag(s)")
    return value, mask


def _parse_signed_flags(text, field, bits):
    value = mask = 0
    for sign, name in re.findall(r"([+-])([^+-]*)", text):
        bit = 1 << _flag(name, field, bits)
        if mask & bit:
            word = _FLAG_WORDS[field.text]
            raise TextError(f"{name}: Each {word} flag can be specified only once")
        mask |= bit
        if sign == "+":
            value |= bit
    return value, mask


def _flag(name, field, bits):
    if name not in bits:
        raise TextError(f"{name}: unknown {_FLAG_WORDS[field.text]} flag(s)")
    return bits.index(name)


def _format_packet_type(value, mask, field, names):
    kind = value & 0xFFFF
    return f"({value >> 16},{f'0x{kind:x}' if kind else kind})"


def _parse_packet_type(text, field, names):
    parts = re.match(r"\(?\s*([^,()]+),\s*([^,()]+)\)?\Z", text)
    high, low = (_int(parts[1]), _int(parts[2])) if parts else (None, None)
    if high is None or low is None or high >> 16 or low >> 16:
        raise TextError(f"{text}: not a valid packet type; use (NS,TYPE)")
    return high << 16 | low, None


_FORMATTERS: dict[str, Callable] = {
    "decimal": _format_integer, "hex": _format_integer, "ethernet": _format_ethernet,
    "ipv4": _format_ipv4, "ipv6": _format_ipv6, "port": _format_port, "frag": _format_frag,
    "ct_state": _format_flags, "tcp_flags": _format_flags, "tun_flags": _format_flags,
    "tun_outer_flags": _format_flags,
    "ipv6_exthdr": _format_flags, "packet_type": _format_packet_type,
}  # fmt: skip
_PARSERS: dict[str, Callable] = {
    "decimal": _parse_integer, "hex": _parse_integer, "ethernet": _parse_ethernet,
    "ipv4": _parse_ipv4, "ipv6": _parse_ipv6, "port": _parse_port, "frag": _parse_frag,
    "ct_state": _parse_flags, "tcp_flags": _parse_flags, "tun_flags": _parse_flags,
    "tun_outer_flags": _parse_flags,
    "ipv6_exthdr": _parse_flags, "packet_type": _parse_packet_type,
}  # fmt: skip


def format_value(field: Field, value: int, mask: int | None = None, names: PortNames = None) -> str:
    """A value, and `/mask` where the mask is not the whole field."""
    if mask is None and field.text == "tun_flags":
        return "oam" if value else "0"
    mask = field.mask if mask is None else mask
    return _FORMATTERS[field.text](value, mask, field, names)


def parse_value(field: Field, text: str, names: PortNumbers = None):
    """(value, mask or None for an exact one) of `VALUE[/MASK]`; raises TextError."""
    if not text and field.option is not None:
        return 0, 0  # of a match: it is there
    value, mask = _PARSERS[field.text](text, field, names)
    if mask is not None:
        if not field.maskable and mask not in (0, (1 << 8 * field.n_bytes) - 1):
            raise TextError(f"{text}: invalid mask for field {field.name}")
        if mask & field.mask == field.mask:
            mask = None
    return value, mask


# Matches

# Fields in the order in which a match is printed, up to the Ethertype's word and after it.
# `name` alone prints under the field's own name; (field, printed name) under another.
_BEFORE = [
    "pkt_mark", "recirc_id", "dp_hash", "conj_id", "skb_priority", "actset_output", "ct_state",
    "ct_zone", "ct_mark", "ct_label", "ct_nw_src", "ct_ipv6_src", "ct_nw_dst", "ct_ipv6_dst",
    "ct_nw_proto", "ct_tp_src", "ct_tp_dst", "packet_type",
]  # fmt: skip
_AFTER = [
    *(f"reg{i}" for i in range(16)),
    "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id",
    "tun_gbp_flags", "tun_tos", "tun_ttl", "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir",
    "tun_erspan_hwid", ("tun_gtpu_flags", "gtpu_flags"), ("tun_gtpu_msgtype", "gtpu_msgtype"),
    "tun_flags", ("tun_outer_flags", "tun_flags"), "metadata",
    "in_port", "in_phy_port", "vlan_tci", ("eth_src", "dl_src"),
    ("eth_dst", "dl_dst"), ("eth_type", "dl_type"), "ipv6_src", "ipv6_dst", "ipv6_label",
    "ipv6_exthdr", "arp_spa", "arp_tpa",
    "nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si", "nsh_c1", "nsh_c2",
    "nsh_c3", "nsh_c4", ("ip_src", "nw_src"), ("ip_dst", "nw_dst"), "nw_proto", "arp_op",
    "arp_sha", "arp_tha", "nw_tos", "nw_ecn", "nw_ttl", "mpls_label", "mpls_tc", "mpls_ttl",
    "mpls_bos", "pbb_isid", "pbb_uca", ("ip_frag", "nw_frag"), "icmp_type", "icmp_code",
    ("icmpv6_type", "icmp_type"),
    ("icmpv6_code", "icmp_code"), "nd_target", "nd_sll", "nd_tll", "nd_reserved",
    "nd_options_type", ("tcp_src", "tp_src"), ("tcp_dst", "tp_dst"), ("udp_src", "tp_src"),
    ("udp_dst", "tp_dst"), ("sctp_src", "tp_src"), ("sctp_dst", "tp_dst"), "tcp_flags",
]  # fmt: skip


def _print_order(items: Iterable):
    order = {}
    for rank, item in enumerate(items):
        name, shown = item if isinstance(item, tuple) else (item, item)
        order[BY_NAME[name]] = (rank, shown)
    return order


_WORD = len(_BEFORE)
_ORDER = _print_order([*_BEFORE, "dl_vlan", *_AFTER])
_ETH_TYPE = BY_NAME["eth_type"]
_OPTION_RANK = _ORDER[BY_NAME["metadata"]][0] - 0.5
_PROTOCOL_WORDS = {pair: word for word, pair in fields.PROTOCOLS.items()}  # the last of a pair


def format_terms(match: Match, names: PortNames = None) -> list[str]:
    """The terms of a match's text, in ovs' order."""
    eth_type = match.eth_type
    word = _PROTOCOL_WORDS.get((eth_type, match.nw_proto))
    has_proto = word is not None and fields.PROTOCOLS[word][1] is not None
    word = word or _PROTOCOL_WORDS.get((eth_type, None))
    terms = [(_WORD, word)] if word else []
    for field, value, mask in match.fields():
        if field.option is not None:
            known = match.has_option(field.option)
            text = _format_option(field, value, mask, names) if known else f"{field.name}=NP"
            terms.append((_OPTION_RANK, text))
            continue
        rank, shown = _ORDER[field]
        if field.name == "eth_type":
            if not word:
                terms.append((rank, f"dl_type=0x{value:04x}"))
        elif field.name == "nw_proto":
            if not has_proto:
                terms.append((rank, f"nw_proto={value}"))
        elif field.name == "vlan_tci":
            terms.append((rank, _format_vlan(value, mask)))
        else:
            terms.append((rank, f"{shown}={_match_value(field, value, mask, names)}"))
    for field, value, mask in match.loose_fields():
        rank, shown = _ORDER[field]
        terms.append((rank, f"{shown}={_match_value(field, value, mask, names)}"))
    if eth_type >= 0 and not word and not any(text.startswith("dl_type=") for _, text in terms):
        # Beside a packet type it is no field, but may be matched, as megaflows do.
        terms.append((_ORDER[_ETH_TYPE][0], f"dl_type=0x{eth_type:04x}"))
    terms.sort(key=lambda term: term[0])
    return [text for _, text in terms]


def _format_option(field, value, mask, names):
    """Its name alone where only that it is there is matched."""
    if not mask and field.n_bytes:
        return field.name
    return f"{field.name}={_match_value(field, value, mask, names)}"


_ALWAYS_HEX = ("nsh_spi", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4")  # 0, too


def _match_value(field, value, mask, names):
    if field.name == "nsh_flags" and mask != field.mask:
        return f"0x{value:02x}/0x{mask:02x}"
    if field.name == "ipv6_label":
        return f"0x{value:05x}" + ("" if mask == field.mask else f"/0x{mask:05x}")
    if field.name == "ct_zone":
        return str(value)
    if field.text == "decimal" and mask != field.mask:
        return f"0x{value:x}/0x{mask:x}"
    if field.name in _ALWAYS_HEX:
        return f"0x{value:x}" + ("" if mask == field.mask else f"/0x{mask:x}")
    if field.text == "hex" and field.name[:3] != "gtp":
        exact = "" if mask == field.mask and not field.masked else f"/0x{mask:x}"
        return ("0" if value == 0 else f"0x{value:x}") + exact
    return format_value(field, value, mask, names)


def _format_vlan(tci, mask):
    """dl_vlan and dl_vlan_pcp where these say it, else vlan_tci."""
    vid, pcp = mask & VLAN_VID, mask & VLAN_PCP
    plain = vid in (0, VLAN_VID) and pcp in (0, VLAN_PCP) and vid | pcp
    if tci & mask & VLAN_CFI and plain:
        terms = []
        if vid:
            terms.append(f"dl_vlan={tci & VLAN_VID}")
        if pcp:
            terms.append(f"dl_vlan_pcp={tci >> 13}")
        return ",".join(terms)
    return f"vlan_tci=0x{tci:04x}" + ("" if mask == 0xFFFF else f"/0x{mask:04x}")


def format_match(match: Match, names: PortNames = None, priority: int = DEFAULT_PRIORITY) -> str:
    """The match as text; `priority=` comes first where it is not the default."""
    terms = format_terms(match, names)
    if priority != DEFAULT_PRIORITY:
        terms.insert(0, f"priority={priority}")
    return ",".join(terms)


def set_term(match: Match, key: str, value: str | None, names: PortNumbers = None) -> bool:
    """Apply one term (`tcp`, `nw_src=1.2.3.4`) to a match; False when `key` is no match term."""
    if key in fields.PROTOCOLS:
        if value:
            raise TextError(f"{key}={value}: {key} takes no value")
        eth_type, proto = fields.PROTOCOLS[key]
        match.set("eth_type", eth_type)
        if proto is not None:
            match.set("nw_proto", proto)
        return True
    if key == "eth" and value is None:
        return True
    field = BY_NAME.get(key) or _PRINTED.get(key)
    if field is None:
        return False
    if not value and field.option is None:
        raise TextError(f"field {key} missing value")
    if value == "*" and field.option is None:
        match.set(field, 0, 0)
        return True
    number, mask = parse_value(field, value, names)
    if field.name == "icmp_type" and number > 255:
        raise TextError(_too_large(value, field))
    if field.name in _WITHIN_BITS and (number if mask is None else number & mask) & ~field.mask:
        raise TextError(f"{value}: value too large for {field.n_bits}-bit field {field.name}")
    if field.option is not None:
        _check_option(match, field, number if mask is None else mask)
    match.set(field, number, mask)
    return True


def _check_option(match, field, bits):
    if match.option(field.option) is not None:
        raise TextError(f"field {field.name} set multiple times")
    used = sum(each.n_bytes for each in match.options) + max(1, (bits.bit_length() + 7) // 8)
    if used > fields.OPTION_SPACE:
        raise TextError(
            f"field {field.name} exceeds maximum size for tunnel metadata (used {used}, max "
            f"{fields.OPTION_SPACE})"
        )


# Fields whose bits beyond their width are not cut off
_WITHIN_BITS = (
    "ipv6_label", "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir", "tun_erspan_hwid",
)  # fmt: skip
# What has to be matched beside fields that are not dropped without it, as text
_NEEDED = {
    **{
        name: "a ct_state of a connection, as +est"
        for name, each in BY_NAME.items()
        if each.prerequisite is fields.CT
    },
    "in_phy_port": "in_port",
    "pbb_isid": "dl_type=0x88e7",
    "pbb_uca": "dl_type=0x88e7",
    "ipv6_exthdr": "ipv6",
}
_PRINTED = {"gtpu_flags": BY_NAME["tun_gtpu_flags"], "gtpu_msgtype": BY_NAME["tun_gtpu_msgtype"]}


def parse_match(text: str, names: PortNumbers = None) -> Match:
    """The match of comma-separated terms.  Fields without their prerequisites are dropped, as
    ovs-ofctl does (with a note on its log), but for those of check_needed()."""
    match = Match()
    for key, value in _fields_of(text):
        if not set_term(match, key, value, names):
            raise TextError(f"unknown keyword {key}")
    check_needed(match)
    match.normalize()
    return match


def check_needed(match: Match) -> None:
    """TextError where a field of a connection, or one that Open vSwitch does not know, would be
    dropped: that would be a match of more than was said."""
    if match.shape().kept == match.mask:
        return
    for name, needed in _NEEDED.items():
        if match.get(name)[1] and not match.holds(BY_NAME[name].prerequisite):
            raise TextError(f"{name} needs {needed} (OFPBMC_BAD_PREREQ)")


def _fields_of(text):
    """Its terms, as many as anybody writes: each is some work."""
    terms = split_terms(text)
    if len(terms) > MOST_TERMS:
        raise TextError(f"more than {MOST_TERMS} fields")
    return terms


def parse_flow(text: str, names: PortNumbers = None) -> Match:
    """The one packet that a flow's text describes: its terms have no masks, and what they need
    (`tcp` for tcp_dst) is there.  Raises TextError."""
    match = Match()
    given = []
    for key, value in _fields_of(text):
        field = BY_NAME.get(key) or _PRINTED.get(key)
        if key in fields.PROTOCOLS or key == "eth":
            _check_protocol_unset(match, key)
            set_term(match, key, value, names)
            continue
        if field is None:
            raise TextError(f"unknown field {key}")
        if field.option is None and match.get(field.name)[0]:
            raise TextError(f"field {key} set multiple times")
        try:
            set_term(match, key, value, names)
        except TextError as error:
            raise TextError(f"bad value for {key} ({error})") from error
        if field.option is None:
            _check_exact(key, value, parse_value(field, value, names)[1])
            given.append((field, key))
    match.normalize()
    for field, key in given:
        slot = SLOTS[field]
        if match.mask[slot.start : slot.end] == slot.wild:  # normalize() dropped it
            raise TextError(f"prerequisites not met for setting {key}")
    return match


def _check_protocol_unset(match, key):
    """`tcp` says two things; neither may be said twice."""
    said = zip(("eth_type", "nw_proto"), fields.PROTOCOLS.get(key, ()), strict=False)
    for (name, value), what in zip(said, ("Ethernet type", "network protocol"), strict=False):
        if value is not None and match.get(name)[0]:
            raise TextError(f"{what} set multiple times")


def _check_exact(key, value, mask):
    if mask is not None:
        raise TextError(f"bad value for {key} ({value}: wildcards not allowed here)")
