"""What a protocol is to a bridge.  Times are in ms of the daemon's clock."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import ovs.vlog

from pyvs.kept import Recalled
from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.devices.iface import Iface

vlog = ovs.vlog.Vlog("bridge")

Rows = dict[tuple[str, UUID], dict[str, Any]]


class Protocol:
    """One for each bridge.  What it has of ports is its own; `ofproto` is the bridge's:

    ofproto.ports[number].xport.listen(...)     has a port's packets of the protocol come here
    ofproto.send_frame(number, frame, now)      sends one out of a port
    judge(iface, live)                          says whether a port leads to anybody

    `judged` are the interfaces whose bonds have to look at them again.  None of
    these calls another protocol.  Nothing here blocks or takes long.
    """

    name = ""
    kept_for = 0  # ms; see keeper.Part
    NOTHING: dict[str, Any] = {}  # the columns of an interface of which it has nothing to say

    def __init__(self, ofproto: Any):
        self.ofproto = ofproto
        self.judged: set[str] = set()
        self.recalled = Recalled()
        self.has_news = False  # whether rows() may differ from what it was when it was asked last

    def judge(self, iface: Iface, live: bool | None) -> None:
        """The one place to tell it: groups, controllers and bonds go by it.  None: no more."""
        if iface.verdicts.get(self.name) is live:
            return
        if live is None:
            del iface.verdicts[self.name]
        else:
            iface.verdicts[self.name] = live
        self.judged.add(iface.name)
        if iface.ofp_port is not None:
            self.ofproto.port_verdict(iface.ofp_port, self.name, live)

    def kept(self, now: int) -> dict[str, Any]:
        """What is to outlive the process, by names, as JSON has it."""
        return {}

    def recall(self, recalled: Recalled) -> None:
        """What kept() gave to be kept, before this process: for things that are about to begin."""
        self.recalled = recalled

    def revive(self, name: str, restore: Callable[[Any, int], Any], now: int) -> Any:
        """Give a thing that begins what was kept of it; what `restore(kept, now)` returns.  None
        where there is nothing, or what cannot be."""
        kept = self.recalled.take(name, now)
        if kept is None:
            return None
        try:
            return restore(kept, now)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            vlog.warn(f"{self.name} of {name}: what was kept is of no use ({error})")
            return None

    def unlisten(self, iface: Iface, slow: int) -> None:
        """Its packets of the protocol are like others again."""
        port = self.ofproto.ports.get(iface.ofp_port)
        if port is not None:
            port.xport.unlisten(slow)

    def configure(self, config: BridgeConfig, mac: bytes, now: int) -> None:
        """The bridge's row, new or changed, and its address."""

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        """A row of Port, new or changed, or with other members: interfaces that are ports now."""

    def drop_port(self, name: str, now: int) -> None:
        """The row is gone; no error where it was never there."""

    def leave(self, iface: Iface, now: int) -> None:
        """An interface is no port any more in a moment: its number is not to be used again."""

    def link_changed(self, iface: Iface, now: int) -> None:
        """The device of a member came up or went down, or may have."""

    def run(self, now: int) -> None:
        """Whatever is due."""

    def next_run(self) -> int | None:
        """When run() has something to do; None: not before something else happens."""
        return None

    def rows(self, bridge_uuid: UUID) -> Rows:
        """The columns that it has to say something in, of all rows that it has; and, once, of
        those that it had."""
        return {}

    def close(self) -> None:
        """The bridge goes: packets that wait are nobody's."""
