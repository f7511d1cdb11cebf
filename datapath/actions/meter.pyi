"""Meters: token buckets."""

from collections.abc import Iterator
from typing import Any

FLAGS: int  # all that a meter may have
FEATURES: dict[str, int]  # max_meters (ids are below it), max_bands, flags

def check(id: int, flags: int, bands: list[tuple[int, ...]], owner: str = "") -> None:
    """Raises ValueError unless a meter may be like that."""

class Meters:
    """The meters of one datapath.  `flags` as OFPMF_*; `bands`: (rate, burst), in packets or
    kilobits, a burst of 0 meaning as much as comes in a second, of those that drop, and (rate,
    burst, level) of those that raise the DSCP's drop precedence; `owner`: a text for its maker."""

    def __len__(self) -> int: ...
    def __contains__(self, id: int) -> bool: ...
    def __iter__(self) -> Iterator[int]: ...
    def set(
        self, id: int, flags: int, bands: list[Any], owner: str = "", now: int | None = None
    ) -> None:
        """Make or replace one, with full buckets and counters of 0.  `now` in ns."""

    def delete(self, id: int) -> None:
        """KeyError when there is none."""

    def reclaim(self) -> None:
        """Free what was replaced or deleted, when no worker can be looking at it any more."""

    def get(self, id: int) -> dict[str, Any]:
        """meter, owner, flags, bands, packets and bytes (of what came), dropped (or re-marked, by
        band, [[packets, bytes], ...]).  KeyError when there is none."""

    def passes(self, id: int, size: int, now: int) -> bool:
        """Whether a packet of `size` bytes passes at `now` (ns); for tests."""

    def weigh(self, id: int, n_packets: int, n_bytes: int, now: int) -> int:
        """0: they pass, 1: they are dropped, 2: to be asked for one by one, 256 + n: re-marked by n
        levels; for tests."""
