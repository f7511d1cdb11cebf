"""ofproto/trace: what would happen to a packet, as ovs-vswitchd(8) has it.

    ofproto/trace [OPTIONS] BRIDGE FLOW [PACKET]    a flow as ovs-ofctl(8) writes it
    ofproto/trace [OPTIONS] [DP] ODP_FLOW [PACKET]  a datapath flow, as dpctl/dump-flows prints it
    ofproto/trace-packet-out ... ACTIONS            the same for a packet-out with these actions

`--ct-next STATE`, several times, says what the tracker finds of the packets that ct sends round.
`--l7-len BYTES` and `--l7 HEX` say what a packet has behind its headers, which translation does not
look at: they are checked, and make no difference.
PACKET is a frame in hexadecimal; it takes the place of the flow's fields but in_port and metadata.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from datapath.key import flow, key_text
from ofproto.codec.actions import check_actions, parse_actions
from ofproto.codec.actions.base import CheckContext
from ofproto.codec.errors import OFError
from ofproto.codec.match import Match
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF10, OF15
from ofproto.rules.compile import compile_actions
from ofproto.xlate import trace as tracing
from ofproto.xlate.bridges.tunnel import came_by_tunnel
from ofproto.xlate.trace_recirc import parse_ct_state
from pyvs import clock
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import NO_PROCESS
from vswitchd.appctl.datapath.dpif import is_datapath, split_options
from vswitchd.dpctl import arguments

if TYPE_CHECKING:
    from vswitchd.switch import Switch

USAGE = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"
GENERATE, NAMES = {"-generate", "--generate"}, {"-names", "--names"}
OPTIONS = (*GENERATE, *NAMES, "-no-names", "--no-names")
# Of an odp flow, which has its fields' values in brackets; dpctl -m puts a ufid in front of it
ODP_FLOW = re.compile(r"\s*(\w+\(|ufid:)")
HAS_ETHERNET = re.compile(r"\b(eth|packet_type)\(")
ALL = range(1 << 32)  # meters
EXACT = b"\xff" * flow.KEY_SIZE
CONSISTENT = ("-consistent", "--consistent")
CT_NEXT = ("--ct-next", "-ct-next")
PAYLOAD = {"--l7-len": re.compile(r"\d{1,5}"), "--l7": re.compile(r"([0-9a-fA-F]{2})*")}


def trace(switch: "Switch", args: list[str]) -> Iterator[str]:
    return _trace(switch, args, None)


def trace_packet_out(switch: "Switch", args: list[str]) -> Iterator[str]:
    """The last word is the actions of a packet-out."""
    try:
        actions = parse_actions(args[-1], _numbers(switch, args))
        program = compile_actions(actions)
    except (OFError, ValueError) as error:
        raise CommandError(str(error)) from error
    # What OpenFlow 1.0 does to packets without the fields that an action is for is nothing.
    version = OF15 if any(arg in CONSISTENT for arg in args) else OF10

    def check(bridge: Any, key: bytes) -> None:
        """As of a packet-out: Match of this packet alone."""
        match = Match(key, EXACT)
        context = CheckContext(match, version, 0, N_VISIBLE_TABLES, bridge.groups, ALL)
        try:
            check_actions(actions, context)
        except OFError as error:
            raise CommandError(f"Bad actions: {error.name}") from error

    words = [arg for arg in args[:-1] if arg not in CONSISTENT]
    return _trace(switch, words, tracing.PacketOut(program, check))


def _numbers(switch: "Switch", args: list[str]) -> dict[str, int]:
    """Of the ports of the bridge that is named, if any."""
    bridge = next((switch.bridges[arg] for arg in args if arg in switch.bridges), None)
    ports = bridge.ofproto.ports if bridge is not None else {}
    return {port.name: port.number for port in ports.values()}


def _trace(switch: "Switch", args: list[str], out: tracing.PacketOut | None) -> Iterator[str]:
    try:
        ct_states, args = _ct_states(args)
    except tracing.TraceError as error:
        raise CommandError(str(error)) from error
    options, words = split_options(_without_payload(args), OPTIONS)
    if switch.backer is None:
        raise CommandError(NO_PROCESS)
    learn = bool(options & GENERATE)
    words, packet = _taken_apart(words, learn)
    how = tracing.Tracing(
        switch.backer.flows.recirc,
        learn=learn or packet is not None,
        now=clock.msec(),
        ct_states=ct_states,
        packet_out=out,
    )
    try:
        of_which = _odp_flow if words and _is_odp(words[-1]) else _of_flow
        return of_which(switch, words, packet, how, bool(options & NAMES))
    except tracing.TraceError as error:
        raise CommandError(str(error)) from error


def _ct_states(args: list[str]) -> tuple[list[int], list[str]]:
    """What --ct-next (several times) says, and the other arguments."""
    states, rest = [], []
    at = iter(args)
    for arg in at:
        if arg not in CT_NEXT:
            rest.append(arg)
            continue
        text = next(at, None)
        if text is None:
            raise CommandError(f"Missing argument for option {arg}")
        states.append(parse_ct_state(text))
    return states, rest


def _without_payload(args: list[str]) -> list[str]:
    """The arguments without --l7-len and --l7, and their values."""
    rest = []
    at = iter(args)
    for arg in at:
        if arg not in PAYLOAD:
            rest.append(arg)
            continue
        text = next(at, None)
        if text is None:
            raise CommandError(f"Missing argument for option {arg}")
        if not PAYLOAD[arg].fullmatch(text):
            raise CommandError(f"{text}: invalid argument for option {arg}")
    return rest


def _taken_apart(words: list[str], generate: bool) -> tuple[list[str], bytes | None]:
    """The words for datapath or bridge and flow, and the packet that is behind them, if any."""
    if len(words) > (2 if generate else 3):
        raise CommandError("Syntax error" if generate else "too many arguments")
    if generate or len(words) < 2:
        return words, None
    try:
        return words[:-1], _packet(words[-1])
    except CommandError:
        if len(words) == 3:  # it can be nothing else
            raise
    return words, None


def _is_odp(text: str) -> bool:
    return not text or ODP_FLOW.match(text) is not None


def _of_flow(
    switch: "Switch",
    words: list[str],
    packet: bytes | None,
    how: tracing.Tracing,
    named: bool,
) -> Iterator[str]:
    if not words:
        raise CommandError("Must specify a bridge and a flow, or a datapath flow")
    if len(words) == 1:
        raise CommandError(f"syntax error at {words[0]} (or the bridge name was omitted)")
    if words[0] not in switch.bridges:
        raise CommandError(f"{words[0]}: unknown bridge")
    xbridge = switch.bridges[words[0]].ofproto.xbridge
    if named:
        how = replace(how, names=_names(switch, words[0]))
    numbers = _numbers(switch, words)
    return tracing.trace_pieces(xbridge, words[1], how, packet=packet, numbers=numbers)


def _names(switch: "Switch", bridge: str) -> tracing.Names:
    """Names of ports to be printed."""
    return tracing.Names(
        {number: name for name, number in _numbers(switch, [bridge]).items()},
        {number: port.name for number, port in switch.backer.ports.wanted.items()},
    )


def _of_dump(text: str) -> str:
    """The flow of a line that dpctl/dump-flows printed: neither its ufid nor what is behind it."""
    text = re.sub(r"^ufid:[^,\s]*[,\s]*", "", text)
    return text.partition(", packets:")[0].strip()


def _odp_flow(
    switch: "Switch",
    words: list[str],
    packet: bytes | None,
    how: tracing.Tracing,
    named: bool,
) -> Iterator[str]:
    if not is_datapath(words[:-1]):
        raise CommandError("Cannot find the datapath")
    names = {port.name: number for number, port in switch.backer.ports.wanted.items()}
    try:
        key = key_text.parse_packet(arguments.with_numbers(_of_dump(words[-1]), names))
    except ValueError as error:
        raise CommandError(f"Bad datapath flow: {error}") from error
    if not HAS_ETHERNET.search(words[-1]):
        key = _without_ethernet(key)
    flows = switch.backer.flows
    offset, size = flow.MEMBERS["in_port"]
    odp_port = int.from_bytes(key[offset : offset + size], "big")
    port = flows.port_for(key)
    if port is None or port.bridge is None:
        if came_by_tunnel(key):
            raise CommandError("no OpenFlow tunnel port for this packet")
        raise CommandError(f"no OpenFlow port for datapath port {odp_port}")
    key = key[:offset] + port.ofp_port.to_bytes(size, "big") + key[offset + size :]
    if packet is not None:
        key = tracing.with_packet(key, packet)
    if named:
        how = replace(how, names=_names(switch, port.bridge.name))
    return tracing.trace_key(port.bridge, key, how)


def _without_ethernet(key: bytes) -> bytes:
    """A datapath flow that says nothing of Ethernet begins with what its eth_type says."""
    (offset, size), (at, width) = flow.MEMBERS["packet_type"], flow.MEMBERS["eth_type"]
    ethertype = key[at : at + width]
    if not any(ethertype):
        return key
    return key[:offset] + b"\0\1" + ethertype + key[offset + size :]


def _packet(text: str) -> bytes:
    try:
        packet = bytes.fromhex(text)
    except ValueError as error:
        raise CommandError("Trailing garbage in packet data") from error
    if len(packet) < 14:
        raise CommandError("Packet data too short for Ethernet")
    return packet


# name, usage, least and most arguments, function
COMMANDS = [
    ("ofproto/trace", USAGE, 1, 64, trace),
    ("ofproto/trace-packet-out", f"[-consistent] {USAGE} actions", 2, 65, trace_packet_out),
]
