"""Where pyvs keeps its sockets, pid files, database and logs.

`--rundir` on a command line wins over PYVS_RUNDIR, that over /var/run/pyvs.  When a run
directory is given and PYVS_DBDIR or PYVS_LOGDIR is not, database and logs go there too, so
that one option makes a private switch.  The names inside are those of Open vSwitch:
db.sock, BRIDGE.mgmt, NAME.pid, NAME.PID.ctl; and datapath.sock, which is ours.
"""

import os

DEFAULT_RUNDIR = "/var/run/pyvs"
DEFAULT_DBDIR = "/etc/pyvs"
DEFAULT_LOGDIR = "/var/log/pyvs"

_given: str | None = None


def use(directory: str | None) -> None:
    """Make `directory` the run directory of this process and of the ones that it starts."""
    global _given
    if directory:
        _given = os.path.abspath(directory)
        os.environ["PYVS_RUNDIR"] = _given


def rundir() -> str:
    """The absolute path of the run directory; it need not exist."""
    return os.path.abspath(_given or os.environ.get("PYVS_RUNDIR") or DEFAULT_RUNDIR)


def _other(variable: str, default: str) -> str:
    if os.environ.get(variable):
        return os.path.abspath(os.environ[variable])
    if _given or os.environ.get("PYVS_RUNDIR"):
        return rundir()
    return default


def dbdir() -> str:
    """The directory of conf.db."""
    return _other("PYVS_DBDIR", DEFAULT_DBDIR)


def logdir() -> str:
    """The directory of NAME.log."""
    return _other("PYVS_LOGDIR", DEFAULT_LOGDIR)


def path(name: str) -> str:
    """The path of a file in the run directory."""
    return os.path.join(rundir(), name)


def db_sock() -> str:
    """The database server's socket path."""
    return path("db.sock")


def datapath_sock() -> str:
    """The datapath process' socket path."""
    return path("datapath.sock")


def mgmt_sock(bridge: str) -> str:
    """The path of the OpenFlow management socket of a bridge."""
    return path(f"{bridge}.mgmt")
