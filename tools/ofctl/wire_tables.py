"""Flow tables as rows of flow statistics: most flows of two large tables that are compared are the
same, byte for byte, or differ in what they do only.  Those are told apart here without an object
for each; what is left goes the way of diff.

A flow of a file is made a row, too.  The key of a row is what names its flow: table, priority, and
the bytes of its match.  Two forms of one match have two keys here, so that what is left of both
tables has to be compared as objects.
"""

from ofproto.codec import messages as m
from ofproto.codec import value_places
from ofproto.codec.messages.base import find
from ofproto.codec.numbers import OF10, OF12, OF13, OF14
from ofproto.text.row_lines import RowLines

_VERSIONS = (OF12, OF13, OF14)


class WireTable:
    """`rows`: key -> row; `flows`: key -> what the row was made of, where that is a flow of a file.
    `form`: that of the rows (messages.base.Form)."""

    def __init__(self, form):
        self.form = form
        self.rows: dict[bytes, bytes] = {}
        self.flows: dict[bytes, object] = {}

    def add(self, row: bytes, flow=None) -> None:
        """The later one of two with the same key counts."""
        tail = value_places.row_instructions_at(row, self.form.version, self._nxm)
        key = row[2:3] + row[12:14] + (row[18:20] if self._nxm else b"") + row[48:tail]
        self.rows[key] = row
        if flow is not None:
            self.flows[key] = flow

    @property
    def _nxm(self):
        return self.form.version == OF10

    def decode(self, keys) -> list:
        """FlowStats of rows.  Raises OFError."""
        return [self.form.body.read_item(self.rows[key], self.form.version) for key in keys]

    def numbers(self, row: bytes) -> bytes:
        """Timeouts, importance and cookie."""
        importance = row[20:22] if self.form.version > OF13 else b""
        return row[14:18] + importance + row[24:32]


def of_replies(raws) -> WireTable | None:
    """The flows in the parts of a reply; None where they are in a form without keys."""
    table = None
    for raw in raws:
        form = find(raw)[0]
        is_nxm = form.version == OF10 and form.place != m.base.REPLY
        if form.cls is not m.FlowStatsReply or not (is_nxm or form.version in _VERSIONS):
            return None
        table = table or WireTable(form)
        at, end = form.head_size, len(raw)
        while at < end:
            size = int.from_bytes(raw[at : at + 2], "big")
            if size < form.body.least or at + size > end:
                return None
            table.add(raw[at : at + size])
            at += size
    return table


def of_flows(form, flows) -> WireTable | None:
    """Flows of a file as rows of this form; None where one cannot be said in it."""
    table = WireTable(form)
    try:
        for flow in flows:
            raw = flow.encode(form.version, 0, nxm=True, table_id_in_command=True)
            table.add(value_places.row_of_mod(raw), flow)
    except (ValueError, m.OFError):
        return None
    return table


def compare(have: WireTable, want: WireTable) -> tuple[list[bytes], list[bytes]]:
    """The keys that both tables have: of flows that are the same, and of those that differ.
    Raises OFError."""
    lines, form = RowLines(), have.form
    same, different = [], []
    for key, row in want.rows.items():
        other = have.rows.get(key)
        if other is None:
            continue
        equal = have.numbers(row) == have.numbers(other)
        if equal and row[48:] != other[48:]:  # said in two ways
            equal = lines.body(row, form) == lines.body(other, form)
        (same if equal else different).append(key)
    return same, different
