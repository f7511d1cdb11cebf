"""Which Ethernet address an IP address has, by bridge: heard from answers, or set by a command.

An entry lives for `aging` ms since it was heard, set or used last.  What is heard is bounded: in a
full table the entry that was so longest ago makes room.  Entries stand in that order.
"""

from collections.abc import Callable, Iterable, Iterator

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
    """Times in ms.  `told` is called, and `changed` rises, when what lookup() finds became another.

    `unsure` has those of before this process, whose change it may not have heard."""

    def __init__(self, told: Callable[[], None] = lambda: None):
        self.aging = DEFAULT_AGING
        self.told = told
        self.changed = 0
        self.unsure: set[tuple[str, int]] = set()
        self._entries: dict[tuple[str, int], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, bridge: str, address: int, mac: bytes, now: int) -> None:
        name = bridge, address
        self.unsure.discard(name)
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
        self._tell()

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
        self._tell()
        return True

    def flush(self, bridge: str | None = None) -> None:
        """All of a bridge; None: of all bridges."""
        kept = {} if bridge is None else {n: e for n, e in self._entries.items() if n[0] != bridge}
        if len(kept) != len(self._entries):
            self._entries = kept
            self._tell()

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
            self._tell()

    def _tell(self) -> None:
        self.changed += 1
        self.told()

    def of(self, bridge: str) -> Iterator[tuple[int, bytes, int]]:
        """(address, MAC, when it expires), those used last first."""
        for (name, address), entry in reversed(self._entries.items()):
            if name == bridge:
                yield address, entry.mac, entry.expires

    def recall(self, bridge: str, found: Iterable[tuple[int, bytes, int]], now: int) -> None:
        """What of() gave before this process; what was heard since stays."""
        for address, mac, expires in found:
            name = bridge, address
            if name not in self._entries:
                self.set(bridge, address, mac, now)
                self._entries[name].expires = min(expires, now + self.aging)
                self.unsure.add(name)
        in_turn = sorted(self._entries.items(), key=lambda item: item[1].expires)
        self._entries = dict(in_turn)

    def next_run(self) -> int | None:
        return next((entry.expires for entry in self._entries.values()), None)

    def __str__(self) -> str:
        """As tnl/neigh/show has it."""
        return HEAD + "".join(
            f"{addresses.text(address):<46}{entry.mac.hex(':'):<20}{bridge}\n"
            for (bridge, address), entry in self._entries.items()
        )
