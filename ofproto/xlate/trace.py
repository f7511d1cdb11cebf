"""`ofproto/trace`: what happens to a packet, step by step, in Open vSwitch's layout.

The same translation as for upcalls, with a list to note the steps in.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple

from datapath.actions.text import odp_text
from datapath.key import flow, outer_text
from datapath.text import format_action_list
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import format_match, parse_flow
from ofproto.codec.numbers import OFPP_NONE
from ofproto.text.packet_text import inner_tag, neighbour_terms
from ofproto.xlate.state.recirc import RecircTable

from . import trace_recirc
from .bridges.option_keys import seen_by_tables
from .bridges.tun_options import NO_OPTIONS
from .bridges.tunnel import came_by_tunnel
from .trace_recirc import TraceError, member
from .trace_steps import render
from .translate import NO_CONTEXT, translate, within_vlan_limit

IN_PORT_OFFSET = flow.MEMBERS["in_port"][0]
_SLOW = {"action": "  - Uses action(s) not supported by datapath."}
# Terms in front of "eth"
_METADATA = (
    *("pkt_mark=", "recirc_id=", "dp_hash=", "conj_id=", "skb_priority=", "actset_output=", "ct_"),
)

# What trace says of packets that only a real one would send
_NOT_SENT = ("dont_send=0", "dont_send=1")
_OF_ETHERNET = ("eth_src", "eth_dst", "eth_type", "vlan0_tci", "vlan1_tci")
# Shown of each packet that came through a tunnel, 0 or not
_OF_TUNNELS = (
    *("tun_tos", "tun_ttl", "tun_gbp_id", "tun_gbp_flags", "tun_erspan_ver", "tun_gtpu_flags"),
    *("tun_gtpu_msgtype", "tun_ipv6_src", "tun_ipv6_dst", "tun_flags"),
)
# OpenFlow's field, and what Open vSwitch knows of an outer header besides
_OUTER_FLAGS = re.compile(r"tun_flags=[^,]*,tun_flags=[^,]*")
_NSH = b"\x89\x4f"
_LABEL = 0xFFFFFFFF  # a whole one
# Open vSwitch shows these of NSH packets, too, which have none.
_CONTEXTS = tuple(f"nsh_context{n}" for n in range(4))  # of metadata type 1
_BEHIND_NSH = ",nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"
_OAM = 1  # of tun_flags
_TAGGED = 0x1000  # of a TCI
_NO_OUTPUT = (0xFFF7).to_bytes(4, "big")


_PIECE = 128  # lines


@dataclass(frozen=True, slots=True)
class Names:
    """Port number -> name, where names are printed: OpenFlow's and the datapath's."""

    ofp: dict[int, str] | None = None
    odp: dict[int, str] | None = None


NO_NAMES = Names()


class PacketOut(NamedTuple):
    """Compiled actions, and what raises an error where they do not go with a packet: `check(bridge,
    key)`, KEY_SIZE bytes."""

    program: Any
    check: Callable[[Any, bytes], None]


@dataclass(frozen=True, slots=True)
class Tracing:
    """How a packet is traced.

    `recirc` is the table to look up recirc_id in.  `learn` lets the packet have its effects on the
    MAC table, as -generate and a packet that is given do.  `ct_states` is what the first packets
    that ct sends round are taken for.  `packet_out`: what is done instead of the tables.  Of more
    steps than `most_steps` the rest is left out; 0: none is.
    """

    recirc: RecircTable = field(default_factory=RecircTable)
    learn: bool = False
    now: int = 0  # ms
    names: Names = NO_NAMES
    ct_states: Sequence[int] = ()
    packet_out: PacketOut | None = None
    most_steps: int = 0


def trace_flow(bridge, text, *, packet=None, numbers=None, **how):
    """trace_pieces() in one."""
    return "".join(trace_pieces(bridge, text, Tracing(**how), packet=packet, numbers=numbers))


def trace_pieces(bridge, text, how, *, packet=None, numbers=None):
    """The report for a flow given as text (`in_port=1,ip,...`) on an XBridge, piece by piece.

    `numbers` has those of ports that the text may name.  `packet` (bytes) takes the place of all of
    the flow but in_port and metadata.
    Raises TraceError, before the first piece.
    """
    try:
        match = parse_flow(text, numbers)
        bridge.options.of_match(match)
    except (ValueError, OFError) as error:
        raise TraceError(f"Bad openflow flow syntax: {text}: {error}") from None
    key = _with_tpid(match.key if _has_in_port(match) else _from_nowhere(match.key))
    if packet is not None:
        key = with_packet(key, packet)
    return trace_key(bridge, key, how, any_id=True)


def _has_in_port(match):
    return any(member(match.mask, "in_port"))


def _from_nowhere(key):
    """The packet of a flow that says nothing of a port came in by none."""
    return key[:IN_PORT_OFFSET] + OFPP_NONE.to_bytes(4, "big") + key[IN_PORT_OFFSET + 4 :]


def trace_key(bridge, key, how, *, any_id=False):
    """The same for a flow key (KEY_SIZE bytes, in_port as OpenFlow port).

    `any_id`: where nothing is known of the key's recirc_id, that is how its translation fails.
    """
    return _to_its_end(_all_pieces(bridge, key, how, any_id), how.recirc)


def _all_pieces(bridge, key, how, any_id):
    """Those of the packet, and of all that come round behind it."""
    out = how.packet_out
    if out is not None:
        out.check(bridge, key)
    result, first = _translated(bridge, key, how, out and out.program, any_id)

    def again(key):
        return _translated(bridge, key, how)

    return chain(first, trace_recirc.follow(result, how.ct_states, again))


def _translated(bridge, key, how, program=None, any_id=False):
    """The translation, and the pieces of its report.  Raises TraceError."""
    key = within_vlan_limit(bridge, seen_by_tables(bridge.options, key))
    result = translate(
        bridge,
        _with_ethertype(key),
        recirc=how.recirc,
        program=program,
        learn=how.learn,
        now=how.now,
        trace=True,
        most_steps=how.most_steps,
    )
    if result.error == NO_CONTEXT and not any_id:
        recirc_id = int.from_bytes(member(key, "recirc_id"), "big")
        raise TraceError(f"no recirculation data for recirc_id {recirc_id:#x}")
    return result, report_pieces(key, result, how.names, how.learn, bridge.options)


def _to_its_end(pieces, recirc):
    """The pieces; behind the last one what was traced holds no state any more."""
    try:
        yield from pieces
    finally:
        recirc.end_trace()


def _with_ethertype(key):
    """Flow text with a packet type need not say the Ethertype again, which a packet's key has."""
    offset, size = flow.MEMBERS["eth_type"]
    packet_type = member(key, "packet_type")
    if packet_type[:2] != b"\0\1" or any(key[offset : offset + size]):
        return key
    return key[:offset] + packet_type[2:] + key[offset + size :]


def _without_ethertype(key, final):
    """What _with_ethertype() put in is not shown, unless the packet got another since."""
    offset, size = flow.MEMBERS["eth_type"]
    if member(final, "eth_type") != member(_with_ethertype(key), "eth_type"):
        return final
    return final[:offset] + key[offset : offset + size] + final[offset + size :]


def _shown(key):
    """The key whose fields are told: as by Open vSwitch, NSH's are only behind an Ethertype."""
    return key if member(key, "packet_type") == b"\0\1" + _NSH else _with_ethertype(key)


def report_pieces(key, result, names=NO_NAMES, sent=False, layout=NO_OPTIONS):
    """The text for a translated key; `sent`: as if packets went to the controllers."""
    yield "Flow: " + format_flow(_shown(key), names.ofp, layout) + "\n"
    lines = render(result.trace, names.ofp)
    while some := list(islice(lines, _PIECE)):
        yield "\n".join(some) + "\n"
    yield _outcome(key, result, names, sent, layout)


def _outcome(key, result, names, sent, layout):
    """What is told behind the steps."""
    final = _without_ethertype(key, result.final_key)
    unchanged = final[: flow.KEY_DP_SIZE] == key[: flow.KEY_DP_SIZE] and (
        _pipeline(final) == _pipeline(key)
    )
    actions = format_action_list(result.actions, key, names.odp)
    lines = [
        "",
        "Final flow: "
        + ("unchanged" if unchanged else format_flow(_shown(final), names.ofp, layout)),
        "Megaflow: " + format_megaflow(_with_ethertype(key), result.mask, names.ofp, layout),
        "Datapath actions: " + (actions if sent else actions.replace(*_NOT_SENT)),
    ]
    if result.slow:
        lines.append("This flow is handled by the userspace slow path because it:")
        lines += [
            _SLOW.get(name) or f"  - Consists of {name.upper()} packets."
            for name in odp_text.slow_paths(result.slow)
        ]
    if result.error:
        lines.append(f"Translation failed ({result.error}), packet is dropped.")
    return "\n".join(lines) + "\n"


def _with_tpid(key):
    """Flow text says nothing of a tag's TPID."""
    made = bytearray(key)
    for number in (0, 1):
        tci = flow.MEMBERS[f"vlan{number}_tci"][0]
        tpid = flow.MEMBERS[f"vlan{number}_tpid"][0]
        if made[tci] & 0x10 and not any(made[tpid : tpid + 2]):
            made[tpid : tpid + 2] = b"\x81\x00"
    return bytes(made)


def _pipeline(key):
    """Metadata, registers and the action set's output, if any."""
    registers = flow.MEMBERS["reg0"][0]
    output = member(key, "actset_output")
    written = b"" if output in (_NO_OUTPUT, bytes(4)) else output
    return member(key, "metadata"), key[registers : registers + 64], written


def with_packet(key, packet):
    """The packet's own key, with the pipeline's and the input port's values of `key`."""
    parsed = bytearray(flow.extract(packet))
    for start, size in (
        flow.MEMBERS["in_port"],
        (flow.KEY_PACKET_SIZE, flow.KEY_SIZE - flow.KEY_PACKET_SIZE),
    ):
        parsed[start : start + size] = key[start : start + size]
    return bytes(parsed)


def format_flow(key, names=None, layout=NO_OPTIONS):
    """A key as a match on all that its packet has."""
    mask = bytearray(flow.wildcards_for(key[: flow.KEY_SIZE]))
    for name in ("recirc_id", "packet_type", "dp_hash", "skb_priority", "pkt_mark", "ipv6_exthdr",
                 "nd_reserved", "nd_options_type"):  # fmt: skip
        _only_if_set(key, mask, name)
    for name in [n for n in flow.MEMBERS if n.startswith(("ct_", "tun_", "reg", "metadata"))]:
        _only_if_set(key, mask, name)
    offset, size = flow.MEMBERS["tun_present"]
    mask[offset : offset + size] = key[offset : offset + size]
    if came_by_tunnel(key):
        for name in _OF_TUNNELS:
            _set(mask, name, 0xFF)
    else:
        _set(mask, "tun_src", 0)
        _set(mask, "tun_ipv6_src", 0)
    _set(mask, "actset_output", 0)
    _set(mask, "conj_id", 0)
    if member(key, "in_phy_port") in (member(key, "in_port"), bytes(4)):
        _set(mask, "in_phy_port", 0)
    _set(mask, "in_port", 0xFF)
    if member(key, "nsh_mdtype") != b"\1":
        for name in _CONTEXTS:
            _set(mask, name, 0)
    if any(member(key, "packet_type")):
        for name in _OF_ETHERNET:
            _set(mask, name, 0)
    text = format_match(layout.of_key(key, bytes(mask)), names)
    text = _OUTER_FLAGS.sub("tun_flags=" + outer_text.format_flags(key), text)
    if any(member(key, "recirc_id")) and not any(member(key, "packet_type")):
        text = _with_eth(text)
    if member(key, "eth_type") == _NSH:
        text += _BEHIND_NSH
    if any(member(key, "vlan0_tci")):
        text = text.replace(",dl_src=", f",{inner_tag(key)},dl_src=", 1)
    text = ",".join(neighbour_terms(text.split(","), key))
    return _with_labels(text, key, mask)


def format_megaflow(key, mask, names=None, layout=NO_OPTIONS):
    """What the datapath flow would match, as an OpenFlow match.

    That there is no VLAN tag goes without saying, as in Open vSwitch.
    """
    shown = bytearray(mask)
    hidden = [n for n in flow.MEMBERS if n.startswith(("reg", "metadata", "actset", "conj"))]
    hidden.append("in_phy_port")
    hidden.append("recirc_id")
    if not any(member(key, "packet_type")):
        hidden.append("packet_type")
    else:
        hidden += [name for name in _OF_ETHERNET if name != "eth_type"]
    for number in (0, 1):
        if not any(member(key, f"vlan{number}_tci")):
            hidden.append(f"vlan{number}_tci")
    for name in hidden:
        _set(shown, name, 0)
    if not member(key, "tun_flags")[1] & _OAM:
        _set_bits(shown, "tun_flags", ~_OAM & 0xFF)
    recirc_id = int.from_bytes(member(key, "recirc_id"), "big")
    text = format_match(layout.of_key(key, bytes(shown)), names)
    text = _with_inner_tag(_with_labels(text, key, shown), key, shown)
    shown_id = f"{recirc_id:#x}" if recirc_id else "0"
    text = f"recirc_id={shown_id}" + ("," + text if text else "")
    return text if any(member(key, "packet_type")) else _with_eth(text)


def _with_eth(text):
    """A datapath flow's text says that the packet is a frame, behind its metadata."""
    terms = text.split(",")
    at = 0
    while at < len(terms) and terms[at].startswith(_METADATA):
        at += 1
    return ",".join([*terms[:at], "eth", *terms[at:]])


def _with_labels(text, key, mask):
    """Labels behind the first have no field; Open vSwitch shows them whole behind its parts."""
    terms = text.split(",")
    for number in (1, 2):
        value, bits = (
            int.from_bytes(member(each, f"mpls_lse{number}"), "big") for each in (key, mask)
        )
        if bits:
            shown = str(value) if bits == _LABEL else f"{value & bits:#010x}/{bits:#010x}"
            at = max((n for n, term in enumerate(terms, 1) if term.startswith("mpls")), default=0)
            terms.insert(at, f"mpls_lse{number}={shown}")
    return ",".join(terms)


def _with_inner_tag(text, key, mask):
    """Nor has a second VLAN tag a field; it stands behind the first."""
    tci, bits = (int.from_bytes(member(each, "vlan1_tci"), "big") for each in (key, mask))
    if not tci & bits & _TAGGED:
        return text
    parts = (("dl_vlan1", 0xFFF, 0), ("dl_vlan_pcp1", 7, 13))
    shown = [f"{name}={tci >> at & ones}" for name, ones, at in parts if bits >> at & ones == ones]
    terms = text.split(",")
    at = max((n for n, term in enumerate(terms, 1) if term.startswith("dl_vlan")), default=0)
    return ",".join([*terms[:at], *shown, *terms[at:]])


def _set(mask, name, value):
    offset, size = flow.MEMBERS[name]
    mask[offset : offset + size] = bytes([value]) * size


def _set_bits(mask, name, kept):
    """Of a member's last byte."""
    offset, size = flow.MEMBERS[name]
    mask[offset + size - 1] &= kept


def _only_if_set(key, mask, name):
    """Shows a member that is 0 in most packets only where it is not."""
    offset, size = flow.MEMBERS[name]
    _set(mask, name, 0xFF if any(key[offset : offset + size]) else 0)
