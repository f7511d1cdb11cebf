"""Completion of pyvs-vsctl's command lines: what may stand at the end of the words so far.

The shell calls `pyvs-vsctl --complete=N WORD...`, where the Nth word is the one to complete.
Names of bridges, ports, tables and so on come from the database, if it can be reached.
"""

from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from pyvs_tools.ovsdb import types

DATABASE = "Open_vSwitch"
NAMED = {"BRIDGE": "Bridge", "PARENT": "Bridge", "PORT": "Port", "BOND": "Port"}
NAMED["IFACE"] = "Interface"
FIXED = {"MODE": ["standalone", "secure"]}
SECONDS = 2  # how long the shell may be kept waiting


class Data:
    """The database, asked when it is needed for the first time; empty when it is away."""

    def __init__(self, remote):
        self.remote = remote
        self._client = self._schema = None
        self._failed = False

    def _request(self, method, params):
        if self._failed:
            return None
        try:
            if self._client is None:
                self._client = ovsdb_rpc.connect(self.remote)
                self._client.sock.settimeout(SECONDS)
            return self._client.request(method, params)
        except (ovsdb_rpc.ConnectError, ovsdb_rpc.Disconnected, ovsdb_rpc.RpcError, OSError):
            self._failed = True
            return None

    def schema(self):
        """types.Schema, or None."""
        if self._schema is None:
            spec = self._request("get_schema", [DATABASE])
            self._schema = types.Schema(spec) if spec else None
        return self._schema

    def tables(self):
        schema = self.schema()
        return list(schema.table_names) if schema else []

    def columns(self, table):
        """{name: types.Column} of a table that a word names."""
        schema = self.schema()
        found = [name for name in self.tables() if name.lower() == table.lower()]
        if not found:
            found = [name for name in self.tables() if name.lower().startswith(table.lower())]
        return (found[0], schema.table(found[0]).columns) if len(found) == 1 else ("", {})

    def values(self, table, column):
        """The values of a column in all rows."""
        select = {"op": "select", "table": table, "where": [], "columns": [column]}
        results = self._request("transact", [DATABASE, select])
        rows = results[0].get("rows", []) if results else []
        return [row[column] for row in rows]

    def records(self, table):
        """Names (or UUIDs) of a table's rows."""
        name, columns = self.columns(table)
        if not name:
            return []
        column = next((each for each in ("name", "target") if each in columns), "_uuid")
        found = [value[1] if column == "_uuid" else value for value in self.values(name, column)]
        return [*found, "."] if name in ("Open_vSwitch", "SSL") else found


def complete(words, number, commands, options, remote):
    """The candidates for words[number]; `commands` {name: Spec}, `options` the global rows."""
    before, word = words[:number], words[number] if number < len(words) else ""
    remote, group, is_first = _scan(before, options, remote)
    if before and before[-1] == "--db":
        return []
    data = Data(remote)
    position = next((at for at, each in enumerate(group) if not each.startswith("-")), None)
    if position is None:
        found = _options(commands, options if is_first else ()) if word.startswith("-") else []
        found = found or sorted(commands)
    else:
        spec = commands.get(group[position])
        args = group[position + 1 :]
        found = _arguments(spec, args, word, data) if spec is not None else []
        found += ["--"]
    return sorted({each for each in found if each.startswith(word)})


def _scan(before, options, remote):
    """(remote, words of the command that is being typed, whether it is the first)."""
    takes = {name for name, _letter, argument in options if argument is True}
    group, is_first, skip = [], True, False
    for each in before:
        if skip:
            remote, skip = each if skip == "db" else remote, False
        elif each == "--":
            group, is_first = [], False
        elif each.startswith("--db="):
            remote = each[5:]
        elif not group and each[:2] == "--" and each[2:] in takes:
            skip = each[2:]
        else:
            group.append(each)
    return remote, group, is_first


def _options(commands, options):
    """Long options, those with an argument with "=" behind."""
    found = [f"--{name}{'=' if takes is True else ''}" for name, _letter, takes in options]
    for spec in commands.values():
        found += [f"--{name}{'=' if takes else ''}" for name, takes in spec.options.items()]
    return found


def _arguments(spec, args, word, data):
    """Candidates for the argument after `args`."""
    names = [each[1:] for each in spec.syntax.split()]
    repeats = [each[0] in "*+" for each in spec.syntax.split()]
    found = []
    at = min(len(args), len(names) - 1)
    if not names or (len(args) >= len(names) and not repeats[-1]):
        return found
    # An optional argument before may have been left out.
    optional = spec.syntax.split()[at][0] == "?" and at + 1 < len(names)
    for name in names[at : at + 2 if optional else at + 1]:
        for kind in name.split("|"):
            found += _of_kind(kind, names, args, word, data)
    return found


def _of_kind(kind, names, args, word, data):
    if kind in FIXED:
        return FIXED[kind]
    if kind in NAMED:
        return data.records(NAMED[kind])
    if kind == "TABLE":
        return data.tables()
    if kind == "RECORD":
        return data.records(args[names.index("TABLE")])
    if kind.startswith("COLUMN"):
        table = args[names.index("TABLE")] if "TABLE" in names else _default_table(names)
        return _columns(kind, table, word, data)
    return []


def _default_table(names):
    return "Port" if "NEW-PORT" in names or "BOND" in names else "Open_vSwitch"


def _columns(kind, table, word, data):
    """Columns; with "=" or ":" behind where a value or a key must follow; and keys."""
    name, columns = data.columns(table)
    column, colon, _ = word.partition(":")
    if colon and column in columns and columns[column].type.is_map:
        maps = data.values(name, column)
        return sorted({f"{column}:{key}" for value in maps for key, _ in value[1]})
    if "=" not in kind:
        return [*columns, "_uuid"] if "KEY" in kind else list(columns)
    return [f"{each}:" if columns[each].type.is_map else f"{each}=" for each in columns]
