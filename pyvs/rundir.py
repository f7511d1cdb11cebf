"""Where pyvs keeps its sockets, pid files, database and logs.

`--rundir` on a command line wins over PYVS_RUNDIR, that over /var/run/pyvs.  When a run
directory is given and PYVS_DBDIR or PYVS_LOGDIR is not, database and logs go there too, so
that one option makes a private switch.  The names inside are those of Open vSwitch:
db.sock, BRIDGE.mgmt, NAME.pid, NAME.PID.ctl; and datapath.sock, which is ours.

Under Open vSwitch's names (pyvs.identity) the variables and defaults are Open vSwitch's:
OVS_RUNDIR leaves the other directories where they are, and OVS_SYSCONFDIR has the database in
its openvswitch/.
"""

import os

from pyvs import identity

_given: str | None = None


def use(directory: str | None) -> None:
    """Make `directory` the run directory of this process and of the ones that it starts."""
    global _given
    if directory:
        _given = os.path.abspath(directory)
        os.environ[identity.variable("RUNDIR")] = _given


def _from_environment(name: str) -> str | None:
    return os.environ.get(identity.variable(name)) or None


def rundir() -> str:
    """The absolute path of the run directory; it need not exist."""
    return os.path.abspath(_given or _from_environment("RUNDIR") or identity.family().rundir)


def _other(name: str, default: str) -> str:
    directory = _from_environment(name)
    if directory:
        return os.path.abspath(directory)
    if _given or (not identity.is_ovs() and _from_environment("RUNDIR")):
        return rundir()
    return default


def dbdir() -> str:
    """The directory of conf.db."""
    default = identity.family().dbdir
    if identity.is_ovs() and os.environ.get("OVS_SYSCONFDIR"):
        default = os.path.join(os.path.abspath(os.environ["OVS_SYSCONFDIR"]), "openvswitch")
    return _other("DBDIR", default)


def logdir() -> str:
    """The directory of NAME.log."""
    return _other("LOGDIR", identity.family().logdir)


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
