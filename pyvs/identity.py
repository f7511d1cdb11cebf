"""Under what name this process goes, and which directories and texts come with it.

A program called by Open vSwitch's name for it (`pyvs-ctl ovs-names DIR` makes such links) goes by
that name wherever a name shows: messages, --version, pid file, log, control socket, syslog; and it
reads OVS_RUNDIR, OVS_DBDIR, OVS_LOGDIR and OVS_SYSCONFDIR, as Open vSwitch's programs do, in place
of pyvs' own variables.  Whoever needs a name, a variable or a directory asks here.
"""

import os
import sys

from pyvs.version import OVS_COMPATIBLE, VERSION

# Our program -> the one of Open vSwitch that it stands for.
OVS_PROGRAMS = {
    "pyvs-vsctl": "ovs-vsctl",
    "pyvs-ofctl": "ovs-ofctl",
    "pyvs-dpctl": "ovs-dpctl",
    "pyvs-appctl": "ovs-appctl",
    "pyvs-vswitchd": "ovs-vswitchd",
    "pyvs-ovsdb-server": "ovsdb-server",
    "pyvs-ovsdb-client": "ovsdb-client",
    "pyvs-ovsdb-tool": "ovsdb-tool",
    "pyvs-ctl": "ovs-ctl",
    "pyvs-docker": "ovs-docker",
    "pyvs-tcpdump": "ovs-tcpdump",
}


class Family:
    """What the names of one family of programs bring with them."""

    def __init__(self, prefix: str, rundir: str, dbdir: str, logdir: str, datapath: str):
        """`prefix`: of environment variables; `datapath`: TYPE@NAME, as dpif/show prints it."""
        self.prefix = prefix
        self.rundir, self.dbdir, self.logdir = rundir, dbdir, logdir
        self.datapath = datapath


PYVS = Family("PYVS", "/var/run/pyvs", "/etc/pyvs", "/var/log/pyvs", "netdev@pyvs")
OVS = Family(
    "OVS",
    "/var/run/openvswitch",
    "/etc/openvswitch",
    "/var/log/openvswitch",
    "netdev@ovs-netdev",
)

# Set for a program without a name in Open vSwitch that is started by one that has one.
FAMILY_VARIABLE = "PYVS_FAMILY"


def is_ovs() -> bool:
    """Whether this process was called by a name of Open vSwitch's."""
    called = os.path.basename(sys.argv[0]) if sys.argv else ""
    return called in OVS_PROGRAMS.values() or os.environ.get(FAMILY_VARIABLE) == OVS.prefix


def family() -> Family:
    """The family of this process' name."""
    return OVS if is_ovs() else PYVS


def program(own: str) -> str:
    """The name by which `pyvs-...` goes for this process: its own, or another program's."""
    return OVS_PROGRAMS.get(own, own) if is_ovs() else own


def child_environment() -> dict[str, str]:
    """The environment of programs of ours that this one starts."""
    return {**os.environ, FAMILY_VARIABLE: family().prefix}


def datapaths() -> tuple[str, ...]:
    """Names, TYPE@NAME, by which scripts call the one datapath."""
    return (PYVS.datapath, OVS.datapath, "system@ovs-system")


def variable(name: str) -> str:
    """RUNDIR, DBDIR, LOGDIR: the environment variable of that directory."""
    return f"{family().prefix}_{name}"


def version_text(own: str) -> str:
    """What --version prints, without a line feed at its end.

    Scripts take the first number for the Open vSwitch version, so that one comes first.
    """
    if is_ovs():
        return f"{program(own)} (Open vSwitch) {OVS_COMPATIBLE}"
    return f"{own} (Open vSwitch compatible) {OVS_COMPATIBLE}\npyvs {VERSION}"


def renamed(text: str) -> str:
    """A text that names our programs, with the names by which they go."""
    if is_ovs():
        for own in sorted(OVS_PROGRAMS, key=len, reverse=True):
            text = text.replace(own, OVS_PROGRAMS[own])
    return text
