"""The protocols of a bridge, all of them together: see base.Protocol.

A protocol is one entry of REGISTRY.  Each is called in a guard: a fault of one is none of the
others'.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pyvs import containment
from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.devices.iface import Iface
from vswitchd.protocols.base import Protocol, Rows
from vswitchd.protocols.bfd import Bfd
from vswitchd.protocols.cfm import Cfm
from vswitchd.protocols.lacp import Lacp
from vswitchd.protocols.lldp import Lldp
from vswitchd.protocols.spanning import Spanning

REGISTRY: tuple[Callable[[Any], Protocol], ...] = (Lacp, Bfd, Cfm, Lldp, Spanning)


class Protocols:
    """`by_name` has the instances, for commands."""

    # The columns of an interface of which none has anything to say.
    NOTHING = {**Lacp.NOTHING, **Bfd.NOTHING, **Cfm.NOTHING}

    def __init__(self, ofproto: Any, name: str):
        self.by_name = {each.name: each for each in (make(ofproto) for make in REGISTRY)}
        self._bridge = name

    def _each(self, method: str, *args: Any) -> None:
        for name, protocol in self.by_name.items():
            containment.call(
                "protocol", f"{name} of {self._bridge}", getattr(protocol, method), *args
            )

    def configure(self, config: BridgeConfig, mac: bytes, now: int) -> None:
        self._each("configure", config, mac, now)

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        self._each("set_port", port, members, now)

    def drop_port(self, name: str, now: int) -> None:
        self._each("drop_port", name, now)

    def leave(self, iface: Iface, now: int) -> None:
        self._each("leave", iface, now)

    def link_changed(self, iface: Iface, now: int) -> None:
        self._each("link_changed", iface, now)

    def run(self, now: int) -> None:
        self._each("run", now)

    def next_run(self) -> int | None:
        times = [each.next_run() for each in self.by_name.values()]
        return min((when for when in times if when is not None), default=None)

    def take_judged(self) -> set[str]:
        """Interfaces that protocols have something else to say of than before."""
        found: set[str] = set()
        for protocol in self.by_name.values():
            if protocol.judged:
                found |= protocol.judged
                protocol.judged = set()
        return found

    @property
    def lacp(self) -> Lacp:
        return self.by_name["lacp"]

    @property
    def has_news(self) -> bool:
        return any(each.has_news for each in self.by_name.values())

    def rows(self, bridge_uuid: UUID, everything: bool) -> Rows:
        """Of all protocols, or of those that have news."""
        rows: Rows = {}
        for name, protocol in self.by_name.items():
            if not everything and not protocol.has_news:
                continue
            protocol.has_news = False
            whose = f"{name} of {self._bridge}"
            found = containment.call("protocol", whose, protocol.rows, bridge_uuid, default={})
            for key, columns in found.items():
                rows.setdefault(key, {}).update(columns)
        return rows

    def close(self) -> None:
        self._each("close")
