"""The printers of message_text for bundles, flow monitors, and Nicira's and the ONF's messages."""

from ipaddress import IPv6Address

from datapath.base.protocols import PROTO_ICMP, PROTO_ICMPV6
from ofproto.codec import messages as m
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import format_match
from ofproto.codec.numbers import OFPP_NONE

from .flow_text import format_table
from .message_text import REMOVED_REASONS, ROLES, format_raw
from .message_text_stats import named_bits

BUNDLE_TYPES = ("OPEN_REQUEST", "OPEN_REPLY", "CLOSE_REQUEST", "CLOSE_REPLY", "COMMIT_REQUEST",
                "COMMIT_REPLY", "DISCARD_REQUEST", "DISCARD_REPLY")  # fmt: skip
BUNDLE_FLAGS = {m.BUNDLE_ATOMIC: "atomic", m.BUNDLE_ORDERED: "ordered"}
ROLE_REASONS = ("primary_request", "configuration_changed", "experimenter_data_changed")


# Bundles and forwarded requests


def _hex(number):
    """As C's %#x: zero has no 0x."""
    return f"{number:#x}" if number else "0"


def _bundle_flags(flags):
    return " ".join(named_bits(flags, BUNDLE_FLAGS)) or "0"


def bundle_control(message, style):
    flags = _bundle_flags(message.flags)
    return f"\n bundle_id={_hex(message.bundle_id)} type={BUNDLE_TYPES[message.type]} flags={flags}"


def bundle_add(message, style):
    m.check_bundled(message.message, message.xid)
    flags = _bundle_flags(message.flags)
    inner = format_raw(message.message, style)
    return f"\n bundle_id={_hex(message.bundle_id)} flags={flags}\n{inner}"


def request_forward(message, style):
    forwarded = m.decode(message.message)
    from .message_text_stats import group_mod, meter_mod

    if isinstance(forwarded, m.GroupMod):
        return f" reason=group_mod{group_mod(forwarded, style)}"
    if isinstance(forwarded, m.MeterMod):
        return f" reason=meter_mod{meter_mod(forwarded, style)}"
    raise m.OFError("OFPBRC_BAD_TYPE", type(forwarded).__name__)


def role_status(message, style):
    text = f" role={ROLES[message.role]}"
    if message.generation_id is not None:
        text += f" generation_id={message.generation_id}"
    return f"{text} reason={ROLE_REASONS[message.reason]}"


# Flow monitors

_FLAGS = {
    m.FM_INITIAL: "initial",
    m.FM_ADD: "add",
    m.FM_REMOVED: "delete",
    m.FM_MODIFY: "modify",
    m.FM_INSTRUCTIONS: "actions",
    m.FM_NO_ABBREV: "own",
}
_COMMANDS = {m.MONITOR_MODIFY: "modify", m.MONITOR_DELETE: "delete"}
_EVENTS = {
    m.EV_INITIAL: "INITIAL",
    m.EV_ADDED: "ADDED",
    m.EV_REMOVED: "DELETED",
    m.EV_MODIFIED: "MODIFIED",
    m.EV_ABBREV: "ABBREV",
    m.EV_PAUSED: "PAUSED",
    m.EV_RESUMED: "RESUMED",
}


def flow_monitors(message, style):
    return "".join(f"\n {_monitor(each, style)}" for each in message.monitors)


def _monitor(each, style):
    words = [f"id={each.monitor_id}"]
    if each.command == m.MONITOR_DELETE:
        return f"{words[0]} command=delete"
    if each.flags:
        flags = ",".join(name for bit, name in _FLAGS.items() if each.flags & bit)
        words.append(f"flags={flags}")
    if each.out_port != OFPP_NONE:
        words.append(f"out_port={style.port(each.out_port)}")
    if each.out_group is not None:
        words.append(f"out_group={each.out_group}")
    if each.table_id is not None:
        words.append(f"table={format_table(each.table_id, style.tables)}")
    words.append(format_match(each.match, style.names))
    return " ".join(word for word in words if word)


def flow_updates(message, style):
    return "".join(f"\n {_update(each, style)}" for each in message.updates)


def _update(each, style):
    text = f"event={_EVENTS[each.event]}"
    if each.event == m.EV_ABBREV:
        return f"{text} xid={each.xid:#x}"
    if each.event > m.EV_ABBREV:
        return text
    if each.event == m.EV_REMOVED:
        known = each.reason < len(REMOVED_REASONS)
        text += f" reason={REMOVED_REASONS[each.reason] if known else each.reason}"
    text += f" table={format_table(each.table_id, style.tables)}"
    for name, value in (("idle_timeout", each.idle_timeout), ("hard_timeout", each.hard_timeout)):
        if value:
            text += f" {name}={value}"
    text += f" cookie={each.cookie:#x}" if each.cookie else " cookie=0"
    match = format_match(each.match, style.names)  # ovs-ofctl leaves out the priority
    text += f" {match}"
    if each.instructions:
        space = " " * bool(match)  # an empty match has left one
        text += f"{space}actions={format_instructions(each.instructions, style.names)}"
    return text


# Tunnel options


def _tlv_maps(maps):
    lines = [
        "mapping table:",
        "  class  type  length  match field",
        " ------  ----  ------  --------------",
    ]
    for each in maps:
        kind, option = _hex(each.option_class), _hex(each.option_type)
        lines.append(f" {kind:>6}  {option:>4}  {each.length:6}  tun_metadata{each.index}")
    return "\n".join(lines)


def tlv_table_mod(message, style):
    if message.command == m.TLV_CLEAR:
        return "\n CLEAR"
    command = "ADD" if message.command == m.TLV_ADD else "DEL"
    return f"\n {command} {_tlv_maps(message.maps)}"


def tlv_table(message, style):
    used = sum(each.length for each in message.maps)
    return (
        f"\n max option space={message.space} max fields={message.fields}\n"
        f" allocated option space={used}\n\n {_tlv_maps(message.maps)}"
    )


# Connection tracking

_MAPPED = 0xFFFF << 32  # in front of an IPv4 address


def _ct_address(number):
    address = IPv6Address(number or 0)
    return (4, str(address.ipv4_mapped)) if address.ipv4_mapped else (6, str(address))


def _ct_kind(*tuples):
    """The family of what addresses there are."""
    numbers = [number for each in tuples for number in (each.src, each.dst)]
    return "nw" if 4 in {_ct_address(number)[0] for number in numbers if number} else "ipv6"


def _ct_tuple(each, protocol, kind):
    words = []
    for name in ("src", "dst"):
        number = getattr(each, name)
        words.append(f"ct_{kind}_{name}={_ct_address(number)[1]}")
    if protocol in (PROTO_ICMP, PROTO_ICMPV6):
        for name in ("icmp_id", "icmp_type", "icmp_code"):
            words.append(f"{name}={getattr(each, name) or 0}")
    else:
        words += [f"ct_tp_src={each.src_port or 0}", f"ct_tp_dst={each.dst_port or 0}"]
    return ",".join(words)


def ct_flush(message, style):
    return format_ct_flush(message)


def format_ct_flush(message):
    """What an NXT_CT_FLUSH says, for a dump or a log."""
    original, reply = message.original or m.CtTuple(), message.reply or m.CtTuple()
    kind = _ct_kind(original, reply)
    first = _ct_tuple(original, message.protocol, kind)
    first += f",ct_nw_proto={message.protocol}"
    second = _ct_tuple(reply, message.protocol, kind)
    return f" zone={message.zone or 0} '{first}' '{second}'"


# IPFIX


def _ipfix(each, indent):
    return (
        f"flows={each.flows}, current flows={each.current_flows}, sampled pkts={each.packets}, "
        f"ipv4 ok={each.ipv4}, ipv6 ok={each.ipv6}, tx pkts={each.tx_packets}\n"
        f"{indent}pkts errs={each.errors}, ipv4 errs={each.ipv4_errors}, "
        f"ipv6 errs={each.ipv6_errors}, tx errs={each.tx_errors}\n"
    )


def ipfix_bridge(message, style):
    return "\n  bridge ipfix: " + "".join(_ipfix(each, " " * 16) for each in message.stats)


def ipfix_flow(message, style):
    text = f" {len(message.stats)} ids\n"
    for each in message.stats:
        text += f"  id {each.collector_set:3}: {_ipfix(each, ' ' * 10)}"
    return text
