"""The MAC table of a bridge."""

from collections.abc import Iterable, Sequence
from typing import Any

class MacEntry:
    key: int  # VLAN << 48 | MAC
    bundle: Any
    expires: int
    static: bool
    @property
    def vlan(self) -> int: ...
    @property
    def mac(self) -> bytes: ...

class MacLearning:
    aging: int  # ms
    max_entries: int
    entries: dict[int, MacEntry]
    statics: dict[int, MacEntry]
    too_many: bool  # changes to be noted, since take_changed()
    total_learned: int
    total_expired: int
    total_evicted: int
    total_moved: int
    def set_aging(self, seconds: int) -> None: ...
    def set_max_entries(self, n: int) -> None: ...
    def set_flood_vlans(self, vlans: set[int]) -> None: ...
    def run(self, now: int) -> None:
        """Expires entries; `now` in ms."""

    def next_expiry(self) -> int | None: ...
    def flush(self) -> None: ...
    def flush_bundle(self, bundle: Any) -> None: ...
    def keys_of(self, *bundles: Any) -> list[int]:
        """What of a bundle has been learned, or given; for forget()."""

    def forget(self, keys: Iterable[int]) -> None:
        """Forgets these stations, where they were learned: static entries stay."""

    def rows(self, now: int) -> list[tuple[str, int, str, int | None]]:
        """For fdb/show: (bundle name, vlan, "aa:bb:…", age in s or None of a static one), static
        ones first, then the least recently used one."""

    def add(self, vlan: int, mac: bytes, bundle: Any, now: int) -> bool:
        """Learns an address as if it had been heard just now; True when that is new."""

    def add_static(self, vlan: int, mac: bytes, bundle: Any, now: int) -> MacEntry | None:
        """Puts an address on a bundle for good; the entry it replaces, None where that said it."""

    def remove_static(self, vlan: int, mac: bytes) -> bool: ...
    def take_changed(self) -> Sequence[tuple[Any, int, bool]]:
        """The (watcher, key, moved) since the last call; where they were `too_many`, some are
        missing, and all watchers are to be checked."""

    def clear_statistics(self) -> None: ...
    def find(self, vlan: int, mac: bytes) -> MacEntry | None: ...
    def __len__(self) -> int: ...
