"""What `pyvs-ovsdb-tool show-log` prints: the records of a database file for a reader."""

import sys
import time

from ovsdb.data.errors import OvsdbError
from ovsdb.storage.log import TornRecord, read_records

from . import types


class _Rows:
    """The names of rows, as far as the log has told them."""

    def __init__(self):
        self.names = {}

    def learn(self, table, uuid, row):
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str):
            self.names[table, uuid] = name

    def title(self, table, uuid):
        return f'"{self.names[table, uuid]}"' if (table, uuid) in self.names else uuid[:8]

    def known(self, table, uuid):
        return (table, uuid) in self.names


class _Log:
    """The state of a reading: schema, names of rows, which rows there are."""

    def __init__(self, verbosity):
        self.verbosity = verbosity
        self.schema = None
        self.rows = _Rows()
        self.present = set()

    def show(self, number, record):
        if self.schema is None:
            self.schema = types.Schema(record)
            print(
                f'record {number}: "{record["name"]}" schema, version="{record.get("version", "")}"'
                f', cksum="{record.get("cksum", "")}"\n'
            )
            return
        self._show_head(number, record)
        for table, rows in record.items():
            if table.startswith("_") or not isinstance(rows, dict):
                continue
            for uuid, row in rows.items():
                self._show_row(table, uuid, row, record.get("_is_diff") is True)
        if self.verbosity:
            print()

    def _show_head(self, number, record):
        text = f"record {number}:"
        date = record.get("_date")
        if isinstance(date, int):
            # Milliseconds; in the first years it was seconds.
            seconds, rest = divmod(date, 1000) if date >= 1 << 32 else (date, 0)
            text += time.strftime(" %Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:03}"
        if "_comment" in record:
            text += f' "{record["_comment"]}"'
        print(text)

    def _show_row(self, table, uuid, row, is_diff):
        self.rows.learn(table, uuid, row)
        is_new = (table, uuid) not in self.present
        if row is None:
            self.present.discard((table, uuid))
        else:
            self.present.add((table, uuid))
        if not self.verbosity:
            return
        title = self.rows.title(table, uuid)
        if not is_new or self.rows.known(table, uuid):
            title += f" ({uuid[:8]})"
        what = "insert row" if is_new else "row"
        print(f"  table {table} {what} {title}{' diff' if is_diff and not is_new else ''}:")
        if row is None:
            print("    delete row")
        elif self.verbosity > 1:
            for column, value in row.items():
                print(f"    {column}={self._text(table, column, value)}")

    def _text(self, table, column, value):
        if table not in self.schema or column not in self.schema.table(table).columns:
            return value
        kind = self.schema.table(table).columns[column].type
        return types.to_text(kind, types.from_wire(kind, value))


def show_log(path, verbosity):
    """Prints the records of a file: 0 when and why, 1 which rows, 2 which values too."""
    with open(path, "rb") as file:
        data = file.read()
    log = _Log(verbosity)
    try:
        for number, (_, record) in enumerate(read_records(data, path)):
            log.show(number, record)
    except TornRecord as torn:
        print(f"{path}: {torn}", file=sys.stderr)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise OvsdbError("ovsdb error", f"{path}: a record cannot be shown: {error!r}") from error
