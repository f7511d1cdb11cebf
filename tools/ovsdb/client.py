"""pyvs-ovsdb-client: asks a database server, and changes its databases; see ovsdb-client(1)."""

import errno
import os
import sys

from pyvs_tools import getopt_long
from pyvs_tools.alarm import set_timeout
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.diagnostics import check_levels
from pyvs_tools.ovsdb import table
from pyvs_tools.ovsdb.table import Json, Table

from . import client_monitor as monitor
from . import rpc as ovsdb_rpc
from . import types
from .client_background import follow
from .client_session import (
    DEFAULT_DATABASE,
    PROGRAM,
    Session,
    detach,
    parse_json,
)

_SCHEMES = ("tcp", "ssl", "unix", "ptcp", "pssl", "punix")

OPTIONS = (
    *table.OPTIONS,
    ("timestamp", "", False),
    ("timeout", "t", True),
    ("force", "", False),
    ("leader-only", "", False),
    ("no-leader-only", "", False),
    ("rundir", "", True),
    ("db-change-aware", "", False),
    ("no-db-change-aware", "", False),
    ("detach", "", False),
    ("no-chdir", "", False),
    ("pidfile", "", "optional"),
    ("overwrite-pidfile", "", False),
    ("verbose", "v", "optional"),
    ("log-file", "", "optional"),
    ("private-key", "p", True),
    ("certificate", "c", True),
    ("ca-cert", "C", True),
    ("bootstrap-ca-cert", "", True),
    ("peer-ca-cert", "", True),
    ("ssl-protocols", "", True),
    ("ssl-ciphers", "", True),
    ("help", "h", False),
    ("version", "V", False),
)


# Server and schema


def run_list_dbs(session):
    for name in sorted(session.client.request("list_dbs", [])):
        print(name)


def run_get_schema(session):
    session.print_json(session.schema_json())


def run_get_schema_version(session):
    print(session.schema_json().get("version", ""))


def run_get_schema_cksum(session):
    print(session.schema_json().get("cksum", ""))


def run_list_tables(session):
    session.print_table(["Table"], [[name] for name in session.schema().table_names])


def run_list_columns(session, wanted=None):
    spec, rows = session.schema_json(), []
    for name in sorted(spec["tables"]):
        if wanted not in (None, name):
            continue
        columns = {key: value["type"] for key, value in spec["tables"][name]["columns"].items()}
        columns.update(_uuid="uuid", _version="uuid")
        for column in sorted(columns):
            row = [column, Json(columns[column])]
            rows.append(row if wanted else [name, *row])
    session.print_table([*([] if wanted else ["Table"]), "Column", "Type"], rows)


def _read_schema(path):
    """The JSON of a schema file."""
    from ovsdb.data.errors import OvsdbError
    from ovsdb.storage.files import load_schema

    try:
        return load_schema(path)
    except OvsdbError as error:
        raise Fatal(f'failed to read schema: "{path}": {error.told()}') from None


def _canonical(spec):
    """What matters of a schema."""
    schema = types.Schema(spec)
    return (
        {
            name: {
                column.name: (_canonical_type(column.type), column.mutable, column.ephemeral)
                for column in schema.table(name).columns.values()
            }
            for name in schema.table_names
        },
        {
            name: (spec["tables"][name].get("maxRows"), spec["tables"][name].get("indexes", []))
            for name in schema.table_names
        },
        [name for name in schema.table_names if schema.table(name).is_root],
        schema.version,
    )


def _canonical_type(kind):
    bases = [
        base and (base.type, base.enum, base.minimum, base.maximum, base.ref_table, base.ref_type)
        for base in (kind.key, kind.value)
    ]
    return (*bases, kind.min, kind.max)


def run_needs_conversion(session, path):
    new = _read_schema(path)
    old = session.schema_json(new.get("name"))
    print("no" if _canonical(old) == _canonical(new) else "yes")


def run_convert(session, path):
    new = _read_schema(path)
    session.client.request("convert", [new.get("name"), new])


# Data


def _check_transaction(text):
    value = parse_json(text)
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise Fatal("not a valid OVSDB query")
    return value


def _transact(session, params):
    try:
        return session.client.request("transact", params)
    except ovsdb_rpc.RpcError as error:
        raise Fatal(f"transaction returned error: {table.dump_json(error.error)}") from None


def run_transact(session, text):
    detach(session)  # it may have to wait for long
    session.print_json(_transact(session, _check_transaction(text)))


def run_query(session, text):
    params = _check_transaction(text)
    results = _transact(session, [*params, {"op": "abort"}])
    # The last result is that of the abort, if nothing failed before it.
    last = results[-1] if len(results) == len(params) else None
    if isinstance(last, dict) and last.get("error") == "aborted":
        results.pop()
    session.print_json(results)


def _order(columns, row):
    """For sorting rows: by their contents; by UUID only when all else is equal."""
    keys = [
        (len(datum), sorted(datum.items()) if isinstance(datum, dict) else datum)
        for column, (_, datum) in zip(columns, row, strict=True)
        if column != "_uuid"
    ]
    return keys, [
        datum for column, (_, datum) in zip(columns, row, strict=True) if column == "_uuid"
    ]


def run_dump(session, name=None, *columns):
    schema = session.schema()
    if name is not None and name not in schema:
        raise Fatal(f'No table "{name}" found.')
    plans = []
    for table_name in [name] if name else schema.table_names:
        kinds = {"_uuid": types.UUID_COLUMN, **schema.table(table_name).columns}
        for column in columns:
            if column not in kinds:
                raise Fatal(f'Table "{table_name}" has no column {column}.')
        plans.append(
            (table_name, {column: kinds[column].type for column in sorted(columns or kinds)})
        )
    operations = [
        {"op": "select", "table": table_name, "where": [], "columns": list(kinds)}
        for table_name, kinds in plans
    ]
    results = _transact(session, [session.database, *operations])
    for (table_name, kinds), result in zip(plans, results, strict=True):
        _print_dump(session, table_name, kinds, result)


def _print_dump(session, name, kinds, result):
    if "rows" not in result:
        raise Fatal(f"transaction returned error: {table.dump_json(result)}")
    shown = Table(list(kinds), caption=f"{name} table")
    rows = [
        [(kind, types.from_wire(kind, wire[column])) for column, kind in kinds.items()]
        for wire in result["rows"]
    ]
    for row in sorted(rows, key=lambda row: _order(kinds, row)):
        shown.add(row)
    session.printer.print(shown)


def run_backup(session):
    import time

    from ovsdb.storage.log import encode_record

    if sys.stdout.isatty():
        raise Fatal("not writing backup to a terminal; please redirect stdout to a file")
    spec = session.schema_json()
    schema = types.Schema(spec)
    operations = []
    for name in schema.table_names:
        lasting = [c.name for c in schema.table(name).columns.values() if not c.ephemeral]
        columns = ["_uuid", *lasting]
        operations.append({"op": "select", "table": name, "where": [], "columns": columns})
    data = {}
    results = _transact(session, [session.database, *operations])
    for name, result in zip(schema.table_names, results, strict=True):
        rows = {row.pop("_uuid")[1]: row for row in result["rows"]}
        if rows:
            data[name] = rows
    data["_date"] = int(time.time() * 1000)
    data["_comment"] = f"made by {PROGRAM} backup"
    sys.stdout.flush()
    sys.stdout.buffer.write(encode_record(spec) + encode_record(data))
    sys.stdout.buffer.flush()


def run_restore(session):
    import tempfile

    from ovsdb.data.errors import OvsdbError
    from ovsdb.storage.files import open_database
    from ovsdb.storage.records import snapshot_json

    if sys.stdin.isatty():
        raise Fatal("not reading backup from a terminal; please redirect stdin from a file")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "snapshot.db")
        with open(path, "wb") as file:
            file.write(sys.stdin.buffer.read())
        try:
            database = open_database(path)
        except OvsdbError as error:
            reason = str(error).partition(";")[0].replace(path, "standard input")
            raise Fatal(f"cannot read the backup: {reason}") from None
        data, saved = snapshot_json(database, ""), database.schema.to_json()
    spec = session.schema_json()
    if "force" not in session.options and _canonical(saved) != _canonical(spec):
        raise Fatal("backup schema and database schema differ (use --force to try anyway)")
    _replace_contents(session, types.Schema(spec), data)


def _replace_contents(session, schema, data):
    """Deletes all rows, and inserts `data` ({table: {uuid: row}}) under new UUIDs."""
    tables = {name: rows for name, rows in data.items() if not name.startswith("_")}
    named = {
        uuid: ["named-uuid", "row" + uuid.replace("-", "_")]
        for rows in tables.values()
        for uuid in rows
    }
    operations = [{"op": "delete", "table": name, "where": []} for name in schema.table_names]
    for name, rows in tables.items():
        kinds = schema.table(name).columns
        for uuid, row in rows.items():
            wire = {}
            for column in row:
                kind = kinds[column].type
                wire[column] = types.to_wire(kind, types.from_wire(kind, row[column]), named)
            insert = {"op": "insert", "table": name, "uuid-name": named[uuid][1], "row": wire}
            operations.append(insert)
    operations.append({"op": "comment", "comment": f"restored by {PROGRAM}"})
    for result in _transact(session, [session.database, *operations]):
        if result and result.get("error"):
            raise Fatal(f"transaction returned error: {table.dump_json(result)}")


def run_wait(session, name, state):
    """Waits until the server has, or no longer has, a database."""
    import time

    if state not in ("added", "connected", "removed"):
        raise Fatal(f"{state}: unknown state")
    while True:
        try:
            session.connect()
            _wait_for_state(session.client, name, state)
            return
        except (ovsdb_rpc.ConnectError, ovsdb_rpc.Disconnected):
            time.sleep(0.1)


def _wait_for_state(client, name, state):
    request = {"Database": {"columns": ["name", "connected"]}}
    update, rows = client.request("monitor", ["_Server", "wait", request]), {}
    while True:
        for uuid, change in update.get("Database", {}).items():
            rows[uuid] = change.get("new")
        found = [row for row in rows.values() if row and row["name"] == name]
        if state == "removed":
            if not found:
                return
        elif found and (state == "added" or found[0]["connected"]):
            return
        update = client.notification()["params"][1]


# Locks


def _lock(session, method, name):
    session.print_json(session.client.request(method, [name]))

    def show(message):
        print(message["method"])
        session.print_json(message["params"])

    follow(session, show)


def _lock_command(method):
    return lambda session, name: _lock(session, method, name)


# Commands

# name: (what comes before the arguments: "" nothing, "server", "database"; least, most
# arguments, function)
COMMANDS = {
    "list-dbs": ("server", 0, 0, run_list_dbs),
    "get-schema": ("database", 0, 0, run_get_schema),
    "get-schema-version": ("database", 0, 0, run_get_schema_version),
    "get-schema-cksum": ("database", 0, 0, run_get_schema_cksum),
    "list-tables": ("database", 0, 0, run_list_tables),
    "list-columns": ("database", 0, 1, run_list_columns),
    "transact": ("server", 1, 1, run_transact),
    "query": ("server", 1, 1, run_query),
    "dump": ("database", 0, None, run_dump),
    "backup": ("database", 0, 0, run_backup),
    "restore": ("database", 0, 0, run_restore),
    "convert": ("server", 1, 1, run_convert),
    "needs-conversion": ("server", 1, 1, run_needs_conversion),
    "monitor": ("database", 1, None, monitor.run_monitor),
    "monitor-cond": ("database", 2, None, monitor.run_monitor_cond),
    "monitor-cond-since": ("database", 2, None, monitor.run_monitor_cond_since),
    "wait": ("later", 2, 2, run_wait),
    "lock": ("server", 1, 1, _lock_command("lock")),
    "steal": ("server", 1, 1, _lock_command("steal")),
    "unlock": ("server", 1, 1, _lock_command("unlock")),
}


USAGE = f"""{PROGRAM}: client for OVSDB database servers
usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]

Servers and schemas:
  list-dbs [SERVER]                         names of the databases
  get-schema [SERVER] [DATABASE]            the schema, as JSON
  get-schema-version [SERVER] [DATABASE]    its version
  get-schema-cksum [SERVER] [DATABASE]      its checksum
  list-tables [SERVER] [DATABASE]           names of the tables
  list-columns [SERVER] [DATABASE] [TABLE]  names and types of the columns
  convert [SERVER] SCHEMA                   convert a database to SCHEMA (a file)
  needs-conversion [SERVER] SCHEMA          say if SCHEMA differs from the database's

Data:
  transact [SERVER] TRANSACTION             run a transaction (JSON)
  query [SERVER] TRANSACTION                run it, but change nothing
  dump [SERVER] [DATABASE] [TABLE [COLUMN]...]   print tables
  monitor [SERVER] [DATABASE] TABLE [COLUMN[,COLUMN]...]...
  monitor [SERVER] [DATABASE] ALL           print contents, then changes
  monitor-cond [SERVER] [DATABASE] CONDITIONS TABLE [COLUMN[,COLUMN]...]...
  monitor-cond-since [SERVER] [DATABASE] [LASTID] CONDITIONS TABLE [COLUMN...]...
  backup [SERVER] [DATABASE] > FILE         save schema and data
  restore [SERVER] [DATABASE] < FILE        replace the data by a backup's
  wait [SERVER] DATABASE added|connected|removed

Locks:
  lock|steal|unlock [SERVER] LOCK

SERVER is a connection method such as unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT, or several of
them separated by commas (default: unix:RUNDIR/db.sock).  DATABASE defaults to
{DEFAULT_DATABASE}.

Options:
  -f, --format=FORMAT       table (default), list, html, csv, json
  -d, --data=FORMAT         string (default), bare, json
  --no-headings, --bare, --pretty, --max-column-width=N
  --timestamp               print the time of each update (monitor)
  --force                   restore even if the schemas differ
  --no-leader-only          be content with a follower in a cluster
  -t, --timeout=SECS        end with SIGALRM after SECS seconds
  --detach, --pidfile[=FILE], --no-chdir   for monitor, transact and lock
                            (monitor and lock have a control socket then, for pyvs-appctl: exit,
                            unlock LOCK, ovsdb-client/block, unblock, cond_change TABLE CONDITION)
  --no-db-change-aware      of monitor: end when a database comes, goes or is converted
  -p, --private-key=FILE  -c, --certificate=FILE  -C, --ca-cert=FILE
  --rundir=DIR              run directory
  -v, --verbose             print the messages of the protocol
  -h, --help  -V, --version
"""


def _take_remote(session, args, least):
    """Removes the optional server from `args`, of which `least` are something else."""
    if args and args[0].split(":", 1)[0] in _SCHEMES and ":" in args[0]:
        session.remote = args.pop(0)
    elif len(args) > least and args[0][:1].isalpha() and ":" in args[0]:
        reason = os.strerror(errno.EAFNOSUPPORT)
        raise Fatal(f'failed to connect or listen to "{args[0]}" ({reason})')
    else:
        from pyvs import rundir

        session.remote = "unix:" + rundir.db_sock()


def _take_database(session, args, least):
    """Removes the optional database from `args`, of which `least` are something else."""
    databases = session.client.request("list_dbs", [])
    if len(args) > least and args[0] in databases:
        session.database = args.pop(0)
    elif DEFAULT_DATABASE in databases:
        session.database = DEFAULT_DATABASE
    else:
        others = [name for name in databases if not name.startswith("_")]
        if len(others) != 1:
            raise Fatal("no default database for this server: name one")
        session.database = others[0]


def run(args):
    """Runs a command line."""
    options, words = getopt_long.parse(args, OPTIONS, permute=True)
    check_levels("pyvs-ovsdb-client", options)
    session = Session(options)
    if "rundir" in session.options:
        from pyvs import rundir

        rundir.use(session.options["rundir"])
    if "help" in session.options or words[:1] == ["help"]:
        print(USAGE, end="")
        return
    if "version" in session.options:
        sys.stdout.write(version_text(PROGRAM))
        return
    if not words:
        raise Fatal("missing command name; use --help for help")
    set_timeout(session.options.get("timeout"))
    _dispatch(session, words[0], words[1:])


def _dispatch(session, name, args):
    command = COMMANDS.get(name)
    if command is None:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    target, least, most, function = command
    _take_remote(session, args, least)
    if len(args) < least or (target == "server" and most is not None and len(args) > most):
        raise Fatal(f"invalid syntax for '{name}' (use --help for help)")
    if name in ("transact", "query"):
        _check_transaction(args[0])  # before bothering the server
    if target != "later":
        session.connect()
    if target == "database":
        _take_database(session, args, least)
    if len(args) < least or (most is not None and len(args) > most):
        raise Fatal(f"invalid syntax for '{name}' (use --help for help)")
    if name.startswith("monitor") and "no-db-change-aware" not in session.options:
        # Else the connection ends when a database comes, goes or is converted.
        session.client.request("set_db_change_aware", [True])
    function(session, *args)
    sys.stdout.flush()


def _of_server(error):
    """An error that the server answered with, as its log would have it."""
    told = error.error
    if not isinstance(told, dict) or "error" not in told:
        return f"server: {error}"
    syntax = f'syntax "{told["syntax"]}": ' if "syntax" in told else ""
    details = f": {told['details']}" if told.get("details") else ""
    return f"{syntax}{told['error']}{details}"


TOLD = (
    (table.StyleError, str),
    (ovsdb_rpc.ConnectError, lambda error: f'failed to connect to "{error.remote}" ({error})'),
    (ovsdb_rpc.RpcError, _of_server),
    (ovsdb_rpc.Disconnected, lambda error: f"receive failed ({error})"),
    (OSError, str),
)


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, TOLD)
