"""Rules of a table by their matches and cookies."""

from collections.abc import Iterable

from ofproto.codec.match import Match
from ofproto.rules.classifier import Classifier, Rule

class Loose:
    """Rules as specific as `match` or more (non-strict modify, delete, statistics)."""

    def __init__(self, match: Match | tuple[bytes, bytes]) -> None: ...
    def n_candidates(self, table: Classifier) -> int:
        """How many rules of the table have to be looked at."""

    def of(self, table: Classifier) -> list[Rule]: ...
    def among(self, rules: list[Rule]) -> list[Rule]: ...

def by_cookie(rules: Iterable[Rule]) -> dict[tuple[int, int], set[Rule]]:
    """Rules by table and cookie."""

def overlapping(
    table: Classifier, match: Match | tuple[bytes, bytes], priority: int
) -> Rule | None:
    """Some rule of `priority` that a packet of `match` could hit too (OFPFF_CHECK_OVERLAP)."""
