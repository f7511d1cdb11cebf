"""Commands of pyvs-ofctl that need no switch: flows and messages as this program sees them."""

import dataclasses
import sys

from ofproto.codec import messages as m
from ofproto.codec.fields import ETH_IP
from ofproto.codec.numbers import OF10
from ofproto.text.flow_text import encode_flow
from ofproto.text.message_text import Style, format_raw
from pyvs_tools.command import Fatal
from pyvs_tools.ofctl import flows as flows_

PRINT_LEVEL = 2
_OF11, _ECN = "OpenFlow11", "nw_ecn"


def _form(settings, flows):
    """(version, NXM, tables in commands) by the first format that -O and -F leave."""
    formats = flows_.allowed_formats(settings)
    usable = flows_.usable_formats(flows)
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
    if _OF11 in usable or any(flow.match.eth_type != ETH_IP for flow in marked):
        return usable
    without = []
    for flow in flows:
        match = flow.match.copy()
        match.set(_ECN, 0, 0)
        without.append(dataclasses.replace(flow, match=match))
    return [name for name in flows_.usable_formats(without) if name in usable or name == _OF11]


def _fields(flow):
    return {field.name for field, _value, _mask in flow.match.fields()}


def _print(settings, flows):
    version, nxm, table_id = _form(settings, flows)
    style = Style(more=settings.more)
    for xid, flow in enumerate(flows, 1):
        raw = encode_flow(flows_.sayable(flow, version), version, xid, nxm=nxm, table_id=table_id)
        sys.stdout.write(format_raw(raw, style))


def parse_flow(settings, text):
    """parse-flow FLOW"""
    _print(settings, [flows_.parse(text, m.ADD)])


def parse_flows(settings, path):
    """parse-flows FILE"""
    _print(settings, flows_.read_flows(path, m.ADD))


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
    if not level.isdecimal():
        raise Fatal(f"{level}: not a verbosity")
    sys.stdout.write(format_raw(raw, Style(more=int(level))))


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
