"""pyvs-ctl: starts and stops the daemons, and says which of them run; the work of ovs-ctl(8)."""

import os
import subprocess
import sys

from pyvs import identity, rundir
from pyvs_tools import getopt_long, saved, units
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.ovs_names import make_links, program_path
from pyvs_tools.ovsdb import rpc as ovsdb_rpc

from .described import delete_transient_ports, record_hostname
from .options import OPTIONS, USAGE, Options
from .running import DATAPATH, OVSDB_SERVER, VSWITCHD, running
from .start import run_start
from .stop import run_stop, stop

PROGRAM = identity.program("pyvs-ctl")


def run_restart(options):
    stopping = [VSWITCHD, *([DATAPATH] if "datapath" in options else []), OVSDB_SERVER]
    for name in stopping:
        if name not in options.skip:
            stop(name)
    return run_start(options)


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
    record_hostname(ovsdb_rpc.connect("unix:" + rundir.db_sock()))
    return 0


def run_delete_transient_ports(_options):
    delete_transient_ports(ovsdb_rpc.connect("unix:" + rundir.db_sock()))
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
