"""The printers of message_text for statistics and features of tables.

Tables that are like the one before are not told again: "ditto".
"""

import re
from functools import lru_cache

from ofproto.codec.fields import BY_CODE, BY_NAME, Field
from ofproto.codec.messages import TC_EVICTION, TC_VACANCY_EVENTS, TableFeatures
from ofproto.codec.numbers import OF11, OF13

# Actions by type, in the order of printing
ACTIONS_13 = {
    0: "output", 22: "group", 25: "set_field", 18: "strip_vlan", 17: "push_vlan",
    23: "mod_nw_ttl", 24: "dec_ttl", 15: "set_mpls_ttl", 16: "dec_mpls_ttl", 19: "push_mpls",
    20: "pop_mpls", 21: "set_queue",
}  # fmt: skip
ACTIONS_11 = {
    0: "output", 22: "group", 1: "set_vlan_vid", 2: "set_vlan_pcp", 18: "strip_vlan",
    17: "push_vlan", 3: "mod_dl_src", 4: "mod_dl_dst", 5: "mod_nw_src", 6: "mod_nw_dst",
    7: "mod_nw_tos", 8: "mod_nw_ecn", 23: "mod_nw_ttl", 9: "mod_tp_src", 10: "mod_tp_dst",
    24: "dec_ttl", 13: "set_mpls_label", 14: "set_mpls_tc", 15: "set_mpls_ttl",
    16: "dec_mpls_ttl", 19: "push_mpls", 20: "pop_mpls", 21: "set_queue",
}  # fmt: skip

# The fields of OpenFlow 1.0 by their wildcard bits, in the order of printing
_WILDCARDS_10 = (
    (1 << 0, "in_port"), (1 << 2, "eth_src"), (1 << 3, "eth_dst"), (1 << 4, "eth_type"),
    (1 << 1, "vlan_vid"), (1 << 20, "vlan_pcp"), (0x3F << 8, "ip_src"), (0x3F << 14, "ip_dst"),
    (1 << 5, "nw_proto"), (1 << 21, "nw_tos"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"),
)  # fmt: skip


_NUMBERED = re.compile(r"(.*?)(\d+)\Z")
# Fields in the order of printing
_ORDER = (
    "dp_hash recirc_id packet_type conj_id tun_id tun_src tun_dst tun_ipv6_src tun_ipv6_dst "
    "tun_flags tun_ttl tun_tos tun_gbp_id tun_gbp_flags tun_erspan_idx tun_erspan_ver "
    "tun_erspan_dir tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype tun_metadata metadata in_port "
    "in_port_oxm in_phy_port actset_output skb_priority pkt_mark ct_state ct_zone ct_mark ct_label "
    "ct_nw_proto ct_nw_src ct_nw_dst ct_ipv6_src ct_ipv6_dst ct_tp_src ct_tp_dst reg xreg xxreg "
    "eth_src eth_dst eth_type vlan_tci dl_vlan vlan_vid dl_vlan_pcp vlan_pcp mpls_label mpls_tc "
    "mpls_bos mpls_ttl pbb_isid pbb_uca ip_src ip_dst ipv6_src ipv6_dst ipv6_label ipv6_exthdr "
    "nw_proto nw_tos ip_dscp nw_ecn nw_ttl ip_frag arp_op arp_spa arp_tpa arp_sha arp_tha "
    "tcp_src tcp_dst tcp_flags udp_src udp_dst sctp_src sctp_dst icmp_type icmp_code icmpv6_type "
    "icmpv6_code nd_target nd_sll nd_tll nd_reserved nd_options_type nsh_flags nsh_mdtype nsh_np "
    "nsh_spi nsh_si nsh_c nsh_ttl"
)
_RANKS = {name: rank for rank, name in enumerate(_ORDER.split())}
_KEPT = 64  # lists of fields, of which tables that are alike have the same
_TUN_METADATA = range(40, 104)  # numbers in NXM_NX; the switches here do not match on them
_INSTRUCTIONS = {6: "meter", 4: "apply_actions", 5: "clear_actions", 3: "write_actions",
                 2: "write_metadata", 1: "goto_table"}  # fmt: skip


def _runs(names):
    """[(first, last)] of names; three or more that only count on are one run."""
    runs = []
    for name in names:
        found = _NUMBERED.match(name)
        before = _NUMBERED.match(runs[-1][-1]) if runs and found else None
        if before and before[1] == found[1] and int(before[2]) + 1 == int(found[2]):
            runs[-1].append(name)
        else:
            runs.append([name])
    for run in runs:
        if len(run) > 2:
            yield run[0], run[-1]
        else:
            yield from ((name, name) for name in run)


def _beginning(names):
    """What the names begin with in common, up to an underscore."""
    low, high = min(names), max(names)
    at = next((i for i, char in enumerate(low) if high[i : i + 1] != char), len(low))
    return low[: low.rindex("_", 0, at) + 1]


def _join(items, separator):
    words, at = [], 0
    while at < len(items):
        head, underscore, _ = items[at][0].partition("_")
        end = at + 1
        while underscore and end < len(items) and items[end][0].startswith(head + "_"):
            end += 1
        if end - at > 1:
            common = _beginning([name for item in items[at:end] for name in item])
            skip = len(common)
            rest = [(first[skip:], last[skip:]) for first, last in items[at:end]]
            words.append(f"{common}{{{_join(rest, ',')}}}")
        else:
            first, last = items[at]
            words.append(first if first == last else f"{first}...{last}")
        at = end
    return separator.join(words)


def compact(names: list[str]) -> str:
    """Names with common beginnings in braces, and runs of numbered ones by their ends:
    `eth_{src,dst} reg0...reg15`.  Order matters."""
    return _join(list(_runs(names)), " ")


class _Dittos:
    """Counts nameless tables in a row that are like the one before."""

    def __init__(self):
        self.first = self.last = None

    def add(self, number):
        self.first = number if self.first is None else self.first
        self.last = number

    def flush(self):
        """Their line."""
        if self.first is None:
            return ""
        many = self.first != self.last
        shown = f"tables {self.first}...{self.last}" if many else f"table {self.first}"
        self.first = None
        return f"\n  {shown}: ditto\n"


def _title(table, names):
    name = table.name or (names or {}).get(table.table_id)
    return f'table {table.table_id} ("{name}")' if name else f"table {table.table_id}"


def _matching_10(table, before):
    if not table.wildcards and not table.max_entries:
        return ""
    if before and (before.wildcards, before.max_entries) == (table.wildcards, table.max_entries):
        return "    (same features)\n"
    most = f"    max_entries={table.max_entries}\n"
    if before and before.wildcards == table.wildcards:
        return most + "    (same matching)\n"
    names = [name for bits, name in _WILDCARDS_10 if table.wildcards & bits]
    return f"{most}    matching:\n      exact match or wildcard: {compact(names)}\n"


def _counters(table):
    return f"    active={table.active}, lookup={table.lookups}, matched={table.matched}\n"


# 1.1: fields of the bits of `match` and `wildcards`
_FIELDS_11 = {
    0: "in_port", 1: "vlan_vid", 2: "vlan_pcp", 3: "eth_type", 4: "nw_tos", 5: "nw_proto",
    6: "tcp_src", 7: "tcp_dst", 8: "mpls_label", 9: "mpls_tc", 11: "eth_src", 12: "eth_dst",
    13: "ip_src", 14: "ip_dst", 15: "metadata",
}  # fmt: skip
_OXM_CLASS, _IN_PHY_PORT = 0x8000, 1  # the latter is never told apart from in_port
_MISS_CONFIGS = ("controller", "continue", "drop")


def _bits(number):
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def _fields_of(bits, version):
    """Fields by the bits of 1.1, or by 1.2's, which are numbers of OXM fields that it has."""
    if version == 2:
        return [BY_NAME[_FIELDS_11[bit]] for bit in _bits(bits) if bit in _FIELDS_11]
    codes = ((_OXM_CLASS, 0, bit) for bit in _bits(bits) if bit != _IN_PHY_PORT)
    fields = [BY_CODE[code] for code in codes if code in BY_CODE]
    return [field for field in fields if any(_is_of(each, version) for each in field.headers)]


def _is_of(header, version):
    return header.oxm_class == _OXM_CLASS and header.since <= version


def _known_actions(bits):
    return [bit for bit in _bits(bits) if bit in ACTIONS_13]


def _features_of(table, version):
    """What statistics of 1.1 and 1.2 tell of a table's features."""
    told = table.features
    wild = _fields_of(table.wildcards, version)
    match = _fields_of(told.get("match", 0), version)
    properties = {
        "instructions": _bits(told.get("instructions", 0)),
        "write_actions": _known_actions(told.get("write_actions", 0)),
        "apply_actions": _known_actions(told.get("apply_actions", 0)),
        "match": [(field, False) for field in {*match, *wild}],
        "wildcards": [(field, False) for field in wild],
    }
    for name in ("write_setfield", "apply_setfield"):
        fields = _fields_of(told.get(name, 0), version)
        properties[name] = [(field, False) for field in fields]
    return TableFeatures(
        table.table_id, table.name, told.get("metadata_match", 0), told.get("metadata_write", 0),
        told.get("config", 0) & 3, table.max_entries, properties,
    )  # fmt: skip


def _key(table):
    return (table.wildcards, table.max_entries, table.active, table.lookups, table.matched)


def format_table_stats(tables, style, version: int) -> str:
    """The body of a TABLE reply."""
    if version in (2, 3):
        features = [_features_of(table, version) for table in tables]
        return format_table_features(features, style, version, tables)
    parts, before, dittos = [], None, _Dittos()
    for table in tables:
        same = before is not None and _key(table) == _key(before)
        if same and not table.name:
            dittos.add(table.table_id)
        elif same:
            parts += [dittos.flush(), f"\n  {_title(table, style.tables)}: ditto"]
        else:
            parts += [
                dittos.flush(),
                f"\n  {_title(table, style.tables)}:\n",
                _counters(table),
            ]
            if version == 1:
                parts.append(_matching_10(table, before))
        before = table
    parts.append(dittos.flush())
    return "".join(parts)


# Features


def _field_name(field):
    """The name of a field; "" for one that is unknown here, a header's number."""
    if isinstance(field, Field):
        return field.name
    if field >> 16 == 1 and field >> 9 & 0x7F in _TUN_METADATA:
        return f"tun_metadata{(field >> 9 & 0x7F) - _TUN_METADATA.start}"
    return ""


def _rank(name):
    found = _NUMBERED.match(name)
    if found and found[1] in _RANKS:
        return _RANKS[found[1]], int(found[2])
    return _RANKS.get(name, len(_RANKS)), 0


def _names(fields):
    """Names of fields, each once, in the order of printing."""
    return list(_sorted_names(tuple(fields)))


@lru_cache(_KEPT)
def _sorted_names(fields):
    return sorted({_field_name(field) for field in fields} - {""}, key=_rank)


def _ranges(numbers):
    """`4-5,7`"""
    parts = []
    for number in sorted(numbers):
        if parts and parts[-1][1] + 1 == number:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _with_misses(table, name):
    """A property for matching packets and for the rest; the latter, when not told, is the same."""
    found = table.properties.get(name, [])
    return found, table.properties.get(f"{name}_miss", found)


def _actions_of(table, kind, miss):
    """(actions, fields to set) of write or apply, sorted."""
    actions = sorted(_with_misses(table, f"{kind}_actions")[miss])
    fields = _with_misses(table, f"{kind}_setfield")[miss]
    return actions, _names(field for field, _ in fields)


def _side(table, miss):
    """All that a table can do with packets that match (miss 0), or with the others (1)."""
    return (
        _with_misses(table, "next_tables")[miss],
        sorted(_with_misses(table, "instructions")[miss]),
        _actions_of(table, "write", miss),
        _actions_of(table, "apply", miss),
    )


def _format_actions(title, pair, known):
    actions, fields = pair
    text = f"      {title} features:\n"
    words = [name for kind, name in known.items() if kind in actions]
    if words:
        text += f"        actions: {' '.join(words)}\n"
    if fields:
        text += f"        supported on Set-Field: {compact(fields)}\n"
    return text


def _format_side(side, before, version):
    next_tables, instructions, write, apply = side
    text = f"      next tables: {_ranges(next_tables)}\n" if next_tables else ""
    if before and instructions == before[1]:
        text += "      (same instructions)\n"
    else:
        words = [name for kind, name in _INSTRUCTIONS.items() if kind in instructions]
        text += f"      instructions: {' '.join(words)}\n"
    if before and (write, apply) == before[2:] and version != OF11:
        return text + "      (same actions)\n"
    known = ACTIONS_11 if version == OF11 else ACTIONS_13
    if write == apply:
        return text + _format_actions("Write-Actions and Apply-Actions", write, known)
    return (
        text
        + _format_actions("Write-Actions", write, known)
        + _format_actions("Apply-Actions", apply, known)
    )


def _format_head(table, version):
    text = ""
    if table.metadata_match or table.metadata_write:
        text += f"    metadata: match={table.metadata_match:#x} write={table.metadata_write:#x}\n"
    if version < OF13:
        text += f"    config={_MISS_CONFIGS[table.config % len(_MISS_CONFIGS)]}\n"
    if version > OF13:
        for name, bit in (("eviction", TC_EVICTION), ("vacancy events", TC_VACANCY_EVENTS)):
            text += f"    {name}: {'' if table.config & bit else 'not '}supported\n"
    return text + (f"    max_entries={table.max_entries}\n" if table.max_entries else "")


def _format_sides(table, before, version):
    hit, miss = _side(table, 0), _side(table, 1)
    if not any(map(any, (*hit[2:], *miss[2:]))) and not any((*hit[:2], *miss[:2])):
        return ""
    old = [_side(before, 0), _side(before, 1)] if before else [None, None]
    if [hit, miss] == old:
        return "    (same instructions)\n"
    if hit == miss:
        return "    instructions (table miss and others):\n" + _format_side(hit, old[0], version)
    return (
        "    instructions (other than table miss):\n"
        + _format_side(hit, old[0], version)
        + "    instructions (table miss):\n"
        + _format_side(miss, old[1], version)
    )


def _matching(table):
    """Names of fields: maskable, exact or left out, and always exact."""
    return _matched(*(tuple(table.properties.get(name, ())) for name in ("wildcards", "match")))


@lru_cache(_KEPT)
def _matched(wildcards, match):
    wild = {_field_name(field) for field, _ in wildcards}
    masked = {_field_name(field) for field, mask in match if mask}
    names = _names(field for field, _ in match)
    return (
        [name for name in names if name in masked],
        [name for name in names if name not in masked and name in wild],
        [name for name in names if name not in masked and name not in wild],
    )


def _format_matching(table, before):
    found = _matching(table)
    if before and found == _matching(before):
        return "    (same matching)\n"
    text = "    matching:\n" if any(found) else ""
    for title, names in zip(
        ("arbitrary mask", "exact match or wildcard", "must exact match"), found, strict=True
    ):
        if names:
            text += f"      {title}: {compact(names)}\n"
    return text


def _same_features(table, before):
    """Alike, if each can go on to what of the tables before's list comes behind it."""
    if _matching(table) != _matching(before):
        return False
    head = ("metadata_match", "metadata_write", "config", "max_entries")
    if any(getattr(table, name) != getattr(before, name) for name in head):
        return False
    for miss in (0, 1):
        mine, other = _side(table, miss), _side(before, miss)
        later = [number for number in other[0] if number > table.table_id]
        if mine[1:] != other[1:] or list(mine[0]) not in (later, list(other[0])):
            return False
    return True


def format_table_features(tables, style, version: int = OF13, stats=None) -> str:
    """The body of a TABLE_FEATURES reply; with `stats`, that of each, of a TABLE reply."""
    parts, before, counted, dittos = [], None, None, _Dittos()
    for table, own in zip(tables, stats or tables, strict=True):
        same_features = before is not None and _same_features(table, before)
        same = same_features and (stats is None or _key(own) == _key(counted))
        title = _title(table, style.tables)
        if same and not table.name:
            dittos.add(table.table_id)
        elif same:
            parts += [dittos.flush(), f"\n  {title}: ditto"]
        else:
            parts += [dittos.flush(), f"\n  {title}:\n", _counters(own) if stats else ""]
            if same_features:
                parts.append("    (same features)\n")
            else:
                parts += [
                    _format_head(table, version),
                    _format_sides(table, before, version),
                    _format_matching(table, before),
                ]
        before, counted = table, own
    parts.append(dittos.flush())
    return "".join(parts)
