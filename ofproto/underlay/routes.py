"""Routes for outer headers: the kernel's, and those that a user gave.

A user's route comes before one of the kernel's whose prefix is as long or up to 32 bits longer, as
in Open vSwitch; a route with a packet mark is for packets that have it, and no others.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ofproto.underlay import addresses

USER_BONUS = 32
LOCAL_BONUS = 64
MAX_ROUTES = 16_384  # of the kernel: taken over in one turn of the switch
MAX_USER_ROUTES = 4096  # written to a file with each that is added


class Route(NamedTuple):
    """`bits`: of 128.  `gateway` 0: the destination is on the device's own network."""

    network: int
    bits: int
    mark: int
    device: str
    gateway: int
    source: int
    is_user: bool = False
    is_local: bool = False  # to this host itself

    @property
    def priority(self) -> int:
        return self.bits + USER_BONUS * self.is_user + LOCAL_BONUS * self.is_local

    def __str__(self) -> str:
        """As ovs/route/show has it."""
        ipv4 = addresses.is_ipv4(self.network) and self.bits >= addresses.IPV4_BITS
        bits = self.bits - addresses.IPV4_BITS * ipv4
        parts = ["User:" if self.is_user else "Cached:", f"{addresses.text(self.network)}/{bits}"]
        if self.mark:
            parts.append(f"MARK {self.mark}")
        parts.append(f"dev {self.device}")
        if self.gateway:
            parts.append(f"GW {addresses.text(self.gateway)}")
        if self.source:
            parts.append(f"SRC {addresses.text(self.source)}")
        return " ".join(parts) + " local" * self.is_local


Place = tuple[int, int]  # priority, bits


class RouteTable:
    """`changed` rises with each change of what lookup() may find."""

    def __init__(self) -> None:
        self.changed = 0
        # mark -> place -> network -> route; places from the first to be looked at
        self._marks: dict[int, dict[Place, dict[int, Route]]] = {}

    def __iter__(self):
        for places in self._marks.values():
            for routes in places.values():
                yield from routes.values()

    def add(self, route: Route) -> None:
        """Instead of one for the same packets, if any."""
        places = self._marks.setdefault(route.mark, {})
        place = route.priority, route.bits
        if place not in places:
            places[place] = {}
            self._marks[route.mark] = dict(sorted(places.items(), reverse=True))
        self._marks[route.mark][place][route.network] = route
        self.changed += 1

    def remove(self, route: Route) -> None:
        """No error when it is not there."""
        places = self._marks.get(route.mark, {})
        routes = places.get((route.priority, route.bits), {})
        if routes.get(route.network) == route:
            del routes[route.network]
            if not routes:
                del places[route.priority, route.bits]
            self.changed += 1

    def user_route(self, network: int, bits: int, mark: int) -> Route | None:
        routes = self._marks.get(mark, {}).get((bits + USER_BONUS, bits), {})
        return routes.get(network)

    @property
    def n_user(self) -> int:
        return sum(
            len(routes)
            for places in self._marks.values()
            for (priority, bits), routes in places.items()
            if priority == bits + USER_BONUS
        )

    def lookup(self, destination: int, mark: int = 0) -> Route | None:
        least = addresses.IPV4_BITS if addresses.is_ipv4(destination) else 0
        for (_, bits), routes in self._marks.get(mark, {}).items():
            if bits < least:
                continue  # a route of IPv6's, whose prefix is shorter than that of mapped ones
            route = routes.get(destination & addresses.mask(bits))
            if route is not None:
                return route
        return None

    def is_local(self, address: int, mark: int = 0) -> bool:
        route = self.lookup(address, mark)
        return route is not None and route.is_local

    def set_kernel(self, wanted: Iterable[Route]) -> None:
        """These, and no others, are the kernel's."""
        new = set(wanted)
        for route in [route for route in self if not route.is_user]:
            if route in new:
                new.discard(route)
            else:
                self.remove(route)
        for route in new:
            self.add(route)

    @property
    def has_marks(self) -> bool:
        """Whether some route is for packets with a mark."""
        return any(mark and places for mark, places in self._marks.items())

    @property
    def devices(self) -> set[str]:
        """Those that some route leads out by."""
        return {route.device for route in self}
