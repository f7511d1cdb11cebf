"""Rows of flow statistics, of tables with many flows of few kinds."""

from collections.abc import Callable

from ofproto.rules.classifier import Rule

class FlowRows:
    """For one reply.  `whole(rule)` makes a row by the codec."""

    def __init__(
        self, version: int, nxm: bool, now: int, whole: Callable[[Rule], bytes]
    ) -> None: ...
    def row(self, rule: Rule) -> bytes:
        """A rule's bytes."""
