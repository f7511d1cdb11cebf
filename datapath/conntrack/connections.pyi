"""The table of connections, for the control thread and for tests."""

from typing import Any

class Connections:
    """A table in a memfd of its own, `fd`; given one, it takes over what is in there.

    OSError EINVAL where that is no table of this build."""

    fd: int
    limit: int  # connections that may be; ValueError when out of range
    capacity: int  # there is room for no more of them
    high: int  # how many records there are to look at
    tcp_seq_chk: bool

    def __init__(self, fd: int | None = None) -> None: ...
    def __len__(self) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def sweep(self, n: int, now: int) -> int:
        """Look at n more records (ms), remove what has expired; how many."""

    def dump(
        self, cursor: int, n: int, zone: int | None = None, now: int | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """The connections among n more records, and the next cursor; None: that is all."""

    def flush(self, cursor: int, n: int, match: dict[str, Any]) -> tuple[int, int | None]:
        """Remove those that `match` names: zone, orig, reply (tuples as dump() has them, some of
        their members), mark and label as [value, mask]; how many, and the next cursor.

        ValueError."""

    def buckets(self) -> list[int]:
        """How many connections' tuples are in each of some hundred parts of the hash."""

    def limits(self, zones: list[int] | None = None) -> tuple[int, list[tuple[int, int, int]]]:
        """The default, and (zone, limit, connections) of zones that have a limit, or of these."""

    def set_limit(self, zone: int | None, limit: int) -> None:
        """None: the default; a limit of 0: no bound.  ValueError."""

    def delete_limit(self, zone: int) -> None: ...
    def set_policy(self, name: str, timeouts: dict[str, int]) -> None:
        """Make or replace; what is not given has its default.  ValueError."""

    def delete_policy(self, name: str) -> None:
        """KeyError.  Connections go on with the defaults."""

    def policies(self) -> dict[str, dict[str, int]]: ...
    def default_policy(self, timeouts: dict[str, int]) -> None: ...
    def fragment_settings(self) -> dict[str, Any]:
        """v4, v6: whether fragments are put together; min_v4, min_v6: bytes of one that is not
        the last; most: how many may wait."""

    def set_fragments(self, **settings: Any) -> None:
        """Some of them; ValueError."""

    def track(
        self,
        frame: bytes,
        action: bytes,
        now: int,
        ct: dict[str, Any] | None = None,
        vnet: dict[str, int] | None = None,
        random: int = 0,
    ) -> tuple[bytes, dict[str, Any], str | None]:
        """What a ct action does with a frame: what became of it, what it is told, and why it is
        lost.  For tests."""
