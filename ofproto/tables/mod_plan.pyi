"""FLOW_MODs that differ in values only from one that was executed."""

from typing import Any

class ModPlans:
    """Of one bridge's FlowTables."""

    n_planned: int  # messages that had a plan
    def __init__(self, tables: Any) -> None: ...
    def fits(self, raw: bytes, table_in_command: bool) -> bool:
        """Whether a plan is known for a message: then it can be decoded, and is in order."""

    def run(self, raw: bytes, table_in_command: bool, now: int) -> int | None:
        """Execute a FLOW_MOD, where a plan is known for it; returns its command, None where it was
        not done.  In a transaction's steps it is part of that.  `table_in_command`: the peer has
        NXT_FLOW_MOD_TABLE_ID on."""

    def learn(self, raw: bytes, mod: Any, table_in_command: bool) -> None:
        """To be called with FLOW_MODs that were executed otherwise."""
