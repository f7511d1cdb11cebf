"""The operations of a "transact" request (RFC 7047 section 5.2)."""

from collections.abc import Callable
from typing import Any, Protocol

from ovsdb.data.condition import Row, parse_condition
from ovsdb.data.database import Database, Table
from ovsdb.data.datum import as_key, is_id
from ovsdb.data.errors import (
    Members,
    OvsdbError,
    constraint_violation,
    fail,
    members_of,
    syntax_error,
)
from ovsdb.data.schema import Column
from ovsdb.data.uuids import is_uuid, new_uuid
from ovsdb.transactions.mutation import parse_mutation
from ovsdb.transactions.rbac import EVERYTHING, Rights
from ovsdb.transactions.transaction import begin


class Blocked(Exception):
    """A "wait" that does not hold yet; the transaction is to be tried again.

    `timeout` is in milliseconds after the request came, None for ever.
    """

    def __init__(self, timeout: int | None):
        super().__init__("wait")
        self.timeout = timeout


class Context:
    """What an operation works on: the transaction, and the session that asked for it."""

    __slots__ = ("database", "elapsed", "owner", "read_only", "rights", "transaction")


class Owner(Protocol):
    """Who may have locks: session.Session."""

    def owns_lock(self, name: str) -> bool:
        """For "assert"."""


def execute(
    database: Database,
    operations: list,
    elapsed: float = 0,
    owner: Owner | None = None,
    read_only: bool = False,
    rights: Rights = EVERYTHING,
) -> list:
    """Run a transaction and commit it; returns the result array of the reply.

    `elapsed` is how many milliseconds ago the request came (for "wait"), `owner` whose request it
    is.  Raises Blocked, with nothing changed, when a "wait" has to wait.
    """
    transaction = begin(database)
    context = Context.__new__(Context)
    context.transaction = transaction
    context.database = database
    context.elapsed = elapsed
    context.owner = owner
    context.read_only = read_only
    context.rights = rights
    results: list[Any] = []
    number = 0
    try:
        for operation in operations:
            number += 1
            results.append(_run(context, operation, number, len(operations)))
    except OvsdbError as error:
        transaction.abort()
        results.append(error.to_json())
        results += [None] * (len(operations) - len(results))
        return results
    except BaseException:
        transaction.abort()
        raise
    try:
        transaction.commit()
    except OvsdbError as error:
        results.append(error.to_json())
    return results


def _run(context: Context, operation: Any, number: int, count: int) -> dict:
    members = members_of(operation, "ovsdb operation", number, count)
    name = members.need("op", (str,))
    operations = OPERATIONS
    function = operations.get(name)
    if function is None:
        members.fail(f'No operation "{name}"')
    if context.read_only and name in WRITERS:
        raise OvsdbError(
            "not allowed",
            f"{name} operation not allowed when database server is in read only mode",
        )
    return function(context, members)


def _table(context: Context, members: Members) -> Table:
    name = members.need("table", (str,))
    table = context.database.tables.get(name)
    if table is None:
        members.fail(f"No table named {name}.")
    return table


def _where(context: Context, members: Members, table: Table, json: list) -> list[Row]:
    condition = parse_condition(table.schema, json, context.transaction.symbols)
    return context.transaction.find(table, condition)


def _parse_row(context: Context, table: Table, json: dict) -> Row:
    """The values of a <row>, checked."""
    schema = table.schema
    symbols = context.transaction.symbols
    return {name: schema.column(name, json).type.parse(json[name], symbols) for name in json}


# --- insert, select, update, mutate, delete


def _insert(context: Context, members: Members) -> dict:
    table = _table(context, members)
    json = members.need("row", (dict,))
    name = members.get("uuid-name", (str,))
    given = members.get("uuid", (str,))
    if name is not None and not is_id(name):
        members.fail("Type mismatch for member 'uuid-name'.")
    members.finish()
    context.rights.check_insert(context.database, table)
    uuid = _uuid_of_insert(context, table, name, given)
    values = _parse_row(context, table, json)
    for column in table.schema.columns.values():
        if column.bad_default is not None and column.name not in values:
            raise column.bad_default
    context.transaction.insert(table, uuid, values)
    return {"uuid": ["uuid", uuid]}


def _uuid_of_insert(context: Context, table: Table, name: str | None, given: str | None) -> str:
    transaction = context.transaction
    symbols = transaction.symbols
    if given is not None:
        if not is_uuid(given):
            fail("bad uuid", given)
        given = given.lower()
        if transaction.knows(table, given):
            raise OvsdbError(
                "duplicate uuid",
                "This UUID would duplicate a UUID already present within the table or deleted"
                " within the same transaction.",
                given,
            )
    if name is None:
        return given or new_uuid()
    if not symbols.create(name):
        raise OvsdbError(
            "duplicate uuid-name",
            'This "uuid-name" appeared on an earlier "insert" operation.',
            name,
        )
    if given is not None:
        # References before this insert went to another UUID, as in ovsdb-server.
        symbols.named()[name] = given
        return given
    return symbols.named().setdefault(name, new_uuid())


def _select(context: Context, members: Members) -> dict:
    table = _table(context, members)
    where = members.need("where", (list,))
    names = members.get("columns", (list,))
    sort = members.get("sort", (list,))
    members.finish()
    rows = _where(context, members, table, where)
    columns = _columns(table, names)
    if sort:
        _sort(rows, table.schema.parse_columns(sort))
    encoders = [(column.name, column.type.encode) for column in columns]
    if not any(column.name in ("_uuid", "_version") for column in columns):
        # Like ovsdb-server: rows that look the same are given once.
        rows = list(
            {tuple([as_key(row[name]) for name, _ in encoders]): row for row in rows}.values()
        )
    return {"rows": [{name: encode(row[name]) for name, encode in encoders} for row in rows]}


def _sort(rows: list[Row], columns: list[Column]) -> None:
    """In the order of the columns' values: fewer elements first, then by these."""
    for column in reversed(columns):  # each sort keeps the order that the ones before made
        rows.sort(key=_sort_key(column.name))


def _sort_key(name: str) -> Callable[[Row], tuple]:
    def key(row: Row) -> tuple:
        value: Any = row[name]
        if type(value) is dict:
            return (len(value), tuple(value), tuple(value.values()))
        return (len(value), value)

    return key


def _columns(table: Table, json: list | None) -> list[Column]:
    if json is None:
        return list(table.schema.all_columns.values())
    return table.schema.parse_columns(json)


def _update(context: Context, members: Members) -> dict:
    table = _table(context, members)
    where = members.need("where", (list,))
    json = members.need("row", (dict,))
    members.finish()
    values = _parse_row(context, table, json)
    for name in values:
        if not table.schema.column(name, json).mutable:
            raise constraint_violation(
                f"Cannot update immutable column {name} in table {table.name}.", members.json
            )
    rows = _where(context, members, table, where)
    if values:
        if context.rights is not EVERYTHING:
            context.rights.check_change(context.database, table, rows, values, "modification")
        for row in rows:
            context.transaction.writable(table, row, values).update(values)
    return {"count": len(rows)}


def _mutate(context: Context, members: Members) -> dict:
    table = _table(context, members)
    where = members.need("where", (list,))
    json = members.need("mutations", (list,))
    members.finish()
    symbols = context.transaction.symbols
    mutations = [parse_mutation(table.schema, each, symbols) for each in json]
    rows = _where(context, members, table, where)
    columns = [mutation.column.name for mutation in mutations]
    if context.rights is not EVERYTHING:
        context.rights.check_change(context.database, table, rows, columns, "mutation")
    for row in rows:
        new = context.transaction.writable(table, row, columns)
        for mutation in mutations:
            name = mutation.column.name
            new[name] = mutation.apply(new[name])
    return {"count": len(rows)}


def _delete(context: Context, members: Members) -> dict:
    table = _table(context, members)
    where = members.need("where", (list,))
    members.finish()
    rows = _where(context, members, table, where)
    context.rights.check_delete(context.database, table, rows)
    for row in rows:
        context.transaction.delete(table, row)
    return {"count": len(rows)}


# --- wait, commit, abort, comment, assert


def _wait(context: Context, members: Members) -> dict:
    timeout = members.get("timeout", (int, float))
    where = members.need("where", (list,))
    column_names = members.get("columns", (list,))
    until = members.need("until", (str,))
    json = members.need("rows", (list,))
    table = _table(context, members)
    members.finish()
    rows = _where(context, members, table, where)
    names = _names(table, column_names)
    if until not in ("==", "!="):
        fail('"until" must be "==" or "!="', until)
    found = [tuple([as_key(row[name]) for name in names]) for row in rows]
    wanted = _wanted(context, table, names, json)
    # Rows that look the same count as one; a single one needs no set.
    same = found == wanted or (len(found) + len(wanted) > 2 and set(found) == set(wanted))
    if same == (until == "=="):
        return {}
    if timeout is None:
        raise Blocked(None)
    if context.elapsed < timeout:
        raise Blocked(int(timeout))
    if timeout == 0:
        raise OvsdbError("timed out", '"where" clause test failed')
    raise OvsdbError("timed out", f'"wait" timed out after {int(timeout)} ms')


def _names(table: Table, json: list | None) -> list[str]:
    """The names of the columns that "wait" looks at."""
    if json is not None and len(json) == 1:
        column = table.schema.all_columns.get(json[0]) if type(json[0]) is str else None
        if column is not None:
            return json
    return [column.name for column in _columns(table, json)]


def _wanted(context: Context, table: Table, names: list[str], json: list) -> list[tuple]:
    """The rows that "wait" compares with; columns left out have their defaults."""
    schema = table.schema
    wanted = []
    for row in json:
        if type(row) is not dict:
            raise syntax_error("<row> must be an object", row)
        values = _parse_row(context, table, row)
        key = []
        for name in names:
            column = schema.all_columns[name]
            key.append(as_key(values.get(name, column.type.default)))
        wanted.append(tuple(key))
    return wanted


def _commit(context: Context, members: Members) -> dict:
    durable = members.need("durable", (bool,))
    members.finish()
    context.transaction.durable |= durable
    return {}


def _abort(context: Context, members: Members) -> dict:
    members.finish()
    raise OvsdbError("aborted", "aborted by request")


def _comment(context: Context, members: Members) -> dict:
    context.transaction.comment(members.need("comment", (str,)))
    members.finish()
    return {}


def _assert(context: Context, members: Members) -> dict:
    lock = members.need("lock", (str,))
    if not is_id(lock):
        members.fail("Type mismatch for member 'lock'.")
    members.finish()
    if context.owner is None or not context.owner.owns_lock(lock):
        raise OvsdbError("not owner", f"Asserted lock {lock} not held.")
    return {}


OPERATIONS: dict[str, Callable[[Context, Members], dict]] = {
    "insert": _insert,
    "select": _select,
    "update": _update,
    "mutate": _mutate,
    "delete": _delete,
    "wait": _wait,
    "commit": _commit,
    "abort": _abort,
    "comment": _comment,
    "assert": _assert,
}
WRITERS = frozenset(("insert", "update", "mutate", "delete"))
