"""What trace notes of a step, to be made text when it is printed: that takes some 20 times as long
as the step itself, and is done piece by piece.

Actions are noted as they are, and are text by format(), too.
"""

from typing import Any, NamedTuple

from ofproto.codec.match_text import PortNames, format_match


class FoundRule(NamedTuple):
    """A rule as it was when it was found."""

    table_id: int
    match: Any
    priority: int
    cookie: int

    def format(self, names: PortNames = None) -> str:
        match = format_match(self.match, names)
        text = f"{self.table_id:2d}. {match}{', ' if match else ''}priority {self.priority}"
        return text + (f", cookie {self.cookie:#x}" if self.cookie else "")


class ActionSet(NamedTuple):
    """`head`, and the actions in their order: without names, as Open vSwitch has them."""

    head: str
    actions: Any

    def format(self, _names: PortNames = None) -> str:
        return self.head + ",".join(map(text_of, self.actions))


def text_of(step: Any, names: PortNames = None) -> str:
    """Of the last member of a step, with `names` for ports."""
    if isinstance(step, str):
        return step
    return step.format(names) if names else step.format()
