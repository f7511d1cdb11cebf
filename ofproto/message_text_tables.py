"""The printers of message_text for statistics and features of tables.

Tables that are like the one before are not told again: "ditto".
"""

from .flow_text import format_table

# The fields of OpenFlow 1.0 by their wildcard bits, in the order of printing
_WILDCARDS_10 = (
    (1 << 0, "in_port"), (1 << 2, "eth_src"), (1 << 3, "eth_dst"), (1 << 4, "eth_type"),
    (1 << 1, "vlan_vid"), (1 << 20, "vlan_pcp"), (0x3F << 8, "ip_src"), (0x3F << 14, "ip_dst"),
    (1 << 5, "nw_proto"), (1 << 21, "nw_tos"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"),
)  # fmt: skip


def compact(names: list[str], separator: str = " ") -> str:
    """Names with common beginnings in braces: `eth_{src,dst} ip_src`.  Order matters."""
    words, at = [], 0
    while at < len(names):
        head, underscore, _ = names[at].partition("_")
        end = at + 1
        while underscore and end < len(names) and names[end].startswith(head + "_"):
            end += 1
        if end - at > 1:
            rest = compact([name[len(head) + 1 :] for name in names[at:end]], ",")
            words.append(f"{head}_{{{rest}}}")
        else:
            words.append(names[at])
        at = end
    return separator.join(words)


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
    if before and (before.wildcards, before.max_entries) == (table.wildcards, table.max_entries):
        return "    (same features)\n"
    names = [name for bits, name in _WILDCARDS_10 if table.wildcards & bits]
    return (
        f"    max_entries={table.max_entries}\n"
        "    matching:\n"
        f"      exact match or wildcard: {compact(names)}\n"
    )


def _key(table):
    return (table.wildcards, table.max_entries, table.active, table.lookups, table.matched)


def format_table_stats(tables, style, version: int) -> str:
    """The body of a TABLE reply."""
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
                f"    active={table.active}, lookup={table.lookups}, matched={table.matched}\n",
            ]
            if version == 1:
                parts.append(_matching_10(table, before))
        before = table
    parts.append(dittos.flush())
    return "".join(parts)


def format_table_number(table, style):
    return format_table(table, style.tables)
