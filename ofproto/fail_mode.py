"""What a bridge does without its controllers: ovs-vsctl(8), "Controller Failure Settings".

Without any controller a standalone bridge has one flow, NORMAL at priority 0, and is a learning
switch.  With controllers it is one again, by a flow of the switch's own, when none has been
heard of for three times the inactivity probe; the controllers' own flows are gone then.  A secure
bridge has only the flows that somebody gave it.
"""

from typing import Any

import ovs.vlog

from ofproto.codec.actions import Output
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.match import Match
from ofproto.codec.numbers import OF13, OFPP_NORMAL
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.tables.flow_log import FlowLog
from ofproto.tables.flow_table import FlowTables

vlog = ovs.vlog.Vlog("fail_open")

# Beyond what a FLOW_MOD can say: the rule is hidden, and no controller's or tool's to delete.
FAIL_OPEN_PRIORITY = 0xF0F0F0
PROBES = 3  # inactivity probes without an answer
MIN_PROBE_MS = 5000  # taken for a target without probes


class FailMode:
    """`flush()` deletes all flows of the bridge and, where the mode wants it, adds the default."""

    def __init__(self, name: str, tables: FlowTables, log: FlowLog):
        self.name = name
        self.tables = tables
        self._log = log
        self.mode = "standalone"
        self.has_controllers = False
        self.since: int | None = (
            None  # ms; no controller since then; None: there is one, or needs none
        )
        self._fail_open: Rule | None = None
        self._unknown: set[str] = set()  # of an earlier process, whose flows these are

    @property
    def is_open(self) -> bool:
        """Whether the switch forwards by itself although it has controllers."""
        return self._fail_open is not None

    @property
    def state(self) -> bytes:
        """A byte that tells which flows the configuration makes: the same after a restart means
        that the flows of before are still right."""
        return bytes([self.has_controllers | (self.mode == "secure") << 1 | self.is_open << 2])

    def flush(self, now: int) -> None:
        """Delete every flow; add the default one where there are neither rules nor rulers."""
        self._fail_open = None
        self._clear(now)
        if not self.has_controllers and self.mode != "secure":
            self._log.added(self._normal(0, now), now)

    def _clear(self, now: int) -> None:
        self.tables.clear(now)
        self._log.cleared(self.state, now)

    def restored(self, state: bytes, now: int) -> None:
        """The tables are those of an earlier process, whose `state` was this."""
        self.has_controllers = bool(state[0] & 1)
        self.mode = "secure" if state[0] & 2 else "standalone"
        if state[0] & 4:
            self._fail_open = self._normal(FAIL_OPEN_PRIORITY, now)

    def restored_without_state(self) -> None:
        """The same, where nobody knows the state: the configuration is taken for that of before."""
        self._unknown = {"mode", "has_controllers"}

    def follow(self, name: str, value: Any, now: int) -> bool:
        """`mode` or `has_controllers` is this; returns whether it is another one than before."""
        is_other = getattr(self, name) != value and name not in self._unknown
        setattr(self, name, value)
        if name in self._unknown:
            self._unknown.remove(name)
            if not self._unknown:
                self._log.note(self.state, now)
        return is_other

    def _normal(self, priority: int, now: int) -> Rule:
        """A rule for all packets, which is in its table when it is returned."""
        instructions = [ApplyActions([Output(OFPP_NORMAL)])]
        rule = Rule(
            Match(),
            priority,
            actions=instructions,
            program=compile_actions((), instructions),
            now=now,
        )
        rule.data = OF13
        self.tables.insert(rule)
        return rule

    def run(self, connected: bool, probe: int, now: int) -> None:
        """Follow whether a controller is connected; `probe` is the longest interval in ms."""
        if connected or not self.has_controllers or self.mode == "secure":
            self.since = None
            if self.is_open:
                self._recover(now)
        elif self.since is None:
            self.since = now
        elif not self.is_open and now >= self.since + self.patience(probe):
            self._open(now)

    def _open(self, now: int) -> None:
        seconds = (now - self.since) // 1000
        vlog.warn(
            f"{self.name}: could not connect to controller for {seconds} seconds, failing open"
        )
        self._clear(now)
        self._fail_open = self._normal(FAIL_OPEN_PRIORITY, now)
        self._log.note(self.state, now)

    @staticmethod
    def patience(probe: int) -> int:
        """How long a controller may be silent, in ms."""
        return PROBES * max(probe or MIN_PROBE_MS, 1000)

    def _recover(self, now: int) -> None:
        vlog.info(f"{self.name}: no longer in fail-open mode")
        self.tables.remove(self._fail_open, None)
        self._fail_open = None
        self._log.note(self.state, now)

    def next_change(self, probe: int) -> int | None:
        """When run() may have something to do, in ms; None: not by time alone."""
        if self.since is None or self.is_open:
            return None
        return self.since + self.patience(probe)
