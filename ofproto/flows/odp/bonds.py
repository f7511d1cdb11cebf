"""The datapath's bonds as all bridges share them: those whose members it chooses by itself.

What is wanted is set again in a datapath process that is new, and where ports got other numbers.  A
bond that is not wanted any more stays until no flow of the datapath can refer to it.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import ovs.vlog

from datapath.actions import lb
from datapath.ipc.dpif import DpifError

vlog = ovs.vlog.Vlog("dp_bonds")

# After the last flow that referred to a bond was told to change, it does within that time.
GRACE = 1.0  # s
ADOPTION = 60.0  # s that bonds of an earlier vswitchd wait for their bridge


class DpBond(NamedTuple):
    """`members`: the XPort of each bucket, or None."""

    basis: int
    members: tuple[Any, ...]


class DatapathBonds:
    """`lost(error)` is called when the connection breaks."""

    def __init__(self, lost: Callable[[OSError], None] = lambda error: None):
        self._wanted: dict[int, DpBond] = {}
        self._sent: dict[int, tuple[int, list[int]]] = {}
        self._dying: dict[int, float] = {}  # number -> until when it stays; time.monotonic()
        self._dpif: Any = None
        self._lost = lost
        self._seen = -1  # generation for which all was sent

    def attach(self, dpif: Any) -> None:
        """Before there are flows.  Raises OSError."""
        try:
            there = {info.bond for info in dpif.bond_dump()}
        except DpifError:  # an older process, which has none
            there = set()
        self._dpif, self._sent, self._seen = dpif, {}, -1
        until = time.monotonic() + ADOPTION
        self._dying = dict.fromkeys(there - self._wanted.keys(), until)

    def detach(self) -> None:
        """There is no datapath process for the moment."""
        self._dpif = None

    def set(self, number: int, basis: int, members: tuple[Any, ...]) -> None:
        """Have the datapath know a bond, or who carries its buckets now."""
        self._dying.pop(number, None)
        self._wanted[number] = DpBond(basis, members)
        self._send(number)

    def remove(self, number: int) -> None:
        """The bridge does not want it any more, and its flows change."""
        if self._wanted.pop(number, None) is not None:
            self._dying[number] = time.monotonic() + GRACE
            self._sent.pop(number, None)

    def _send(self, number: int) -> None:
        bond = self._wanted[number]
        members = [lb.NONE if port is None else port.odp_port for port in bond.members]
        if self._dpif is None or self._sent.get(number) == (bond.basis, members):
            return
        try:
            self._dpif.bond_set(number, bond.basis, members)
            self._sent[number] = bond.basis, members
        except DpifError as error:
            vlog.warn(f"setting datapath bond {number} failed ({error})")
        except OSError as error:
            self._lost(error)

    def dump(self) -> list[Any]:
        """BondInfo of each in the datapath."""
        if self._dpif is None:
            return []
        try:
            return list(self._dpif.bond_dump())
        except DpifError:
            return []
        except OSError as error:
            self._lost(error)
            return []

    def loads(self, number: int) -> list[int]:
        """Bytes of each bucket, since the datapath made it."""
        for info in self.dump():
            if info.bond == number:
                return list(info.bytes)
        return [0] * lb.BUCKETS

    def run(self, generation: int, settled: bool) -> None:
        """`settled`: no flow of the datapath says anything but what the tables say now."""
        if generation != self._seen and self._dpif is not None:
            self._seen = generation
            for number in list(self._wanted):
                self._send(number)
        if settled and self._dying:
            self._bury(time.monotonic())

    def _bury(self, now: float) -> None:
        for number, until in list(self._dying.items()):
            if self._dpif is None or now < until:
                continue
            try:
                self._dpif.bond_del(number)
            except DpifError as error:
                vlog.warn(f"deleting datapath bond {number} failed ({error})")
            except OSError as error:
                self._lost(error)
                return
            del self._dying[number]

    def wait(self) -> int | None:
        """After how many ms run() has something to do, where all is settled; None: not by time."""
        if self._dpif is None or not self._dying:
            return None
        return max(0, int(1000 * (min(self._dying.values()) - time.monotonic())) + 1)
