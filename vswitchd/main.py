"""pyvs-vswitchd: the command line of ovs-vswitchd(8), and how the parts are put together."""

import sys
from functools import partial
from typing import Any

import ovs.fatal_signal
import ovs.vlog

from datapath import text
from datapath.base.clock import set_clock
from ofproto.codec import messages
from pyvs import clock, collector, rundir
from pyvs.process import daemon, privileges
from vswitchd import report
from vswitchd.appctl import commands
from vswitchd.database import columns
from vswitchd.devices.dummy import DATAPATH, OVERRIDDEN, Dummies
from vswitchd.devices.links import Links
from vswitchd.pmds import cpus
from vswitchd.pmds.pmds import Pmds
from vswitchd.process import DatapathProcess
from vswitchd.switch import Switch

vlog = ovs.vlog.Vlog("vswitchd")

PROGRAM = "pyvs-vswitchd"
PATIENCE = 0.1  # seconds that the loop waits for an answer of the datapath process

USAGE = """{program}: the switch daemon of pyvs
usage: {program} [OPTIONS] [DATABASE]
where DATABASE is a connection method of the database server
(default: unix:{rundir}/db.sock)

It starts a datapath process if none runs in the run directory.

  --private-key=FILE, --certificate=FILE, --ca-cert=FILE
                          for ssl: databases and controllers
  --bootstrap-ca-cert=FILE
                          like --ca-cert; if there is no such file, the peer of the first
                          ssl: connection says who its CA is
  --peer-ca-cert=FILE     certificates to send to peers besides our own

For tests of switches:
  --enable-dummy[=override|system]
                          have ports of type dummy and a datapath of that type, with predictable
                          numbers and addresses; "system": system interfaces are dummies;
                          "override": internal ones, too
  --dummy-numa=NODE,...   as if there were these processor cores, on these NUMA nodes
  --disable-system        with --enable-dummy, refuse the host's interfaces and routes
  --disable-system-route  tunnels use no routes of the kernel, only those of ovs/route/add
"""

OPTIONS = {
    "enable-dummy": daemon.OPTIONAL,
    "disable-system": daemon.NONE,
    "dummy-numa": daemon.REQUIRED,
    "disable-system-route": daemon.NONE,
    # Without a meaning here: taken, so that scripts work.
    "mlockall": daemon.NONE,
}


def _dummies(options: daemon.Options) -> Dummies:
    """What --enable-dummy and --disable-system ask for."""
    mode = None
    if "enable-dummy" in options:
        mode = daemon.last(options, "enable-dummy") or ""
        if mode not in OVERRIDDEN:
            daemon.fatal(f"--enable-dummy={mode}: it is 'override', 'system' or nothing")
    return Dummies(mode, has_system="disable-system" not in options)


def _cores(options: daemon.Options) -> cpus.Cores | None:
    """--dummy-numa's."""
    text = daemon.last(options, "dummy-numa")
    if text is None:
        return None
    try:
        return cpus.of_text(text)
    except ValueError:
        daemon.fatal(f"--dummy-numa={text}: not a list of NUMA nodes")


class Readiness:
    """Lets the command line return when the first configuration works."""

    def __init__(self, switch: Switch):
        self._switch = switch
        self._told = False

    def run(self) -> None:
        if not self._told and self._switch.is_ready:
            self._told = True
            daemon.ready()

    def wait(self, poller: Any) -> None:
        if not self._told and self._switch.is_ready:
            poller.immediate_wake()


def run(argv: list[str] | None) -> int:
    options, args = daemon.parse(PROGRAM, argv, {**daemon.SSL_OPTIONS, **OPTIONS}, USAGE)
    if len(args) > 1:
        daemon.fatal("at most one non-option argument accepted; use --help for usage")
    remote = args[0] if args else f"unix:{rundir.db_sock()}"
    daemon.use_ssl(options)
    dummies, cores = _dummies(options), _cores(options)
    # Imported before the fork, so that their Vlogs exist when logging starts.
    from datapath.ipc.dpif import Dpif
    from ofproto.flows.backer import Backer
    from ofproto.ofproto import Ofproto

    messages.load_all()
    daemon.start(privileges.NETWORK)
    ending = commands.Ending()
    commands.register_exit(ending)
    control = daemon.unixctl_server(PROGRAM)
    clock.followers.append(set_clock)
    if dummies.enabled:
        daemon.offer_clock()
        text.set_datapath(DATAPATH)
    process = DatapathProcess(lambda path: Dpif(path, PATIENCE), log="log-file" in options)
    # A route is of use by a device that can be opened.
    follow_routes = "disable-system-route" not in options and dummies.has_system
    pmds = Pmds(cores or cpus.of_machine(), pinned=cores is None)
    cpus.tell(pmds.cores)
    switch = Switch(
        *(columns.make_idl(remote), Links(), process.open, Backer),
        partial(Ofproto, at_once=False),
        *(dummies, follow_routes, pmds, rundir.path),
    )
    ovs.fatal_signal.add_hook(process.close, None, True)
    commands.register(switch)
    report.register(switch)
    collector.spare()
    daemon.main_loop(control, [switch, Readiness(switch)])
    switch.close(delete=ending.cleanup)
    process.close()
    return 0


def main(argv: list[str] | None = None) -> int:
    return daemon.guard(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
