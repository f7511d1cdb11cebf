"""What the switch's host says of the way of tunnels: its devices, addresses and routes.

The tables are translation's (ofproto.underlay); they are followed from when there is a tunnel, or
somebody asks by a command.
"""

from collections.abc import Mapping
from typing import Any

import ovs.vlog

from ofproto.underlay import addresses
from ofproto.underlay.listening import listeners
from ofproto.underlay.routes import Route
from ofproto.underlay.underlay import Device, Underlay, networks
from vswitchd.devices.dummy import Dummies
from vswitchd.devices.links import Links
from vswitchd.tunnels.kept_routes import KeptRoutes
from vswitchd.tunnels.kernel_routes import KernelRoute, KernelRoutes

vlog = ovs.vlog.Vlog("ovs_router")


class Ways:
    """`follows_kernel`: false with --disable-system-route, for tests of switches.  `keep_in`: the
    file that users' routes outlive the process in."""

    def __init__(
        self,
        links: Links,
        dummies: Dummies,
        follows_kernel: bool = True,
        keep_in: str | None = None,
    ):
        self.underlay = Underlay()
        self.kept_routes = KeptRoutes(keep_in, self.underlay.routes)
        self.kept_routes.recall()
        self._links = links
        self._dummies = dummies
        self._follows_kernel = follows_kernel
        self._kernel: KernelRoutes | None = None
        self._seen: Any = None
        self._links_of: Any = None  # of what changes _links_known is
        self._links_known: list[Any] = []
        self.udp_ports = 32768, 61000  # that outer headers come from

    def begin(self, now: int) -> None:
        """From here on the kernel is followed; what it has now is known on return."""
        if self._kernel is None and self._follows_kernel:
            self._kernel = KernelRoutes()
            self._kernel.settle(now)
        self.run(now)

    def settle(self, now: int, vports: Mapping[str, Any]) -> None:
        """run() at the start: flows of before this process are judged by what is known then."""
        if vports:
            self.begin(now)
        self.run(now, vports)

    def run(self, now: int, vports: Mapping[str, Any] | None = None) -> None:
        """Takes in what changed.  `vports`: the datapath ports that tunnels share, by name."""
        if vports is not None:
            self._take_vports(vports)
        if self._kernel is not None:
            self._kernel.run(now)
        self.underlay.neighbours.run(now)
        seen = self._state()
        if seen != self._seen:
            self._seen = seen
            self.underlay.set_devices(self._devices())
            self.underlay.routes.set_kernel(self._kernel_routes())
        self.underlay.refresh()

    def _take_vports(self, vports: Mapping[str, Any]) -> None:
        if vports and self._kernel is None and self._follows_kernel:
            self._kernel = KernelRoutes()
        self.underlay.set_receivers(listeners(vports.values()))

    def wait(self, poller: Any) -> None:
        if self._kernel is not None:
            self._kernel.wait(poller)
        when = self.underlay.neighbours.next_run()
        if when is not None:
            poller.timer_wait_until(when)

    def close(self, delete: bool = False) -> None:
        """`delete`: the switch goes for good."""
        self.kept_routes.close(delete)
        if self._kernel is not None:
            self._kernel.close()

    def _state(self) -> Any:
        """What devices and routes are made of."""
        dummies = [
            (name, each.mac, tuple(each.addresses))
            for name, each in self._dummies.devices.items()
            if each.addresses
        ]
        if self._kernel is None:
            return dummies
        return dummies, self._kernel.changed, self._known_links()

    def _known_links(self) -> list[Any]:
        """What devices and routes have of the kernel's links; others may come and go."""
        now = self._kernel.changed, self._links.change_seqno
        if now != self._links_of:
            self._links_of = now
            found = map(self._links.by_index, sorted(self._kernel.indexes))
            self._links_known = [link and (link.name, link.mac, link.can_be_port) for link in found]
        return self._links_known

    def _devices(self) -> dict[str, Device]:
        found: dict[str, list[tuple[int, int]]] = {}
        for each in self._kernel.addresses if self._kernel is not None else ():
            link = self._links.by_index(each.index)
            if link is not None and link.can_be_port:
                found.setdefault(link.name, []).append((each.address, each.bits))
        devices = {
            name: Device(bytes.fromhex(link.mac.replace(":", "")), tuple(known))
            for name, known in found.items()
            if (link := self._links.get(name)) is not None
        }
        for name, dummy in self._dummies.devices.items():
            if dummy.addresses:
                mac = bytes.fromhex(dummy.mac.replace(":", ""))
                devices[name] = Device(mac, networks(dummy.addresses))
        return devices

    def _kernel_routes(self) -> list[Route]:
        """Of several for the same packets the one of the least metric."""
        found: dict[tuple[int, int, int, bool], KernelRoute] = {}
        for each in self._kernel.routes if self._kernel is not None else ():
            name = each.network, each.bits, each.mark, each.is_local
            if name not in found or each.metric < found[name].metric:
                found[name] = each
        made = [self._route(each) for each in found.values()]
        return [route for route in made if route is not None]

    def _route(self, each: KernelRoute) -> Route | None:
        link = self._links.by_index(each.index)
        if link is None:
            return None
        known = self.underlay
        there = each.gateway or each.network
        if addresses.is_ipv4(there) != addresses.is_ipv4(each.network):
            there = each.network  # the gateway is of the other family (RFC 5549)
        source = each.source or known.source_for(there, link.name)
        source = source or known.any_source(each.network, link.name)
        return Route(
            each.network, each.bits, each.mark, link.name, each.gateway, source,
            is_local=each.is_local,
        )  # fmt: skip
