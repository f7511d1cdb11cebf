"""The way of outer headers out of this host and into it.

Out: a route, the device that it leads out by (a port of a bridge), the local address and the next
hop's Ethernet address.  In: which packets for a local address are a tunnel's.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from datapath.actions.text.tunnel_text import END as TUNNEL_END
from ofproto.underlay import addresses
from ofproto.underlay.asked import Asked
from ofproto.underlay.listening import Listener
from ofproto.underlay.neighbours import Neighbours
from ofproto.underlay.routes import Route, RouteTable

MOST_ENDS = 1000  # of them in one action, whose length is 16 bits
LINK_LOCAL = 0xFE80 >> 6  # the first ten bits of fe80::/10


class Device(NamedTuple):
    """`networks`: (address, bits of 128) of each of its addresses."""

    mac: bytes
    networks: tuple[tuple[int, int], ...]


class Way(NamedTuple):
    """How a packet goes to a tunnel's other end.  `next_hop`: whose Ethernet address is needed."""

    device: str
    mac: bytes
    source: int
    next_hop: int


class Underlay:
    """`told` is called when anything changed that translation may depend on."""

    def __init__(self, told: Callable[[], None] = lambda: None):
        self.told = told
        self.native = True  # False: headers are left to the datapath's ports, for tests
        self.routes = RouteTable()
        self.neighbours = Neighbours(self._tell)
        self.asked = Asked()
        # (IP protocol, UDP port or 0) -> the datapath port of the tunnels that are received there
        self.receivers: dict[tuple[int, int], int] = {}
        self.tunnel_ends = b""  # the same, as the action tnl_defrag has it
        self.bridges: list[Any] = []  # translation's, whose ports routes lead out by
        self.devices: dict[str, Device] = {}
        # Devices whose addresses tunnels may be received at: some route leads out by them.  Each
        # packet's translation looks into this very dict.
        self.listening: dict[str, Device] = {}
        self._seen = -1

    def _tell(self) -> None:
        self.told()

    def set_receivers(self, found: Iterable[Listener]) -> None:
        """Where tunnels are received."""
        receivers = {(each.protocol, each.udp_port): each.port for each in found}
        if receivers != self.receivers:
            self.receivers = receivers
            self.tunnel_ends = b"".join(
                TUNNEL_END.pack(proto, udp_port, port)
                for (proto, udp_port), port in sorted(receivers.items())[:MOST_ENDS]
            )
            self.told()

    def ask(self, bridge: str, way: "Way", now: int) -> None:
        """A packet waits for the next hop's Ethernet address."""
        self.asked.want(way.device, bridge, way.mac, way.source, way.next_hop, now)

    def make_sure(self, bridge: str, way: "Way", now: int) -> None:
        """What a process before this one knew of the next hop is asked for once."""
        name = bridge, way.next_hop
        if name in self.neighbours.unsure:
            self.neighbours.unsure.discard(name)
            self.ask(bridge, way, now)

    def frames_to_send(self, now: int) -> list[tuple[str, bytes]]:
        """(device, frame) of questions for neighbours that are due."""
        found = self.asked.take(self.neighbours, now)
        if self.asked.gave_up:
            self.asked.gave_up = False
            self.told()
        return found

    def set_devices(self, devices: dict[str, Device]) -> None:
        """All network devices that have addresses."""
        if devices != self.devices:
            self.devices = devices
            self._seen = -1
            self.told()

    def refresh(self) -> None:
        """After changes of routes."""
        if self._seen != self.routes.changed:
            self._seen = self.routes.changed
            used = self.routes.devices
            self.listening.clear()
            self.listening.update((n, d) for n, d in self.devices.items() if n in used)
            self.told()

    def source_for(self, destination: int, device: str) -> int | None:
        """The device's address in a network with `destination`, of the longest prefix."""
        found, best = None, -1
        known = self.devices.get(device)
        for address, bits in known.networks if known else ():
            if addresses.is_ipv4(address) != addresses.is_ipv4(destination):
                continue
            if (address ^ destination) & addresses.mask(bits) == 0 and bits > best:
                found, best = address, bits
        return found

    def any_source(self, destination: int, device: str) -> int:
        """An address of a device that can send there, 0 where it has none: not one that means
        something on its own link only."""
        known = self.devices.get(device)
        for address, _ in known.networks if known else ():
            same = addresses.is_ipv4(address) == addresses.is_ipv4(destination)
            if same and address >> 118 != LINK_LOCAL:
                return address
        return 0

    def user_route(
        self, network: int, bits: int, mark: int, device: str, gateway: int, source: int | None
    ) -> Route | None:
        """A route that a user asks for, or None where the device has no address for it."""
        known = self.devices.get(device)
        if source is not None:
            if known is None or all(source != address for address, _ in known.networks):
                return None
        else:
            source = self.source_for(gateway or network, device)
        if source is None:
            return None
        return Route(network, bits, mark, device, gateway, source, is_user=True)

    def way(self, destination: int, source: int, mark: int) -> Way | None:
        """`source` 0: whichever the route says."""
        if source and not self.is_ours(source):
            return None
        route = self.routes.lookup(destination, mark)
        source = source or (route.source if route is not None else 0)
        if route is None or not source or route.device not in self.devices:
            return None
        if addresses.is_ipv4(source) != addresses.is_ipv4(destination):
            return None  # by a gateway of the other family
        mac = self.devices[route.device].mac
        return Way(route.device, mac, source, route.gateway or destination)

    def is_ours(self, address: int) -> bool:
        return any(address == own for device in self.devices.values() for own, _ in device.networks)

    def hears(self, device: str, address: int) -> bool:
        """Whether an answer to `address` is one to the device, or to those who ask for it."""
        known = self.listening.get(device)
        return known is not None and any(
            address == own
            or (not addresses.is_ipv4(own) and address == addresses.solicited_node(own))
            for own, _ in known.networks
        )


def networks(texts: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Of "ADDRESS/BITS" each."""
    found = []
    for text in texts:
        _, bits = addresses.network_from_text(text)
        found.append((addresses.from_text(text.partition("/")[0]), bits))
    return tuple(found)
