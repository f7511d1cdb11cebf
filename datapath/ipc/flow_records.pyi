"""Flows as they stand in a reply's bytes, one after the other."""

from collections.abc import Iterator

from datapath.ipc.protocol import FlowInfo

class FlowRecords:
    """An iterable of FlowInfo."""

    data: bytes
    terse: bool  # without keys and actions
    keys: bool
    def __init__(self, data: bytes, terse: bool, keys: bool = True) -> None: ...
    def __iter__(self) -> Iterator[FlowInfo]: ...
    def __bool__(self) -> bool: ...
