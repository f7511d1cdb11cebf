"""Flow monitors: connections that are told of each change to the flows that they select.

Nicira's of 1.0 to 1.2, the ONF's extension 187 of 1.3, 1.4's.  A connection that reads too slowly
is told so once (PAUSED); then it hears of deletions only, until it has read all that was sent, and
of what else has changed meanwhile (RESUMED).

Sources: OpenFlow 1.4.1 7.3.5.17; ovs-ofctl(8), "watch:".
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from ofproto.changes.table_work import TableWork
from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.messages import monitor as wire
from ofproto.codec.numbers import OF13, OFPP_NONE, OFPRR_DELETE
from ofproto.tables.flow_table import check_table, drain, filtered
from pyvs import coverage

MAX_MONITORS = 256  # of one connection
# Bytes that a connection has not read, above which it is paused.
PAUSE_BYTES = 128 << 10
# Changes told in one message at most.
MOST_UPDATES = 256
STEP = 100  # of many flows that went at once, those told in one step

PAUSED = coverage.counter("flow_monitor_paused")
REFUSED = coverage.counter("flow_monitor_limit")

_WANTED = {
    wire.EV_INITIAL: wire.FM_INITIAL,
    wire.EV_ADDED: wire.FM_ADD,
    wire.EV_REMOVED: wire.FM_REMOVED,
    wire.EV_MODIFIED: wire.FM_MODIFY,
}


class _Watch:
    """A monitor.Monitor, ready to be asked about rules."""

    def __init__(self, monitor: Any):
        self.monitor = monitor
        self.flags = monitor.flags
        self._mask = int.from_bytes(monitor.match.mask_bytes, "big")
        self._key = int.from_bytes(monitor.match.key_bytes, "big") & self._mask

    def selects(self, rule: Any, actions_before: Any) -> bool:
        """Whether a rule is one of its; so is one whose actions were before."""
        monitor = self.monitor
        if monitor.table_id not in (None, rule.table_id):
            return False
        if int.from_bytes(rule.mask, "big") & self._mask != self._mask:
            return False
        if int.from_bytes(rule.key, "big") & self._mask != self._key:
            return False
        if monitor.out_group is not None and not filtered(
            rule.actions, OFPP_NONE, monitor.out_group
        ):
            return False  # what was done before counts for ports only, as in Open vSwitch
        if monitor.out_port == OFPP_NONE:
            return True
        lists = [rule.actions] if actions_before is None else [rule.actions, actions_before]
        return any(filtered(each, monitor.out_port, None) for each in lists)


class _Watcher:
    """A connection with monitors.  `changed`, while it is paused: (rule, whether it came) of what
    came or was modified since, by what makes a flow itself."""

    def __init__(self) -> None:
        self.watches: dict[int, _Watch] = {}
        self.updates: list[Any] = []
        self.abbreviated: int | None = None
        self.changed: dict[Any, tuple[Any, bool]] | None = None

    def note_paused(self, event: int, rule: Any, replaces: bool) -> bool:
        """Whether a change is told although it is paused: a deletion of what it knows."""
        assert self.changed is not None
        key = rule.table_id, rule.priority, rule.key, rule.mask
        before = self.changed.pop(key, None)
        if event == wire.EV_REMOVED:
            return before is None or not before[1]
        is_new = before[1] if before else event == wire.EV_ADDED and not replaces
        self.changed[key] = rule, is_new
        return False


class FlowMonitors:
    """Of a bridge's connections; told of changes by FlowTables.  Where all flows went at once, that
    is told in slices; what changes meanwhile comes after it."""

    def __init__(self, tables: Any, work: TableWork):
        self._tables = tables
        self._work = work
        self._watchers: dict[Any, _Watcher] = {}
        self._requester: Any = None  # of the updates that are collected
        # (rules, EV_*, OFPRR_*, actions before, requester) that are to be told in slices.
        self._later: deque[tuple[list[Any], int, int, Any, Any]] = deque()
        tables.watched_all = self._all_removed

    def closed(self, peer: Any) -> None:
        """A connection has ended."""
        self._watchers.pop(peer, None)
        self._follow()

    def _follow(self) -> None:
        self._tables.watched = self.changed if self._watchers else None

    # --- requests

    def request(self, peer: Any, request: Any) -> None:
        """Take monitors, and answer with the flows that there are.  Raises OFError; then none is
        taken."""
        wanted = [each for each in request.monitors if each.command == wire.MONITOR_ADD]
        before = self._watchers.get(peer)
        known = dict(before.watches) if before else {}
        for each in request.monitors:
            self._apply(known, each)
        found = [(each, self._selected(each)) for each in wanted if each.flags & wire.FM_INITIAL]
        watcher = before or _Watcher()
        watcher.watches = known
        self._watchers[peer] = watcher
        if not known:
            del self._watchers[peer]
        self._follow()
        flows = _initial(self._tables, found)
        parts = m.multipart(m.FlowMonitorReply, flows, peer.version, request.xid)
        peer.connection.send_long(parts)

    def _apply(self, known: dict[int, _Watch], monitor: Any) -> None:
        number = monitor.monitor_id
        if monitor.command == wire.MONITOR_ADD and number in known:
            raise OFError("OFPMOFC_MONITOR_EXISTS", f"monitor {number}")
        if monitor.command != wire.MONITOR_ADD and number not in known:
            raise OFError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {number}")
        if monitor.command == wire.MONITOR_DELETE:
            del known[number]
            return
        if monitor.table_id is not None:
            check_table(monitor.table_id)
        if len(known) >= MAX_MONITORS:
            REFUSED.count += 1
            raise OFError("OFPBRC_EPERM", f"{len(known)} monitors")
        known[number] = _Watch(monitor)

    def _selected(self, monitor: Any) -> list[Any]:
        return self._tables.select(
            monitor.match, monitor.table_id, monitor.out_port, monitor.out_group
        )

    def cancel(self, peer: Any, number: int) -> None:
        """Raises OFError."""
        watcher = self._watchers.get(peer)
        if watcher is None or number not in watcher.watches:
            raise OFError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {number}")
        del watcher.watches[number]
        if not watcher.watches:
            del self._watchers[peer]
        self._follow()

    # --- changes

    def changed(
        self, event: int, rule: Any, reason: int, actions_before: Any, requester: Any
    ) -> None:
        """A rule came, went (`reason`: OFPRR_*) or was modified (`actions_before`: what it did
        until then); `requester`: (peer, xid) of the message that did it, or None."""
        if rule.hidden:
            return
        if self._later:
            self._later.append(([rule], event, reason, actions_before, requester))
        else:
            self._change(event, rule, reason, actions_before, requester)

    def _all_removed(self, rules: list[Any]) -> None:
        """The switch itself has deleted everything."""
        if not self._later:
            self._work.start("flow monitors", self._tell_later())
        self._later.append((rules, wire.EV_REMOVED, OFPRR_DELETE, None, None))

    def _tell_later(self) -> Iterator[None]:
        try:
            while self._later:
                rules, event, *more = self._later[0]
                for some in drain(rules, STEP):
                    for rule in some:
                        if not rule.hidden:
                            self._change(event, rule, *more)
                    yield
                self._later.popleft()
        finally:
            self._later.clear()

    def _change(
        self, event: int, rule: Any, reason: int, actions_before: Any, requester: Any
    ) -> None:
        if requester != self._requester:
            self.flush()
            self._requester = requester
        for peer, watcher in self._watchers.items():
            if peer.running:
                self._tell(peer, watcher, event, rule, reason, actions_before, requester)

    def _tell(
        self, peer: Any, watcher: _Watcher, event: int, rule: Any, reason: int,
        actions_before: Any, requester: Any,
    ) -> None:  # fmt: skip
        own = requester is not None and requester[0] is peer
        flags = 0
        for watch in watcher.watches.values():
            if watch.flags & _WANTED[event] and watch.selects(rule, actions_before):
                flags |= watch.flags
        if not flags:
            return
        replaces = actions_before is not None
        if watcher.changed is not None and not watcher.note_paused(event, rule, replaces):
            return
        if own and not flags & wire.FM_NO_ABBREV:
            if watcher.abbreviated != requester[1]:
                watcher.abbreviated = requester[1]
                watcher.updates.append(wire.FlowUpdate(wire.EV_ABBREV, xid=requester[1]))
            return
        watcher.updates.append(_update(event, rule, flags, reason))
        if len(watcher.updates) >= MOST_UPDATES:
            self._send(peer, watcher)

    def flush(self) -> None:
        """Send what was collected: what was told before is not to come after other answers."""
        if not self._watchers:
            return
        for peer, watcher in self._watchers.items():
            if watcher.updates:
                self._send(peer, watcher)
            watcher.abbreviated = None

    def _send(self, peer: Any, watcher: _Watcher) -> None:
        updates, watcher.updates = watcher.updates, []
        if not peer.running:
            return
        for part in m.multipart(m.FlowMonitorReply, updates, peer.version, 0):
            peer.connection.send(part)
        if watcher.changed is None and peer.connection.backlog > PAUSE_BYTES:
            PAUSED.count += 1
            watcher.changed = {}
            _say(peer, wire.EV_PAUSED, m.FlowMonitorPaused())

    def run(self, _now: int) -> None:
        """Send what was collected; go on with those who have read what was sent."""
        self.flush()
        for peer, watcher in self._watchers.items():
            if watcher.changed is not None and not peer.connection.backlog and peer.running:
                self._resume(peer, watcher)

    def _resume(self, peer: Any, watcher: _Watcher) -> None:
        changed, watcher.changed = watcher.changed or {}, None
        for rule, is_new in changed.values():
            event = wire.EV_ADDED if is_new else wire.EV_MODIFIED
            self._tell(peer, watcher, event, rule, 0, None, None)
        if watcher.updates:
            self._send(peer, watcher)
        if watcher.changed is None:
            _say(peer, wire.EV_RESUMED, m.FlowMonitorResumed())


def _say(peer: Any, event: int, message: Any) -> None:
    """PAUSED or RESUMED: an update from 1.4 on, a message of its own before."""
    if peer.version > OF13:
        message = m.FlowMonitorReply([wire.FlowUpdate(event)])
    peer.connection.send(message.encode(peer.version, 0))


def _update(event: int, rule: Any, flags: int, reason: int = 0) -> Any:
    instructions = rule.actions if flags & wire.FM_INSTRUCTIONS else None
    return wire.FlowUpdate(
        event, rule.match, rule.priority, rule.table_id, rule.cookie, reason, rule.idle_timeout,
        rule.hard_timeout, instructions,
    )  # fmt: skip


def _initial(tables: Any, found: list[tuple[Any, list[Any]]]) -> Iterator[Any]:
    """Each flow once, with what all monitors that select it want to know; as it is by then, for
    what changed since was told already."""
    flags: dict[Any, int] = {}
    for monitor, rules in found:
        for rule in rules:
            flags[rule] = flags.get(rule, 0) | monitor.flags
    for rule, wanted in flags.items():
        now = tables.xbridge.table(rule.table_id).find_exactly(rule.match, rule.priority)
        if now is not None:
            yield _update(wire.EV_INITIAL, now, wanted)


def request(ofproto: Any, peer: Any, message: Any, _now: int) -> None:
    """A handler, see handlers."""
    ofproto.monitors.request(peer, message)


def cancel(ofproto: Any, peer: Any, message: Any, _now: int) -> None:
    """A handler, see handlers."""
    ofproto.monitors.cancel(peer, message.monitor_id)


HANDLERS = {m.FlowMonitorRequest: request, m.FlowMonitorCancel: cancel}
