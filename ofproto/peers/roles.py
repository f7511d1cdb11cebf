"""Roles of connections (OpenFlow 1.3.5 6.3.4): there is one master among all of a bridge's."""

from collections.abc import Iterable
from typing import Any

ROLE_OTHER, ROLE_MASTER, ROLE_SLAVE = "other", "master", "slave"

_U64 = (1 << 64) - 1


class Roles:
    """What of the roles belongs to the switch: the generation of the last election."""

    def __init__(self):
        self.generation_id: int | None = None

    def accept(self, generation_id: int) -> bool:
        """False when it is stale: when the signed distance to the present one is negative."""
        if self.generation_id is not None:
            distance = (generation_id - self.generation_id) & _U64
            if distance >> 63:
                return False
        self.generation_id = generation_id
        return True


def give(role: str, peer: Any, peers: Iterable[Any]) -> list[Any]:
    """Give `peer` a role; returns those of `peers` that lost mastership by it."""
    demoted = []
    if role == ROLE_MASTER:
        demoted = [other for other in peers if other is not peer and other.role == ROLE_MASTER]
        for other in demoted:
            other.role = ROLE_SLAVE
    peer.role = role
    return demoted
