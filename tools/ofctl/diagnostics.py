"""The log of pyvs-ofctl: notes of the codec on standard error, as `-v` and `--log-file` say.

Most runs have nothing to log: what makes a log is loaded with the first note.
"""

import os
import sys
import time

from ofproto.codec import notes
from pyvs import identity, rundir
from pyvs_tools.command import Fatal

# Notes of one kind: a file of broken messages is not to drown what is printed.
BURST = 5
BURSTS = {"nx_match": 2}
MODULES = """
    meta_flow nx_match ofp_actions ofp_async_cfg ofp_bundle ofp_errors ofp_group ofp_match
    ofp_msgs ofp_port ofp_util
"""


class Diagnostics:
    """Notes as lines of a log; `options` are those of the command line, in order."""

    def __init__(self, options: list[tuple[str, str | None]]):
        self._specs = [value for name, value in options if name == "verbose"]
        files = [value for name, value in options if name == "log-file"]
        self._file = None
        if files:
            default = f"{identity.program('pyvs-ofctl')}.log"
            path = os.path.join(rundir.logdir(), files[-1] or default)
            self._file = open(path, "a")  # noqa: SIM115 - as long as the run
        self._told: dict[str, int] = {}
        self._number = 0
        self._logs = None
        if self._specs:
            self._load()  # says what is wrong with them

    def _load(self):
        import ovs.util
        from ovs.vlog import Vlog

        from pyvs.process import logs

        ovs.util.PROGRAM_NAME = identity.program("pyvs-ofctl")
        for name in [*logs.modules("pyvs-ofctl"), *MODULES.split()]:
            Vlog(name)
        try:
            for spec in self._specs:
                logs.set_verbosity(spec or "any:any:dbg")
        except ValueError as error:
            raise Fatal(str(error)) from None
        self._logs = logs

    def tell(self, module: str, level: str, text: str, kind: str) -> None:
        """A note, if there have not been too many of its kind."""
        self._told[kind] = self._told.get(kind, 0) + 1
        if self._told[kind] > BURSTS.get(kind, BURST):
            return
        if self._logs is None:
            self._load()
        self._number += 1
        record = self._logs.Record(module, level, text, self._number, time.time())
        sys.stdout.flush()
        for place, file in (("console", sys.stderr), ("file", self._file)):
            if file is not None and self._logs.shows(module, place, level):
                file.write(self._logs.line(place, record) + "\n")
                file.flush()


def start(options: list[tuple[str, str | None]]) -> None:
    """Log what the codec has to say.  Raises Fatal, OSError."""
    notes.listen(Diagnostics(options).tell)
