"""The datapath's meters as all bridges share them: numbers, and what outlives whom.

A bridge's meter gets the lowest number that is free in the datapath.  There it carries its owner's
name (bridge and OpenFlow number), so that a vswitchd that comes back finds it: its buckets and
counters go on, and flows that outlived vswitchd mean the same meter as before.  A datapath process
that is new gets all of them before the first flow.

A meter that is deleted stays where it is, and its number is given to nobody, until no flow of the
datapath can refer to it any more: else packets would pass unmetered, or through another's meter.
Only its owner gets the number back before that, so that no name stands for two meters.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import ovs.vlog

from datapath.actions.meter import FEATURES
from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dp_meters")

# After the last flow that referred to a meter was told to change, it does within that time.
GRACE_MS = 1000

Bands = list[tuple[int, ...]]  # (rate, burst), and the level of those that re-mark


class DpMeter(NamedTuple):
    """A meter that a bridge wants."""

    owner: str
    flags: int
    bands: Bands


def _is_same(info: Any, meter: DpMeter) -> bool:
    return (info.owner, info.flags, info.bands) == meter


class DatapathMeters:
    """`lost(error)` is called when the connection breaks; the meters are then set again in what
    attach() brings.  Without a datapath process meters are only remembered."""

    def __init__(self, lost: Callable[[OSError], None] = lambda error: None):
        self.wanted: dict[int, DpMeter] = {}
        self._dpif: Any = None
        self._lost = lost
        self._found: dict[str, Any] = {}  # of an earlier vswitchd, by owner
        self._dying: dict[str, tuple[int, int]] = {}  # owner -> number, ms since it is unwanted
        self._free: list[int] = []  # a heap of numbers below _next
        self._next = 0

    # --- the connection

    def attach(self, dpif: Any) -> None:
        """Bring a datapath process to what is wanted.  Raises OSError."""
        there = {info.meter: info for info in dpif.meter_dump()}
        for number, meter in self.wanted.items():
            info = there.pop(number, None)
            if info is None or not _is_same(info, meter):
                dpif.meter_set(number, *meter[1:], meter.owner)
        self._dying = {
            owner: dying for owner, dying in self._dying.items() if there.pop(dying[0], None)
        }
        self._found = self._by_owner(there.values())
        self._number_anew()
        self._dpif = dpif

    def _by_owner(self, infos: Iterable[Any]) -> dict[str, Any]:
        """Meters that are there; one whose owner has another is nobody's, but in our books."""
        taken = {meter.owner for meter in self.wanted.values()} | set(self._dying)
        found: dict[str, Any] = {}
        for info in infos:
            is_another = info.owner in taken or info.owner in found
            found[f"{info.owner}#{info.meter}" if is_another else info.owner] = info
        return found

    def _number_anew(self) -> None:
        """Which numbers are free, from those that are in use."""
        used = {*self.wanted, *(number for number, _ in self._dying.values())}
        used.update(info.meter for info in self._found.values())
        self._next = max(used, default=-1) + 1
        self._free = sorted(set(range(self._next)) - used)

    def detach(self) -> None:
        """There is no datapath process for the moment."""
        self._dpif = None

    def _request(self, function: Callable[[Any], Any]) -> Any:
        """What `function(dpif)` gives; None while there is none, or when it breaks."""
        if self._dpif is None:
            return None
        try:
            return function(self._dpif)
        except DpifError:
            raise
        except OSError as error:
            self._lost(error)
            return None

    # --- for bridges

    def add(self, owner: str, flags: int, bands: Bands) -> int | None:
        """A meter under a number of its own; None when there are no more.  Raises DpifError.

        One that the datapath kept for this owner is taken over.
        """
        meter = DpMeter(owner, flags, _with_bursts(bands))
        found = self._found.pop(owner, None)
        if found is not None:
            number = found.meter
        elif owner in self._dying:
            number, _ = self._dying.pop(owner)
        else:
            number = self._take_number()
        if number is None:
            return None
        self.wanted[number] = meter
        if found is None or not _is_same(found, meter):
            try:
                self._set(number)
            except DpifError:
                del self.wanted[number]
                heapq.heappush(self._free, number)
                raise
        return number

    def _take_number(self) -> int | None:
        if self._free:
            return heapq.heappop(self._free)
        if self._next >= FEATURES["max_meters"]:
            return None
        self._next += 1
        return self._next - 1

    def _set(self, number: int) -> None:
        meter = self.wanted[number]
        self._request(lambda dpif: dpif.meter_set(number, *meter[1:], meter.owner))

    def change(self, number: int, flags: int, bands: Bands) -> None:
        """Other rates; buckets are full, and counters 0, from now on.  Raises DpifError."""
        before = self.wanted[number]
        self.wanted[number] = DpMeter(before.owner, flags, _with_bursts(bands))
        try:
            self._set(number)
        except DpifError:
            self.wanted[number] = before
            raise

    def remove(self, number: int, now: int) -> None:
        """The bridge does not want it any more, and has deleted its flows."""
        self._dying[self.wanted.pop(number).owner] = (number, now)

    def counters(self, numbers: list[int]) -> dict[int, Any]:
        """MeterInfo by number, of those that the datapath can tell of."""
        if len(numbers) == 1:
            infos = [self._request(lambda dpif: dpif.meter_get(numbers[0]))]
        else:
            infos = self._request(lambda dpif: dpif.meter_dump()) or []
        wanted = set(numbers)
        return {info.meter: info for info in infos if info is not None and info.meter in wanted}

    # --- the daemon's rhythm

    def forget_found(self, now: int) -> None:
        """Every bridge has its meters: those that none asked for are unwanted."""
        for owner, info in self._found.items():
            vlog.info(f"datapath meter {info.meter} of {info.owner} is not wanted any more")
            self._dying[owner] = (info.meter, now)
        self._found = {}

    def run(self, settled: bool, now: int) -> None:
        """`settled`: no flow of the datapath says anything but what the tables say now."""
        if not self._dying or not settled or self._dpif is None:
            return
        for owner, (number, when) in list(self._dying.items()):
            if now < when + GRACE_MS:
                continue
            try:
                self._request(lambda dpif, number=number: dpif.meter_del(number))
            except DpifError as error:
                vlog.warn(f"deleting datapath meter {number} failed ({error})")
            if self._dpif is None:
                return
            del self._dying[owner]
            heapq.heappush(self._free, number)

    def next_run(self) -> int | None:
        """When run() has something to do, in ms, where all is settled; None: not by time alone."""
        if self._dpif is None or not self._dying:
            return None
        return min(when for _, when in self._dying.values()) + GRACE_MS


def _with_bursts(bands: Bands) -> Bands:
    """A burst of 0 is as much as comes in a second: as the datapath tells it."""
    return [(rate, burst or rate, *level) for rate, burst, *level in bands]
