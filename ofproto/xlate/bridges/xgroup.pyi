"""OpenFlow groups as translation and statistics see them."""

from typing import Any

from ofproto.rules.program import Program

MAX_SLOTS: int

class XBucket:
    source: Any  # messages.Bucket
    number: int
    weight: int
    watch_port: int
    watch_group: int  # -1: none
    n_packets: int
    n_bytes: int
    def __init__(self, source: Any, program: Program, number: int = 0) -> None: ...

class XGroup:
    """A group, immutable but for its counters: a GROUP_MOD makes another one."""

    group_id: int
    type: int  # OFPGT_*
    buckets: list[XBucket]
    slots: bytes
    selection: tuple[str, int, tuple[Any, ...]]  # method, parameter, (Field, mask)
    fields: Program | None  # of compile_fields(): what is hashed
    total: int
    algorithm: int
    basis: int
    created: int  # ms
    version: int
    n_packets: int
    n_bytes: int
    def __init__(
        self,
        group_id: int,
        type: int,
        buckets: list[XBucket],
        created: int = 0,
        version: int = 4,
        selection: tuple[str, int, tuple[Any, ...]] = ...,
        fields: Program | None = None,
    ) -> None: ...

def spread(weights: list[int]) -> bytes:
    """Slots shared out by weight: a power of two of bucket numbers, b"" for too uneven weights."""
