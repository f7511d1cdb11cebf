"""pyvs-ovsdb-tool: makes, looks at and changes database files without a server; see
ovsdb-tool(1)."""

import json
import os

from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import DatabaseSchema
from ovsdb.storage import files
from ovsdb.storage.log import first_record, io_error
from ovsdb.transactions.operations import execute
from ovsdb.transactions.rbac import Rights
from pyvs import identity, rundir, version
from pyvs_tools import getopt_long
from pyvs_tools.command import Fatal, answered, check_count, guard
from pyvs_tools.diagnostics import check_levels
from pyvs_tools.ovsdb import table

from .log import show_log

PROGRAM = identity.program("pyvs-ovsdb-tool")
NO_CLUSTERS = "pyvs has no clustered databases"

OPTIONS = (
    ("more", "m", False),
    ("rbac-role", "", True),
    ("rundir", "", True),
    ("verbose", "v", "optional"),
    ("log-file", "", "optional"),
    ("help", "h", False),
    ("version", "V", False),
)


class Run:
    """What the commands know of their command line."""

    def __init__(self, options):
        self.verbosity = sum(name == "more" for name, _ in options)
        self.role = dict(options).get("rbac-role", "")


def _default_database():
    return os.path.join(rundir.dbdir(), "conf.db")


def _schema(path):
    """A schema file's DatabaseSchema."""
    try:
        return DatabaseSchema.from_json(files.load_schema(path))
    except OvsdbError as error:
        raise Fatal(f'failed to read schema: "{path}": {error}') from None


# Making files


def run_create(run, path=None, schema=None):
    schema = _schema(schema or files.SWITCH_SCHEMA)
    files.create(path or _default_database(), schema.to_json())


def _rewrite(path, target, change, comment):
    """Put change(database of `path`) into the file `target`, or in the place of `path`."""
    if target is not None and os.path.exists(target):
        raise Fatal(f"{target}: already exists")
    database = files.open_database(path)
    try:
        new = change(database)
        if target is None:
            database.file.replace(new, comment)
        else:
            with files.FileLock(target):
                files.save(target, new, comment)
                files.sync_directory(target)
    finally:
        database.file.close()


def run_compact(run, path=None, target=None):
    comment = f"compacted by {PROGRAM} {version.VERSION}"
    _rewrite(path or _default_database(), target, lambda database: database, comment)


def run_convert(run, path=None, schema=None, target=None):
    schema = _schema(schema or files.SWITCH_SCHEMA)
    comment = f"converted by {PROGRAM} {version.VERSION}"
    _rewrite(
        path or _default_database(),
        target,
        lambda database: files.converted(database, schema),
        comment,
    )


# Names and versions


def _head(path):
    """(magic, JSON) of the first record of a database file."""
    return first_record(path or _default_database())


def _file_schema(path):
    magic, spec = _head(path)
    if magic != "JSON":
        raise Fatal(f"{path}: this is not possible with a clustered database")
    return DatabaseSchema.from_json(spec)


def run_db_name(run, path=None):
    print(_head(path)[1].get("name", ""))


def run_db_version(run, path=None):
    print(_file_schema(path).version)


def run_db_cksum(run, path=None):
    print(_file_schema(path).cksum)


def run_schema_name(run, path=None):
    print(_schema(path or files.SWITCH_SCHEMA).name)


def run_schema_version(run, path=None):
    print(_schema(path or files.SWITCH_SCHEMA).version)


def run_schema_cksum(run, path=None):
    print(_schema(path or files.SWITCH_SCHEMA).cksum)


def run_needs_conversion(run, path=None, schema=None):
    wanted = _schema(schema or files.SWITCH_SCHEMA)
    # The checksum is of the text; what counts is what the text says.
    specs = [{**each.to_json(), "cksum": ""} for each in (_file_schema(path), wanted)]
    print("no" if specs[0] == specs[1] else "yes")


RELATIONS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
}


def _version_number(text):
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise Fatal(f"{text}: not an OVSDB version number in format x.y.z")
    return [int(part) for part in parts]


def run_compare_versions(run, first, relation, second):
    numbers = _version_number(first), _version_number(second)
    if relation not in RELATIONS:
        raise Fatal(f"{relation}: not a relational operator")
    return 0 if RELATIONS[relation](*numbers) else 2


# What kind of file


def run_db_is_standalone(run, path):
    return 0 if _head(path)[0] == "JSON" else 2


def run_db_is_clustered(run, path):
    return 0 if _head(path)[0] == "CLUSTER" else 2


def _print_of_cluster(member):
    def run_member(run, path):
        magic, head = _head(path)
        if magic != "CLUSTER":
            raise Fatal(f"{path}: not a clustered database")
        if member not in head:
            raise Fatal(f"{path}: the file does not tell it yet")
        print(head[member])

    return run_member


def run_cluster_command(run, *_args):
    raise Fatal(NO_CLUSTERS)


# Data


def _parse_transaction(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fatal(f'"{text}": {error}') from None


def _execute(database, text, role=""):
    """Print the results of a transaction on a database."""
    params = _parse_transaction(text)
    details = None
    if not isinstance(params, list):
        details = "array expected"
    elif not params or params[0] != database.name:
        details = "database name expected as first parameter"
    if details:
        results = {"details": details, "error": "syntax error", "syntax": table.dump_json(params)}
    else:
        results = execute(database, params[1:], rights=Rights(role))
    print(table.dump_json(results))


def _database_and_text(words):
    return words if len(words) == 2 else (_default_database(), words[0])


def run_query(run, *words):
    path, text = _database_and_text(words)
    database = files.read_database(path)
    _execute(database, text, run.role)  # on this copy in memory


def run_transact(run, *words):
    path, text = _database_and_text(words)
    database = files.open_database(path)
    try:
        _execute(database, text, run.role)
        os.fsync(database.file.log.fd)
    finally:
        database.file.close()


def run_show_log(run, path=None):
    path = path or _default_database()
    try:
        show_log(path, run.verbosity)
    except OSError as error:
        raise io_error(f"{path}: open failed", error) from None


def run_help(run, *_words):
    print(USAGE, end="")


def run_list_commands(run, *_words):
    print("The available commands are:")
    for name in COMMANDS:
        print(f"  {name:<23} {ARGUMENTS.get(name, '')}")


def run_check_cluster(run, *paths):
    for path in paths:
        if _head(path)[0] != "CLUSTER":
            raise Fatal(f"{path}: not a clustered database")
    raise Fatal(NO_CLUSTERS)


# name: (least, most arguments, function)
COMMANDS = {
    "create": (0, 2, run_create),
    "compact": (0, 2, run_compact),
    "convert": (0, 3, run_convert),
    "needs-conversion": (0, 2, run_needs_conversion),
    "db-name": (0, 1, run_db_name),
    "db-version": (0, 1, run_db_version),
    "db-cksum": (0, 1, run_db_cksum),
    "db-cid": (1, 1, _print_of_cluster("cluster_id")),
    "db-sid": (1, 1, _print_of_cluster("server_id")),
    "db-local-address": (1, 1, _print_of_cluster("local_address")),
    "db-is-clustered": (1, 1, run_db_is_clustered),
    "db-is-standalone": (1, 1, run_db_is_standalone),
    "schema-name": (0, 1, run_schema_name),
    "schema-version": (0, 1, run_schema_version),
    "schema-cksum": (0, 1, run_schema_cksum),
    "compare-versions": (3, 3, run_compare_versions),
    "query": (1, 2, run_query),
    "transact": (1, 2, run_transact),
    "show-log": (0, 1, run_show_log),
    "create-cluster": (3, 3, run_cluster_command),
    "join-cluster": (4, None, run_cluster_command),
    "cluster-to-standalone": (2, 2, run_cluster_command),
    "check-cluster": (1, None, run_check_cluster),
    "help": (0, None, run_help),
    "list-commands": (0, None, run_list_commands),
}

# As ovsdb-tool(1) has them.
ARGUMENTS = {
    "create": "[db [schema]]",
    "compact": "[db [target]]",
    "convert": "[db [schema [target]]]",
    "needs-conversion": "[db [schema]]",
    **dict.fromkeys(("db-name", "db-version", "db-cksum", "show-log"), "[db]"),
    **dict.fromkeys(("db-cid", "db-sid", "db-local-address"), "db"),
    **dict.fromkeys(("db-is-clustered", "db-is-standalone"), "db"),
    **dict.fromkeys(("schema-name", "schema-version", "schema-cksum"), "[schema]"),
    "compare-versions": "a op b",
    **dict.fromkeys(("query", "transact"), "[db] transaction"),
    "create-cluster": "db contents address",
    "join-cluster": "db name local remote...",
    "cluster-to-standalone": "db clusterdb",
    "check-cluster": "db...",
}

USAGE = f"""{PROGRAM}: database files without a server
usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]

  create [DB [SCHEMA]]              make an empty database
  compact [DB [TARGET]]             leave out what is past, in place or into TARGET
  convert [DB [SCHEMA [TARGET]]]    give a database another schema
  needs-conversion [DB [SCHEMA]]    say if SCHEMA differs from the database's
  db-name|db-version|db-cksum [DB]  print the name, version, checksum of its schema
  schema-name|schema-version|schema-cksum [SCHEMA]
  compare-versions A OP B           exit with status 0 if A OP B is true, 2 if not
  db-is-standalone|db-is-clustered DB
  db-cid|db-sid|db-local-address DB print what a clustered database's file says
  query [DB] TRANSACTION            run a transaction that changes nothing
  transact [DB] TRANSACTION         run a transaction
  check-cluster DB...               say that these are none of a cluster
  help, list-commands               this text; all commands
  [-m]... show-log [DB]             print what was done; with -m to which rows, -mm what

DB defaults to conf.db in the database directory, SCHEMA to that of the switch.

Options:
  -m, --more       more of show-log
  --rbac-role=ROLE with the rights of a role (query, transact)
  --rundir=DIR     run directory (and database directory)
  -h, --help  -V, --version
"""


def _dispatch(options, words):
    if not words:
        raise Fatal("missing command name; use --help for help")
    name, args = words[0], words[1:]
    if name not in COMMANDS:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    least, most, function = COMMANDS[name]
    check_count(name, args, least, most)
    return function(Run(options), *args) or 0


def run(args):
    """Runs a command line; returns the exit status."""
    options, words = getopt_long.parse(args, OPTIONS, permute=True)
    check_levels("pyvs-ovsdb-tool", options)
    given = dict(options)
    if "rundir" in given:
        rundir.use(given["rundir"])
    if answered(given, PROGRAM, USAGE):
        return 0
    return _dispatch(options, words)


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, [(OvsdbError, str), (OSError, str)])
