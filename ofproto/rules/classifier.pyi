"""Rules of an OpenFlow table and the search over them."""

from collections.abc import Iterator
from typing import Any

from ofproto.codec.fields import OptionField
from ofproto.codec.match import Match
from ofproto.rules.program import Program
from ofproto.rules.view import View

TRIE_NAMES: tuple[str, ...]
USUAL_TRIES: tuple[str, ...]

class Rule:
    """One flow of a table.  `priority` and `match` never change; the rest is its owner's.

    Times are monotonic milliseconds.  Statistics are credited by upcalls and revalidators.
    A `program` of None drops.
    """

    priority: int
    table_id: int
    cookie: int
    idle_timeout: int
    hard_timeout: int
    importance: int
    flags: int
    n_packets: int
    n_bytes: int
    n_flows: int  # datapath flows whose packets are credited to it
    created: int
    modified: int
    used: int
    actions: Any
    raw: Any  # RawInstructions: its actions are still bytes, as they came; else None
    program: Program | None  # changed by set_program() only
    options: tuple[OptionField, ...]  # the tun_metadataN of its match
    data: Any
    def set_program(self, program: Program | None) -> None: ...
    heir: Rule | None  # counts what the datapath tells late of this one
    def inherit(self, old: Rule) -> None:
        """Take over the counters of a rule that this one replaces."""

    @property
    def match(self) -> Match: ...
    @property
    def key(self) -> bytes: ...
    @property
    def mask(self) -> bytes: ...
    @property
    def hidden(self) -> bool: ...
    def __init__(
        self,
        match: Match | tuple[bytes, bytes],
        priority: int = 0x8000,
        *,
        table_id: int = 0,
        cookie: int = 0,
        actions: Any = None,
        program: Program | None = None,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        importance: int = 0,
        flags: int = 0,
        now: int = 0,
        options: tuple[OptionField, ...] = (),
    ) -> None: ...

class Classifier:
    """The rules of one table.  Two rules are the same when match and priority are equal."""

    table_id: int
    n_lookup: int
    n_matched: int
    n_subtables: int
    coming: int
    going: int
    gone: int
    view: View
    def __init__(self, table_id: int = 0, view: View | None = None) -> None: ...
    def track_prefixes(self, fields: tuple[str, ...]) -> None:
        """Have lookups ask the tries of these address fields (of TRIE_NAMES) only; others change
        nothing."""

    def insert(self, rule: Rule) -> Rule | None:
        """Adds `rule`; returns the rule of equal match and priority that it replaced, which ahead
        of the committed version is in the table yet."""

    def remove(self, rule: Rule) -> bool:
        """Removes this very object; False when it is not here."""

    def unlink(self, rule: Rule) -> bool:
        """Removes it for all versions."""

    def revive(self, rule: Rule) -> None:
        """Undoes its removal ahead of the committed version."""

    def switched(self) -> None:
        """To be called after View.switch()."""

    def find_exactly(self, match: Match, priority: int) -> Rule | None: ...
    def lookup(self, key: bytes, wc: bytearray | None = None) -> Rule | None:
        """The rule of highest priority for `key` (KEY_SIZE bytes); `wc` gains bits looked at."""

    def rules(self) -> list[Rule]:
        """A snapshot, in the order that they came."""

    def pieces(self) -> Iterator[list[Rule]]:
        """rules(), some at a time, each time as they are then."""

    def take_all(self) -> dict[int, dict[Rule, None]]:
        """Empties the table for all versions; returns what holds the rules, so that they need not
        be freed at once."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Rule]:
        """Over a snapshot: rules may come and go meanwhile.  No particular order."""
