"""The database commands of vsctl: list, find, get, set, add, remove, clear, create, destroy,
wait-until, comment.  They work on any table of the schema.  Syntax: ovs-vsctl(8).
"""

import re

from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import types
from pyvs_tools.ovsdb.table import Table

from .context import Spec, TryAgain, prefix_match

LOG_MODULE = "db_ctl_base"  # as in ovs-vsctl
_HEX = re.compile(r"[0-9a-f]{4}[0-9a-f-]*\Z")

# How a record may be named besides by its UUID, as (table, column that has the name, column
# that leads to the record, None if it is the record itself).
RECORD_NAMES = {
    "AutoAttach": [("Bridge", "name", "auto_attach")],
    "Bridge": [("Bridge", "name", None)],
    "Controller": [("Bridge", "name", "controller")],
    "Flow_Sample_Collector_Set": [("Flow_Sample_Collector_Set", "id", None)],
    "Flow_Table": [("Flow_Table", "name", None)],
    "IPFIX": [("Bridge", "name", "ipfix")],
    "Interface": [("Interface", "name", None)],
    "Manager": [("Manager", "target", None)],
    "Mirror": [("Mirror", "name", None)],
    "NetFlow": [("Bridge", "name", "netflow")],
    "Port": [("Port", "name", None)],
    "QoS": [("Port", "name", "qos")],
    "sFlow": [("Bridge", "name", "sflow")],
}

_OPERATORS = [
    "=",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "{=}",
    "{!=}",
    "{<}",
    "{>}",
    "{<=}",
    "{>=}",
    "{in}",
    "{not-in}",
]
OPERATORS = sorted(_OPERATORS, key=len, reverse=True)  # "<=" must be tried before "<"
_LISTED = ", ".join(f'"{name}"' for name in _OPERATORS[:-1]) + f', or "{_OPERATORS[-1]}"'


# Names


def find_table(context, name):
    """The types.Table that `name` or its beginning names."""
    found = prefix_match(name, context.schema.table_names)
    if len(found) > 1:
        raise Fatal(f'"{name}" matches multiple table names: {", ".join(found)}')
    if not found:
        raise Fatal(f'unknown table "{name}"')
    return context.schema.table(found[0])


def find_column(table, name):
    """The types.Column that `name` or its beginning names; _uuid too."""
    found = prefix_match(name, ["_uuid", *table.columns])
    if len(found) > 1:
        raise Fatal(
            f'{table.name} contains more than one column whose name matches "{name}": '
            f"{', '.join(found)}"
        )
    if not found:
        raise Fatal(f'{table.name} does not contain a column whose name matches "{name}"')
    return types.UUID_COLUMN if found == ["_uuid"] else table.columns[found[0]]


def writable_column(table, name):
    """A column that commands may set."""
    column = find_column(table, name)
    if column is types.UUID_COLUMN:
        raise Fatal(f'{table.name} does not contain a column whose name matches "{name}"')
    return column


def modifiable_column(row, name):
    """A column that commands may set in a row: any, while the transaction makes the row."""
    column = writable_column(row.table, name)
    if not column.mutable and not row.is_new:
        raise Fatal(f"cannot modify read-only column {column.name} in table {row.table.name}")
    return column


# Column arguments


def split_argument(table, text, operators):
    """(column, key text or None, operator or None, value text or None) of
    COLUMN[:KEY][OPERATOR VALUE].  A value follows if `operators` has any."""
    word, position = types.token(text, 0)
    if not word:
        raise Fatal(f"{text}: missing column name")
    column = find_column(table, word)
    key = None
    if text[position : position + 1] == ":":
        key, position = types.token(text, position + 1)
        if not key:
            raise Fatal(f"{text}: missing key")
    rest = text[position:]
    if not operators:
        if rest:
            raise Fatal(f'{text}: trailing garbage "{rest}" in argument')
        return column, key, None, None
    for operator in operators:
        if rest.startswith(operator) and len(rest) > len(operator):
            return column, key, operator, rest[len(operator) :]
    listed = _LISTED if len(operators) > 1 else '"="'
    raise Fatal(f"{text}: argument does not end in {listed} followed by a value.")


def _key_atom(context, column, key, verb):
    if not column.type.is_map:
        raise Fatal(f"cannot specify key to {verb} for non-map column {column.name}")
    return types.parse_atom(column.type.key, key, context.symbols)


# Records


def record_columns(context, table):
    """{table: columns} that finding a record of `table` by name needs."""
    wanted = {table.name: set()}
    for source, name_column, leads in RECORD_NAMES.get(table.name, ()):
        columns = wanted.setdefault(source, set())
        columns.update([name_column, leads] if leads else [name_column])
    return wanted


def _by_name(context, table, rule, name):
    source, name_column, leads = rule
    if not all(context.snapshot.has(source, column) for column in (name_column, leads)):
        return None
    rows = context.snapshot.table(source)
    kind = context.schema.table(source).columns[name_column].type.key.type
    found = [
        row
        for row in rows
        if any((atom if kind == "string" else str(atom)) == name for atom in row.get(name_column))
    ]
    if len(found) > 1:
        raise Fatal(f'multiple rows in {table.name} match "{name}"')
    if not found:
        return None
    if leads is None:
        return found[0]
    uuids = found[0].get(leads)
    found[0].verify(leads)
    return context.snapshot.rows[table.name].get(uuids[0]) if len(uuids) == 1 else None


def find_record(context, table, name, must_exist):
    """The Row, or None.  `name` is a UUID, its beginning, @symbol, a name, or "." for the only
    row of a table."""
    rows = context.snapshot.rows.get(table.name, {})
    row = rows.get(name.lower()) if types.is_uuid(name) else None
    if row is None and name in context.symbols.created:
        row = rows.get(context.symbols.lookup(name))
    if name == "." and len(rows) == 1:
        row = next(iter(rows.values()))
    for rule in RECORD_NAMES.get(table.name, ()):
        row = row or _by_name(context, table, rule, name)
    if row is None and _HEX.match(name.lower()):
        found = [uuid for uuid in rows if uuid.startswith(name.lower())]
        row = rows[found[0]] if len(found) == 1 else None
    if row is None and must_exist:
        raise Fatal(f'no row "{name}" in table {table.name}')
    return row


# What is to be read


def _read_record(context, table, columns=()):
    for name, wanted in record_columns(context, table).items():
        context.want(name, wanted)
    context.want(table.name, columns)


def _argument_columns(context, table, arguments):
    for argument in arguments:
        column, *_ = split_argument(table, argument, OPERATORS)
        context.want(table.name, [column.name])


def _columns_option(table, option):
    if option is None:
        return [types.UUID_COLUMN, *table.columns.values()]
    names = [name for name in re.split(r"[, ]+", option) if name]
    if not names:
        raise Fatal("must specify at least one column name")
    return [find_column(table, name) for name in names]


def read_list(context, command):
    table = find_table(context, command.args[0])
    columns = _columns_option(table, command.options.get("columns"))
    _read_record(context, table, [column.name for column in columns])


def read_find(context, command):
    read_list(context, command)
    table = find_table(context, command.args[0])
    _argument_columns(context, table, command.args[1:])


def read_get(context, command):
    table = find_table(context, command.args[0])
    _read_record(context, table)
    for argument in command.args[2:]:
        column, key, _, _ = split_argument(table, argument, ())
        if key is not None and not column.type.is_map:
            raise Fatal(f"cannot specify key to get for non-map column {column.name}")
        context.want(table.name, [column.name])


def read_set(context, command):
    table = find_table(context, command.args[0])
    _read_record(context, table)
    for argument in command.args[2:]:
        column, *_ = split_argument(table, argument, ("=",))
        context.want(table.name, [writable_column(table, column.name).name])


def read_add(context, command):
    table = find_table(context, command.args[0])
    _read_record(context, table, [writable_column(table, command.args[2]).name])


def read_clear(context, command):
    table = find_table(context, command.args[0])
    columns = [writable_column(table, name) for name in command.args[2:]]
    _read_record(context, table, [column.name for column in columns])


def read_create(context, command):
    table = find_table(context, command.args[0])
    context.want(table.name, ())
    for argument in command.args[1:]:
        column, *_ = split_argument(table, argument, ("=",))
        writable_column(table, column.name)


def read_destroy(context, command):
    _read_record(context, find_table(context, command.args[0]))


def read_wait(context, command):
    table = find_table(context, command.args[0])
    _read_record(context, table)
    _argument_columns(context, table, command.args[2:])


# list, find, get


def _make_table(columns, rows):
    table = Table([column.name for column in columns])
    for row in rows:
        table.add([(column.type, row.get(column.name)) for column in columns])
    return table


def _in_order(rows):
    """Rows in a fixed order: by name where there is one, else by UUID."""
    if all(row.knows("name") for row in rows):
        return sorted(rows, key=lambda row: (row.get("name"), row.uuid))
    return sorted(rows, key=lambda row: row.uuid)


def run_list(context, command):
    table = find_table(context, command.args[0])
    columns = _columns_option(table, command.options.get("columns"))
    if len(command.args) == 1:
        rows = _in_order(context.snapshot.table(table.name))
    else:
        must_exist = "if-exists" not in command.options
        found = [find_record(context, table, name, must_exist) for name in command.args[1:]]
        rows = [row for row in found if row is not None]
    command.table = _make_table(columns, rows)


def run_find(context, command):
    table = find_table(context, command.args[0])
    columns = _columns_option(table, command.options.get("columns"))
    conditions = [_condition(context, table, text) for text in command.args[1:]]
    rows = [
        row
        for row in context.snapshot.table(table.name)
        if all(condition(row) for condition in conditions)
    ]
    command.table = _make_table(columns, _in_order(rows))


def run_get(context, command):
    must_exist = "if-exists" not in command.options
    identity = command.options.get("id")
    if identity is not None and not must_exist:
        raise Fatal("--if-exists and --id may not be specified together")
    table = find_table(context, command.args[0])
    row = find_record(context, table, command.args[1], must_exist)
    if row is None:
        return
    if identity is not None:
        _create_symbol(context, identity, row.uuid)
    for argument in command.args[2:]:
        column, key, _, _ = split_argument(table, argument, ())
        row.verify(column.name)
        datum = row.get(column.name)
        if key is None:
            command.print(types.to_text(column.type, datum))
            continue
        atom = _key_atom(context, column, key, "get")
        if atom in datum:
            command.print(types.atom_to_text(column.type.value.type, datum[atom]))
        elif must_exist:
            raise Fatal(
                f'no key "{key}" in {table.name} record "{command.args[1]}" column {column.name}'
            )
        else:
            command.print("")


# Conditions


def _order(column_type, left, right):
    """-1, 0 or 1: fewer elements first, then by keys, then by values."""
    if len(left) != len(right):
        return -1 if len(left) < len(right) else 1
    if column_type.is_map:
        left_keys, right_keys = sorted(left), sorted(right)
        if left_keys != right_keys:
            return -1 if left_keys < right_keys else 1
        left = [left[key] for key in left_keys]
        right = [right[key] for key in right_keys]
    return (left > right) - (left < right)


def _elements(datum):
    return set(datum.items()) if isinstance(datum, dict) else set(datum)


_ORDER_TESTS = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}
_SET_TESTS = {
    "{=}": lambda have, want: have == want,
    "{!=}": lambda have, want: have != want,
    "{<}": lambda have, want: have < want,
    "{>}": lambda have, want: have > want,
    "{<=}": lambda have, want: have <= want,
    "{>=}": lambda have, want: have >= want,
    "{in}": lambda have, want: have <= want,
    "{not-in}": lambda have, want: not have & want,
}


def _condition(context, table, text):
    """The predicate on rows that COLUMN[:KEY]OPERATOR VALUE means."""
    column, key, operator, value = split_argument(table, text, OPERATORS)
    if key is not None:
        return _key_condition(context, column, key, operator, value)
    wanted = types.parse(column.type, value, context.symbols)
    if operator in _ORDER_TESTS:
        test = _ORDER_TESTS[operator]
        return lambda row: test(_order(column.type, row.get(column.name), wanted))
    compare, elements = _SET_TESTS[operator], _elements(wanted)
    return lambda row: compare(_elements(row.get(column.name)), elements)


def _key_condition(context, column, key, operator, value):
    atom = _key_atom(context, column, key, "check")
    base = column.type.value
    if operator in _ORDER_TESTS:
        wanted = types.parse_atom(base, value, context.symbols)
        test = _ORDER_TESTS[operator]

        def check(row):
            datum = row.get(column.name)
            if atom not in datum:
                return False
            return test((datum[atom] > wanted) - (datum[atom] < wanted))

        return check
    wanted = set(types.parse(types.set_of(base), value, context.symbols))
    compare = _SET_TESTS[operator]

    def check_set(row):
        datum = row.get(column.name)
        return compare({datum[atom]} if atom in datum else set(), wanted)

    return check_set


def run_wait_until(context, command):
    table = find_table(context, command.args[0])
    conditions = [_condition(context, table, text) for text in command.args[2:]]
    row = find_record(context, table, command.args[1], must_exist=False)
    if row is None or not all(condition(row) for condition in conditions):
        raise TryAgain


# set, add, remove, clear, create, destroy


def set_column(context, row, argument):
    """Applies COLUMN[:KEY]=VALUE to a row; also for add-port and add-bond."""
    column, key, _, value = split_argument(row.table, argument, ("=",))
    modifiable_column(row, column.name)
    if key is None:
        row.set(column.name, types.parse(column.type, value, context.symbols))
        return
    atom = _key_atom(context, column, key, "set")
    parsed = types.parse_atom(column.type.value, value, context.symbols)
    row.insert_into(column.name, {atom: parsed})


def _row_to_change(context, command):
    table = find_table(context, command.args[0])
    return find_record(context, table, command.args[1], "if-exists" not in command.options)


def run_set(context, command):
    row = _row_to_change(context, command)
    if row is None:
        return
    for argument in command.args[2:]:
        set_column(context, row, argument)
    context.invalidate(row)


def run_add(context, command):
    row = _row_to_change(context, command)
    if row is None:
        return
    column = modifiable_column(row, command.args[2])
    for text in command.args[3:]:
        more = types.parse(column.type.at_least_one(), text, context.symbols)
        row.insert_into(column.name, more)
    context.invalidate(row)


def _to_remove(context, column, text):
    """The datum that `text` names: values, pairs, or for maps a list of keys."""
    try:
        return types.parse(column.type.at_least_one(), text, context.symbols)
    except types.BadValue:
        if not column.type.is_map:
            raise
    return types.parse(types.set_of(column.type.key, 1), text, context.symbols)


def run_remove(context, command):
    row = _row_to_change(context, command)
    if row is None:
        return
    column = modifiable_column(row, command.args[2])
    for text in command.args[3:]:
        row.remove_from(column.name, _to_remove(context, column, text))
    context.invalidate(row)


def run_clear(context, command):
    row = _row_to_change(context, command)
    if row is None:
        return
    for name in command.args[2:]:
        column = modifiable_column(row, name)
        if column.type.min > 0:
            raise Fatal(
                f'"clear" operation cannot be applied to column {column.name} of table '
                f"{row.table.name}, which is not allowed to be empty"
            )
        row.set(column.name, {} if column.type.is_map else [])
    context.invalidate(row)


def _create_symbol(context, name, uuid=None):
    if not name.startswith("@"):
        raise Fatal(f'row id "{name}" does not begin with "@"')
    if name in context.symbols.created:
        raise Fatal(f'row id "{name}" may only be specified on one --id option')
    context.symbols.created.add(name)
    if uuid is None:
        return context.symbols.lookup(name)
    if name in context.symbols.uuids:
        raise Fatal(f'row id "{name}" specified on "get" command was used before it was defined')
    context.symbols.define(name, uuid)
    return uuid


def run_create(context, command):
    table = find_table(context, command.args[0])
    identity = command.options.get("id")
    if identity is None:
        if not table.is_root:
            context.warn(
                f'applying "create" command to table {table.name} without --id option will '
                "have no effect",
                LOG_MODULE,
            )
        row = context.snapshot.insert(table.name)
    elif types.is_uuid(identity):
        row = context.snapshot.insert(table.name, identity.lower(), chosen=True)
    else:
        row = context.snapshot.insert(table.name, _create_symbol(context, identity))
    for argument in command.args[1:]:
        set_column(context, row, argument)
    command.row = row
    context.invalidate(row)


def after_create(context, command):
    """The UUID is known only when the server has made the row."""
    command.print(context.real_uuids.get(command.row.uuid, command.row.uuid))


def run_destroy(context, command):
    table = find_table(context, command.args[0])
    names = command.args[1:]
    if "all" in command.options:
        if names:
            raise Fatal("--all and records argument should not be specified together")
        rows = context.snapshot.table(table.name)
    else:
        must_exist = "if-exists" not in command.options
        if "if-exists" in command.options and not names:
            raise Fatal("--if-exists needs records to destroy")
        if not names:
            context.warn("either --all or records argument should be specified", LOG_MODULE)
        rows = [find_record(context, table, name, must_exist) for name in names]
    for row in rows:
        if row is not None and not row.deleted:
            context.snapshot.delete(row)
            context.invalidate(row)


def run_comment(context, command):
    """Has no effect: the arguments are in the transaction's comment anyway."""


COMMANDS = {
    "comment": Spec(0, None, "*ARG", None, run_comment, writes=True),
    "get": Spec(2, None, "!TABLE !RECORD *COLUMN?:KEY", read_get, run_get, options="if-exists id="),
    "list": Spec(1, None, "!TABLE *RECORD", read_list, run_list, options="if-exists columns="),
    "find": Spec(1, None, "!TABLE *COLUMN?:KEY=VALUE", read_find, run_find, options="columns="),
    "set": Spec(
        3,
        None,
        "!TABLE !RECORD +COLUMN?:KEY=VALUE",
        read_set,
        run_set,
        options="if-exists",
        writes=True,
    ),
    "add": Spec(
        4,
        None,
        "!TABLE !RECORD !COLUMN +?KEY=VALUE",
        read_add,
        run_add,
        options="if-exists",
        writes=True,
    ),
    "remove": Spec(
        4,
        None,
        "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE",
        read_add,
        run_remove,
        options="if-exists",
        writes=True,
    ),
    "clear": Spec(
        3, None, "!TABLE !RECORD +COLUMN", read_clear, run_clear, options="if-exists", writes=True
    ),
    "create": Spec(
        2,
        None,
        "!TABLE +COLUMN?:KEY=VALUE",
        read_create,
        run_create,
        options="id=",
        writes=True,
        after=after_create,
    ),
    "destroy": Spec(
        1, None, "!TABLE *RECORD", read_destroy, run_destroy, options="if-exists all", writes=True
    ),
    "wait-until": Spec(2, None, "!TABLE !RECORD *COLUMN?:KEY=VALUE", read_wait, run_wait_until),
}
