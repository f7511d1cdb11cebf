"""Commands of pyvs-ofctl for what a switch is: ports, tables, queues, groups, settings."""

import sys

from ofproto.codec import messages as m
from ofproto.codec.match_text import parse_port
from ofproto.codec.numbers import (
    OF10,
    OF13,
    OF14,
    OF15,
    OFPP_ALL,
    OFPP_MAX,
    OFPP_NONE,
    OFPPC_NO_FLOOD,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_NO_RECV_STP,
    OFPPC_NO_STP,
    OFPPC_PORT_DOWN,
)
from ofproto.text.message_text import FRAGS, format_message, format_raw
from pyvs import digits
from pyvs_tools.command import Fatal

from .errors import SwitchError

# mod-port: word -> config bit, whether the word sets it; behind "no" it does the contrary
PORT_ACTIONS = {
    "up": (OFPPC_PORT_DOWN, False),
    "down": (OFPPC_PORT_DOWN, True),
    "stp": (OFPPC_NO_STP, False),
    "receive": (OFPPC_NO_RECV, False),
    "receive-stp": (OFPPC_NO_RECV_STP, False),
    "flood": (OFPPC_NO_FLOOD, False),
    "forward": (OFPPC_NO_FWD, False),
    "packet-in": (OFPPC_NO_PACKET_IN, False),
}
_FRAG_BITS = 3


def dump(settings, session, request) -> None:
    """Print all parts of the reply to a request; with -f json as one list or object."""
    if settings.json:
        from .json_output import reply_value

        replies = [reply for _raw, reply in session.replies(request)]
        settings.print_json(reply_value(replies))
        return
    _print(session, request, settings.style(session))


def _dump(settings, target, request):
    dump(settings, settings.connect(target), request)


def find_port(settings, session, text: str) -> int | None:
    """A port's number from its number or name; None when there is none of that name."""
    return parse_port(text, settings.numbers(session))


def _port(settings, session, text):
    port = find_port(settings, session, text)
    if port is None:
        raise Fatal(f"{session.target}: unknown port `{text}'")
    return port


# The switch


def show(settings, target):
    """show SWITCH"""
    session = settings.connect(target)
    if settings.json:
        _show_json(settings, session)
        return
    style = settings.style()
    requests = [m.FeaturesRequest()]
    if session.version >= OF13:
        requests.append(m.PortDescRequest())
    for request in requests:
        _print(session, request, style)
    session.next_xid()  # ovs-ofctl makes another connection here, whose HELLO has one
    _print(session, m.GetConfigRequest(), style)


def _print(session, request, style):
    """What the switch answers is the output, even if it is an error, and the status 0: as
    ovs-ofctl's."""
    try:
        for raw, reply in session.replies(request):
            sys.stdout.write(format_message(reply, raw, style))
    except SwitchError as error:
        sys.stdout.write(format_raw(error.raw, style))


def _show_json(settings, session):
    from .json_output import reply_value

    value = reply_value([session.request(m.FeaturesRequest())])
    value["ports"] = reply_value([m.PortDescReply(session.ports)])
    value["config"] = reply_value([session.request(m.GetConfigRequest())])
    settings.print_json(value)


def dump_desc(settings, target):
    """dump-desc SWITCH"""
    _dump(settings, target, m.DescRequest())


def dump_tables(settings, target):
    """dump-tables SWITCH"""
    _dump(settings, target, m.TableStatsRequest())


def dump_table_features(settings, target):
    """dump-table-features SWITCH"""
    session = settings.connect(target, OF13)
    if session.version < OF13:
        raise Fatal("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')")
    if settings.json:
        dump(settings, session, m.TableFeaturesRequest())
        return
    from ofproto.text.message_text_tables import format_table_features

    parts = session.replies(m.TableFeaturesRequest())
    tables = [table for _raw, reply in parts for table in reply.tables]
    text = format_table_features(tables, settings.style(session), session.version)
    sys.stdout.write(text.removeprefix("\n") + "\n")


def dump_table_desc(settings, target):
    """dump-table-desc SWITCH"""
    session = settings.connect(target, OF14)
    if session.version < OF14:
        raise Fatal("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')")
    dump(settings, session, m.TableDescRequest())


def dump_ipfix_bridge(settings, target):
    """dump-ipfix-bridge SWITCH"""
    _dump(settings, target, m.IpfixBridgeRequest())


def dump_ipfix_flow(settings, target):
    """dump-ipfix-flow SWITCH"""
    _dump(settings, target, m.IpfixFlowRequest())


# Ports


def dump_ports(settings, target, text=None):
    """dump-ports SWITCH [PORT]"""
    session = settings.connect(target)
    port = None if text is None else _port(settings, session, text)
    dump(settings, session, m.PortStatsRequest(None if port == OFPP_NONE else port))


def dump_ports_desc(settings, target, text=None):
    """dump-ports-desc SWITCH [PORT]: one port only from OpenFlow 1.5 on."""
    session = settings.connect(target)
    port = None if text is None else _port(settings, session, text)
    one = port if session.version >= OF15 and port != OFPP_NONE else None
    dump(settings, session, m.PortDescRequest(one))


def mod_port(settings, target, name, action):
    """mod-port SWITCH PORT ACTION"""
    session = settings.connect(target)
    port = _described(settings, session, name)
    word = action.lower()
    contrary = word.startswith("no")
    word = word.removeprefix("no").removeprefix("-") if contrary else word
    if word not in PORT_ACTIONS:
        raise Fatal(f"unknown mod-port command '{action}'")
    bit, on = PORT_ACTIONS[word]
    session.tell(m.PortMod(port.port_no, port.hw_addr, bit if on != contrary else 0, bit))


def _described(settings, session, name):
    """The description of a port by name, which --no-names does not keep from meaning one, or by
    number."""
    for port in session.ports:
        if port.name == name:
            return port
    number = parse_port(name)
    for port in session.ports:
        if port.port_no == number:
            return port
    raise Fatal(f"{session.target}: couldn't find port `{name}'")


# Queues


def queue_stats(settings, target, port_text="ALL", queue_text="ALL"):
    """queue-stats SWITCH [PORT [QUEUE]]"""
    session = settings.connect(target)
    port = queue = None
    if port_text.upper() not in ("ALL", "ANY"):
        port = _port(settings, session, port_text)
        port = None if port in (OFPP_ALL, OFPP_NONE) else port
    if queue_text.upper() != "ALL":
        queue = _queue(queue_text)
    dump(settings, session, m.QueueStatsRequest(port, queue))


def _queue(text):
    number = digits.number(text, 0xFFFFFFFF)
    if number is None:
        raise Fatal(f'invalid queue "{text}"')
    return number


def queue_get_config(settings, target, port_text="ANY", queue_text="ANY"):
    """queue-get-config SWITCH [PORT [QUEUE]]; OpenFlow 1.0 has no request for all ports."""
    session = settings.connect(target)
    port, queue = OFPP_NONE, None
    if port_text.upper() not in ("ALL", "ANY"):
        port = _port(settings, session, port_text)
    if queue_text.upper() not in ("ALL", "ANY"):
        queue = _queue(queue_text)
    if session.version >= OF14:
        wanted = None if port == OFPP_NONE else port
        dump(settings, session, m.QueueDescRequest(wanted, queue))
        return
    ports = [port]
    if port == OFPP_NONE and session.version == OF10:
        numbers = sorted(each.port_no for each in session.ports)
        ports = [number for number in numbers if number < OFPP_MAX]
    for number in ports:
        dump(settings, session, m.QueueGetConfigRequest(number))


# Settings


def get_frags(settings, target):
    """get-frags SWITCH"""
    config = settings.connect(target).request(m.GetConfigRequest())
    sys.stdout.write(FRAGS[config.flags & _FRAG_BITS] + "\n")


def set_frags(settings, target, mode):
    """set-frags SWITCH MODE"""
    if mode not in FRAGS:
        raise Fatal(f"{mode}: unknown fragment handling mode")
    session = settings.connect(target)
    wanted = FRAGS.index(mode)
    config = session.request(m.GetConfigRequest())
    if config.flags & _FRAG_BITS == wanted:
        return
    flags = config.flags & ~_FRAG_BITS | wanted
    session.tell(m.SetConfig(flags, config.miss_send_len))
    if session.request(m.GetConfigRequest()).flags & _FRAG_BITS != wanted:
        raise Fatal(
            f"{target}: setting fragment handling mode failed "
            f'(this switch probably doesn\'t support mode "{mode}")'
        )


# Groups


def _id(text, everything, what):
    """A group's number; `everything` where none or "all" is given."""
    text = (text or "all").removeprefix(f"{what}=")
    if text.lower() in ("all", "any"):
        return everything
    number = digits.number(text, 0xFFFFFFFF)
    if number is None:
        raise Fatal(f"invalid {what} {text}")
    return number


def dump_groups(settings, target, group=None):
    """dump-groups SWITCH [GROUP]: one group only in 1.0 and from 1.5 on."""
    _dump(settings, target, m.GroupDescRequest(_id(group, m.OFPG_ALL, "group_id")))


def dump_group_stats(settings, target, group=None):
    """dump-group-stats SWITCH [GROUP]"""
    _dump(settings, target, m.GroupStatsRequest(_id(group, m.OFPG_ALL, "group_id")))


def dump_group_features(settings, target):
    """dump-group-features SWITCH"""
    _dump(settings, target, m.GroupFeaturesRequest())
