"""Which Ethernet address an IP address has, by bridge: heard from answers, or set by a command.

An entry lives for `aging` ms since it was heard, set or used last.  What is heard is bounded: in a
full table the entry that was so longest ago makes room.  Entries stand in that order.
"""

from collections.abc import Callable

from ofproto.underlay import addresses
from pyvs import coverage

DEFAULT_AGING = 900_000  # ms
LONGEST_AGING = 3600  # s
MAX_NEIGHBOURS = 16384

FULL = coverage.counter("tnl_neigh_full")

HEAD = f"{'IP':<46}{'MAC':<20}Bridge\n{'=' * 74}\n"


class _Entry:
    __slots__ = ("expires", "mac")

    def __init__(self, mac: bytes, expires: int):
        self.mac = mac
        self.expires = expires


class Neighbours:
    """Times in ms.  `told` is called when what lookup() finds became another."""

    def __init__(self, told: Callable[[], None] = lambda: None):
        self.aging = DEFAULT_AGING
        self.told = told
        self._entries: dict[tuple[str, int], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, bridge: str, address: int, mac: bytes, now: int) -> None:
        name = bridge, address
        entry = self._entries.get(name)
        if entry is not None and entry.mac == mac:
            self.keep(name, now)
            return
        if entry is not None:
            del self._entries[name]
        elif len(self._entries) >= MAX_NEIGHBOURS:
            FULL.count += 1
            del self._entries[next(iter(self._entries))]
        self._entries[name] = _Entry(mac, now + self.aging)
        self.told()

    def heard(self, bridge: str, address: int, mac: bytes, when: int) -> None:
        """set(), of a packet that came at `when` and is told of later: it says nothing about one
        that was heard of, or used, since then."""
        entry = self._entries.get((bridge, address))
        if entry is None or entry.mac == mac or when + self.aging > entry.expires:
            self.set(bridge, address, mac, when)

    def lookup(self, bridge: str, address: int, now: int) -> bytes | None:
        """Its use keeps an entry."""
        entry = self._entries.get((bridge, address))
        if entry is None or entry.expires <= now:
            return None
        self.keep((bridge, address), now)
        return entry.mac

    def keep(self, name: tuple[str, int], used: int) -> None:
        """A packet was sent to it at `used`."""
        entry = self._entries.get(name)
        if entry is not None and used + self.aging > entry.expires:
            entry.expires = used + self.aging
            self._entries[name] = self._entries.pop(name)

    def remove(self, bridge: str, address: int) -> bool:
        """Whether there was one."""
        if self._entries.pop((bridge, address), None) is None:
            return False
        self.told()
        return True

    def flush(self, bridge: str | None = None) -> None:
        """All of a bridge; None: of all bridges."""
        kept = {} if bridge is None else {n: e for n, e in self._entries.items() if n[0] != bridge}
        if len(kept) != len(self._entries):
            self._entries = kept
            self.told()

    def set_aging(self, aging: int, now: int) -> None:
        self.aging = aging
        for entry in self._entries.values():
            entry.expires = min(entry.expires, now + aging)

    def run(self, now: int) -> None:
        """Lets go of what is too old."""
        before = len(self._entries)
        while (first := self.next_run()) is not None and first <= now:
            del self._entries[next(iter(self._entries))]
        if len(self._entries) != before:
            self.told()

    def next_run(self) -> int | None:
        return next((entry.expires for entry in self._entries.values()), None)

    def __str__(self) -> str:
        """As tnl/neigh/show has it."""
        return HEAD + "".join(
            f"{addresses.text(address):<46}{entry.mac.hex(':'):<20}{bridge}\n"
            for (bridge, address), entry in self._entries.items()
        )
