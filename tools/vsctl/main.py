"""pyvs-vsctl: queries and configures the switch through its database; see ovs-vsctl(8).

All commands of a run are one transaction.  A run reads the columns that its commands need
(one round trip for the schema, one for the data), applies the commands to that copy, and
sends the changes; when somebody else changed the same columns meanwhile, it starts again.
"""

import functools
import re
import sys

from pyvs import digits, identity
from pyvs_tools import getopt_long
from pyvs_tools.alarm import MOST_SECONDS, start_alarm
from pyvs_tools.command import Fatal, guard
from pyvs_tools.diagnostics import Diagnostics, check_levels, printable
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from pyvs_tools.ovsdb import table, types
from pyvs_tools.ovsdb.model import Conflict, Snapshot, TransactionError, transact
from pyvs_tools.ovsdb.waiting import wait_for_vswitchd

from . import control as vsctl_control
from . import db as vsctl_db
from . import stale as vsctl_stale
from . import switch as vsctl_switch
from . import zones as vsctl_zones
from .context import Command, Context, TryAgain

PROGRAM = identity.program("pyvs-vsctl")
VSWITCHD = identity.program("pyvs-vswitchd")
DATABASE = "Open_vSwitch"
COMMANDS = {
    **vsctl_switch.COMMANDS,
    **vsctl_zones.COMMANDS,
    **vsctl_stale.COMMANDS,
    **vsctl_control.COMMANDS,
    **vsctl_db.COMMANDS,
}
_RETRY_SECONDS = 1
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # a byte of a word, as Python has it (PEP 383)
_QUOTED = " \t\r\n\v\\'\""  # a word with one of these is logged in quotes
LOG_MODULES = ("db_ctl_base", "jsonrpc", "vsctl")

# long name, short letter, takes an argument
OPTIONS = (
    ("db", "", True),
    ("rundir", "", True),
    ("no-syslog", "", False),
    ("no-wait", "", False),
    ("dry-run", "", False),
    ("oneline", "", False),
    ("timeout", "t", True),
    ("retry", "", False),
    ("help", "h", False),
    ("commands", "", False),
    ("options", "", False),
    ("leader-only", "", False),
    ("no-leader-only", "", False),
    ("shuffle-remotes", "", False),
    ("no-shuffle-remotes", "", False),
    ("version", "V", False),
    ("verbose", "v", "optional"),
    ("log-file", "", "optional"),
    ("syslog-method", "", True),
    ("syslog-target", "", True),
    *table.OPTIONS,
    ("private-key", "p", True),
    ("certificate", "c", True),
    ("ca-cert", "C", True),
    ("ssl-protocols", "", True),
    ("ssl-ciphers", "", True),
    ("bootstrap-ca-cert", "", True),
    ("peer-ca-cert", "", True),
)


class Settings:
    """The global options of a run."""

    def __init__(self):
        self.db = None
        self.wait = True
        self.dry_run = False
        self.oneline = False
        self.timeout = None
        self.retry = False
        self.leader_only = True
        self.syslog = True
        self.log_options = []  # (name, value) of --verbose and --log-file
        self.style = table.Style("list")
        self.tls = ovsdb_rpc.Tls()


# The command line


def _local_options():
    """Options that commands have, for parsing those before the first command."""
    names = {}
    for spec in COMMANDS.values():
        names.update(spec.options)
    return [(name, "", takes) for name, takes in names.items()]


def parse_command_line(args):
    """(Settings, [Command]).  Exits itself after --help and the like."""
    rows = [*OPTIONS, *_local_options()]
    found, rest = getopt_long.parse(args, rows)
    check_levels("pyvs-vsctl", found, LOG_MODULES)
    global_names = {row[0] for row in OPTIONS}
    settings, local = Settings(), {}
    for name, value in found:
        if name in global_names:
            _global_option(settings, name, value)
        else:
            local[name] = value
    return settings, _parse_commands(rest, local)


def _global_option(settings, name, value):
    action = _ACTIONS.get(name)
    if action is not None:
        action(settings, value)
    elif name in _TLS_OPTIONS:
        setattr(settings.tls, _TLS_OPTIONS[name], value)
    else:
        settings.style.set_option(name, value)


def _set(attribute, fixed):
    return lambda settings, value: setattr(settings, attribute, fixed)


def _timeout(settings, value):
    settings.timeout = digits.number(value, MOST_SECONDS)
    if not settings.timeout:
        raise Fatal(f"value {value} on -t or --timeout is invalid")


def _verbose(settings, value):
    words = (value or "dbg").replace(":", " ").replace(",", " ").split()
    if "syslog" in words and {"off", "emer", "err", "warn"} & set(words):
        settings.syslog = False
    settings.log_options.append(("verbose", value))


def _log_file(settings, value):
    settings.log_options.append(("log-file", value))


def _rundir(settings, value):
    from pyvs import rundir

    rundir.use(value)


def _bootstrap(settings, value):
    settings.tls.ca_cert, settings.tls.bootstrap = value, True


def _unsupported(option):
    def refuse(settings, value):
        raise Fatal(f"--{option} is not supported")

    return refuse


def _help(settings, value):
    from .help import usage

    print(usage(), end="")
    sys.exit(0)


def _version(settings, value):
    from .help import version_text

    print(version_text(), end="")
    sys.exit(0)


def _print_commands(settings, value):
    for name, spec in COMMANDS.items():
        options = "".join(
            f"[--{option}{'=' if takes else ''}] " for option, takes in spec.options.items()
        )
        print(f"{options},{name},{spec.syntax}")
    sys.exit(0)


def _print_options(settings, value):
    for name, letter, takes in OPTIONS:
        print(f"--{name}=ARG" if takes else f"--{name}")
        if letter:
            print(f"-{letter} ARG" if takes else f"-{letter}")
    sys.exit(0)


_ACTIONS = {
    "db": lambda settings, value: setattr(settings, "db", value),
    "rundir": _rundir,
    "no-syslog": _set("syslog", False),
    "no-wait": _set("wait", False),
    "dry-run": _set("dry_run", True),
    "oneline": _set("oneline", True),
    "timeout": _timeout,
    "retry": _set("retry", True),
    "help": _help,
    "commands": _print_commands,
    "options": _print_options,
    "leader-only": _set("leader_only", True),
    "no-leader-only": _set("leader_only", False),
    "shuffle-remotes": lambda settings, value: None,
    "no-shuffle-remotes": lambda settings, value: None,
    "version": _version,
    "verbose": _verbose,
    "log-file": _log_file,
    "syslog-method": _unsupported("syslog-method"),
    "syslog-target": _unsupported("syslog-target"),
    "bootstrap-ca-cert": _bootstrap,
}
_TLS_OPTIONS = {
    "private-key": "private_key",
    "certificate": "certificate",
    "ca-cert": "ca_cert",
    "peer-ca-cert": "peer_ca_cert",
    "ssl-protocols": "protocols",
    "ssl-ciphers": "ciphers",
}


def _parse_commands(words, local):
    """The commands, separated by "--"; `local` are the options given before the first."""
    commands, group = [], []
    for word in [*words, "--"]:
        if word != "--":
            group.append(word)
        elif group:
            commands.append(_parse_command(group, local if not commands else {}))
            group = []
    if not commands:
        raise Fatal("missing command name (use --help for help)")
    return commands


def _parse_command(words, options):
    options, index = dict(options), 0
    while index < len(words) and words[index].startswith("-"):
        name, equals, value = words[index].partition("=")
        options[name.lstrip("-")] = value if equals else None
        index += 1
    if index == len(words):
        raise Fatal("missing command name (use --help for help)")
    name, args = words[index], words[index + 1 :]
    spec = COMMANDS.get(name)
    if spec is None:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    _check_options(name, spec, options)
    if len(args) < spec.least:
        raise Fatal(f"'{name}' command requires at least {spec.least} arguments")
    if spec.most is not None and len(args) > spec.most:
        late = any(word.startswith("-") for word in args)
        hint = ' (note that options must precede command names and follow a "--" argument)'
        raise Fatal(f"'{name}' command takes at most {spec.most} arguments{hint if late else ''}")
    return Command(name, spec, options, args)


def _check_options(name, spec, options):
    known = spec.options
    for option, value in options.items():
        if option not in known:
            raise Fatal(f"'{name}' command has no '--{option}' option")
        if known[option] and value is None:
            raise Fatal(f"missing argument to '--{option}' option on '{name}' command")
        if not known[option] and value is not None:
            raise Fatal(f"'--{option}' option on '{name}' does not accept an argument")


# Running


def _connect(settings, log):
    from pyvs import rundir

    # What is not asked for is not made into text.
    trace = functools.partial(log.tell, "jsonrpc", "DBG") if settings.log_options else None
    remotes = settings.db or "unix:" + rundir.db_sock()
    leader_of = DATABASE if settings.leader_only else None
    while True:
        try:
            return ovsdb_rpc.connect(remotes, settings.tls, trace, leader_of)
        except ovsdb_rpc.ConnectError as error:
            if not settings.retry:
                raise Fatal(f"{error.remote}: database connection failed ({error})") from None
        import time

        time.sleep(_RETRY_SECONDS)


def _plan(context, commands):
    """Collects in `context` which columns are to be read."""
    context.want("Open_vSwitch", ())
    for command in commands:
        reads = command.spec.reads
        if callable(reads):
            reads(context, command)
        elif reads:
            for name, columns in reads.items():
                context.want(name, columns)


def _check_symbols(context):
    symbols = context.symbols
    for name in symbols.uuids:
        if name not in symbols.created:
            raise Fatal(
                f'row id "{name}" is referenced but never created '
                f'(e.g. with "-- --id={name} create ...")'
            )
    for name in symbols.created - symbols.found - symbols.strong:
        row = next(
            (row for row in context.snapshot.touched if row.uuid == symbols.uuids[name]), None
        )
        if row is not None and not row.table.is_root:
            only = (
                "but only a weak reference to it"
                if name in symbols.weak
                else "but no reference to it"
            )
            context.warn(
                f'row id "{name}" was created {only} was inserted, so it will not actually '
                "appear in the database"
            )


def _not_followed(context):
    """What the run sets that the switch does not follow yet, as text."""
    from vswitchd.database import not_followed

    found, unused = [], []
    for name, rows in context.snapshot.rows.items():
        for row in rows.values():
            values = row.set_so_far()
            if not values:
                continue
            texts = not_followed.asked(name, values.get)
            label = (row.knows("name") and row.one("name")) or row.uuid[:8]
            found += [f"{name} {label}: {text}" for text in texts]
            if name in not_followed.TABLES:
                unused.append(name)
    return found or sorted(set(unused))


def _increment_next_cfg(context):
    """The operations that make vswitchd reconfigure; the last one's result has the number."""
    where = [["_uuid", "==", ["uuid", context.root.uuid]]]
    if context.root.is_new:
        where = []  # the row of this very transaction is the only one
    base = {"table": "Open_vSwitch", "where": where}
    return [
        {"op": "mutate", "mutations": [["next_cfg", "+=", 1]], **base},
        {"op": "select", "columns": ["next_cfg"], **base},
    ]


def _commit(client, context, settings, comment):
    """Sends the changes.  Returns next_cfg to wait for, or None."""
    operations, inserts = context.snapshot.operations()
    if not operations:
        return None
    wait = settings.wait and context.snapshot.has("Open_vSwitch", "next_cfg")
    if wait:
        operations += _increment_next_cfg(context)
    last = len(operations) - 1
    operations.append({"op": "comment", "comment": comment})
    if settings.dry_run:
        operations.append({"op": "abort"})
        try:
            transact(client, DATABASE, operations)
        except TransactionError as error:
            if error.error.get("error") != "aborted":
                raise
        return None
    results = transact(client, DATABASE, operations)
    for index, row in inserts.items():
        context.real_uuids[row.uuid] = results[index]["uuid"][1]
    return results[last]["rows"][0]["next_cfg"] if wait else None


def _attempt(client, context, commands):
    snapshot = Snapshot(context.schema)
    snapshot.read(client, context.wanted)
    context.begin(snapshot)
    for command in commands:
        command.reset()
    _ = context.root
    for command in commands:
        command.spec.run(context, command)
    _check_symbols(context)


def _watch(client, context):
    """Asks for notifications of changes in what the commands read."""
    requests = {
        name: {
            "columns": sorted(set(columns) & set(context.schema.table(name).columns)),
            "select": {"initial": False},
        }
        for name, columns in context.wanted.items()
        if name in context.schema
    }
    client.request("monitor", [DATABASE, PROGRAM, requests])


def _run(client, context, commands, settings, comment):
    """Runs the commands until they succeed.  Returns next_cfg to wait for, or None."""
    watching = refused = False
    if any(command.name == "wait-until" for command in commands):
        _watch(client, context)
        watching = True
    while True:
        try:
            _attempt(client, context, commands)
            return _commit(client, context, settings, comment)
        except Conflict:
            continue
        except TryAgain:
            if watching:
                client.notification()
                client.pending.clear()
        except TransactionError as error:
            # A name may have been taken since it was looked for: looking again tells.
            if refused or error.error.get("error") != "constraint violation":
                raise
            refused = True


def _report_interface_errors(client, context):
    """Prints what vswitchd could not set up of the interfaces that this run added."""
    if not context.new_ifaces:
        return
    from pyvs import rundir

    operations = [
        {
            "op": "select",
            "table": "Interface",
            "where": [["_uuid", "==", ["uuid", context.real_uuids.get(row.uuid, row.uuid)]]],
            "columns": ["name", "ofport", "error"],
        }
        for row in context.new_ifaces
    ]
    found = False
    for result in transact(client, DATABASE, operations):
        for row in result["rows"]:
            if row["ofport"] == -1 or not isinstance(row["ofport"], int):
                reason = f": {row['error']}" if isinstance(row["error"], str) else ""
                print(
                    f"{PROGRAM}: Error detected while setting up '{row['name']}'{reason}.  "
                    f"See {VSWITCHD} log for details.",
                    file=sys.stderr,
                )
                found = True
    if found:
        print(f'{PROGRAM}: The default log directory is "{rundir.logdir()}".', file=sys.stderr)


def _print_outputs(commands, settings):
    printer = table.Printer(settings.style)
    for command in commands:
        if command.table is not None:
            printer.print(command.table)
            continue
        text = "".join(line + "\n" for line in command.lines)
        if settings.oneline:
            text = text.removesuffix("\n").replace("\\", "\\\\").replace("\n", "\\n") + "\n"
        sys.stdout.write(text)
    sys.stdout.flush()


def _quote(word):
    """As Open vSwitch's commands have a word in log and comments."""
    if not any(char in _QUOTED for char in word):
        return word
    return '"' + re.sub(r'[\\"]', lambda found: "\\" + found[0], word) + '"'


def _check_text(words):
    """The server ends a connection by which something else comes than UTF-8."""
    for word in words:
        if strange := _NOT_UTF8.search(word):
            sequence = f"invalid UTF-8 sequence {ord(strange[0]) & 0xFF:#04x}"
            raise Fatal(f"constraint violation: not a valid UTF-8 string: {sequence}")


def _log_call(settings, log, args):
    """Leaves a trace of a run that may change the configuration."""
    text = "Called as " + printable(" ".join(map(_quote, [PROGRAM, *args])))
    if settings.syslog:
        import syslog

        syslog.openlog(PROGRAM, 0, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_INFO, "vsctl|INFO|" + text)
    if settings.log_options:
        log.tell("vsctl", "INFO", text)


def _complete(args):
    """Prints what may stand in the place of a word, for the shell: --complete=N -- WORD..."""
    from pyvs import rundir

    from .complete import complete

    number = digits.number(args[0].partition("=")[2])
    if number is None or args[1:2] != ["--"]:
        raise Fatal("usage: --complete=N -- WORD...")
    remote = "unix:" + rundir.db_sock()
    for candidate in complete(args[2:], number, COMMANDS, OPTIONS, remote):
        print(candidate)
    return 0


def run(args):
    """Runs a command line; returns the exit status."""
    if args and args[0].startswith("--complete="):
        return _complete(args)
    settings, commands = parse_command_line(args)
    if settings.timeout:
        start_alarm(settings.timeout)
    log = Diagnostics("pyvs-vsctl", LOG_MODULES, settings.log_options, console="warn")
    if any(command.spec.writes for command in commands):
        _check_text(word for command in commands for word in command.args)
        _log_call(settings, log, args)
    client = _connect(settings, log)
    schema = types.Schema(client.request("get_schema", [DATABASE]))
    context = Context(schema, log)
    _plan(context, commands)
    comment = printable(" ".join(map(_quote, [PROGRAM, *args])))
    next_cfg = _run(client, context, commands, settings, comment)
    # Scripts for Open vSwitch take words on standard error for a failure; the log has them, too.
    for text in () if identity.is_ovs() else _not_followed(context):
        print(f"{PROGRAM}: {text} is not followed yet", file=sys.stderr)
    for command in commands:
        if command.spec.after is not None:
            command.spec.after(context, command)
    _print_outputs(commands, settings)
    if next_cfg is not None:
        wait_for_vswitchd(client, DATABASE, PROGRAM, next_cfg)
        _report_interface_errors(client, context)
    client.close()
    return 0


TOLD = (
    (table.StyleError, str),
    (types.BadValue, str),
    (TransactionError, lambda error: f"transaction error: {error}"),
    (ovsdb_rpc.RpcError, lambda error: f"database server: {error}"),
    (ovsdb_rpc.Disconnected, lambda error: f"database connection failed ({error})"),
    (OSError, str),
)


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, TOLD)
