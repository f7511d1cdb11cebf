"""Routes that users gave, over the death of the daemon: the kernel has its own, and these nobody.

The file is written before a command is answered: that of MAX_USER_ROUTES takes 5 ms.  What a device
had of addresses then is not asked again: translation finds out, as where one changes under a
running daemon.
"""

from typing import Any

import ovs.vlog

from ofproto.protocols.kept import U32, number
from ofproto.underlay import addresses
from ofproto.underlay.routes import MAX_USER_ROUTES, Route, RouteTable
from pyvs.kept import KeptFile

vlog = ovs.vlog.Vlog("ovs_router")

_BITS = number(128)
_LONGEST_NAME = 255  # of a device, characters


class KeptRoutes:
    """`path` None: nothing is kept."""

    def __init__(self, path: str | None, routes: RouteTable):
        self._file = KeptFile(path)
        self._routes = routes
        self._rows: dict[Route, list[Any]] = {}  # those written last: to make them takes longest

    def recall(self) -> None:
        """At the start: what does not fit is left out, and told."""
        found = self._file.read()
        rows = found[0].get("routes") if found is not None else None
        for row in rows[:MAX_USER_ROUTES] if isinstance(rows, list) else ():
            try:
                self._routes.add(_route(*row))
            except (TypeError, ValueError, AttributeError) as error:
                vlog.warn(f"{self._file.path}: a route that is of no use ({error})")

    def write(self) -> None:
        known = self._rows
        self._rows = {
            route: known.get(route) or _row(route) for route in self._routes if route.is_user
        }
        self._file.write({"routes": list(self._rows.values())} if self._rows else {})

    def close(self, delete: bool) -> None:
        """`delete`: the switch goes for good."""
        if delete:
            self._file.remove()


def _row(route: Route) -> list[Any]:
    gateway = addresses.text(route.gateway) if route.gateway else None
    there = addresses.text(route.network), route.bits, route.mark
    return [*there, route.device, gateway, addresses.text(route.source)]


def _route(network: str, bits: int, mark: int, device: str, gateway: str | None, source: str):
    if not isinstance(device, str) or not 0 < len(device) <= _LONGEST_NAME:
        raise ValueError(f"{device!r:.40} is no device")
    first = addresses.from_text(network)
    if first & ~addresses.mask(_BITS.value(bits, 0)):
        raise ValueError(f"{network}: no network of {bits} bits")
    return Route(
        first, bits, U32.value(mark, 0), device,
        addresses.from_text(gateway) if gateway is not None else 0,
        addresses.from_text(source), is_user=True,
    )  # fmt: skip
