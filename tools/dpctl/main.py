"""pyvs-dpctl: ports and flows of the datapath process, in the manner of ovs-dpctl(8).

Speaks to the datapath process itself, so it works while pyvs-vswitchd is down.
"""

import sys

from pyvs import identity
from pyvs_tools import getopt_long
from pyvs_tools.alarm import set_timeout
from pyvs_tools.command import Fatal, guard, version_text
from pyvs_tools.diagnostics import check_levels
from vswitchd.dpctl.dpctl import COMMANDS, do
from vswitchd.dpctl.run import OPTIONS, DpctlError, Run

PROGRAM = identity.program("pyvs-dpctl")

OPTIONS = (
    *OPTIONS,
    ("format", "f", True),
    ("pretty", "", False),
    ("timeout", "t", True),
    ("rundir", "", True),
    ("verbose", "v", "optional"),
    ("help", "h", False),
    ("version", "V", False),
)

USAGE = f"""{PROGRAM}: pyvs datapath management utility
usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]
  add-if [DP] IFACE...       add each IFACE as a port on DP
  del-if [DP] IFACE...       delete each IFACE (name or number) from DP
  dump-dps                   display names of all datapaths
  show [DP...]               show basic info on all datapaths
  dump-flows [DP]            display flows in DP
  add-flow [DP] FLOW ACTIONS add FLOW with ACTIONS to DP
  add-flows [DP] FILE        add flows from FILE ("-": standard input)
  mod-flow [DP] FLOW ACTIONS change FLOW actions to ACTIONS in DP
  mod-flows [DP] FILE        change flows from FILE
  get-flow [DP] ufid:UFID    fetch flow corresponding to UFID
  del-flow [DP] FLOW|UFID    delete FLOW from DP
  del-flows [DP] [FILE]      delete all or specified flows from DP
  drops [DP]                 discarded packets by reason, in all and by port
  dump-meters [DP]           display meters in DP, and what they dropped
  dump-conntrack [DP] [zone=N]  display the tracked connections
  flush-conntrack [DP] [zone=N] [ORIG-TUPLE] [REPLY-TUPLE]  delete connections
  ct-stats-show [DP] [zone=N]  how many connections of each protocol (and state: -m)
  ct-bkts [DP] [gt=N]        how connections spread over the table
  ct-{{set,get}}-maxconns, ct-get-nconns, ct-{{set,get,del}}-limits,
  ct-{{enable,disable,get}}-tcp-seq-chk, ct-{{set,get}}-sweep-interval,
  ipf-set-{{enabled,disabled}}, ipf-set-min-frag, ipf-set-max-nfrags, ipf-get-status
                             settings of the tracker, as in ovs-dpctl(8)
  stats [DP]                 counters of each worker
  normalize-actions FLOW ACTIONS  print ACTIONS by the tags that FLOW's packets then have
Each IFACE on add-if may be followed by comma-separated options:
type=system|internal|tap|dummy, port_no=N, KEY=VALUE.
The switch's datapath is netdev@pyvs, and DP is optional everywhere; add-dp makes others, without a
switch.

Options for show, mod-flow and del-flow:
  -s, --statistics           print statistics for port or flow

Options for dump-flows and get-flow:
  -m, --more                 increase verbosity of output
  --names, --no-names        use port names in output, or numbers
  -f, --format=FORMAT        text (default) or json
  filter=FILTER              show only flows that FILTER, as in ofctl, could match
  pmd=N                      only the flows of worker N (all have the same: for scripts)

Options for mod-flow:
  --may-create               create flow if it doesn't exist
  --clear                    reset existing stats to zero

Other options:
  --read-only                do not run read/write commands
  -t, --timeout=SECS         give up after SECS seconds
  --rundir=DIR               run directory
  -h, --help                 display this help message
  -V, --version              display version information
"""


class ToolRun(Run):
    """A command line: its connection, standard output."""

    def __init__(self, options, path):
        super().__init__(options)
        self._path = path
        self._dpif = None

    @property
    def main(self):
        if self._dpif is None:
            from datapath.ipc.dpif import Dpif

            try:
                self._dpif = Dpif(self._path)
                stranger = self._dpif.stranger()
            except OSError as error:
                raise Fatal(f"{self._path}: opening datapath ({error.strerror})") from error
            if stranger is not None:
                raise Fatal(f"{self._path}: process {stranger} is of another build of pyvs")
        return self._dpif

    def print(self, text):
        sys.stdout.write(text)

    def complain(self, text):
        print(f"{PROGRAM}: {text}", file=sys.stderr)

    def lines(self, path):
        with sys.stdin if path == "-" else open(path, errors="replace") as stream:
            yield from stream


def run(argv):
    """Do what the command line says; returns the exit status."""
    found, words = getopt_long.parse(argv, OPTIONS, permute=True)
    check_levels("pyvs-dpctl", found)
    options = dict(found)
    if "help" in options:
        sys.stdout.write(USAGE)
        return 0
    if "version" in options:
        sys.stdout.write(version_text(PROGRAM))
        return 0
    if not words:
        raise Fatal("missing command name; use --help for help")
    name, *words = words
    if name not in COMMANDS:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    if options.get("format", "text") not in ("text", "json"):
        raise Fatal(f'unknown output format "{options["format"]}"')
    set_timeout(options.get("timeout"))
    from pyvs import rundir

    rundir.use(options.get("rundir"))
    return do(ToolRun(options, rundir.datapath_sock()), name, words)


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, [(DpctlError, str)])
