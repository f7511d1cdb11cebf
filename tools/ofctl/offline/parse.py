"""Commands of pyvs-ofctl that need no switch: flows and messages as this program sees them."""

import sys

from datapath.base.protocols import ETH_IP
from ofproto.codec import messages as m
from ofproto.codec.fields import field
from ofproto.codec.match_text import split_terms
from ofproto.codec.numbers import OF10, OF11
from ofproto.text.flow_text import encode_flow
from ofproto.text.message_text import Style, format_raw
from pyvs import digits
from pyvs.record import replace
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl import flows as flows_

PRINT_LEVEL = 2
_OF11, _ECN = "OpenFlow11", "nw_ecn"


# Fields that Open vSwitch does not count among a structure's, whatever is left of them
_NOT_IN_11 = ("packet_type", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto",
              "ct_tp_src", "ct_tp_dst")  # fmt: skip
_MASKED_TAGS = ("vlan_tci", "vlan_vid")


def _said_formats(text):
    """The formats that can say the fields that a flow's text names, in Open vSwitch's opinion."""
    versions = {OF10, OF11}
    for key, value in split_terms(text.partition("actions")[0]):
        found = field(key.removesuffix("[]"))
        name = found.name if found else ""
        masked = name in _MASKED_TAGS and "/" in (value or "") and not value.endswith("/0xffff")
        if name in _NOT_IN_11 or name.startswith("nsh_") or masked:
            versions = set()
        elif name in flows_.NOT_IN_10:
            versions.discard(OF10)
    return [
        name
        for name, (version, nxm, _table) in flows_.FORMATS.items()
        if version not in (OF10, OF11) or nxm or version in versions
    ]


def _form(settings, flows, texts):
    """(version, NXM, tables in commands) by the first format that -O and -F leave."""
    formats = flows_.allowed_formats(settings, frozenset({OF10}))
    usable = flows_.usable_formats(flows)
    for text in texts:
        said = _said_formats(text)
        usable = [name for name in usable if name in said]
    if not usable:
        raise Fatal("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)")
    sys.stdout.write(f"usable protocols: {flows_.short_names(_told(usable, flows))}\n")
    for name in usable:
        if name in formats and flows_.FORMATS[name][0] in (settings.versions or {OF10}):
            sys.stdout.write(f"chosen protocol: {name}\n")
            return flows_.FORMATS[name]
    raise Fatal("no usable protocol")


def _told(usable, flows):
    """Open vSwitch counts OpenFlow 1.1 among the formats that can say nw_ecn, and leaves it out
    there.  Here it is told likewise, and not chosen."""
    marked = [flow for flow in flows if _ECN in _fields(flow)]
    if not marked or _OF11 in usable or any(flow.match.eth_type != ETH_IP for flow in marked):
        return usable
    without = []
    for flow in flows:
        match = flow.match.copy()
        match.set(_ECN, 0, 0)
        without.append(replace(flow, match=match))
    return [name for name in flows_.usable_formats(without) if name in usable or name == _OF11]


def _fields(flow):
    return {field.name for field, _value, _mask in flow.match.fields()}


def _print(settings, flows, texts):
    version, nxm, table_id = _form(settings, flows, texts)
    style = Style(more=settings.more)
    for xid, flow in enumerate(flows, 1):
        raw = encode_flow(flows_.sayable(flow, version), version, xid, nxm=nxm, table_id=table_id)
        sys.stdout.write(format_raw(raw, style))


def parse_flow(settings, text):
    """parse-flow FLOW"""
    _print(settings, [flows_.parse(text, m.ADD)], [text])


def parse_flows(settings, path):
    """parse-flows FILE"""
    lines = list(flows_.read_lines(path))
    flows = flows_.mods_of(flows_.flows_of(lines, m.ADD))
    _print(settings, flows, [line for _where, line in lines])


def parse_hex(text) -> bytes:
    """Bytes of hexadecimal digits, `-`: of standard input.  Raises Fatal."""
    if text == "-":
        text = sys.stdin.read()
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise Fatal("trailing garbage following hex bytes") from None


def ofp_print(settings, text, level=str(PRINT_LEVEL)):
    """ofp-print HEX [VERBOSITY]"""
    raw = parse_hex(text)
    verbosity = digits.number(level)
    if verbosity is None:
        raise Fatal(f"{level}: not a verbosity")
    sys.stdout.write(format_raw(raw, Style(more=verbosity)))


def _messages(file):
    """The messages of a file, one behind the other."""
    at = 0
    while head := file.read(8):
        length = int.from_bytes(head[2:4], "big")
        if len(head) < 8:
            raise Fatal(f"unexpected end of file: a header of {len(head)} bytes")
        if length < 8:
            raise Fatal(f"message at offset {at} has length {length}, less than its header")
        body = file.read(length - 8)
        if len(body) < length - 8:
            raise Fatal(f"unexpected end of file in the message at offset {at}")
        yield head + body
        at += length


def ofp_parse(settings, path):
    """ofp-parse FILE"""
    style = Style(more=settings.more + PRINT_LEVEL)
    try:
        with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
            for raw in _messages(file):
                sys.stdout.write(format_raw(raw, style))
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None
