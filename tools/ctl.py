"""pyvs-ctl: starts and stops the daemons, and says which of them run; the work of ovs-ctl(8)."""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time

from datapath.bpf.tc import Tc, owner
from pyvs import identity, rundir, version
from pyvs.process import instance
from pyvs_tools import appctl, getopt_long, saved, units
from pyvs_tools.command import Fatal, guard, schema_path, version_text
from pyvs_tools.ovs_names import make_links, program_path
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from pyvs_tools.vsctl import main as vsctl

PROGRAM = identity.program("pyvs-ctl")
OVSDB_SERVER, DATAPATH, VSWITCHD = map(
    identity.program, ("pyvs-ovsdb-server", "pyvs-datapath", "pyvs-vswitchd")
)
_START_SECONDS = 20  # somebody else may take to start a daemon
_STOP_SECONDS = 5  # for each of: the exit command, SIGTERM, SIGKILL

OPTIONS = (
    ("rundir", "", True),
    ("dbdir", "", True),
    ("logdir", "", True),
    ("db", "", True),
    ("db-file", "", True),
    ("db-schema", "", True),
    ("system-id", "", True),
    ("system-type", "", True),
    ("system-version", "", True),
    ("external-id", "", True),
    ("remote", "", True),
    ("delete-bridges", "", False),
    ("delete-transient-ports", "", False),
    ("no-ovsdb-server", "", False),
    ("no-datapath", "", False),
    ("no-vswitchd", "", False),
    ("no-ovs-vswitchd", "", False),
    ("datapath", "", False),
    ("no-monitor", "", False),
    ("no-record-hostname", "", False),
    # Options of ovs-ctl for what does not arise here: taken, so that scripts work.
    *((name, "", False) for name in ("mlockall", "no-mlockall", "no-force-corefiles")),
    *((name, "", False) for name in ("no-self-confinement", "force-corefiles")),
    *((name, "", True) for name in ("protocol", "sport", "dport", "ovs-user")),
    *(
        (name, "", True)
        for name in ("daemon-cwd", "ovsdb-server-priority", "ovs-vswitchd-priority")
    ),
    ("units-dir", "", True),
    ("keep-state", "", False),
    ("state-dir", "", True),
    ("help", "h", False),
    ("version", "V", False),
)

USAGE = """{program}: start and stop the switch
usage: {program} [OPTIONS] start|stop|restart|status|version
       {program} ovs-names DIR
       {program} save|restore DIR
       {program} [--units-dir=DIR] [--keep-state] install-units

Commands:
  start      make the database if there is none, start what does not run yet
  stop       end the daemons; internal ports and OpenFlow flows go with them, the
             configuration in the database stays
  restart    stop and start; flows stay, and traffic goes on, as the datapath is left
             running (but with --datapath: see below)
  status     say which daemons run; exit with 1 unless all do
  version    versions of the daemons
  ovs-names DIR
             make links in DIR by which the programs go under Open vSwitch's names:
             ovs-vsctl, ovs-vswitchd, ovsdb-server, ovs-ctl ...
  save DIR   write flows, groups, meters and tunnel options of each bridge, and the
             addresses and routes of its devices, to files in DIR
  restore DIR
             make them what was saved
  install-units
             write units of systemd for the daemons
  record-hostname-if-not-set, delete-transient-ports
             what `start` does of that, alone

A daemon that crashes or is killed is started again by its monitor, with its flows.

Options:
  --rundir=DIR          sockets and pid files (default: {rundir})
  --dbdir=DIR           the database (default: {dbdir})
  --logdir=DIR          log files (default: {logdir})
  --db=REMOTE           the database is a server elsewhere, e.g. a cluster,
                        tcp:10.0.0.1:6640,tcp:10.0.0.2:6640,tcp:10.0.0.3:6640:
                        none is started here
  --db-file=FILE        database file (default: conf.db in the database directory)
  --db-schema=FILE      another schema for a new database
  --system-id=ID        external_ids:system-id; "random" (default) makes one up once
  --system-type=TYPE, --system-version=VERSION
                        what the host is (default: from os-release)
  --external-id=K=V     another external id; may be repeated
  --remote=REMOTE       another connection of the database server, e.g. ptcp:6640
  --delete-bridges      start with no bridges
  --delete-transient-ports
                        start without ports that have other_config:transient=true
  --no-ovsdb-server, --no-datapath, --no-vswitchd
                        leave this daemon alone
  --datapath            restart the datapath as well: traffic stops for a moment, flows
                        stay, internal ports are made anew and lose their addresses
  --no-monitor          do not restart daemons that crash
  --units-dir=DIR       where install-units writes (default: {units})
  --keep-state          with a unit that saves when the host goes down, and restores
  --state-dir=DIR       where to (default: saved in the database directory)
  -h, --help  -V, --version
"""


class Options:
    """The command line; `all(name)` gives the values of an option that may be repeated."""

    def __init__(self, found):
        self._found = found
        names = {name for name, _ in found}
        self.skip = {
            daemon
            for daemon, options in (
                (OVSDB_SERVER, {"no-ovsdb-server", "db"}),
                (DATAPATH, {"no-datapath"}),
                (VSWITCHD, {"no-vswitchd", "no-ovs-vswitchd"}),
            )
            if options & names
        }

    def __contains__(self, name):
        return any(found == name for found, _ in self._found)

    def get(self, name, default=None):
        return self.all(name)[-1] if name in self else default

    def all(self, name):
        return [value for found, value in self._found if found == name]

    def db_remote(self):
        """The connection methods of the database."""
        return self.get("db") or f"unix:{rundir.db_sock()}"

    def db_file(self):
        return self.get("db-file") or os.path.join(rundir.dbdir(), "conf.db")


# Daemons that run


def _locker(path):
    """The process that holds the lock of a pid file, or None.  The kernel knows it, so that a
    process that merely got the same id later is not taken for the daemon.  Raises Fatal where
    that may not be known: "is not running" would be a guess."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}") from None
    except OSError:
        return None
    try:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, query))
        return pid if kind != fcntl.F_UNLCK and pid > 0 else None
    finally:
        os.close(fd)


def running(name):
    """The process id of a daemon of this run directory, or None."""
    path = rundir.path(f"{name}.pid")
    locker = _locker(path)
    if locker is None:
        return None
    try:
        with open(path) as file:
            written = int(file.read())
    except (OSError, ValueError):
        return None
    return written if written == locker else None


def _head(name):
    """The process that starts a daemon, or is about to start it again; 0 where it does not say,
    None: there is none."""
    path = rundir.path(f"{name}.pid")
    try:
        return instance.head(path)
    except OSError as error:
        raise Fatal(f"cannot read {instance.lock_path(path)}: {error.strerror}") from None


# Starting


def _settled(name):
    """As running(), once nobody is about to start it."""
    deadline = time.monotonic() + _START_SECONDS
    while not running(name) and (head := _head(name)) is not None:
        if time.monotonic() > deadline:
            raise Fatal(f"{name}: pid {head} has been starting it for {_START_SECONDS} s")
        time.sleep(0.05)
    return running(name)


def _make_directory(path):
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Fatal(f"cannot make directory {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise Fatal(f"directory {path} is not writable (try --rundir=DIR)")


def create_database(path, schema=None):
    """Makes a database file for the switch.  Raises ovsdb.data.errors.OvsdbError."""
    from ovsdb.storage import files

    files.create(path, files.load_schema(schema or schema_path()))


def _first_record(path):
    """The schema (JSON) at the beginning of a database file; {} when it cannot be read."""
    import json

    with contextlib.suppress(OSError, ValueError, IndexError), open(path, "rb") as file:
        words = file.readline(1024).split()
        if words[:2] == [b"OVSDB", b"JSON"]:
            return json.loads(file.read(int(words[2])))
    return {}


def _back_up(path, old_version):
    """Copies a database file to one beside it that does not exist yet; returns its path."""
    first = path_of_copy = f"{path}.backup{old_version}"
    number = 0
    while os.path.lexists(path_of_copy):
        number += 1
        path_of_copy = f"{first}.{number}"
    shutil.copy(path, path_of_copy)  # with its mode
    return path_of_copy


def _convert_database(path, schema):
    """Gives a database file another schema (JSON) unless it is of that version already."""
    from ovsdb.data.schema import DatabaseSchema
    from ovsdb.storage import files

    if _first_record(path).get("version") == schema.get("version"):
        return
    old = files.open_database(path)
    try:
        new = files.converted(old, DatabaseSchema.from_json(schema))
        saved = _back_up(path, old.schema.version)
        old.file.replace(new, f"converted from schema version {old.schema.version}")
    finally:
        old.file.close()
    print(f"converted {path} to schema version {schema['version']} (old one: {saved})")


def _prepare_database(options):
    """Creates the database, or converts it to the present schema if it is of another version."""
    from ovsdb.data.errors import OvsdbError
    from ovsdb.storage import files

    path = options.db_file()
    schema = files.load_schema(options.get("db-schema") or schema_path())
    try:
        if not os.path.exists(path):
            files.create(path, schema)
        else:
            _convert_database(path, schema)
    except OvsdbError as error:
        raise Fatal(f"database {path}: {error}") from None


class _Start:
    """A daemon that is being started; --detach makes its command end when it is ready."""

    def __init__(self, name, options, *arguments):
        self.name = name
        self.log = os.path.join(rundir.logdir(), name + ".log")
        command = [
            program_path(name),
            f"--rundir={rundir.rundir()}",
            "--detach",
            "--no-chdir",
            "--pidfile",
            f"--log-file={self.log}",
            "-vconsole:off",
            *([] if "no-monitor" in options else ["--monitor"]),
            *([f"--user={options.get('ovs-user')}"] if "ovs-user" in options else []),
            *arguments,
        ]
        environment = {
            **identity.child_environment(),
            identity.variable("RUNDIR"): rundir.rundir(),
            identity.variable("DBDIR"): rundir.dbdir(),
            identity.variable("LOGDIR"): rundir.logdir(),
        }
        lock = instance.take(rundir.path(f"{name}.pid"))
        if lock is None:
            raise Fatal(f"{name} is being started by another command")
        # Its messages must not keep our own pipe open when it has gone to the background.
        self._errors = open(self.log + ".start", "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=environment | lock.environment(),
            pass_fds=(lock.fd,),
        )
        lock.tell(self._process.pid)
        lock.close()

    def finish(self):
        """Waits until the daemon is ready.  Raises Fatal if it failed.  Idempotent."""
        status = self._process.wait()
        if not self._errors.closed:
            self._errors.seek(0)
            self._text = self._errors.read().strip()
            self._errors.close()
            os.unlink(self.log + ".start")
        if status or not running(self.name):
            reason = self._text or f"exit status {status}"
            raise Fatal(f"{self.name} did not start: {reason} (log: {self.log})")


def _host_name():
    return os.uname().nodename


def _os_release():
    """(type, version) of the host."""
    values = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(OSError), open(path) as file:
            for line in file:
                key, _, value = line.strip().partition("=")
                values.setdefault(key, value.strip("\"'"))
    return values.get("ID", "unknown"), values.get("VERSION_ID", "unknown")


def _system_id(options):
    """external_ids:system-id: given, or random but the same for ever."""
    given = options.get("system-id", "random")
    if given != "random":
        return given
    path = os.path.join(rundir.dbdir(), "system-id.conf")
    with contextlib.suppress(OSError), open(path) as file:
        saved = file.read().strip()
        if saved:
            return saved
    from pyvs_tools.ovsdb.types import new_uuid

    made = new_uuid()
    with open(path, "w") as file:
        file.write(made + "\n")
    return made


def _quoted(text):
    import json

    return json.dumps(text)


def _initialize(options):
    """Writes into the database what this switch is."""
    kind, release = _os_release()
    schema_version = _first_record(options.db_file()).get("version", "")
    settings = [
        f"db_version={_quoted(schema_version)}",
        f"ovs_version={_quoted(version.OVS_COMPATIBLE)}",
        f"system_type={_quoted(options.get('system-type', kind))}",
        f"system_version={_quoted(options.get('system-version', release))}",
        f"external_ids:rundir={_quoted(rundir.rundir())}",
        f"external_ids:system-id={_quoted(_system_id(options))}",
    ]
    for pair in options.all("external-id"):
        key, _, value = pair.partition("=")
        settings.append(f"external_ids:{_quoted(key)}={_quoted(value)}")
    _vsctl("init", "--", "set", "Open_vSwitch", ".", *settings)
    client = ovsdb_rpc.connect("unix:" + rundir.db_sock())
    if "no-record-hostname" not in options:
        _record_hostname(client)
    if "delete-bridges" in options:
        _vsctl("clear", "Open_vSwitch", ".", "bridges")
    if "delete-transient-ports" in options:
        _delete_transient_ports(client)
    client.close()


def _record_hostname(client):
    """An administrator's host name stays."""
    pair = ["map", [["hostname", _host_name()]]]
    mutation = [["external_ids", "insert", pair]]
    mutate = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutation}
    client.request("transact", ["Open_vSwitch", mutate])


def _vsctl(*words):
    base = [f"--db=unix:{rundir.db_sock()}", "--no-wait", "--no-syslog"]
    if vsctl.main([*base, "--", *words]):
        raise Fatal("the database could not be initialized")


def _delete_transient_ports(client):
    condition = ["other_config", "includes", ["map", [["transient", "true"]]]]
    select = {"op": "select", "table": "Port", "where": [condition], "columns": ["name"]}
    rows = client.request("transact", ["Open_vSwitch", select])[0]["rows"]
    for row in rows:
        _vsctl("--if-exists", "del-port", row["name"])


def run_start(options):
    for path in (rundir.rundir(), rundir.dbdir(), rundir.logdir()):
        _make_directory(path)
    starts = []
    try:
        _start_all(options, starts)
    except BaseException:
        _take_back(starts)
        raise
    _print_where(options)
    return 0


# The certificates of `vsctl set-ssl` are the database server's too, as for ovs-ctl.
_TLS_OPTIONS = (
    "--private-key=db:Open_vSwitch,SSL,private_key",
    "--certificate=db:Open_vSwitch,SSL,certificate",
    "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert",
)


def _start_all(options, starts):
    """`starts` gets a _Start for each daemon that was not running."""
    server_was_up = _settled(OVSDB_SERVER)
    if OVSDB_SERVER not in options.skip and not server_was_up:
        _prepare_database(options)
        remotes = [f"--remote={remote}" for remote in options.all("remote")]
        starts.append(
            _Start(
                OVSDB_SERVER,
                options,
                options.db_file(),
                f"--remote=punix:{rundir.db_sock()}",
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                *_TLS_OPTIONS,
                *remotes,
            )
        )
    if DATAPATH not in options.skip and not _settled(DATAPATH):
        starts.append(_Start(DATAPATH, options))
    for start in starts:
        start.finish()
    if OVSDB_SERVER not in options.skip and not server_was_up:
        _initialize(options)
    if VSWITCHD not in options.skip and not _settled(VSWITCHD):
        starts.append(_Start(VSWITCHD, options, options.db_remote()))
        starts[-1].finish()


def _take_back(starts):
    """A start that fails leaves nothing that it started, and all that was running before."""
    for start in reversed(starts):
        with contextlib.suppress(Fatal):
            start.finish()
        with contextlib.suppress(Fatal):
            _stop(start.name)


def _print_where(options):
    for name in (OVSDB_SERVER, DATAPATH, VSWITCHD):
        pid = running(name)
        if pid:
            print(f"{name} is running with pid {pid}")
    print(f"run directory: {rundir.rundir()}")
    file = f"{options.db_file()} " if "db" not in options else ""
    print(f"database: {file}({options.db_remote()})")
    print(f"logs: {rundir.logdir()}")


# Stopping


def _wait_for_end(pid, seconds):
    """True when the process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:  # no pidfd in this kernel or sandbox
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.02)
        return False
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def _ask_to_exit(name, *arguments):
    with contextlib.suppress(Fatal, appctl.ServerError, OSError):
        # The alarm guards against a daemon that hangs: it neither answers nor closes.
        client = appctl.connect(appctl.find_socket(name))
        client.sock.settimeout(_STOP_SECONDS)
        appctl.transact(client, "exit", arguments)
        client.close()


def _command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _monitor_of(pid):
    """The process that would start a daemon again, or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None
    return parent if _command_line(parent) == _command_line(pid) != b"" else None


def _kill(pid, number):
    """Sends a signal; with SIGKILL, the monitor must not see its daemon die."""
    targets = [pid]
    if number == signal.SIGKILL and (monitor := _monitor_of(pid)):
        targets.insert(0, monitor)
    for each in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def _stop(name, *arguments):
    """Ends a daemon, its monitor, and whoever is about to start it."""
    deadline = time.monotonic() + 2 * _STOP_SECONDS
    pid = running(name)
    while pid or (head := _head(name)) is not None:
        if pid:
            _stop_running(name, pid, *arguments)
        elif time.monotonic() > deadline:
            raise Fatal(f"{name}: pid {head}, which starts it, cannot be stopped")
        elif head:
            late = time.monotonic() > deadline - _STOP_SECONDS
            _kill(head, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)
        pid = running(name)


def _stop_running(name, pid, *arguments):
    """By its exit command, else by signals."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Fatal(f"{name} (pid {pid}) cannot be stopped: {error.strerror}") from None
    _ask_to_exit(name, *arguments)
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        if number and running(name) == pid:
            _kill(pid, number)
        if _wait_for_end(pid, _STOP_SECONDS):
            print(f"{name} (pid {pid}) has ended")
            return
    raise Fatal(f"{name} (pid {pid}) cannot be stopped")


def run_stop(options):
    # Where the datapath goes on without vswitchd, it keeps what it has.
    arguments = {} if DATAPATH in options.skip else {VSWITCHD: ["--cleanup"]}
    for name in (VSWITCHD, DATAPATH, OVSDB_SERVER):
        if name not in options.skip:
            _stop(name, *arguments.get(name, ()))
    if DATAPATH not in options.skip:
        _clean_kernel()
    return 0


def _clean_kernel():
    """A datapath process that was killed has left its kernel cache on the ports."""
    with contextlib.suppress(OSError):
        Tc(owner(rundir.rundir())).detach_all()


def run_restart(options):
    stopping = [VSWITCHD, *([DATAPATH] if "datapath" in options else []), OVSDB_SERVER]
    for name in stopping:
        if name not in options.skip:
            _stop(name)
    return run_start(options)


# Reporting


def run_status(options):
    status = 0
    for name in (OVSDB_SERVER, DATAPATH, VSWITCHD):
        if name in options.skip:
            continue
        pid = running(name)
        print(f"{name} is running with pid {pid}" if pid else f"{name} is not running")
        status = status if pid else 1
    return status


def run_version(options):
    for name in (OVSDB_SERVER, DATAPATH, VSWITCHD):
        if name not in options.skip:
            subprocess.run([program_path(name), "--version"], check=False)
    return 0


def run_nothing(_options):
    """What Open vSwitch's kernel module or the host's firewall need, and we do not."""
    return 0


def run_record_hostname(_options):
    _record_hostname(ovsdb_rpc.connect("unix:" + rundir.db_sock()))
    return 0


def run_delete_transient_ports(_options):
    _delete_transient_ports(ovsdb_rpc.connect("unix:" + rundir.db_sock()))
    return 0


WITH_DIRECTORY = {"ovs-names": make_links, "save": saved.save, "restore": saved.restore}
COMMANDS = {
    "install-units": units.install,
    "load-kmod": run_nothing,
    "enable-protocol": run_nothing,
    "force-reload-kmod": run_restart,
    "record-hostname-if-not-set": run_record_hostname,
    "delete-transient-ports": run_delete_transient_ports,
    "start": run_start,
    "stop": run_stop,
    "restart": run_restart,
    "status": run_status,
    "version": run_version,
}


def run(args):
    """Runs a command line; returns the exit status."""
    found, words = getopt_long.parse(args, OPTIONS, permute=True)
    options = Options(found)
    for name in ("dbdir", "logdir"):
        if name in options:
            os.environ[identity.variable(name.upper())] = os.path.abspath(options.get(name))
    rundir.use(options.get("rundir"))
    if "help" in options or words == ["help"]:
        places = {"rundir": rundir.rundir(), "dbdir": rundir.dbdir(), "logdir": rundir.logdir()}
        places["units"] = units.DIRECTORY
        print(USAGE.format(program=PROGRAM, **places), end="")
        return 0
    if "version" in options:
        sys.stdout.write(version_text(PROGRAM))
        return 0
    if words and words[0] in WITH_DIRECTORY:
        if len(words) != 2:
            raise Fatal(f"{words[0]} wants a directory")
        return WITH_DIRECTORY[words[0]](words[1])
    if len(words) != 1:
        raise Fatal("exactly one command is required (use --help for help)")
    command = COMMANDS.get(words[0])
    if command is None:
        raise Fatal(f"unknown command '{words[0]}'; use --help for help")
    return command(options)


def _of_database(error):
    return f"database server: {error}"


TOLD = (
    (ovsdb_rpc.ConnectError, _of_database),
    (ovsdb_rpc.Disconnected, _of_database),
    (ovsdb_rpc.RpcError, _of_database),
    (OSError, str),
)


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, TOLD)
