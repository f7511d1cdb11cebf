"""What translation knew when it sent a packet back to the datapath, by recirculation id."""

from typing import Any

class FrozenState:
    """`todo`: (Program, op, table, rule or None) of each list, innermost first; `action_set`:
    Programs; `flags`: where the actions stand, bits private to translation."""

    def __init__(
        self,
        bridge: Any,
        pipeline: bytes,
        in_port: int,
        stack: list[bytes],
        todo: list[tuple[Any, int, int, Any]],
        action_set: list[Any],
        flags: int,
        userdata: bytes = b"",
        table_id: int = 0,
    ) -> None: ...
    id: int
    in_port: int  # OpenFlow port
    pipeline: bytes  # the key's part behind KEY_DP_SIZE

class RecircTable:
    states: dict[int, FrozenState]
    def id_of(self, state: FrozenState, now: int) -> int:
        """The id of a state, which is to be there; 0: there is no room for another."""

    def expire(self, now: int) -> None:
        """Takes out the states that no flow has referred to for 30 s; `now` in ms."""

    def end_trace(self) -> None:
        """What was traced holds its states no longer."""

    def __len__(self) -> int: ...
