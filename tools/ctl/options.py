"""The command line of pyvs-ctl: its options and its help."""

import os

from pyvs import rundir

from .running import DATAPATH, OVSDB_SERVER, VSWITCHD

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
