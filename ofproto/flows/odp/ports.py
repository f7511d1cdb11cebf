"""The datapath's ports as all bridges share them: numbers, devices, and what outlives whom.

Bridges take datapath ports by name.  A vswitchd that comes back reads the ports that it finds,
hands them to the bridges that ask for the same name and type, and deletes what nobody wants once
the first reconciliation is complete.  A datapath process that is new gets every port under its old
number.
"""

import errno
import itertools
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import ovs.vlog

from datapath.ipc.dpif import DpifError
from pyvs import clock

from .devices import MADE, BusyPorts, KeptDevices
from .vports import Vports

vlog = ovs.vlog.Vlog("ofproto_dpif")

Stats = dict[str, int]  # under the OpenFlow names: rx_packets ...


class OdpPort(NamedTuple):
    """A datapath port that a bridge wants."""

    number: int
    name: str
    type: str
    options: dict[str, str]


class OdpPorts:
    """`lost(error)` is called when the connection breaks, or gets no answer; `forget(number)` for a
    port that is deleted.

    Public attributes: `wanted` (datapath port number -> OdpPort), `vports` (those of them that
    tunnel ports share), `devices`, `unsure` (ports were to change while nobody could be asked), and
    `renewed`, which rises when ports may not be what was asked for.
    """

    def __init__(self, lost: Callable[[OSError], None], forget: Callable[[int], None]):
        self.wanted: dict[int, OdpPort] = {}
        self.vports = Vports(self)
        self.devices = KeptDevices()
        self.unsure = False
        self.renewed = 0
        # The number for a port of a name, given the ones that there are; None: the first free one.
        self.choose_number: Callable[[str, Any], int | None] | None = None
        self._lost = lost
        self._forget = forget
        self._dpif: Any = None
        self._busy = BusyPorts()
        self._found: dict[str, Any] = {}  # ports of the datapath that nobody asked for yet
        self._stats: dict[int, Stats] | None = None
        self._known_stats: dict[int, Stats] = {}  # when they were asked for last

    def __len__(self) -> int:
        return len(self.wanted)

    # --- the connection

    def attach(self, dpif: Any) -> None:
        """See what a datapath process has that is new to us.  Raises OSError."""
        self._found = {port.name: port for port in dpif.port_dump()}
        self._dpif = dpif
        self._busy.clear()
        self.unsure = False

    def resume(self, dpif: Any) -> bool:
        """It answers again; whether what is wanted had to be brought to it.  Raises OSError."""
        self._dpif = dpif
        if not self.unsure:
            return False
        self._found = {port.name: port for port in dpif.port_dump()}
        self.put_back()
        self.renewed += 1
        self.unsure = False
        return True

    def pause(self, unsure: bool) -> None:
        """It does not answer; `unsure`: nor said whether it did what was asked last."""
        self._dpif = None
        self.unsure = self.unsure or unsure

    def detach(self) -> None:
        """There is no datapath process for the moment, nor what it counted."""
        self._dpif = None
        self._stats, self._known_stats = None, {}

    def put_back(self) -> None:
        """Have all that is wanted in the datapath.  Raises OSError."""
        for port in list(self.wanted.values()):
            self._put_back(port)

    def _put_back(self, port: OdpPort) -> bool:
        """Have a port under its old number in a datapath process that is new to us; whether it is
        there."""
        found = self._found.pop(port.name, None)
        if found is not None:
            if found.port_no == port.number and _is_same(found, port.type):
                self._busy.drop(port.number)
                return True
            self._dpif.port_del(found.port_no)
        try:
            self.devices.put_back(self._dpif, port.name, port.type, port.number, port.options)
        except DpifError as error:
            # Its device is gone: vswitchd hears of that from the kernel, and deletes the port.
            if error.errno != errno.EBUSY:
                self._busy.drop(port.number)
            elif not self._busy.add(port.number, clock.msec()):
                return False  # as was said before
            vlog.info(f"{port.name}: could not be added again ({error.strerror})")
            return False
        self._busy.drop(port.number)
        return True

    # --- the daemon's rhythm

    def run(self, now: int) -> bool:
        """Try one whose device may be free by now; whether it is.  Raises OSError."""
        number = self._busy.due(now) if self._dpif is not None else None
        if number is None:
            return False
        try:
            added = self._put_back(self.wanted[number])
        finally:
            self._busy.tried(number, max(now, clock.msec()))
        self.renewed += added
        return added

    def next_run(self) -> int | None:
        """The ms when run() has something to do; None: nothing is left to be tried."""
        return self._busy.next_run()

    def close(self) -> None:
        """Let go of the devices."""
        self.devices.close()

    # --- what bridges want

    def add(self, name: str, type_: str, options: dict[str, str] | None = None) -> int:
        """Make `name` a datapath port, or adopt the one the datapath has; returns its number.

        Adoption needs the same type and, for a network device, the same ifindex; else the old
        port is deleted first.  Raises DpifError (errno, text).
        """
        options = dict(options or {})
        dpif = self._reachable()
        try:
            number = self._adopted(dpif, name, type_)
            if number is None:
                number = dpif.port_add(name, type_, self._choice(name), options)
            self.devices.keep(dpif, name, type_, number)
        except DpifError:
            raise
        except OSError as error:
            raise self._broken(error) from error
        self.wanted[number] = OdpPort(number, name, type_, options)
        return number

    def _adopted(self, dpif: Any, name: str, type_: str) -> int | None:
        """The number of the port as the datapath has it; None: it has none.  Raises OSError."""
        found = self._found.pop(name, None)
        if found is None or _is_same(found, type_):
            return None if found is None else found.port_no
        dpif.port_del(found.port_no)
        return None

    def _choice(self, name: str) -> int | None:
        """The number for a new port; None: the datapath takes its first free one, if that is not
        one of a busy port, which it does not know."""
        wanted = self.choose_number(name, self.wanted) if self.choose_number else None
        if wanted is not None or not self._busy:
            return wanted
        used = {*self.wanted, *(found.port_no for found in self._found.values())}
        return next(number for number in itertools.count(1) if number not in used)

    def set(self, number: int, options: dict[str, str]) -> None:
        """Give a dummy port other options.  Raises DpifError."""
        dpif = self._reachable()
        try:
            dpif.port_set(number, options)
        except DpifError:
            raise
        except OSError as error:
            raise self._broken(error) from error
        self.wanted[number] = self.wanted[number]._replace(options=dict(options))

    def _reachable(self) -> Any:
        """The datapath.  Raises DpifError."""
        if self._dpif is None:
            self.unsure = True
            raise DpifError(errno.ENOTCONN, "no datapath process")
        return self._dpif

    def _broken(self, error: OSError) -> DpifError:
        """What to raise when the connection breaks while something is asked."""
        self._lost(error)
        self.unsure = True
        return DpifError(error.errno or errno.EIO, str(error))

    def delete(self, number: int) -> None:
        """Delete a datapath port; a port that is gone already is no error.  One that tunnel ports
        share goes with the last of them."""
        if self.vports.release(number):
            return
        port = self.wanted.pop(number, None)
        self._busy.drop(number)
        self._forget(number)
        if port is not None:
            self.devices.let_go(port.name)
        if self._dpif is None:
            self.unsure = True
            return
        try:
            self._dpif.port_del(number)
        except DpifError as error:
            if error.errno not in (errno.ENODEV, errno.ENOENT):
                vlog.warn(f"deleting datapath port {number} failed ({error})")
        except OSError as error:
            self._broken(error)

    def claim(self) -> None:
        """All bridges have asked for their ports: what the datapath has and none wants goes."""
        unwanted, self._found = self._found, {}
        for port in unwanted.values():
            vlog.info(f"datapath port {port.port_no}: {port.name} is not wanted any more")
            self.delete(port.port_no)

    # --- what the datapath says of them

    def forget_stats(self) -> None:
        """Those who ask from here on get what is counted by then."""
        self._stats = None

    def stats(self) -> dict[int, Stats]:
        """The counters of all datapath ports, by number.

        As of the first call since forget_stats(): each bridge of many asks for its own ports; as of
        before, while the datapath does not answer.
        """
        if self._stats is None and self._dpif is not None:
            try:
                self._stats = {port.port_no: port.stats for port in self._dpif.port_dump()}
                self._known_stats = self._stats
            except OSError as error:
                self._lost(error)
        return self._known_stats if self._stats is None else self._stats

    def stats_of(self, number: int) -> Stats:
        """One port's counters; {} when unknown."""
        if self._stats is not None or self._dpif is None:
            return self.stats().get(number, {})
        found = self._get(number)
        return found.stats if found is not None else {}

    def ifindex(self, number: int) -> int | None:
        """What the port's device has in this network namespace; 0 when it is in another one, or
        there is no datapath to ask; None when the device is gone."""
        if self._dpif is None:
            return 0
        found = self._get(number)
        if self._dpif is None:  # lost at that
            return 0
        return None if found is None or found.dead else found.ifindex

    def _get(self, number: int) -> Any:
        try:
            return self._dpif.port_get(number)
        except DpifError:
            return None
        except OSError as error:
            self._lost(error)
            return None

    def dead(self) -> list[str]:
        """Names of ports whose device went; the datapath hears of those of any namespace."""
        if self._dpif is None:
            return []
        try:
            dead = self._dpif.port_dead()
        except DpifError:  # a datapath process of an older build
            return []
        except OSError as error:
            self._lost(error)
            return []
        return [self.wanted[number].name for number in dead if number in self.wanted]


def _is_same(found: Any, type_: str) -> bool:
    """Whether a port that the datapath has is what a bridge asks for.

    A device that the datapath made is it wherever it was moved and whatever its name is now.
    """
    if found.dead or found.type != type_:
        return False
    if not found.ifindex or found.type in MADE:
        return True
    try:
        return socket.if_nametoindex(found.name) == found.ifindex
    except OSError:
        return False
