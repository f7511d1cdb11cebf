"""The flow tables of a bridge: what a FLOW_MOD does to them, and timeouts.

Each table is a Classifier of the bridge's XBridge, which translation reads.  A Rule's `actions`
is its list of instructions.  Sources: OpenFlow 1.0.1 4.6 and 5.3.3, 1.3.5 6.4 to 6.6 and 7.3.4.1.

Within a transaction's steps (transaction.py) changes are made in the version that only it sees.

Who owns the tables is told through `removed`, so that FLOW_REMOVED messages and the journal are
the owner's matter.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ofproto.codec.actions.base import CheckContext
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import Instructions, check_instructions
from ofproto.codec.match import Match
from ofproto.codec.messages.monitor import EV_ADDED, EV_MODIFIED, EV_REMOVED
from ofproto.codec.numbers import (
    N_TABLES,
    N_VISIBLE_TABLES,
    OF11,
    OFPP_NONE,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
    TABLE_INTERNAL,
)
from ofproto.rules.classifier import Rule
from ofproto.rules.compile import compile_actions
from ofproto.rules.scan import Loose, Overlap

from . import removal
from .learned import LearnedFlows
from .meter import MeterTable
from .table_config import TableConfigs, TableSettings
from .transaction import Change, Transaction

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)

SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS, NO_PKT_COUNTS, NO_BYT_COUNTS = (
    1 << bit for bit in range(5)
)
# What a flow keeps of its FLOW_MOD's flags, to be shown from 1.3 on.
KEPT_FLAGS = SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS | NO_PKT_COUNTS | NO_BYT_COUNTS

IDLE_GRACE_MS = 600
EXPIRED_AT_ONCE = 500  # timers looked at in a round
MOST_TRIMMED = 256  # flows above a lowered limit that go in one round
PRUNE_TIMERS = 1024  # timers below which those of removed rules are left alone
PIECE = 500  # flows looked at in one step of select_in_pieces()
MOST_WHOLE = 100_000  # flows, with more of which remove_whole() would take more than a turn


class FlowTables:
    """`removed(rule, reason)`: it is out of its table; reason None: nobody is to be told.

    A rule's `data` is the OpenFlow version that its instructions came with.  Times in monotonic
    milliseconds.
    """

    def __init__(
        self,
        xbridge: Any,
        removed: Callable[[Rule, int | None], None] = lambda rule, reason: None,
    ):
        self.xbridge = xbridge
        self.meters = MeterTable(xbridge)
        self.configs = TableConfigs(self, deadline)
        self.removed = removed
        self._n_unused = -1
        self._used: list[tuple[int, Any]] = []
        # Takes over what remove_all() is to do, where that is much: then it returns True.
        self.remove_many: Callable[..., bool] = lambda *_: False
        # Takes over what clear() leaves, which may be too much to be freed at once.
        self.dispose: Callable[..., None] = lambda *_: None
        # Called with rules before they are changed in place, when somebody wants to know.
        self.changing: Callable[[list[Rule]], None] | None = None
        self._expiry: list[tuple[int, int, Rule]] = []  # a heap of (when to look, number, rule)
        self._n_timers = 0
        self._prune_at = PRUNE_TIMERS
        self._users: dict[int, dict[Rule, None]] = {}  # of groups, in the order that they came
        # Of each tun_metadataN, how often flows refer to it.
        self.option_users: Counter[int] = Counter()
        self.learned = xbridge.learner = LearnedFlows(self)
        self.n_cleared = 0  # how often all of them were deleted at once
        self.hidden: set[Rule] = set()  # the switch's own: no FLOW_MOD has their priorities
        self.pending: Transaction | None = None  # that is not over
        self.transaction: Transaction | None = None  # the same within its own steps
        # (peer, xid) of the message that changes flows now; told to `watched` with each change:
        # (EV_*, rule, OFPRR_*, actions before, requester).
        self.requester: tuple[Any, int] | None = None
        self.watched: Callable[[int, Rule, int, Any, Any], None] | None = None
        # Told with a list of rules that went at once; only where there is somebody `watched`.
        self.watched_all: Callable[[list[Rule]], None] = lambda rules: None

    # --- reading

    def __len__(self) -> int:
        return sum(len(table) for _, table in self.tables())

    def tables(self) -> list[tuple[int, Any]]:
        """(number, Classifier) of tables that were ever used; not to be changed."""
        tables = self.xbridge.tables
        unused = tables.count(None)
        if unused != self._n_unused:  # tables come when they are used first, and stay
            self._n_unused = unused
            self._used = [
                (number, table)
                for number, table in enumerate(tables)
                if table is not None and number < N_VISIBLE_TABLES
            ]
        return self._used

    def rules(self) -> Iterator[Rule]:
        """All of them, by table; a piece of it as it is when it is come to."""
        for _, table in self.tables():
            for some in table.pieces():
                yield from some

    def users_of(self, group: int) -> Iterable[Rule]:
        """The flows that refer to a group, those of all versions of the tables."""
        return self._users.get(group, ())

    def n_users_of(self, group: int) -> int:
        """How many flows refer to a group."""
        users = self._users.get(group, ())
        if self.pending is None:
            return len(users)
        table = self.xbridge.table
        return sum(rule in table(rule.table_id) for rule in users)

    def n_rules(self, table_id: int) -> int:
        """How many rules a table has, but for hidden ones."""
        table = self.xbridge.tables[table_id]
        if table is None:
            return 0
        return len(table) - sum(rule.table_id == table_id for rule in self.hidden)

    def all_rules(self) -> set[Rule]:
        """All of them at once, but for hidden ones."""
        found: set[Rule] = set()
        for _, table in self.tables():
            found.update(table)
        found -= self.hidden  # in place: there may be a million
        return found

    def select(
        self,
        match: Match,
        table_id: int | None = None,
        out_port: int = OFPP_NONE,
        out_group: int | None = None,
        cookie: int = 0,
        cookie_mask: int = 0,
    ) -> list[Rule]:
        """The rules that a non-strict request means, but for hidden ones, which are the switch's
        own.  Raises OFError for a bad table."""
        found = []
        loose = Loose(match)
        for table in self._wanted(table_id):
            found += _shown(loose.of(table), bool(self.hidden))
        return _filtered(found, out_port, out_group, cookie, cookie_mask)

    def n_candidates(self, match: Match, table_id: int | None) -> int:
        """How many rules select() looks at.  Raises OFError for a bad table."""
        return sum(map(Loose(match).n_candidates, self._wanted(table_id)))

    def select_in_pieces(self, match: Match, table_id: int | None) -> Iterator[list[Rule]]:
        """What select() finds now, in lists (some of them empty) that are little work each.
        Raises OFError for a bad table."""
        loose = Loose(match)
        snapshots = [
            loose.of(table) if loose.n_candidates(table) <= PIECE else table.rules()
            for table in self._wanted(table_id)
        ]
        hidden = bool(self.hidden)  # now, as the snapshots are
        return (
            _shown(loose.among(some), hidden) for rules in snapshots for some in drain(rules, PIECE)
        )

    def _wanted(self, table_id: int | None) -> list[Any]:
        if table_id is None:
            return [table for _, table in self.tables()]
        if table_id == TABLE_INTERNAL:
            return [self.xbridge.internal]
        check_table(table_id)
        table = self.xbridge.tables[table_id]
        return [] if table is None else [table]

    # --- FLOW_MOD

    def flow_mod(self, mod: Any, version: int, now: int) -> None:
        """Execute a messages.FlowMod.  Raises OFError; then nothing is changed."""
        check_mod(mod)
        _COMMANDS[mod.command](self, mod, version, now)
        self.learned.bury()

    def overlap(self, mod: Any) -> Overlap | None:
        """Tells flows that could match what an ADD's does; None where it does not ask for that, or
        replaces the same flow, which is no other."""
        if mod.command != ADD or not mod.flags & CHECK_OVERLAP:
            return None
        same = self.xbridge.table(mod.table_id or 0).find_exactly(mod.match, mod.priority)
        return Overlap(mod.match, mod.priority) if same is None else None

    def add_alone(self, mod: Any, version: int, now: int) -> None:
        """Execute an ADD that the caller knows to overlap with nothing.  Raises OFError."""
        self._add(mod, version, now, is_alone=True)
        self.learned.bury()

    def _add(
        self, mod: Any, version: int, now: int, cookie: int | None = None, is_alone: bool = False
    ) -> None:
        table_id = mod.table_id or 0
        program = self._compile(mod.instructions, mod.match, table_id, version)
        table = self.xbridge.table(table_id)
        overlap = None if is_alone else self.overlap(mod)
        if overlap is not None and overlap.of(table) is not None:
            raise OFError("OFPFMFC_OVERLAP")
        victim = None
        if table.find_exactly(mod.match, mod.priority) is None:
            victim = self.configs.make_room(table_id)
            if victim is not None and self.transaction is not None:
                raise OFError("OFPFMFC_TABLE_FULL", "a transaction evicts nobody")
        rule = Rule(
            mod.match,
            mod.priority,
            table_id=table_id,
            cookie=mod.cookie if cookie is None else cookie,
            actions=mod.instructions,
            program=program,
            idle_timeout=mod.idle_timeout,
            hard_timeout=mod.hard_timeout,
            importance=mod.importance,
            flags=mod.flags & KEPT_FLAGS,
            now=now,
        )
        rule.data = version
        if victim is not None:
            self.remove(victim, OFPRR_EVICTION)
        # Before OpenFlow 1.2 a new flow's counters always began anew.
        self.insert(rule, version > OF11 and not mod.flags & RESET_COUNTS)

    def insert(
        self, rule: Rule, keeps_counters: bool = False, is_modified: bool = False
    ) -> Rule | None:
        """Put a rule into its table, in the place of an equal one, which is returned."""
        old = self.xbridge.table(rule.table_id).insert(rule)
        if old is not None:
            rule.used = old.used
        self._use_groups(rule)
        self._done(Change(rule, old, self.requester, is_modified=is_modified), keeps_counters)
        if rule.hidden:
            self.hidden.add(rule)
        return old

    def _done(self, change: Change, keeps_counters: bool = False) -> None:
        """A rule came or went."""
        if self.transaction is not None:
            self.transaction.note(change, keeps_counters)
            return
        if change.old is not None and keeps_counters:
            change.rule.inherit(change.old)
        self.xbridge.touch_rule(change.rule)
        self.settle(change)

    def settle(self, change: Change) -> None:
        """What follows from a change once everybody sees it."""
        rule = change.rule
        if change.is_removal:
            self._is_gone(rule, change.reason, change.requester)
            return
        if change.old is not None:
            self._let_go(change.old, None)
        self.meters.rule_added(rule)
        self.learned.rule_added(rule)
        self.watch(rule)
        self.configs.inserted(rule)
        if self.watched is not None:
            if change.is_modified:
                self._tell_modified(rule, change.old.actions, change.old.cookie, change.requester)
            else:
                old = None if change.old is None else change.old.actions
                self.watched(EV_ADDED, rule, 0, old, change.requester)

    def _tell_modified(self, rule: Rule, actions: Any, cookie: int, requester: Any) -> None:
        if self.watched is not None and (rule.actions != actions or rule.cookie != cookie):
            self.watched(EV_MODIFIED, rule, 0, actions, requester)

    def _let_go(self, rule: Rule, reason: int | None) -> None:
        self.xbridge.table(rule.table_id).unlink(rule)
        self._unuse(rule)
        self.hidden.discard(rule)
        self.configs.removed(rule)
        self.removed(rule, reason)

    def _is_gone(self, rule: Rule, reason: int | None, requester: Any) -> None:
        """What follows from a removal."""
        self._let_go(rule, reason)
        if self.watched is not None and reason is not None:
            self.watched(EV_REMOVED, rule, reason, None, requester)
        if self.pending is None:
            self.learned.bury()

    def revert(self, change: Change) -> None:
        """Undo a change that only its transaction has seen; the latest one first."""
        table = self.xbridge.table(change.rule.table_id)
        if change.is_removal:
            table.revive(change.rule)
            return
        table.unlink(change.rule)
        self.unuse_groups(change.rule)
        if change.old is not None:
            table.revive(change.old)

    def touch(self) -> None:
        """What happens to packets has changed; of a transaction it does when it switches."""
        if self.transaction is None:
            self.xbridge.touch("flow_table")

    def _use_groups(self, rule: Rule) -> None:
        for group in (rule.program and rule.program.groups) or ():
            self._users.setdefault(group, {})[rule] = None
        options = _options(rule)
        if options:
            self.option_users.update(options)

    def _use(self, rule: Rule) -> None:
        """Note which meter and groups a rule refers to, and what it teaches."""
        self.meters.rule_added(rule)
        self.learned.rule_added(rule)
        self._use_groups(rule)

    def _unuse(self, rule: Rule) -> None:
        self.meters.rule_gone(rule)
        self.learned.rule_gone(rule)
        self.unuse_groups(rule)

    def unuse_groups(self, rule: Rule) -> None:
        """A rule no longer refers to its groups."""
        for group in (rule.program and rule.program.groups) or ():
            users = self._users.get(group, {})
            users.pop(rule, None)
            if not users:
                self._users.pop(group, None)
        options = _options(rule)
        if options:
            self.option_users.subtract(options)

    def _compile(self, instructions: list, match: Match, table_id: int, version: int) -> Any:
        """Check instructions for a flow; the Program that translation runs."""
        context = CheckContext(match, version, table_id, N_TABLES, self.xbridge.groups, self.meters)
        check_instructions(instructions, context)
        program = getattr(instructions, "program", None)
        if program is not None:
            return program
        try:
            program = compile_actions((), instructions)
        except ValueError as error:
            raise OFError("OFPBAC_BAD_TYPE", str(error)) from None
        if isinstance(instructions, Instructions):
            instructions.program = program
        return program

    def _modify(self, mod: Any, version: int, now: int) -> None:
        found = self.select(mod.match, mod.table_id, cookie=mod.cookie, cookie_mask=mod.cookie_mask)
        self.modify(found, mod, version, now)

    def _modify_strict(self, mod: Any, version: int, now: int) -> None:
        found = _filtered(self._exactly(mod), OFPP_NONE, None, mod.cookie, mod.cookie_mask)
        self.modify(found, mod, version, now)

    def _exactly(self, mod: Any) -> list[Rule]:
        """What a strict request means, but for its filters."""
        found = [
            table.find_exactly(mod.match, mod.priority) for table in self._wanted(mod.table_id)
        ]
        return [rule for rule in found if rule is not None]

    def check(self, rules: list[Rule], mod: Any, version: int) -> None:
        """Raises OFError when some rule cannot have the instructions of a FLOW_MOD."""
        for rule in rules:
            self._compile(mod.instructions, rule.match, rule.table_id, version)

    def modify(self, rules: list[Rule], mod: Any, version: int, now: int) -> None:
        """Modify the rules that a FLOW_MOD means.  Raises OFError; then nothing is changed."""
        if not rules:
            cookie = mod.missing_cookie(version)
            if cookie is not None:
                self._add(mod, version, now, cookie)
            return
        programs = {
            rule: self._compile(mod.instructions, rule.match, rule.table_id, version)
            for rule in rules
        }
        if self.transaction is not None:
            for rule, program in programs.items():
                self._put_modified(rule, program, mod, version, now)
            return
        for rule, program in programs.items():
            cookie = rule.cookie if mod.new_cookie is None else mod.new_cookie
            self.change(rule, mod.instructions, program, version, cookie, now)
            if mod.flags & RESET_COUNTS:
                rule.n_packets = rule.n_bytes = 0

    def change(
        self, rule: Rule, instructions: list, program: Any, version: int, cookie: int, now: int
    ) -> None:
        """Give a rule other actions and another cookie, in place."""
        if self.changing is not None:
            self.changing([rule])
        before = (rule.actions, rule.cookie) if self.watched is not None else None
        self._unuse(rule)
        rule.actions = instructions
        rule.set_program(program)
        rule.cookie = cookie
        self._use(rule)
        rule.data = version
        rule.modified = now
        self.xbridge.touch_rule(rule)
        if before is not None:
            self._tell_modified(rule, *before, self.requester)

    def _put_modified(self, old: Rule, program: Any, mod: Any, version: int, now: int) -> None:
        """A modified copy in a rule's place: others have the rule as it is."""
        rule = Rule(
            old.match,
            old.priority,
            table_id=old.table_id,
            cookie=old.cookie if mod.new_cookie is None else mod.new_cookie,
            actions=mod.instructions,
            program=program,
            idle_timeout=old.idle_timeout,
            hard_timeout=old.hard_timeout,
            importance=old.importance,
            flags=old.flags,
            now=old.created,
        )
        rule.data = version
        rule.modified = now
        self.insert(rule, not mod.flags & RESET_COUNTS, is_modified=True)

    def _delete(self, mod: Any, _version: int, _now: int) -> None:
        found = self.select(
            mod.match, mod.table_id, mod.out_port, mod.out_group, mod.cookie, mod.cookie_mask
        )
        for rule in found:
            self.remove(rule, OFPRR_DELETE)

    def _delete_strict(self, mod: Any, _version: int, _now: int) -> None:
        found = self._exactly(mod)
        for rule in _filtered(found, mod.out_port, mod.out_group, mod.cookie, mod.cookie_mask):
            self.remove(rule, OFPRR_DELETE)

    def remove(self, rule: Rule, reason: int | None) -> None:
        """Take a rule out of its table; no error when it is out already."""
        if not self.xbridge.table(rule.table_id).remove(rule):
            return
        if self.transaction is not None:
            self.transaction.note(Change(rule, None, self.requester, True, reason))
            return
        self.xbridge.touch_rule(rule)
        self._is_gone(rule, reason, self.requester)

    def remove_whole(self, mod: Any) -> bool:
        """Execute a DELETE of all that is in a table, or in all tables, at once; what was there is
        freed by and by.  Returns False where it has to be done, or told, flow by flow."""
        everything = flow_filter(mod) is None and not mod.match.mask_bytes.strip(b"\0")
        if mod.command != DELETE or not everything or len(self) > MOST_WHOLE:
            return False
        tables = self._wanted(mod.table_id)
        quiet = removal.is_quiet(self) and not self.learned.has_index
        if not quiet or not all(map(removal.all_plain, tables)):
            return False
        self.dispose(*(table.take_all() for table in tables))
        if not len(self):
            self.dispose(self._expiry)
            self._expiry = []
        self.touch()
        return True

    def remove_all(
        self,
        rules: list[Rule],
        reason: int,
        belongs: Callable[[Rule], bool],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Remove rules, and do `then` afterwards.  Where they are many that may take some turns of
        the loop, during which those stay that no more belong() to them."""
        if self.transaction is None and self.remove_many(rules, reason, belongs, then):
            return
        for rule in rules:
            self.remove(rule, reason)
        then()

    def clear(self, now: int) -> None:
        """Delete every flow, group and meter, and tell nobody but flow monitors.  A transaction
        that is not over is so at once."""
        if self.pending is not None:
            for _ in self.pending.rest():
                pass
        if self.watched is not None:
            self.watched_all(list(self.rules()))
        rules = [table.take_all() for _, table in self.tables()]
        self.dispose(rules, self._expiry, self._users, self.xbridge.groups, self.learned.clear())
        self._expiry, self._users, self.xbridge.groups = [], {}, {}
        self.option_users.clear()
        self.hidden.clear()
        self.n_cleared += 1
        self.meters.clear(now)
        self.configs.cleared()
        self.xbridge.touch("flow_table")

    def close(self) -> None:
        """The bridge goes: nobody is told of changes any more, and no packet teaches any."""
        self.xbridge.learner = None
        self.learned.changed = self.removed = _tell_nobody
        self.configs.status = self.watched_all = self.dispose = _tell_nobody
        self.watched = self.changing = None
        self.remove_many = lambda *_: False

    def configure(self, wanted: dict[int, TableSettings]) -> None:
        """Make these the tables' settings; flows that are too many go by and by."""
        self.configs.configure(wanted)
        self._trim()

    def _trim(self) -> None:
        for _ in range(MOST_TRIMMED if self.pending is None else 0):
            rule = self.configs.surplus()
            if rule is None:
                return
            self.remove(rule, OFPRR_EVICTION)

    # --- timeouts

    def watch(self, rule: Rule) -> None:
        """See to its timeouts, if it has some."""
        when = deadline(rule)
        if when is not None:
            self._n_timers += 1
            heapq.heappush(self._expiry, (when, self._n_timers, rule))
            if len(self._expiry) >= self._prune_at:
                self._prune()

    def watch_again(self, rule: Rule) -> None:
        """A rule's timeouts are others now."""
        if self._is_present(rule):
            self.watch(rule)

    def _prune(self) -> None:
        """Let go of rules that were removed before their time."""
        self._expiry = [entry for entry in self._expiry if self._is_present(entry[2])]
        heapq.heapify(self._expiry)
        self._prune_at = max(PRUNE_TIMERS, 2 * len(self._expiry))

    def _is_present(self, rule: Rule) -> bool:
        table = self.xbridge.table(rule.table_id)
        return table.find_exactly(rule.match, rule.priority) is rule

    def expire(self, now: int) -> None:
        """Remove the flows whose time is up.

        A flow's last use is known as of the last round of statistics, half a second ago at
        most: an idle one is given that time.
        """
        if self.pending is not None:
            return
        if self.configs.busy:
            self._trim()
        for _ in range(EXPIRED_AT_ONCE):
            if not self._expiry or self._expiry[0][0] > now:
                return
            rule = heapq.heappop(self._expiry)[2]
            if not self._is_present(rule):
                continue
            when = deadline(rule)
            if when is None:
                continue
            if when > now:
                self.watch(rule)
                continue
            hard = rule.hard_timeout and rule.modified + rule.hard_timeout * 1000 <= now
            self.remove(rule, OFPRR_HARD_TIMEOUT if hard else OFPRR_IDLE_TIMEOUT)

    def next_expiry(self) -> int | None:
        """When expire() has to be called next; None: not at all."""
        if self.configs.busy and self.pending is None:
            return 0
        return self._expiry[0][0] if self._expiry and self.pending is None else None


def _tell_nobody(*_: Any) -> None:
    pass


def drain(rules: list[Rule], size: int) -> Iterator[list[Rule]]:
    """Lists of so many in their order, which are kept no longer than until the next one: a rule
    that is out of its table is freed, of many not all at the end."""
    rules.reverse()
    while rules:
        yield rules[: -size - 1 : -1]
        del rules[-size:]


def deadline(rule: Rule) -> int | None:
    """When a rule's first timeout ends, as far as is known."""
    ends = []
    if rule.hard_timeout:
        ends.append(rule.modified + rule.hard_timeout * 1000)
    if rule.idle_timeout:
        used = max(rule.used, rule.modified)
        ends.append(used + rule.idle_timeout * 1000 + IDLE_GRACE_MS)
    return min(ends, default=None)


def _options(rule: Rule) -> list[int]:
    """Which tun_metadataN it refers to, in match and actions."""
    of_program = rule.program.options if rule.program is not None else None
    return [each.option for each in rule.options] + list(of_program or ())


def check_table(table_id: int) -> None:
    """Raises OFError when there is no such table."""
    if not 0 <= table_id < N_VISIBLE_TABLES:
        raise OFError("OFPBRC_BAD_TABLE_ID", f"table {table_id}")


def check_mod(mod: Any) -> None:
    """Whether flows of a FLOW_MOD's table may be changed.  Raises OFError."""
    if mod.table_id == TABLE_INTERNAL:
        raise OFError("OFPBRC_EPERM", f"table {mod.table_id} is the switch's own")
    if mod.table_id is not None:
        check_table(mod.table_id)


def flow_filter(request: Any, with_outputs: bool = True) -> Callable[[Rule], bool] | None:
    """Which rules a non-strict FLOW_MOD or a request for statistics means, besides by their match
    and table; None: all.  `with_outputs`: ports and groups matter."""
    if not with_outputs:
        return _filter(OFPP_NONE, None, request.cookie, request.cookie_mask)
    return _filter(request.out_port, request.out_group, request.cookie, request.cookie_mask)


def _filter(
    out_port: int, out_group: int | None, cookie: int, cookie_mask: int
) -> Callable[[Rule], bool] | None:
    if not cookie_mask and out_port == OFPP_NONE and out_group is None:
        return None

    def passes(rule: Rule) -> bool:
        if (rule.cookie ^ cookie) & cookie_mask:
            return False
        return filtered(rule.actions, out_port, out_group)

    return passes


def filtered(actions: list, out_port: int, out_group: int | None) -> bool:
    """Whether these instructions output to a port, and to a group; OFPP_NONE, None: to any."""
    if out_port != OFPP_NONE and not _mentions(actions, "Output", "port", out_port):
        return False
    return out_group is None or _mentions(actions, "Group", "group", out_group)


def _filtered(
    rules: list[Rule], out_port: int, out_group: int | None, cookie: int, cookie_mask: int
) -> list[Rule]:
    passes = _filter(out_port, out_group, cookie, cookie_mask)
    return rules if passes is None else list(filter(passes, rules))


def _mentions(actions: list, kind: str, attribute: str, value: int) -> bool:
    """Whether some action (in apply or write actions, too) has this value."""
    for action in actions:
        if type(action).__name__ == kind and getattr(action, attribute) == value:
            return True
        if kind == "Output" and type(action).__name__ == "Enqueue" and action.port == value:
            return True
        if _mentions(getattr(action, "actions", ()), kind, attribute, value):
            return True
    return False


_COMMANDS = {
    ADD: FlowTables._add,
    MODIFY: FlowTables._modify,
    MODIFY_STRICT: FlowTables._modify_strict,
    DELETE: FlowTables._delete,
    DELETE_STRICT: FlowTables._delete_strict,
}


def _shown(rules: list[Rule], some_hidden: bool) -> list[Rule]:
    return [rule for rule in rules if not rule.hidden] if some_hidden else rules
