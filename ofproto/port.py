"""A port of a bridge as OpenFlow shows it: number, name, address, config and state bits, speeds.

The numbers are those of the port's whole life: vswitchd asks for the last one that the
database remembers (`ofport_request`, or the `ofport` column), and `PortNumbers` gives out the
rest so that a number that was just freed is not used again soon.
"""

from collections.abc import Container, Iterable
from itertools import chain
from typing import NamedTuple

from ofproto.codec.numbers import (
    OFPP_MAX,
    OFPPC_PORT_DOWN,
    OFPPF_1GB_FD,
    OFPPF_1GB_HD,
    OFPPF_1TB_FD,
    OFPPF_10GB_FD,
    OFPPF_10MB_FD,
    OFPPF_10MB_HD,
    OFPPF_40GB_FD,
    OFPPF_100GB_FD,
    OFPPF_100MB_FD,
    OFPPF_100MB_HD,
    OFPPF_COPPER,
    OFPPF_OTHER,
    OFPPS_LINK_DOWN,
    OFPPS_LIVE,
)
from ofproto.xlate.bridges.tunnel_config import TunnelConfig
from pyvs import clock

_SPEED_FEATURES = {
    (10, False): OFPPF_10MB_HD,
    (10, True): OFPPF_10MB_FD,
    (100, False): OFPPF_100MB_HD,
    (100, True): OFPPF_100MB_FD,
    (1000, False): OFPPF_1GB_HD,
    (1000, True): OFPPF_1GB_FD,
    (10000, True): OFPPF_10GB_FD,
    (40000, True): OFPPF_40GB_FD,
    (100000, True): OFPPF_100GB_FD,
    (1000000, True): OFPPF_1TB_FD,
}


def speed_features(mbps: int, full_duplex: bool = True) -> int:
    """The feature bits of a link speed in Mbit/s; OTHER for one that OpenFlow has no bit for."""
    if mbps <= 0:
        return 0
    return _SPEED_FEATURES.get((mbps, full_duplex), OFPPF_OTHER)


# Protocols that watch a link: of several, one that finds it alive is enough, as in Open vSwitch.
MONITORS = ("bfd", "cfm")


def are_sound(verdicts: dict[str, bool]) -> bool:
    """What protocols find of a port, by their names, in one."""
    watched = [live for who, live in verdicts.items() if who in MONITORS]
    others = [live for who, live in verdicts.items() if who not in MONITORS]
    return all(others) and (not watched or any(watched))


class TreeState(NamedTuple):
    """What a spanning tree protocol lets a port do; `bits` are OFPPS_STP_*."""

    forwards: bool = True
    learns: bool = True
    sends_bpdus: bool = True
    bits: int = 0


class OfPort:
    """One port.  `odp_port` is None for a patch port, `peer` is its other end's name."""

    __slots__ = (
        "advertised",
        "config",
        "created",
        "curr",
        "curr_speed",
        "device_up",
        "hw_addr",
        "max_speed",
        "mtu",
        "name",
        "number",
        "odp_port",
        "options",
        "peer_features",
        "queue_numbers",
        "queues_since",
        "state",
        "supported",
        "tunnel",
        "type",
        "verdicts",
        "xport",
    )

    def __init__(self, number: int, name: str, type_: str, options: dict[str, str], now: int):
        self.number = number
        self.name = name
        self.type = type_
        self.options = options
        self.queue_numbers: tuple[int, ...] | None = None
        self.queues_since: dict[int, int] = {}  # queue -> ms
        self.created = now
        self.odp_port: int | None = None
        self.tunnel: TunnelConfig | None = None  # of a tunnel port
        self.xport = None
        self.hw_addr = bytes(6)
        self.mtu = 0
        self.config = 0
        self.device_up = True
        self.state = 0
        self.curr = self.advertised = self.supported = self.peer_features = 0
        self.curr_speed = self.max_speed = 0  # kbit/s
        self.verdicts: dict[str, bool] = {}  # of protocols: whether frames get to the other side

    @property
    def is_patch(self) -> bool:
        return self.type == "patch"

    @property
    def peer(self) -> str | None:
        """The name of the patch port at the other end."""
        return self.options.get("peer") if self.is_patch else None

    @property
    def counts_itself(self) -> bool:
        """Whether its counters are translation's, since it has no datapath port of its own."""
        return self.is_patch or self.tunnel is not None

    @property
    def is_dummy(self) -> bool:
        """Whether it stands for a device that a test would have."""
        return self.type.startswith("dummy")

    @property
    def queues(self) -> tuple[int, ...]:
        """The queues of its device: those of a dummy are one, as in Open vSwitch."""
        if self.queue_numbers is not None and not self.is_dummy:
            return self.queue_numbers
        return (0,) if self.is_dummy else ()

    @property
    def xlate_config(self) -> int:
        """The config bits that translation looks at.  A device that is down loses its packets
        itself; for one that a PORT_MOD could not turn off (away in a container) and for patch
        ports translation does."""
        return self.config if self.device_up else self.config & ~OFPPC_PORT_DOWN

    @property
    def may_forward(self) -> bool:
        return not self.config & OFPPC_PORT_DOWN and not self.state & OFPPS_LINK_DOWN

    @property
    def is_sound(self) -> bool:
        """Whether frames get to the other side, as far as protocols know."""
        return are_sound(self.verdicts)

    def judge(self, who: str, live: bool | None) -> None:
        """What a protocol finds of it; None: nothing any more."""
        if live is None:
            self.verdicts.pop(who, None)
        else:
            self.verdicts[who] = live
        self._set_live(self.may_forward)

    def _set_live(self, up: bool) -> None:
        if up and self.is_sound:
            self.state |= OFPPS_LIVE
        else:
            self.state &= ~OFPPS_LIVE

    def description(self) -> tuple:
        """What a PORT_STATUS tells: two equal ones need no message."""
        return (
            self.number,
            self.name,
            self.hw_addr,
            self.config,
            self.state,
            self.curr,
            self.advertised,
            self.supported,
            self.peer_features,
            self.curr_speed,
            self.max_speed,
        )

    def set_link(
        self, up: bool, speed_mbps: int = 0, full_duplex: bool = True, copper: bool = False
    ) -> None:
        """Take over link state and speed of the network device."""
        if up:
            self.state &= ~OFPPS_LINK_DOWN
        else:
            self.state |= OFPPS_LINK_DOWN
        self._set_live(up)
        self.curr = speed_features(speed_mbps, full_duplex) | OFPPF_COPPER * copper
        # max_speed stays 0: virtual devices tell of no other modes.
        self.curr_speed = max(0, speed_mbps) * 1000

    def set_admin(self, up: bool) -> None:
        """Take over whether the network device is up."""
        self.device_up = up
        if up:
            self.config &= ~OFPPC_PORT_DOWN
        else:
            self.config |= OFPPC_PORT_DOWN


class PortNumbers:
    """Gives out port numbers 1 .. 0xfeff.  As in Open vSwitch, nobody who does not ask for it gets
    one that was freed within RESTS, while there are others: flows may still mean the old port."""

    RESTS = 3_600_000  # ms

    def __init__(self, maximum: int = OFPP_MAX):
        self._maximum = maximum
        self._used: set[int] = set()
        self._freed: dict[int, int] = {}  # when, in ms; the first is that of the longest ago
        self._next = 1

    def take(self, requested: int | None, reserved: Container[int] = ()) -> int:
        """A free number: the requested one when it is free and valid, else the next.

        `reserved` are numbers asked for by ports that are still to come.  Raises ValueError
        when none is free.
        """
        found = requested
        if not found or not 0 < found < self._maximum or found in self._used:
            found = self._choose(reserved)
            self._next = found + 1
        self._used.add(found)
        self._freed.pop(found, None)
        return found

    def _choose(self, reserved: Container[int]) -> int:
        used, freed, rested = self._used, self._freed, clock.msec() - self.RESTS
        for candidate in self._candidates(rested):
            if candidate in used or candidate in reserved:
                continue
            if freed.get(candidate, rested) <= rested:
                return candidate
        for candidate in freed:
            if candidate not in reserved:
                return candidate
        raise ValueError("no free OpenFlow port number")

    def _candidates(self, rested: int) -> Iterable[int]:
        """None where all rest that are not used: to look at each takes as long as 10 ms."""
        oldest = next(iter(self._freed.values()), rested)
        if oldest > rested and len(self._used) + len(self._freed) >= self._maximum - 1:
            return ()
        return chain(range(self._next, self._maximum), range(1, self._next))

    def free(self, number: int) -> None:
        """Give a number back."""
        self._used.discard(number)
        self._freed.pop(number, None)
        self._freed[number] = clock.msec()
