"""Tables on standard output: the formats of ovs-vsctl(8) and ovsdb-client(1).

A cell is text, None for nothing, or (column type, datum) for a value of a database; Json for
any other JSON value.
"""

import json
import re
import sys

from pyvs import digits
from pyvs_tools.ovsdb import types

FORMATS = ("table", "list", "html", "csv", "json")
CELLS = {"string": types.to_text, "bare": types.to_bare, "json": types.to_json_text}


class Json:
    """A cell that is a JSON value."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class StyleError(Exception):
    """An unknown format was asked for; str() is for the user."""


class Style:
    """How to print; the attributes are the options of the same names."""

    __slots__ = ("cells", "format", "headings", "max_column_width", "pretty")

    def __init__(self, format="table"):
        self.format = format
        self.cells = "string"
        self.headings = True
        self.pretty = False
        self.max_column_width = 0

    def set_option(self, name, value):
        """Takes a command line option; False when it is none of ours."""
        if name == "format":
            if value not in FORMATS:
                raise StyleError(f'unknown output format "{value}"')
            self.format = value
        elif name == "data":
            if value not in CELLS:
                raise StyleError(f'unknown data format "{value}"')
            self.cells = value
        elif name == "no-headings":
            self.headings = False
        elif name == "pretty":
            self.pretty = True
        elif name == "bare":
            self.format, self.cells, self.headings = "list", "bare", False
        elif name == "max-column-width":
            self.max_column_width = digits.number(value)
            if self.max_column_width is None:
                raise StyleError(f'--max-column-width: "{value}" is not a number')
        else:
            return False
        return True


# Rows for getopt_long.parse(): name, short letter, takes an argument
OPTIONS = (
    ("format", "f", True),
    ("data", "d", True),
    ("no-headings", "", False),
    ("pretty", "", False),
    ("bare", "", False),
    ("max-column-width", "", True),
)


def dump_json(value, pretty=False):
    """JSON text with members in order of their names, laid out as OVS' tools do."""
    if not pretty:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return _pretty(value, 0)


def _pretty(value, depth):
    pad = "  " * (depth + 1)
    if isinstance(value, dict) and value:
        items = [
            f"{json.dumps(key, ensure_ascii=False)}: {_pretty(value[key], depth + 1)}"
            for key in sorted(value)
        ]
        return "{\n" + pad + (",\n" + pad).join(items) + "}"
    if isinstance(value, list) and value:
        return "[\n" + pad + (",\n" + pad).join(_pretty(v, depth + 1) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


class Printer:
    """Writes tables to standard output, with blank lines between them where that is usual."""

    def __init__(self, style):
        self.style = style
        self._any = False

    def separate(self):
        """Writes the blank line now; print() will not do it again."""
        if self._any and self.style.format not in ("html", "json"):
            sys.stdout.write("\n")
        self._any = False

    def print(self, table):
        self.separate()
        self._any = True
        sys.stdout.write(table.format(self.style))
        sys.stdout.flush()


class Table:
    """A table to print: headings, rows of cells, perhaps a caption and a time stamp (text)."""

    def __init__(self, headings, caption=None, timestamp=None):
        self.headings = headings
        self.rows = []
        self.caption = caption
        self.timestamp = timestamp

    def add(self, cells):
        self.rows.append(cells)

    def _texts(self, style):
        show = CELLS[style.cells]

        def text(cell):
            if isinstance(cell, tuple):
                return show(*cell)
            return dump_json(cell.value) if isinstance(cell, Json) else cell or ""

        return [[text(cell) for cell in row] for row in self.rows]

    def format(self, style):
        """The text of the table, with a newline at its end unless it is empty."""
        return _FORMATTERS[style.format](self, style)

    def _preamble(self):
        lines = []
        if self.timestamp:
            lines.append(self.timestamp)
        if self.caption:
            lines.append(self.caption)
        return lines


def _as_table(table, style):
    rows = table._texts(style)
    limit = style.max_column_width
    widths = [len(heading) if style.headings else 0 for heading in table.headings]
    for row in rows:
        for index, text in enumerate(row):
            width = min(len(text), limit) if limit else len(text)
            widths[index] = max(widths[index], width)
    lines = table._preamble()

    def line(cells):
        text = " ".join(
            cell[:width].ljust(width) for cell, width in zip(cells, widths, strict=True)
        )
        lines.append(text.rstrip(" "))

    if style.headings:
        line(table.headings)
        line(["-" * width for width in widths])
    for row in rows:
        line(row)
    return "".join(text + "\n" for text in lines)


def _as_list(table, style):
    blocks = []
    for row in table._texts(style):
        if style.headings:
            row = [f"{head:<20}: {text}" for head, text in zip(table.headings, row, strict=True)]
        blocks.append("".join(text + "\n" for text in row))
    head = "".join(text + "\n" for text in table._preamble())
    return head + "\n".join(blocks)


_UUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _html_cell(text, heading):
    """References to rows become links to where their table has them."""
    attribute = 'name="' if heading == "_uuid" else 'href="#'
    return _UUID.sub(rf'<a {attribute}\g<0>">\1</a>', _escape_html(text))


def _escape_html(text):
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )


def _as_html(table, style):
    lines = []
    if table.timestamp:
        lines.append(f"<p>{_escape_html(table.timestamp)}</p>")
    lines.append("<table border=1>")
    if table.caption:
        lines.append(f"    <caption>{_escape_html(table.caption)}</caption>")

    def row(cells, tag):
        lines.append("  <tr>")
        lines.extend(f"    <{tag}>{cell}</{tag}>" for cell in cells)
        lines.append("  </tr>")

    if style.headings:
        row(map(_escape_html, table.headings), "th")
    for cells in table._texts(style):
        row(map(_html_cell, cells, table.headings), "td")
    lines.append("</table>")
    return "\n".join(lines) + "\n"


def _quote_csv(text):
    if any(char in text for char in '"\n\r,'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _as_csv(table, style):
    lines = table._preamble()
    if style.headings:
        lines.append(",".join(map(_quote_csv, table.headings)))
    for row in table._texts(style):
        lines.append(",".join(map(_quote_csv, row)))
    return "".join(line + "\n" for line in lines)


def _json_cell(cell):
    if isinstance(cell, tuple):
        return types.to_wire(*cell)
    return cell.value if isinstance(cell, Json) else cell


def _as_json(table, style):
    value = {
        "headings": list(table.headings),
        "data": [[_json_cell(cell) for cell in row] for row in table.rows],
    }
    if table.caption:
        value["caption"] = table.caption
    if table.timestamp:
        value["time"] = table.timestamp
    return dump_json(value, style.pretty) + "\n"


_FORMATTERS = {
    "table": _as_table,
    "list": _as_list,
    "html": _as_html,
    "csv": _as_csv,
    "json": _as_json,
}
