"""A copy of some columns of a database, the changes that a command makes to it, and the
transaction that these amount to.

A Snapshot is read in one `transact` of selects, so it is consistent.  Rows are changed in
place; operations() then gives the operations, led by a `wait` on every column that a
decision was based on (Row.verify), so that the server refuses what was decided on stale data.
Additions to and removals from sets and maps are sent as mutations, which need no such care.
"""

from . import types


class Row:
    """A row.  Values are datums (see ovsdb_types); do not change one in place, set a new one."""

    __slots__ = (
        "_changes",
        "_data",
        "_mutated",
        "_mutations",
        "_verified",
        "deleted",
        "is_new",
        "snapshot",
        "table",
        "uuid",
    )

    def __init__(self, snapshot, table, uuid, data, is_new=False):
        self.snapshot = snapshot
        self.table = table  # types.Table
        self.uuid = uuid
        self._data = data
        self._changes = {}
        self._mutations = []  # (column, "insert" or "delete", datum)
        self._mutated = {}  # {column: datum} after the mutations
        self._verified = set()
        self.is_new = is_new
        self.deleted = False

    def get(self, column):
        """The datum of a column as changed so far."""
        if column == "_uuid":
            return [self.uuid]
        for changes in (self._changes, self._mutated):
            if column in changes:
                return changes[column]
        if column not in self._data:
            if not self.is_new:
                raise KeyError(f"{self.table.name}.{column} was not read")
            return self.table.columns[column].type.default()
        return self._data[column]

    def knows(self, column):
        """True if get() has an answer."""
        return column in self.table.columns and (self.is_new or column in self._data)

    def one(self, column, default=None):
        """The only atom of a column, or `default` when it is empty."""
        datum = self.get(column)
        return datum[0] if datum else default

    def set(self, column, datum):
        self._mutated.pop(column, None)
        self._changes[column] = datum if isinstance(datum, dict) else sorted(datum)

    def _mutate(self, column, mutator, argument, result):
        if self.is_new or column in self._changes:
            self.set(column, result)
            return
        self._mutated[column] = result if isinstance(result, dict) else sorted(result)
        self._mutations.append((column, mutator, argument))

    def insert_into(self, column, datum):
        """Adds atoms to a set, or pairs to a map, replacing the values of keys in there."""
        old = self.get(column)
        if isinstance(datum, dict):
            taken = sorted(key for key in datum if key in old and old[key] != datum[key])
            if taken:
                self._mutate(column, "delete", taken, old)
            self._mutate(column, "insert", datum, {**old, **datum})
        else:
            self._mutate(column, "insert", sorted(datum), {*old, *datum})

    def remove_from(self, column, datum):
        """Removes atoms from a set; from a map keys (a list) or pairs (a dict)."""
        old = self.get(column)
        if not isinstance(old, dict):
            result = [atom for atom in old if atom not in datum]
        elif isinstance(datum, dict):
            result = {k: v for k, v in old.items() if k not in datum or datum[k] != v}
        else:
            result = {k: v for k, v in old.items() if k not in datum}
        self._mutate(column, "delete", datum, result)

    def verify(self, column):
        """The transaction will fail, and be tried anew, when the column has changed meanwhile."""
        if not self.is_new and column != "_uuid":
            self._verified.add(column)

    def update(self, column, change):
        """Replaces the datum by change(copy of it), based on what was read."""
        self.verify(column)
        datum = self.get(column)
        self.set(column, change(dict(datum) if isinstance(datum, dict) else list(datum)))

    def delete(self):
        self.deleted = True
        del self.snapshot.rows[self.table.name][self.uuid]

    def changed(self):
        """{column: datum} of what differs from what was read."""
        if self.is_new:
            return self._changes
        return {
            name: datum
            for name, datum in self._changes.items()
            if name not in self._data or datum != self._data[name]
        }

    def set_so_far(self):
        """{column: datum} of what this run sets or adds to."""
        return {**self._mutated, **self.changed()}

    def _where(self):
        return [["_uuid", "==", ["uuid", self.uuid]]]

    def wait_operation(self, named):
        """The prerequisite, or None."""
        columns = sorted(self._verified)
        if not columns:
            return None
        kinds = self.table.columns
        return {
            "op": "wait",
            "table": self.table.name,
            "timeout": 0,
            "where": self._where(),
            "columns": columns,
            "until": "==",
            "rows": [{c: types.to_wire(kinds[c].type, self._data[c], named) for c in columns}],
        }

    def _mutation_operation(self, named):
        """The mutate, or None if the mutations change nothing."""
        mutations = []
        for column, mutator, datum in self._mutations:
            if self._mutated.get(column, self._data[column]) == self._data[column]:
                continue
            kind = self.table.columns[column].type
            if isinstance(datum, dict):
                wire = types.to_wire(kind, datum, named)
            else:
                wire = types.set_to_wire(kind.key.type, datum, named)
            mutations.append([column, mutator, wire])
        if not mutations:
            return None
        where = self._where()
        return {"op": "mutate", "table": self.table.name, "where": where, "mutations": mutations}

    def operations(self, named):
        """The insert, delete, or update and mutate that bring the row about."""
        name = self.table.name
        if self.deleted:
            # Other tables' rows go when nothing refers to them any more; asking for it would be
            # an error while something does.
            delete = {"op": "delete", "table": name, "where": self._where()}
            return [delete] if self.table.is_root else []
        kinds, values = self.table.columns, self.changed()
        wire = {name: types.to_wire(kinds[name].type, values[name], named) for name in values}
        if self.is_new:
            insert = {"op": "insert", "table": name, "row": wire}
            if self.uuid in self.snapshot.chosen:
                insert["uuid"] = self.uuid
            else:
                insert["uuid-name"] = named[self.uuid][1]
            return [insert]
        mutate = self._mutation_operation(named)
        update = {"op": "update", "table": name, "where": self._where(), "row": wire}
        return [operation for operation in (wire and update, mutate) if operation]


class Snapshot:
    """Rows of some tables: rows[table][uuid]."""

    def __init__(self, schema):
        self.schema = schema
        self.rows = {}
        self.touched = []  # rows that were inserted or deleted
        self.chosen = set()  # UUIDs of new rows that the user chose himself

    def read(self, client, wanted):
        """Reads {table: columns}; unknown tables and columns are left out, so that the
        commands work with older schemas."""
        names = [name for name in wanted if name in self.schema]
        operations, chosen = [], []
        for name in names:
            table = self.schema.table(name)
            columns = [column for column in sorted(wanted[name]) if column in table.columns]
            chosen.append(columns)
            operations.append(
                {"op": "select", "table": name, "where": [], "columns": ["_uuid", *columns]}
            )
        results = transact(client, self.schema.name, operations) if operations else []
        for name, columns, result in zip(names, chosen, results, strict=False):
            self._load(name, columns, result["rows"])

    def _load(self, name, columns, wire_rows):
        table = self.schema.table(name)
        kinds = [(column, table.columns[column].type) for column in columns]
        rows = self.rows[name] = {}
        for wire in wire_rows:
            uuid = wire["_uuid"][1]
            data = {column: types.from_wire(kind, wire[column]) for column, kind in kinds}
            rows[uuid] = Row(self, table, uuid, data)

    def table(self, name):
        """The rows of a table that was read (none when the schema lacks it)."""
        return list(self.rows.get(name, {}).values())

    def has(self, table, column=None):
        """True if the schema has the table, and the column."""
        return table in self.schema and (
            column is None or column in self.schema.table(table).columns
        )

    def insert(self, name, uuid=None, chosen=False):
        """A new row with default values.  `chosen` asks the server for exactly this UUID."""
        row = Row(self, self.schema.table(name), uuid or types.new_uuid(), {}, is_new=True)
        self.rows.setdefault(name, {})[row.uuid] = row
        self.touched.append(row)
        if chosen:
            self.chosen.add(row.uuid)
        return row

    def delete(self, row):
        row.delete()
        self.touched.append(row)

    def operations(self):
        """(operations, {index of insert: row}); no operations when nothing changed."""
        deleted = [row for row in self.touched if row.deleted and not row.is_new]
        gone = [row for row in deleted if row.table.is_root]
        new = [row for row in self.touched if row.is_new and not row.deleted]
        named = {
            row.uuid: ["named-uuid", "row" + row.uuid.replace("-", "_")]
            for row in new
            if row.uuid not in self.chosen
        }
        old = [row for rows in self.rows.values() for row in rows.values() if not row.is_new]
        changes = [operation for row in [*gone, *new, *old] for operation in row.operations(named)]
        if not changes:
            return [], {}
        waits = [row.wait_operation(named) for row in [*gone, *old]]
        waits = [wait for wait in waits if wait]
        base = len(waits) + len(gone)
        inserts = {base + offset: row for offset, row in enumerate(new)}
        return waits + changes, inserts


class TransactionError(Exception):
    """The server refused an operation; str() is the error object as JSON."""

    def __init__(self, error):
        import json

        super().__init__(json.dumps(error, separators=(",", ":"), sort_keys=True))
        self.error = error


class Conflict(Exception):
    """A prerequisite did not hold: read again, decide again."""


def transact(client, database, operations):
    """The results of a transaction, all of them successful.  Raises Conflict,
    TransactionError, ovsdb_rpc.RpcError and ovsdb_rpc.Disconnected."""
    results = client.request("transact", [database, *operations])
    for index, result in enumerate(results):
        if isinstance(result, dict) and result.get("error"):
            is_wait = index < len(operations) and operations[index]["op"] == "wait"
            if result["error"] == "timed out" and is_wait:
                raise Conflict
            raise TransactionError(result)
    return results
