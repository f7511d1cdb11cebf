"""OpenFlow messages as ovs-ofctl prints them: `OFPT_ECHO_REQUEST (OF1.3) (xid=0x5): ...`.

A row of _PRINTERS is the message's name and the function that prints what follows the colon;
functions for ports, tables and statistics are in message_text_stats.  Layouts are those that
ovs-ofctl of Open vSwitch 3.1 prints.
"""

import contextlib
from collections.abc import Callable
from importlib import import_module

from ofproto.codec import messages as m
from ofproto.codec.actions.base import format_actions
from ofproto.codec.errors import OFError
from ofproto.codec.hello import LAST_KNOWN, OFPHET_VERSIONBITMAP
from ofproto.codec.instructions import format_instructions
from ofproto.codec.match_text import (
    DEFAULT_PRIORITY,
    PortNames,
    format_eth,
    format_match,
    format_port,
)
from ofproto.codec.messages.base import (
    MORE,
    MSG,
    NX,
    NX_REPLY,
    NX_REQUEST,
    ONF,
    ONF_REPLY,
    ONF_REQUEST,
    REPLY,
    REQUEST,
    find,
    multipart_flags,
)
from ofproto.codec.notes import noted
from ofproto.codec.numbers import OF10, OF13, OFPP_NONE

from .flow_text import (
    ALL_TABLES,
    check_flow,
    format_duration,
    format_flags,
    format_flow,
    format_table,
)

_UNCHANGED = (1 << 64) - 1  # a cookie that is none
VERSION_TEXT = {1: "", 2: " (OF1.1)", 3: " (OF1.2)", 4: " (OF1.3)", 5: " (OF1.4)", 6: " (OF1.5)"}
ROLES = {"nochange": "nochange", "other": "equal", "master": "primary", "slave": "secondary"}
FRAGS = ("normal", "drop", "reassemble", "nx-match")
INVALID_TTL = 4  # flag of SET_CONFIG
WIRE_LEVEL = 3  # verbosity that shows OpenFlow 1.0's matches as they stand in the message
_SECTIONS = ("primary", "secondary")
_PACKET_REASONS = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")
_PORT_REASONS = ("add", "delete", "modify")
REMOVED_REASONS = ("idle", "hard", "delete", "group_delete", "meter_delete", "eviction")
_ASYNC_NAMES = {
    "packet_in": _PACKET_REASONS,
    "port_status": _PORT_REASONS,
    "flow_removed": REMOVED_REASONS,
    "role_status": ("primary_request", "configuration_changed", "experimenter_data_changed"),
    "table_status": ("", "", "", "vacancy_down", "vacancy_up"),
    "requestforward": ("group_mod_request", "meter_mod_request"),
}
_COMMANDS = ("ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT")


class Style:
    """How to print: `names` (match_text.Names for tables, too) give names by number; `more`: 0
    leaves packets out, 2 and 3 add bytes of payloads and of packets, 5 of whole messages."""

    __slots__ = ("more", "names", "tables")

    def __init__(self, names: PortNames = None, more: int = 1):
        self.names = names
        self.tables = getattr(names, "tables", None)
        self.more = more

    def port(self, number: int) -> str:
        return format_port(number, self.names)


def load_all() -> None:
    """Have all that makes and prints messages: the first of a kind is shown without delay."""
    m.load_all()
    for module in ("message_text_stats", "message_text_extended", "packet_text", "wire_match"):
        import_module(f".{module}", __package__)


# Printers: (message, style) -> what follows "(xid=0x1):"


def _nothing(message, style):
    return ""


def _has_unknown_elements(raw):
    """Whether a HELLO has more than a bitmap with a version in it."""
    at = m.HEADER_SIZE
    while len(raw) - at >= 4:
        kind, length = (
            int.from_bytes(raw[at : at + 2], "big"),
            int.from_bytes(raw[at + 2 : at + 4], "big"),
        )
        end = at + length
        if (
            kind != OFPHET_VERSIONBITMAP
            or length < 8
            or end > len(raw)
            or not _has_known_version(raw[at + 4 : at + 8])
        ):
            return True
        at += (length + 7) // 8 * 8
    return at < len(raw)


def _has_known_version(word):
    """Whether a bitmap's first word has a version from 1 on."""
    return int.from_bytes(word, "big") & ~1 != 0


def _hello(message, style):
    known = range(1, LAST_KNOWN + 1)
    versions = [v for v in known if v in message.versions]
    versions = versions or [v for v in known if v <= message.version]
    bits = ", ".join(f"0x{version:02x}" for version in versions)
    return f"\n version bitmap: {bits}"


def _echo(message, style):
    text = f" {len(message.data)} bytes of payload\n"
    return text + (_dump(message.data) if style.more > 1 else "")


def _dump(data, text=True):
    from ofproto.codec.dump import hex_dump

    return hex_dump(data, text)


def _error(message, style):
    if message.name.startswith("OFPHFC_"):
        return f" {message.name}\n{printable(message.data)}\n"
    if message.name.startswith("("):  # of a type and a code that nobody knows
        raise OFError("OFPBRC_BAD_LEN", message.name)
    return f" {message.name}\n{format_raw(message.data, style)}"


def printable(data: bytes) -> str:
    """Text that somebody sent: what is not plain ASCII, and backslashes, in octal."""
    data = data.rstrip(b"\0")
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\{b:03o}" for b in data)


def _config(message, style):
    ttl = message.flags & INVALID_TTL and message.version <= 3
    frags = FRAGS[message.flags & 3]
    return (
        f" frags={frags}{' invalid_ttl_to_controller' if ttl else ''}"
        f" miss_send_len={message.miss_send_len}"
    )


def _role(message, style):
    text = f" role={ROLES[message.role]}"
    if message.version > 2 and message.generation_id not in (None, m.ALL_ONES):
        text += f" generation_id={message.generation_id}"
    return text


def _async(message, style):
    lines = []
    for side, section in enumerate(_SECTIONS):
        lines.append(f" {section}:")
        for kind, reasons in _ASYNC_NAMES.items():
            mask = message.masks.get(kind, (0, 0))[side] or 0
            if message.version < 5 and kind == "packet_in":
                mask &= 7
            words = [name for bit, name in enumerate(reasons) if name and mask >> bit & 1]
            lines.append(f"{kind.upper():>16}: {' '.join(words) or '(off)'}")
        lines.append("")
    return "\n" + "\n".join(lines[:-1])


def _packet_out(message, style):
    more = format_match(message.match, style.names)
    text = (
        f" {more}{',' if more else ''}in_port={style.port(message.in_port)}"
        f" actions={format_actions(message.actions, style.names)}"
    )
    if message.buffer_id is not None:
        return f"{text} buffer=0x{message.buffer_id:08x}"
    text += f" data_len={len(message.packet)}"
    return text + _packet(message.packet, style)


def _packet(data, style):
    text = "\n"
    if style.more > 0 and data:
        from .packet_text import format_packet

        text += format_packet(data) + "\n"
    if style.more > 2:
        text += _dump(data, text=False)
    return text


def _reason(names, number):
    """The name of a reason, or its number where that is nobody's."""
    return names[number] if number < len(names) else number


def _packet_in(message, style):
    words = []
    if message.table_id:
        words.append(f"table_id={format_table(message.table_id, style.tables)}")
    if message.cookie != m.NO_COOKIE:
        words.append(f"cookie={message.cookie:#x}")
    words.append(f"total_len={message.total_len}")
    words.append(format_match(message.match, style.names))
    words.append(f"(via {_reason(_PACKET_REASONS, message.reason)})")
    size = len(message.packet)
    words.append(f"data_len={size}")
    words.append(
        "(unbuffered)" if message.buffer_id is None else f"buffer=0x{message.buffer_id:08x}"
    )
    if message.buffer_id is None and size != message.total_len:
        words.append("(***total_len != data_len***)")
    elif message.buffer_id is not None and size > message.total_len:
        words.append("(***total_len < data_len***)")
    text = " " + " ".join(words)
    if message.userdata:
        text += f"\n userdata={message.userdata.hex('.')}"
    return text + _packet(message.packet, style)


def _flow_removed(message, style):
    words = [format_match(message.match, style.names, message.priority)]
    words.append(f"reason={_reason(REMOVED_REASONS, message.reason)}")
    if message.table_id is not None and message.table_id != 0xFF:
        words.append(f"table_id={format_table(message.table_id, style.tables)}")
    if message.cookie:
        words.append(f"cookie:{message.cookie:#x}")
    words.append(f"duration{format_duration(message.duration_sec, message.duration_nsec)}")
    words.append(f"idle{message.idle_timeout}")
    if message.hard_timeout:
        words.append(f"hard{message.hard_timeout}")
    words.append(f"pkts{message.n_packets} bytes{message.n_bytes}")
    return " " + " ".join(words)


def format_flow_mod(message: "m.FlowMod", style: Style, wire: str | None = None) -> str:
    """What a flow mod says: `ADD table:3 priority=7,tcp cookie:0x5 actions=output:3`.  `wire`:
    the text of the match, the priority then follows later (wire_match)."""
    words = [_COMMANDS[message.command]]
    table = message.table_id
    if table or (table is None and message.version > OF10):
        words.append(f"table:{format_table(table, style.tables)}")
    words.append(
        format_match(message.match, style.names, message.priority) if wire is None else wire
    )
    cookie = message.cookie if message.command == m.ADD else message.new_cookie
    if message.command in (m.MODIFY, m.MODIFY_STRICT) and cookie is None:
        cookie = message.missing_cookie(message.version)
    if cookie and cookie != _UNCHANGED:
        words.append(f"cookie:{cookie:#x}")
    if message.cookie_mask:
        words.append(f"cookie:{message.cookie:#x}/{message.cookie_mask:#x}")
    for name, value in (
        ("idle", message.idle_timeout),
        ("hard", message.hard_timeout),
        ("importance", message.importance),
    ):
        if value:
            words.append(f"{name}:{value}")
    if wire is not None and message.priority != DEFAULT_PRIORITY:
        words.append(f"pri:{message.priority}")
    if message.buffer_id is not None:
        words.append(f"buf:{message.buffer_id:#x}")
    if message.out_port != OFPP_NONE:
        words.append(f"out_port:{style.port(message.out_port)}")
    words.append(_mod_flags(message).rstrip())
    words.append(f"actions={format_instructions(message.instructions, style.names)}")
    return " ".join(word for word in words if word)


def _mod_flags(message):
    """1.0 has no reset_counts: it always does that."""
    flags = message.flags
    if message.version <= 2:
        flags &= ~m.RESET_COUNTS
    return format_flags(flags)


def _flow_mod(message, style):
    return " " + format_flow_mod(message, style)


def _flow_request(message, style):
    words = []
    if message.table_id is not None:
        words.append(f"table={format_table(message.table_id, style.tables)}")
    if message.out_port != OFPP_NONE:
        words.append(f"out_port={style.port(message.out_port)}")
    words.append(format_match(message.match, style.names))
    return "".join(f" {word}" for word in words if word)


def _flows(message, style):
    lines = [f"\n {format_flow(flow, names=style.names)}" for flow in message.flows]
    return "".join(lines)


def _aggregate(message, style):
    packets, n_bytes = (
        m.ALL_ONES if count is None else count for count in (message.n_packets, message.n_bytes)
    )
    return f" packet_count={packets} byte_count={n_bytes} flow_count={message.n_flows}"


def _mac(message):
    return format_eth(int.from_bytes(message.hw_addr, "big"))


def _port_mod(message, style):
    from .message_text_stats import CONFIG_BITS, FEATURE_BITS, bit_names

    advertise = bit_names(message.advertise, FEATURE_BITS) if message.advertise else "UNCHANGED"
    return (
        f" port: {style.port(message.port_no)}: addr:{_mac(message)}\n"
        f"     config: {bit_names(message.config & message.mask, CONFIG_BITS)}\n"
        f"     mask:   {bit_names(message.mask, CONFIG_BITS)}\n"
        f"     advertise: {advertise}"
    )


def _of(module):
    """Makes printers of a module that is loaded when one is first needed."""

    def later(name):
        def printer(message, style):
            found = import_module(f".{module}", __package__)
            return getattr(found, name)(message, style)

        return printer

    return later


_later, _extended = _of("message_text_stats"), _of("message_text_extended")


# name of the class -> (name without what tells its place, printer)
_PRINTERS: dict[str, tuple[str, Callable]] = {
    "Hello": ("HELLO", _hello),
    "Error": ("ERROR", _error),
    "EchoRequest": ("ECHO_REQUEST", _echo),
    "EchoReply": ("ECHO_REPLY", _echo),
    "FeaturesRequest": ("FEATURES_REQUEST", _nothing),
    "FeaturesReply": ("FEATURES_REPLY", _later("features")),
    "GetConfigRequest": ("GET_CONFIG_REQUEST", _nothing),
    "GetConfigReply": ("GET_CONFIG_REPLY", _config),
    "SetConfig": ("SET_CONFIG", _config),
    "PacketIn": ("PACKET_IN", _packet_in),
    "FlowRemoved": ("FLOW_REMOVED", _flow_removed),
    "PortStatus": ("PORT_STATUS", _later("port_status")),
    "PacketOut": ("PACKET_OUT", _packet_out),
    "FlowMod": ("FLOW_MOD", _flow_mod),
    "GroupMod": ("GROUP_MOD", _later("group_mod")),
    "PortMod": ("PORT_MOD", _port_mod),
    "TableMod": ("TABLE_MOD", _later("table_mod")),
    "MeterMod": ("METER_MOD", _later("meter_mod")),
    "BarrierRequest": ("BARRIER_REQUEST", _nothing),
    "BarrierReply": ("BARRIER_REPLY", _nothing),
    "QueueGetConfigRequest": ("QUEUE_GET_CONFIG_REQUEST", _later("queue_config_request")),
    "QueueGetConfigReply": ("QUEUE_GET_CONFIG_REPLY", _later("queue_config")),
    "RoleRequest": ("ROLE_REQUEST", _role),
    "RoleReply": ("ROLE_REPLY", _role),
    "GetAsyncRequest": ("GET_ASYNC_REQUEST", _nothing),
    "GetAsyncReply": ("GET_ASYNC_REPLY", _async),
    "SetAsync": ("SET_ASYNC", _async),
    "NxSetFlowFormat": ("SET_FLOW_FORMAT", lambda x, s: f" format={x.format}"),
    "NxFlowModTableId": (
        "FLOW_MOD_TABLE_ID",
        lambda x, s: " enable" if x.enable else " disable",
    ),
    "NxSetPacketInFormat": ("SET_PACKET_IN_FORMAT", lambda x, s: f" format={x.format}"),
    "NxFlowAge": ("FLOW_AGE", _nothing),
    "NxSetControllerId": ("SET_CONTROLLER_ID", lambda x, s: f" id={x.controller_id}"),
    "DescRequest": ("DESC", _nothing),
    "DescReply": ("DESC", _later("desc")),
    "FlowStatsRequest": ("FLOW", _flow_request),
    "FlowStatsReply": ("FLOW", _flows),
    "AggregateRequest": ("AGGREGATE", _flow_request),
    "AggregateReply": ("AGGREGATE", _aggregate),
    "TableStatsRequest": ("TABLE", _nothing),
    "TableStatsReply": ("TABLE", _later("tables")),
    "PortStatsRequest": ("PORT", _later("port_request")),
    "PortStatsReply": ("PORT", _later("port_stats")),
    "PortDescRequest": ("PORT_DESC", _later("port_desc_request")),
    "PortDescReply": ("PORT_DESC", _later("port_descs")),
    "QueueStatsRequest": ("QUEUE", _later("queue_request")),
    "QueueStatsReply": ("QUEUE", _later("queue_stats")),
    "GroupStatsRequest": ("GROUP", _later("group_request")),
    "GroupStatsReply": ("GROUP", _later("group_stats")),
    "GroupDescRequest": ("GROUP_DESC", _later("group_request")),
    "GroupDescReply": ("GROUP_DESC", _later("group_descs")),
    "GroupFeaturesRequest": ("GROUP_FEATURES", _nothing),
    "GroupFeaturesReply": ("GROUP_FEATURES", _later("group_features")),
    "MeterStatsRequest": ("METER", _later("meter_request")),
    "MeterStatsReply": ("METER", _later("meter_stats")),
    "MeterConfigRequest": ("METER_CONFIG", _later("meter_request")),
    "MeterConfigReply": ("METER_CONFIG", _later("meter_configs")),
    "MeterFeaturesRequest": ("METER_FEATURES", _nothing),
    "MeterFeaturesReply": ("METER_FEATURES", _later("meter_features")),
    "TableFeaturesRequest": ("TABLE_FEATURES", _later("table_features")),
    "TableFeaturesReply": ("TABLE_FEATURES", _later("table_features")),
    "QueueDescRequest": ("QUEUE_DESC", _later("queue_desc_request")),
    "QueueDescReply": ("QUEUE_DESC", _later("queue_descs")),
    "TableDescRequest": ("TABLE_DESC", _nothing),
    "TableDescReply": ("TABLE_DESC", _later("table_descs")),
    "TableStatus": ("TABLE_STATUS", _later("table_status")),
    "RoleStatus": ("ROLE_STATUS", _extended("role_status")),
    "RequestForward": ("REQUESTFORWARD", _extended("request_forward")),
    "BundleControl": ("BUNDLE_CONTROL", _extended("bundle_control")),
    "BundleAdd": ("BUNDLE_ADD_MESSAGE", _extended("bundle_add")),
    "FlowMonitorRequest": ("FLOW_MONITOR", _extended("flow_monitors")),
    "FlowMonitorReply": ("FLOW_MONITOR", _extended("flow_updates")),
    "FlowMonitorCancel": ("FLOW_MONITOR_CANCEL", lambda x, s: f" id={x.monitor_id}"),
    "FlowMonitorPaused": ("FLOW_MONITOR_PAUSED", _nothing),
    "FlowMonitorResumed": ("FLOW_MONITOR_RESUMED", _nothing),
    "Resume": ("RESUME", lambda x, s: _packet_in(x.packet_in, s)),
    "TlvTableMod": ("TLV_TABLE_MOD", _extended("tlv_table_mod")),
    "TlvTableRequest": ("TLV_TABLE_REQUEST", _nothing),
    "TlvTableReply": ("TLV_TABLE_REPLY", _extended("tlv_table")),
    "CtFlushZone": ("CT_FLUSH_ZONE", lambda x, s: f" zone_id={x.zone}"),
    "CtFlush": ("CT_FLUSH", _extended("ct_flush")),
    "IpfixBridgeRequest": ("IPFIX_BRIDGE", _nothing),
    "IpfixBridgeReply": ("IPFIX_BRIDGE", _extended("ipfix_bridge")),
    "IpfixFlowRequest": ("IPFIX_FLOW", _nothing),
    "IpfixFlowReply": ("IPFIX_FLOW", _extended("ipfix_flow")),
}
# Names of forms whose class has another
_NAMES = {
    ("PacketIn", NX, 30): "PACKET_IN2",
    ("SetAsync", NX, 19): "SET_ASYNC_CONFIG",
    ("SetAsync", NX, 27): "SET_ASYNC_CONFIG2",
}
_PLACES = {
    MSG: ("OFPT_", ""),
    NX: ("NXT_", ""),
    ONF: ("ONFT_", ""),
    REQUEST: ("OFPST_", " request"),
    REPLY: ("OFPST_", " reply"),
    NX_REQUEST: ("NXST_", " request"),
    NX_REPLY: ("NXST_", " reply"),
    ONF_REQUEST: ("ONFST_", " request"),
    ONF_REPLY: ("ONFST_", " reply"),
}


def _is_a(message, name):
    """isinstance() by name: to ask for the class itself would load its module."""
    return type(message).__name__ == name


def _head(raw, form):
    """The name of a message in a form (messages.base.Form), its version and xid."""
    kind = form.cls.__name__
    name = _NAMES.get((kind, form.place, form.number)) or _PRINTERS[kind][0]
    before, behind = _PLACES[form.place]
    version = VERSION_TEXT.get(raw[0], f" (OF 0x{raw[0]:02x})")
    xid = int.from_bytes(raw[4:8], "big")
    return f"{before}{name}{behind}{version} (xid=0x{xid:x}):"


def _multipart_flags(raw):
    """The flags of a message of one or several parts, of which requests have had one since 1.3."""
    place, flags = multipart_flags(raw)
    known = MORE if place == REPLY or raw[0] >= OF13 else 0
    words = "[more]" if flags & known else ""
    if flags & ~known:
        words += f"[***unknown flags {flags & ~known:#06x}***]"
    return words and f" flags={words}"


def format_message(message: m.Message, raw: bytes, style: Style) -> str:
    """The text of a message decoded from `raw`, a line feed at its end."""
    head = _head(raw, find(raw)[0])
    wire = None
    if style.more >= WIRE_LEVEL and _is_a(message, "FlowMod"):
        from .wire_match import wire_match

        wire = wire_match(raw)
    if wire is None:
        text = head + _multipart_flags(raw) + _PRINTERS[type(message).__name__][1](message, style)
    else:
        text = f"{head} {format_flow_mod(message, style, wire)}"
    if isinstance(message, m.Hello) and _has_unknown_elements(raw):
        text += f"\n unknown data in hello:\n{_dump(raw)}"
    return text if text.endswith("\n") else text + "\n"


def format_flows(raw: bytes, rows) -> str | None:
    """format_message() of a FlowStatsReply by a dump's RowLines; None of what is none, or is not
    in order."""
    try:
        form = find(raw)[0]
        if form.cls is not m.FlowStatsReply:
            return None
        lines = rows.lines(raw, form)
    except OFError:
        return None
    return "\n ".join([_head(raw, form) + _multipart_flags(raw), *lines]) + "\n"


def _truncated(raw, length):
    """What stands for a message of which bytes are missing."""
    head = ""
    with contextlib.suppress(OFError, KeyError):
        head = _head(raw, find(raw.ljust(length, b"\0"))[0]) + "\n"
    return f"{head}(***truncated to {len(raw)} bytes from {length}***)\n" + _dump(raw)


def _find(raw):
    """The form of a message, whose size is one that it may have.  Raises OFError."""
    form = find(raw)[0]
    least, step = form.head_size + form.body.size, form.body.step
    if len(raw) >= least and (len(raw) - least) % step == 0 if step else len(raw) == least:
        return form
    name = _head(raw, form).partition(" (")[0]
    if step > 1:
        right = f"must be exactly {least} bytes or longer by an integer multiple of {step} bytes"
    else:
        right = f"expected length at least {least} bytes" if step else f"expected length {least}"
    raise noted(
        "OFPBRC_BAD_LEN",
        "ofp_msgs",
        f"received {name} with incorrect length {len(raw)} ({right})",
    )


def _before_error(raw, error, style):
    """What is shown of a list, an item of which is wrong: the items before it."""
    partial = error.partial
    if partial is None or type(partial).__name__ not in _PRINTERS or not _is_list(raw):
        return ""
    head = _head(raw, find(raw)[0])
    partial.version, partial.xid = raw[0], int.from_bytes(raw[4:8], "big")
    text = (_multipart_flags(raw) + _PRINTERS[type(partial).__name__][1](partial, style)).rstrip(
        " "
    )
    if _is_a(partial, "GroupStatsReply"):
        text += " ***parse error***"
    return f"{head}{text}" + "\n" * (not text.endswith("\n")) if text else ""


def _is_list(raw):
    form = find(raw)[0]
    return form.multipart or form.cls.__name__ == "QueueGetConfigReply"


def format_raw(raw: bytes, style: Style) -> str:
    """The text of a message's bytes; of what is wrong with them, where they make no message."""
    size = len(raw)
    length = int.from_bytes(raw[2:4], "big")
    if not raw:
        return "OpenFlow message is empty\n"
    if size < 8:
        return f"OpenFlow packet too short (only {size} bytes):\n" + _dump(raw)
    if length > size:
        return _truncated(raw, length)
    if length < size:
        return f"(***only uses {length} bytes out of {size}***)\n" + _dump(raw)
    head = ""
    try:
        head = _head(raw, _find(raw)) + " "
        message = m.decode(raw, flow_mod_table_id=raw[0] == OF10)
        if _is_a(message, "FlowMod") and raw[0] == OF10 and message.table_id is None:
            message.table_id = ALL_TABLES  # the message itself says so
        if _is_a(message, "FlowMod") and raw[0] > OF10:
            check_flow(message.instructions, message.match, message.table_id, raw[0])
        text = format_message(message, raw, style)
    except OFError as error:
        if _is_a(error.partial, "NxSetFlowFormat"):
            return format_message(error.partial, raw, style)
        name = "OFPBRC_BAD_TYPE" if error.name == "OFPBRC_BAD_VERSION" else error.name
        head = _before_error(raw, error, style) or head
        return f"{head}***decode error: {name}***\n" + _dump(raw)
    return text + _dump(raw) if style.more > 4 else text
