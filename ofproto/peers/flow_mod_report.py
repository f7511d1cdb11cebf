"""How many flows a peer added, changed and deleted: a line in the log now and then.

It is the first thing a user looks for who wonders what a controller did; a line at most each
minute for a peer keeps the log short, whatever the controller does.
"""

from collections import Counter

# After the first FLOW_MOD of a peer that had none lately, and until it is told once more, in ms.
FIRST_MS, NEXT_MS = 10_000, 60_000

# By OFPFC_*: what the line calls it.
_KINDS = ("adds", "modifications", "modifications", "deletes", "deletes")
_ORDER = ("adds", "deletes", "modifications")


class FlowModReport:
    """Counts of one peer; now and times in ms."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first = self._last = 0
        self._due: int | None = None

    def note(self, command: int, now: int) -> None:
        """A FLOW_MOD of that command was executed."""
        if not self._counts:
            self._first = now
            if self._due is None:
                self._due = now + FIRST_MS
        self._last = now
        self._counts[_KINDS[command]] += 1

    def due(self, now: int) -> str | None:
        """What to tell now, if it is time; afterwards it is counted anew."""
        if self._due is None or now < self._due:
            return None
        text = self.text(now)
        self._due = now + NEXT_MS if text else None
        return text

    def text(self, now: int) -> str | None:
        """What to tell, if anything was not told yet (of a peer that goes, too)."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return None
        span, ago = (self._last - self._first) // 1000, (now - self._last) // 1000
        when = f"in the {span} s starting {span + ago} s ago" if ago else f"in the last {span} s"
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in _ORDER if counts[kind])
        return f"{counts.total()} flow_mods {when} ({kinds})"
