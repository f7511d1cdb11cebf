"""Commands of pyvs-ofctl that show how this program reads and writes matches and actions.

They read lines of standard input; comments and empty lines go to standard output as they are.
"""

import sys

from ofproto.codec.actions import check_nesting, decode_actions, encode_actions, format_actions
from ofproto.codec.actions.base import CheckContext
from ofproto.codec.dump import hex_dump
from ofproto.codec.errors import OFError
from ofproto.codec.fields import BY_NAME, ETHERNET
from ofproto.codec.instructions import (
    check_instructions,
    decode_instructions,
    encode_instructions,
    format_instructions,
)
from ofproto.codec.match import Match
from ofproto.codec.match_fixed import (
    OFP10_MATCH_LEN,
    OFP11_MATCH_LEN,
    of10_decode,
    of10_encode,
    of11_decode,
    of11_encode,
)
from ofproto.codec.match_text import TextError, format_match
from ofproto.codec.match_wire import encode_match, fields_named, oxm_decode, oxm_encode
from ofproto.codec.notes import noted
from ofproto.codec.numbers import OF10
from ofproto.text.nxm_text import format_tlvs, parse_tlvs
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl.session import VERSIONS

EVERYTHING = range(1 << 32)  # groups and meters that may be named


def _lines(echo=False):
    """The lines without comments; `echo`: those that are nothing else are written."""
    for line in sys.stdin:
        text = line.partition("#")[0].strip()
        if text:
            yield text
        elif echo:
            sys.stdout.write(line if line.endswith("\n") else line + "\n")


def _hex(line):
    try:
        return bytes.fromhex("".join(line.split()))
    except ValueError:
        raise Fatal("Trailing garbage in hex data") from None


def _version(text):
    for name, number in VERSIONS.items():
        if name.lower() == text.lower():
            return number
    raise Fatal(f'invalid version "{text}"')


def _differences(before, after):
    """A line for each byte that is another one."""
    for i in range(max(len(before), len(after))):
        pair = [f"{data[i]:02x}" if i < len(data) else "(none)" for data in (before, after)]
        if pair[0] != pair[1]:
            sys.stdout.write(f"{i:2}: {pair[0]} -> {pair[1]}\n")


# TLVs


def _parse_tlvs(settings, decode, encode):
    for line in _lines(echo=True):
        try:
            data = decode(parse_tlvs(line), "strict" in settings)
        except TextError as error:
            raise Fatal(str(error)) from None
        except OFError as error:
            sys.stdout.write(f"nx_pull_match() returned error {error.name}\n")
            continue
        tlvs, whole = encode(*data)
        sys.stdout.write(format_tlvs(tlvs) + "\n")
        if settings.more:
            sys.stdout.write(hex_dump(whole, text=False).replace("-\n", "\n"))


def _as_written(match, data):
    """The match of these TLVs, with a packet type of Ethernet, which is the default, where they
    are about Ethernet frames and match nothing of them."""
    packet_type = BY_NAME["packet_type"]
    if match.is_wild(packet_type) and not any(
        _of_ethernet(field) for field, _value, _mask in match.fields()
    ):
        named = fields_named(data)
        if packet_type in named or any(_of_ethernet(field) for field in named):
            match.say_ethernet()
    return match


def _of_ethernet(field):
    return field.prerequisite is ETHERNET


def parse_nx_match(settings):
    """[--strict] parse-nx-match"""

    def decode(data, strict):
        cookies = []
        match = _as_written(oxm_decode(data, strict, cookies), data)
        return match, cookies[0] if cookies else None

    def encode(match, cookie):
        data = oxm_encode(match, OF10, cookie)
        return data, data

    _parse_tlvs(settings, decode, encode)


parse_nxm = parse_nx_match


def parse_oxm(settings, version_text):
    """[--strict] parse-oxm VERSION"""
    version = _version(version_text)

    def decode(data, strict):
        return (_as_written(oxm_decode(data, strict), data),)

    def encode(match):
        return oxm_encode(match, version), encode_match(match, version)

    _parse_tlvs(settings, decode, encode)


# Structures


def _parse_fixed(name, size, decode, encode):
    for line in _lines():
        data = _hex(line)
        if len(data) != size:
            raise Fatal(f"{name}: {len(data)} bytes, expected {size}")
        try:
            match = decode(data)
        except OFError as error:
            sys.stdout.write(f"bad {name}: {error.name}\n\n")
            continue
        sys.stdout.write(format_match(match) + "\n")
        _differences(data, encode(match))
        sys.stdout.write("\n")


def parse_ofp10_match(settings):
    """parse-ofp10-match"""
    _parse_fixed("ofp10_match", OFP10_MATCH_LEN, of10_decode, of10_encode)


def parse_ofp11_match(settings):
    """parse-ofp11-match"""
    _parse_fixed("ofp11_match", OFP11_MATCH_LEN, of11_decode, of11_encode)


# Actions


def _parse_encoded(version_text, what, functions):
    version = _version(version_text)
    decode, text, encode = functions
    for line in _lines():
        table, comma, rest = line.partition(",")  # a flow's table may be told first
        data = _hex(rest if comma else line)
        try:
            if len(data) % 8:
                why = f"OpenFlow message {what} length {len(data)} is not a multiple of 8"
                name = "OFPBRC_BAD_LEN" if what == "actions" else "OFPBIC_BAD_LEN"
                raise noted(name, "ofp_actions", why)
            found = decode(data, version, int(table) if comma else 0)
        except OFError as error:
            sys.stdout.write(f"bad {version_text} {what}: {error.name}\n\n")
            continue
        sys.stdout.write(f"actions={text(found)}\n")
        _differences(data, encode(found, version))
        sys.stdout.write("\n")


def parse_actions(settings, version_text):
    """parse-actions VERSION"""

    def decode(data, version, _table):
        found = decode_actions(data, version)
        try:
            check_nesting(found)
        except OFError as error:
            raise noted(error.name, "ofp_actions", error.detail, kind="verify") from None
        return found

    _parse_encoded(version_text, "actions", (decode, format_actions, encode_actions))


def parse_instructions(settings, version_text):
    """parse-instructions VERSION"""

    def decode(data, version, table):
        found = decode_instructions(data, version)
        context = CheckContext(Match(), version, table, 255, EVERYTHING, EVERYTHING)
        check_instructions(found, context)
        return found

    _parse_encoded(version_text, "instructions", (decode, format_instructions, encode_instructions))


# VLAN


def _vlan_text(match):
    tci, mask = match.get("vlan_tci")
    return f"{tci:04x}/{mask:04x}"


def _tlv_text(data):
    return format_tlvs(data)


def _tag_word(text):
    try:
        return int(text, 16) & 0xFFFF
    except ValueError:
        raise Fatal(f"check-vlan: {text} is not a hexadecimal number") from None


def check_vlan(settings, tci_text, mask_text):
    """check-vlan TCI MASK: the forms of a match on the outer tag."""
    match = Match()
    tci, mask = (_tag_word(text) for text in (tci_text, mask_text))
    match.set(BY_NAME["vlan_tci"], tci & mask, mask)
    out = [f"{format_match(match)} -> {tci & mask:04x}/{mask:04x}"]
    data = oxm_encode(match, OF10)
    out.append(f"NXM: {_tlv_text(data)} -> {_vlan_text(oxm_decode(data))}")
    data = oxm_encode(match, VERSIONS["OpenFlow12"])
    out.append(f"OXM: {_tlv_text(data)} -> {_oxm_vlan(oxm_decode(data))}")
    data = of10_encode(match)
    wild = int.from_bytes(data[:4], "big")
    vid = int.from_bytes(data[18:20], "big")
    shown = f"{vid:04x}/{wild >> 1 & 1},{data[20]:02x}/{wild >> 20 & 1}"
    out.append(f"OF1.0: {shown} -> {_vlan_text(of10_decode(data))}")
    data = of11_encode(match)
    wild = int.from_bytes(data[8:12], "big")
    vid = int.from_bytes(data[36:38], "big")
    shown = f"{vid:04x}/{wild >> 1 & 1},{data[38]:02x}/{wild >> 2 & 1}"
    out.append(f"OF1.1: {shown} -> {_vlan_text(of11_decode(data))}")
    sys.stdout.write("\n".join(out) + "\n")


def _oxm_vlan(match):
    """VID with the bit for a tag, and its mask; priority, where that is matched."""
    tci, mask = match.get("vlan_tci")
    priority = f"{tci >> 13:02x}" if mask >> 13 else "--"
    return f"{tci & 0x1FFF:04x}/{mask & 0x1FFF:04x},{priority}"
