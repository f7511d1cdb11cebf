"""What is configured of each flow table: its name, how many flows it takes, what happens to more.

By the Flow_Table rows of the database, and by peers: TABLE_MOD (OpenFlow 1.1 and 1.2: what becomes
of a miss; 1.4 and later: eviction, and TABLE_STATUS about how full the table is) and, for names,
TABLE_FEATURES.  Sources: ovs-vswitchd.conf.db(5), OpenFlow 1.2 A.3.3, 1.4.1 7.3.4.1.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ofproto.codec.errors import OFError
from ofproto.codec.messages import (
    EVICT_IMPORTANCE,
    EVICT_LIFETIME,
    EVICT_OTHER,
    MISS_MASK,
    TC_EVICTION,
    TC_VACANCY_EVENTS,
    VACANCY_DOWN,
    VACANCY_UP,
    TableDesc,
    TableMod,
)
from ofproto.codec.messages import MISS_CONTINUE as OF_CONTINUE
from ofproto.codec.messages import MISS_CONTROLLER as OF_CONTROLLER
from ofproto.codec.messages import MISS_DROP as OF_DROP
from ofproto.codec.numbers import N_VISIBLE_TABLES, OF12, OF14, TABLE_ALL
from ofproto.rules.classifier import USUAL_TRIES
from ofproto.xlate.bridges.xbridge import MISS_CONTINUE, MISS_CONTROLLER, MISS_DEFAULT, MISS_DROP

from .eviction import Eviction

MAX_RULES = 1_000_000  # in one table
EVICTION_FLAGS = EVICT_OTHER | EVICT_IMPORTANCE | EVICT_LIFETIME

_MISSES = {OF_CONTROLLER: MISS_CONTROLLER, OF_CONTINUE: MISS_CONTINUE, OF_DROP: MISS_DROP}
_MISSES_BACK = {miss: number for number, miss in _MISSES.items()} | {MISS_DEFAULT: OF_CONTROLLER}


@dataclass(frozen=True)
class TableSettings:
    """A Flow_Table row.  `limit` None: what the switch can; `fields`: (name, start, bits) of what
    eviction groups flows by, of `evict` alone; `prefixes`: the address fields whose prefixes are
    tracked (None: all)."""

    name: str = ""
    limit: int | None = None
    evict: bool = False
    fields: tuple[tuple[str, int, int], ...] = ()
    prefixes: tuple[str, ...] | None = None


class _Table:
    """`event`: what the next TABLE_STATUS would say, None where vacancy is not watched."""

    def __init__(self) -> None:
        self.settings = TableSettings()
        self.name = ""  # as a peer set it
        self.evicts = False  # by a peer's wish
        self.vacancy: tuple[int, int] = (0, 0)
        self.event: int | None = None
        self.eviction: Eviction | None = None


class TableConfigs:
    """Of the FlowTables `tables`.  `status(reason, TableDesc)` is called when a table is about as
    full as somebody wanted to be told."""

    def __init__(self, tables: Any, deadline: Callable[[Any], int | None]):
        self._tables = weakref.proxy(tables)  # whose part this is
        self._deadline = deadline
        self._configs: dict[int, _Table] = {}
        self._over: set[int] = set()  # tables that have more flows than they may
        self.status: Callable[[int, TableDesc], None] = lambda reason, desc: None

    def _config(self, table_id: int) -> _Table:
        return self._configs.setdefault(table_id, _Table())

    def limit(self, table_id: int) -> int:
        """How many flows the table takes."""
        config = self._configs.get(table_id)
        limit = config.settings.limit if config else None
        return MAX_RULES if limit is None else min(limit, MAX_RULES)

    def is_plain(self, table_id: int) -> bool:
        """Whether nothing was ever configured for it, for TABLE_ALL for any."""
        return table_id not in self._configs and (table_id != TABLE_ALL or not self._configs)

    def name(self, table_id: int) -> str:
        """The table's name, or nothing; the database's goes before a peer's."""
        config = self._configs.get(table_id)
        return (config.settings.name or config.name) if config else ""

    # --- the database's rows

    def configure(self, wanted: dict[int, TableSettings]) -> None:
        """Make these the Flow_Tables; flows that are too many go, some in each round."""
        for table_id in self._configs.keys() | wanted.keys():
            if not 0 <= table_id < N_VISIBLE_TABLES:
                continue
            config = self._config(table_id)
            settings = wanted.get(table_id, TableSettings())
            if settings == config.settings:
                continue
            if settings.prefixes != config.settings.prefixes:
                self._track(table_id, settings.prefixes)
            config.settings = settings
            if settings.name:
                config.name = ""
            self._set_eviction(table_id, config)
            if self._tables.n_rules(table_id) > self.limit(table_id):
                self._over.add(table_id)

    def _track(self, table_id: int, prefixes: tuple[str, ...] | None) -> None:
        xbridge = self._tables.xbridge
        xbridge.table(table_id).track_prefixes(USUAL_TRIES if prefixes is None else prefixes)
        xbridge.touch()

    def _set_eviction(self, table_id: int, config: _Table) -> None:
        settings = config.settings
        if not (settings.evict or config.evicts):
            config.eviction = None
            return
        fields = settings.fields if settings.evict else ()
        config.eviction = Eviction(lambda rule: _values(rule, fields), self._deadline)
        for rule in self._tables.xbridge.table(table_id):
            if not rule.hidden:
                config.eviction.add(rule)

    # --- peers

    def table_mod(self, mod: TableMod, version: int) -> None:
        """Raises OFError."""
        if mod.table_id is not None and not 0 <= mod.table_id < N_VISIBLE_TABLES:
            hidden = mod.table_id == N_VISIBLE_TABLES
            raise OFError("OFPTMFC_EPERM" if hidden else "OFPTMFC_BAD_TABLE")
        chosen = range(N_VISIBLE_TABLES) if mod.table_id is None else (mod.table_id,)
        if version >= OF14:
            if mod.eviction not in (None, EVICTION_FLAGS):
                raise OFError("OFPTMFC_BAD_CONFIG", f"eviction flags {mod.eviction:#x}")
            for table_id in chosen:
                self._mod_14(table_id, mod)
        elif version <= OF12:  # from 1.3 on this configuration means nothing
            # What is no configuration is the first one, as in Open vSwitch.
            miss = _MISSES.get(mod.config & MISS_MASK, MISS_CONTROLLER)
            for table_id in chosen:
                self._tables.xbridge.set_miss(table_id, miss)
            self._tables.xbridge.touch()

    def _mod_14(self, table_id: int, mod: TableMod) -> None:
        config = self._config(table_id)
        evicts = bool(mod.config & TC_EVICTION)
        if evicts != config.evicts:
            config.evicts = evicts
            self._set_eviction(table_id, config)
        config.event = None
        if mod.config & TC_VACANCY_EVENTS:
            config.vacancy = mod.vacancy or (0, 0)
            scarce = self._vacancy(table_id) < config.vacancy[1]
            config.event = VACANCY_UP if scarce else VACANCY_DOWN

    def check_name(self, table_id: int, name: str) -> None:
        """Raises OFError where a peer may not give that name."""
        if not 0 <= table_id < N_VISIBLE_TABLES:
            raise OFError("OFPTFFC_BAD_TABLE", f"table {table_id}")
        config = self._configs.get(table_id)
        if config and config.settings.name and config.settings.name != name:
            raise OFError("OFPTFFC_EPERM", "the name is the database's")

    def set_name(self, table_id: int, name: str) -> None:
        """After check_name().  There is one name: the database's is not made a peer's."""
        config = self._config(table_id)
        if not config.settings.name:
            config.name = name

    # --- what is told

    def _vacancy(self, table_id: int) -> int:
        """Room that the table has, in per cent."""
        limit = self.limit(table_id)
        return max(0, limit - self._tables.n_rules(table_id)) * 100 // limit if limit else 0

    def miss(self, table_id: int) -> int:
        """What becomes of a miss, in the numbers of OpenFlow 1.1."""
        return _MISSES_BACK[self._tables.xbridge.get_miss(table_id)]

    def describe(self, table_id: int) -> TableDesc:
        """The table as TABLE_DESC tells it."""
        found = TableDesc(table_id, 0, EVICTION_FLAGS)
        config = self._configs.get(table_id)
        if config is None:
            return found
        if config.evicts:
            found.config |= TC_EVICTION
        if config.event is not None:
            found.config |= TC_VACANCY_EVENTS
            found.vacancy = (*config.vacancy, self._vacancy(table_id))
        return found

    # --- flows

    def make_room(self, table_id: int) -> Any:
        """The flow that a new one takes the place of; None where there is room.  Raises OFError
        where there is none."""
        if self._tables.n_rules(table_id) < self.limit(table_id):
            return None
        rule = self._choose(table_id)
        if rule is None:
            raise OFError("OFPFMFC_TABLE_FULL")
        return rule

    def has_room(self, table_id: int) -> bool:
        """Whether make_room() would find some."""
        return (
            self._tables.n_rules(table_id) < self.limit(table_id)
            or self._choose(table_id) is not None
        )

    def _choose(self, table_id: int) -> Any:
        config = self._configs.get(table_id)
        return config.eviction.choose() if config and config.eviction else None

    def inserted(self, rule: Any) -> None:
        """A flow is in its table, or was modified."""
        config = self._configs.get(rule.table_id)
        if config is None or rule.hidden:
            return
        if config.eviction is not None:
            config.eviction.add(rule)
        self._tell(rule.table_id, config)

    def removed(self, rule: Any) -> None:
        """A flow is out of its table."""
        config = self._configs.get(rule.table_id)
        if config is None or rule.hidden:
            return
        if config.eviction is not None:
            config.eviction.remove(rule)
        self._tell(rule.table_id, config)

    def _tell(self, table_id: int, config: _Table) -> None:
        if config.event is None:
            return
        vacancy, (down, up) = self._vacancy(table_id), config.vacancy
        if config.event == VACANCY_DOWN and vacancy < down:
            after = VACANCY_UP
        elif config.event == VACANCY_UP and vacancy > up:
            after = VACANCY_DOWN
        else:
            return
        reason, desc = config.event, self.describe(table_id)
        config.event = after
        self.status(reason, desc)

    def cleared(self) -> None:
        """All flows are gone."""
        for table_id, config in self._configs.items():
            self._set_eviction(table_id, config)

    @property
    def busy(self) -> bool:
        """Whether surplus() may give something."""
        return bool(self._over)

    def surplus(self) -> Any:
        """A flow that has to go because a limit was lowered; None when there is none (left)."""
        for table_id in list(self._over):
            if self._tables.n_rules(table_id) > self.limit(table_id):
                rule = self._choose(table_id)
                if rule is not None:
                    return rule
            self._over.discard(table_id)
        return None


def _values(rule: Any, fields: tuple[tuple[str, int, int], ...]) -> tuple[int, ...]:
    """The values that a rule's match has in these; 0 where it has none."""
    return tuple(rule.match.get(name)[0] >> start & (1 << bits) - 1 for name, start, bits in fields)
