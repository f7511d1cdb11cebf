"""What trace notes of a step, to be made text when it is printed: that takes some 20 times as long
as the step itself, and is done piece by piece.

Actions are noted as they are, and are text by format(), too.
"""

from typing import Any, NamedTuple

from ofproto.codec.match_text import format_match


class FoundRule(NamedTuple):
    """A rule as it was when it was found."""

    table_id: int
    match: Any
    priority: int
    cookie: int

    def format(self) -> str:
        match = format_match(self.match)
        text = f"{self.table_id:2d}. {match}{', ' if match else ''}priority {self.priority}"
        return text + (f", cookie {self.cookie:#x}" if self.cookie else "")


class ActionSet(NamedTuple):
    """`head`, and the actions in their order."""

    head: str
    actions: Any

    def format(self) -> str:
        return self.head + ",".join(
            action if isinstance(action, str) else action.format() for action in self.actions
        )


def text_of(step: Any) -> str:
    """Of the last member of a step."""
    return step if isinstance(step, str) else step.format()
