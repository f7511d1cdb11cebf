"""What a learn action says, and the flow that it makes of a packet."""

from typing import Any

from ofproto.codec.match import Match
from ofproto.rules.program import Program

class LearnSpec:
    """One learn action, compiled."""

    action: Any  # codec.actions.learn.Learn
    has_result: bool

class Learned:
    """A flow that is to be there: as an OpenFlow 1.0 FLOW_MOD of Nicira's would make it."""

    spec: LearnSpec
    match: Match
    instructions: list[Any]
    program: Program
    def text(self) -> str:
        """As ofproto/trace shows it."""
