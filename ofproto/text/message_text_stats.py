"""The printers of message_text for switches, ports, queues, tables, groups and meters."""

from ofproto.codec import messages as m
from ofproto.codec.actions.base import format_actions
from ofproto.codec.match_text import format_eth, format_value
from ofproto.codec.numbers import OFPP_NONE

from .flow_text import format_duration, format_table
from .message_text_tables import ACTIONS_11, ACTIONS_13, format_table_features, format_table_stats
from .meter_text import BAND_TYPES, FLAGS, format_id, format_meter

OF13 = 4
CAPABILITIES = {
    m.C_FLOW_STATS: "FLOW_STATS",
    m.C_TABLE_STATS: "TABLE_STATS",
    m.C_PORT_STATS: "PORT_STATS",
    m.C_GROUP_STATS: "GROUP_STATS",
    m.C_STP: "STP",
    m.C_IP_REASM: "IP_REASM",
    m.C_QUEUE_STATS: "QUEUE_STATS",
    m.C_ARP_MATCH_IP: "ARP_MATCH_IP",
    m.C_PORT_BLOCKED: "PORT_BLOCKED",
    m.C_BUNDLES: "BUNDLES",
    m.C_FLOW_MONITORING: "FLOW_MONITORING",
}
# Names of bits, from bit 0
CONFIG_BITS = ("PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD",
               "NO_PACKET_IN")  # fmt: skip
STATE_BITS = ("LINK_DOWN", "BLOCKED", "LIVE")
STP_STATES = ("STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK")
FEATURE_BITS = ("10MB-HD", "10MB-FD", "100MB-HD", "100MB-FD", "1GB-HD", "1GB-FD", "10GB-FD",
                "40GB-FD", "100GB-FD", "1TB-FD", "OTHER", "COPPER", "FIBER", "AUTO_NEG",
                "AUTO_PAUSE", "AUTO_PAUSE_ASYM")  # fmt: skip
# Actions by type
ACTIONS_10 = ("output", "set_vlan_vid", "set_vlan_pcp", "strip_vlan", "mod_dl_src", "mod_dl_dst",
              "mod_nw_src", "mod_nw_dst", "mod_nw_tos", "mod_tp_src", "mod_tp_dst",
              "enqueue")  # fmt: skip
_ORDER_10 = (0, 11, *range(1, 11))
GROUP_TYPES = ("all", "select", "indirect", "ff")
GROUP_TITLES = ("all", "select", "indirect", "fast failover")
_MODS = ("ADD", "MOD", "DEL")
GROUP_COMMANDS = {
    m.GROUP_ADD: "ADD",
    m.GROUP_MODIFY: "MOD",
    m.GROUP_DELETE: "DEL",
    m.GROUP_INSERT_BUCKET: "INSERT_BUCKET",
    m.GROUP_REMOVE_BUCKET: "REMOVE_BUCKET",
    m.GROUP_ADD_OR_MODIFY: "ADD_OR_MOD",
}
BUCKET_WORDS = {m.BUCKET_FIRST: "first", m.BUCKET_LAST: "last", m.BUCKET_ALL: "all"}


def c_hex(number: int) -> str:
    """A number as C's %#x prints it."""
    return f"{number:#x}" if number else "0"


def named_bits(bits: int, names: dict[int, str]) -> list[str]:
    """Names of the set bits, `names` by bit, and what is left over as one number."""
    rest = bits & ~sum(names)
    return [name for bit, name in names.items() if bits & bit] + [f"{rest:#x}"] * bool(rest)


def bit_names(bits: int, names) -> str:
    """Names of the set bits, those without one as a number; "0" when there are none."""
    words = [name for i, name in enumerate(names) if bits >> i & 1]
    rest = bits >> len(names) << len(names)
    return " ".join(words + ([f"{rest:#x}"] if rest else [])) or "0"


def _count(number):
    return "?" if number is None else str(number)


# The switch


def features(message, style):
    auxiliary = f", auxiliary_id:{message.auxiliary_id}" if message.auxiliary_id else ""
    words = [name for bit, name in CAPABILITIES.items() if message.capabilities & bit]
    text = (
        f" dpid:{message.datapath_id:016x}\n"
        f"n_tables:{message.n_tables}, n_buffers:{message.n_buffers}{auxiliary}\n"
        f"capabilities: {' '.join(words) or '0'}\n"
    )
    if message.version == 1 and message.actions:
        text += f"actions: {actions_10(message.actions)}\n"
    return text + _ports(message.ports, style, message.version)


def actions_10(bits: int) -> str:
    """Names of 1.0's action types from their bits."""
    return " ".join(ACTIONS_10[i] for i in _ORDER_10 if bits >> i & 1) or "0"


def desc(message, style):
    return (
        f"\nManufacturer: {message.mfr}\nHardware: {message.hw}\nSoftware: {message.sw}\n"
        f"Serial Num: {message.serial}\nDP Description: {message.dp}\n"
    )


# Ports


def _state(port, version):
    if version > 1:
        return bit_names(port.state, STATE_BITS)
    state = "LINK_DOWN" if port.state & 1 else ""
    stp = STP_STATES[port.state >> 8 & 3] if port.config & 2 == 0 and port.state >> 8 & 3 else ""
    return " ".join(filter(None, (state, stp))) or "0"


def _shown_name(name: str) -> str:
    """A port's name up to what would not be seen, or would be seen as lines of its own."""
    for at, character in enumerate(name):
        if not " " <= character <= "~":
            return name[:at]
    return name


def format_port_desc(port: m.PortDesc, style, version: int) -> str:
    """A port's name, address, configuration, state and speeds, on several lines."""
    name = _shown_name(port.name)
    shown = "" if not name else f"({name})"
    lines = [
        f" {style_number(port)}{shown}: addr:{format_eth(int.from_bytes(port.hw_addr, 'big'))}",
        f"     config:     {bit_names(port.config, CONFIG_BITS)}",
        f"     state:      {_state(port, version)}",
    ]
    for title, bits in (
        ("current:    ", port.curr),
        ("advertised: ", port.advertised),
        ("supported:  ", port.supported),
        ("peer:       ", port.peer),
    ):
        if bits:
            lines.append(f"     {title}{bit_names(bits, FEATURE_BITS)}")
    now, most = port.curr_speed // 1000, port.max_speed // 1000
    lines.append(f"     speed: {now} Mbps now, {most} Mbps max\n")
    return "\n".join(lines)


def style_number(port) -> str:
    """A port by number, or its reserved name."""
    from ofproto.codec.match_text import format_port

    return format_port(port.port_no)


def _ports(ports, style, version):
    ordered = sorted(ports, key=lambda port: port.port_no)
    return "".join(format_port_desc(port, style, version) for port in ordered)


def port_descs(message, style):
    return "\n" + _ports(message.ports, style, message.version)


def port_desc_request(message, style):
    return f" port={_any_port(message.port_no, style)}"


def port_status(message, style):
    reason = ("ADD", "DEL", "MOD")[message.reason] if message.reason < 3 else "UNKNOWN"
    return f" {reason}:{format_port_desc(message.port, style, message.version)}"


def port_request(message, style):
    return f" port_no={'ANY' if message.port_no is None else style.port(message.port_no)}"


def port_stats(message, style):
    text = f" {len(message.ports)} ports\n"
    return text + "".join(_port_counters(port, style) for port in message.ports)


def _port_counters(p, style):
    pad = " " if p.port_no < 10 else ""
    text = (
        f"  port {pad}{style.port(p.port_no)}: rx pkts={_count(p.rx_packets)}, "
        f"bytes={_count(p.rx_bytes)}, drop={_count(p.rx_dropped)}, errs={_count(p.rx_errors)}, "
        f"frame={_count(p.rx_frame_err)}, over={_count(p.rx_over_err)}, "
        f"crc={_count(p.rx_crc_err)}\n"
        f"           tx pkts={_count(p.tx_packets)}, bytes={_count(p.tx_bytes)}, "
        f"drop={_count(p.tx_dropped)}, errs={_count(p.tx_errors)}, coll={_count(p.collisions)}\n"
    )
    if p.duration_sec is not None:
        text += f"           duration={format_duration(p.duration_sec, p.duration_nsec or 0)}\n"
    return text + _rfc2819(p) + _custom(p)


# Counters of RFC 2819 that stand under their whole names
_WHOLE = ("rx_fragmented_errors", "rx_jabber_errors")


def _rfc2819(p):
    text = ""
    for side in ("rx", "tx"):
        words = [
            f"{name if name in _WHOLE else name[3:]}={value}, "
            for name, value in p.rfc2819.items()
            if name.startswith(side)
        ]
        if words:
            text += f"           {side} rfc2819 {''.join(words)}\n"
    return text


def _custom(p):
    if not p.custom:
        return ""
    words = [f"{name}={value}," for name, value in p.custom.items()]
    rows = [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)]
    return "           CUSTOM Statistics\n" + "".join(f"{' ' * 22}{row}\n" for row in rows)


# Queues


def _any_port(port, style):
    return "ANY" if port is None else style.port(port)


def queue_request(message, style):
    queue = "ALL" if message.queue_id is None else message.queue_id
    return f" port={_any_port(message.port_no, style)} queue={queue}"


def queue_stats(message, style):
    text = f" {len(message.queues)} queues\n"
    for q in message.queues:
        duration = "?"
        if q.duration_sec is not None:
            duration = format_duration(q.duration_sec, q.duration_nsec or 0)
        text += (
            f"  port {style.port(q.port_no)} queue {q.queue_id}: bytes={_count(q.tx_bytes)}, "
            f"pkts={_count(q.tx_packets)}, errors={_count(q.tx_errors)}, duration={duration}\n"
        )
    return text


def queue_config_request(message, style):
    return f" port={style.port(message.port_no)}"


def _rate(name, rate):
    if rate is None:
        return ""
    shown = f"{rate // 10}.{rate % 10}%" if rate <= 1000 else "(disabled)"
    return f" {name}:{shown}"


def queue_config(message, style):
    text = f" port={style.port(message.port_no)}\n" if message.queues else ""
    for queue, least, most in sorted(message.queues, key=lambda row: row[0]):
        text += f"queue {queue}:{_rate('min_rate', least)}{_rate('max_rate', most)}\n"
    return text


def queue_desc_request(message, style):
    queue = "" if message.queue_id is None else f" queue={message.queue_id}"
    return f" port={_any_port(message.port_no, style)}{queue}"


def queue_descs(message, style):
    text, port = "", None
    for queue in sorted(message.queues, key=lambda each: (each.port_no, each.queue_id)):
        if queue.port_no != port:
            port = queue.port_no
            text += f" port={style.port(port)}\n" if not text else f"port={style.port(port)}\n"
        rates = _rate("min_rate", queue.min_rate) + _rate("max_rate", queue.max_rate)
        text += f"queue {queue.queue_id}:{rates}\n"
    return text


# Tables


def tables(message, style):
    return format_table_stats(message.tables, style, message.version)


def table_features(message, style):
    return format_table_features(message.tables or [], style, message.version)


MISS_CONFIGS = ("controller", "continue", "drop")
EVICTIONS = {m.EVICT_OTHER: "OTHER", m.EVICT_IMPORTANCE: "IMPORTANCE", m.EVICT_LIFETIME: "LIFETIME"}


def _on(config, bit):
    return "on" if config & bit else "off"


def _eviction_flags(flags):
    if flags is None:
        return "(default)"
    return "|".join(named_bits(flags, EVICTIONS)) or "0"


def table_mod(message, style):
    if message.table_id is None:
        text = " table_id: ALL_TABLES"
    else:
        text = f" table_id={format_table(message.table_id, style.tables)}"
    config = message.config
    if message.version < OF13:
        miss = (config & m.MISS_MASK) % len(MISS_CONFIGS)
        return f"{text}, flow_miss_config={MISS_CONFIGS[miss]}"
    if message.version == OF13:
        return text
    text += f", eviction={_on(config, m.TC_EVICTION)}"
    if message.eviction is not None:
        text += f" eviction_flags={_eviction_flags(message.eviction)}"
    text += f", vacancy={_on(config, m.TC_VACANCY_EVENTS)}"
    if config & m.TC_VACANCY_EVENTS:
        down, up = message.vacancy or (0, 0)
        text += f" vacancy:{down},{up}"
    return text


def format_table_desc(table: m.TableDesc, style) -> str:
    """How a table is configured, on several lines."""
    config = table.config
    lines = [
        f"\n  table {format_table(table.table_id, style.tables)}:",
        f"   eviction={_on(config, m.TC_EVICTION)} "
        f"eviction_flags={_eviction_flags(table.eviction)}",
    ]
    vacancy = f"   vacancy={_on(config, m.TC_VACANCY_EVENTS)}"
    if config & m.TC_VACANCY_EVENTS:
        down, up, now = table.vacancy or (0, 0, 0)
        vacancy += f" vacancy_down={down}% vacancy_up={up}% vacancy={now}%"
    return "\n".join((*lines, vacancy)) + "\n"


def table_descs(message, style):
    return "".join(format_table_desc(table, style) for table in message.tables)


def table_status(message, style):
    reason = "VACANCY_UP" if message.reason == m.VACANCY_UP else "VACANCY_DOWN"
    return f" reason={reason}\ntable_desc:-{format_table_desc(message.table, style)}"


# Groups


def _group_number(number):
    return {m.OFPG_ALL: "ALL", m.OFPG_ANY: "ANY"}.get(number, str(number))


def group_request(message, style):
    return f" group_id={_group_number(message.group_id)}"


def group_stats(message, style):
    return "".join("\n " + ",".join(_group_counters(group)) for group in message.groups)


def _group_counters(g):
    yield f"group_id={g.group_id}"
    if g.duration_sec is not None:
        yield f"duration={format_duration(g.duration_sec, g.duration_nsec)}"
    yield f"ref_count={g.ref_count}"
    yield f"packet_count={g.n_packets},byte_count={g.n_bytes}"
    for i, (packets, n_bytes) in enumerate(g.buckets):
        yield f"bucket{i}:packet_count={packets},byte_count={n_bytes}"


def _group_type(number):
    return GROUP_TYPES[number] if number < len(GROUP_TYPES) else "unknown"


def _group(group, style):
    parts = [f"group_id={group.group_id},type={_group_type(group.type)}"]
    if group.method:
        parts.append(f"selection_method={group.method}")
        if group.parameter:
            parts.append(f"selection_method_param={group.parameter}")
        if len(group.fields) == 1:
            parts.append(f"fields={_selected(*group.fields[0])}")
        elif group.fields:
            parts.append(f"fields({','.join(_selected(*each) for each in group.fields)})")
    for bucket in group.buckets:
        words = [] if bucket.bucket_id is None else [f"bucket_id:{bucket.bucket_id}"]
        if bucket.weight != (group.type == m.GROUP_SELECT):
            words.append(f"weight:{bucket.weight}")
        if bucket.watch_port != OFPP_NONE:
            words.append(f"watch_port:{style.port(bucket.watch_port)}")
        if bucket.watch_group is not None:
            words.append(f"watch_group:{bucket.watch_group}")
        words.append(f"actions={format_actions(bucket.actions, style.names)}")
        parts.append("bucket=" + ",".join(words))
    return ",".join(parts)


def _selected(field, mask):
    """A field that counts for select, and its mask where not all bits do."""
    return field.name if mask == field.mask else f"{field.name}={format_value(field, mask)}"


def group_descs(message, style):
    return "".join(f"\n {_group(group, style)}" for group in message.groups)


def group_mod(message, style):
    command = GROUP_COMMANDS[message.command]
    if message.command in (m.GROUP_INSERT_BUCKET, m.GROUP_REMOVE_BUCKET):
        return f"\n {command} {_bucket_mod(message, style)}"
    return f"\n {command} {_group(message, style)}"


def _bucket_mod(message, style):
    """Of buckets in a group whose type is not told."""
    number = message.command_bucket_id
    head, *buckets = _group(message, style).split(",bucket=")
    where = f"command_bucket_id:{BUCKET_WORDS.get(number, number)}"
    return ",bucket=".join((f"{where},{head.partition(',')[0]}", *buckets))


def group_features(message, style):
    text = (
        f"\n Group table:\n    Types:  {message.types:#x}\n"
        f"    Capabilities:  {message.capabilities:#x}\n"
    )
    for i, title in enumerate(GROUP_TITLES):
        if message.types >> i & 1:
            bits = message.actions[i]
            table = ACTIONS_11 if message.version == 2 else ACTIONS_13
            names = [name for bit, name in table.items() if bits >> bit & 1]
            if message.version == 1:
                names = [actions_10(bits)] if bits else []
            text += (
                f"    {title} group:\n       max_groups={c_hex(message.max_groups[i])}\n"
                f"       actions: {' '.join(names) or '<none>'}\n"
            )
    return text


# Meters


def meter_request(message, style):
    return f" meter={format_id(message.meter_id)}"


def meter_mod(message, style):
    if message.command == m.METER_DELETE:
        return f" DEL meter={format_id(message.meter_id)} bands=\n"
    return f" {_MODS[message.command]} {format_meter(message)}"


def meter_configs(message, style):
    return "\n" + "\n".join(format_meter(meter) for meter in message.meters)


def meter_stats(message, style):
    return "\n" + "\n".join(_meter_counters(meter) for meter in message.meters)


def _meter_counters(s):
    text = (
        f"meter:{format_id(s.meter_id)} flow_count:{s.flow_count} packet_in_count:{s.n_packets} "
        f"byte_in_count:{s.n_bytes} duration:{format_duration(s.duration_sec, s.duration_nsec)} "
        "bands:\n"
    )
    for i, (packets, n_bytes) in enumerate(s.bands):
        text += f"{i}: packet_count:{packets} byte_count:{n_bytes}\n"
    return text


def meter_features(message, style):
    bands = named_bits(message.band_types, {1 << bit: name for name, bit in BAND_TYPES.items()})
    flags = named_bits(message.capabilities, {bit: name for name, bit in FLAGS.items()})
    return (
        f"\nmax_meter:{message.max_meter} max_bands:{message.max_bands} "
        f"max_color:{message.max_color}\n"
        f"band_types: {' '.join(bands) or 'none'}\ncapabilities: {' '.join(flags) or 'none'}\n"
    )
