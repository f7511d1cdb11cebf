"""Packets through one tracker from several threads."""

from datapath.conntrack.connections import Connections

def hammer(
    table: Connections,
    frames: list[bytes],
    actions: list[bytes],
    rounds: int,
    seed: int,
    now: int,
    step: int,
) -> tuple[dict[int, int], int]:
    """Without the GIL: `rounds` times one of the frames by one of the actions (struct ct_action), a
    packet every `step` ms from `now` on.  Packets by their ct_state, and how many were lost."""

def whole(table: Connections) -> int: ...
