"""The ports and bundles of a bridge: OpenFlow's view, translation's and the datapath's together.

An OfPort is what OpenFlow shows, its `xport` what translation works with, and the Backer's
datapath port what carries the packets.  A patch port has no datapath port, and a peer that may be
in another bridge.
"""

import errno
from collections.abc import Callable, Collection, Container
from typing import Any

from datapath.base.protocols import ETH_QINQ, ETH_VLAN
from datapath.ipc.dpif import DpifError
from ofproto.codec.numbers import (
    OFPP_LOCAL,
    OFPPC_PORT_DOWN,
    OFPPR_ADD,
    OFPPR_DELETE,
    OFPPR_MODIFY,
    OFPPS_LIVE,
    OFPPS_STP_MASK,
)
from ofproto.port import OfPort, PortNumbers, TreeState
from ofproto.port_order import in_hash_order
from ofproto.xlate.bridges.tunnel import Tunnel
from ofproto.xlate.bridges.tunnel_config import TunnelConfig
from ofproto.xlate.bridges.xbridge import XBundle, XPort, connect_patch, disconnect_patch
from pyvs import clock

QINQ_TPIDS = {"802.1ad": ETH_QINQ, "802.1q": ETH_VLAN}


class Ports:
    """`tell(reason, port)` hears of each port that came, went or changed (OFPPR_*)."""

    def __init__(self, xbridge: Any, backer: Any, tell: Callable[[int, OfPort], None]):
        self.by_number: dict[int, OfPort] = {}
        self.by_name: dict[str, OfPort] = {}
        self._xbridge = xbridge
        self._backer = backer
        self._tell = tell
        self._numbers = PortNumbers()
        self._untold: dict[int, OfPort] = {}  # new ones, whose devices are yet to be looked at
        self._bundles: dict[Any, Any] = {}
        self._vlans: dict[Any, tuple] = {}  # key of a bundle -> VLANs and protection
        # name -> kind -> number of the datapath's meter, or None, and its flags and bands
        self._policers: dict[str, dict[str, tuple[int | None, Any]]] = {}
        self._set_aside: dict[str, int] = {}  # name -> datapath port, between two numbers

    def in_order(self) -> list[OfPort]:
        """As replies list them, which is Open vSwitch's order."""
        came = sorted(self.by_number, key=lambda number: number != OFPP_LOCAL)  # the others as are
        return [self.by_number[number] for number in in_hash_order(came)]

    # --- ports

    def add(
        self,
        name: str,
        type_: str,
        request: int | None,
        options: dict[str, str],
        avoid: Container[int],
        now: int,
        tunnel: TunnelConfig | None = None,
    ) -> OfPort:
        """Raises DpifError, or ValueError when there is no number left."""
        if name in self.by_name:
            raise ValueError(f"{name} is a port of {self._xbridge.name} already")
        # The device first: what cannot be opened uses up no number, however often it is tried.
        odp_port = self._odp_port(name, type_, options, tunnel)
        local = name == self._xbridge.name
        try:
            number = OFPP_LOCAL if local else self._numbers.take(request, avoid)
        except ValueError:
            if odp_port is not None:
                self._backer.ports.delete(odp_port)
            raise
        port = OfPort(number, name, type_, options, now)
        port.odp_port = odp_port
        port.xport = XPort(name, number)
        port.xport.up = port.may_forward
        if tunnel is not None:
            self._make_tunnel(port, tunnel)
        self._xbridge.port_add(port.xport)
        if port.is_patch:
            self._connect_patch(port)
        elif tunnel is None:
            self._backer.flows.port_set(port.odp_port, port.xport)
        self.by_number[number] = self.by_name[name] = port
        self._untold[number] = port
        return port

    def _odp_port(
        self, name: str, type_: str, options: dict[str, str], tunnel: TunnelConfig | None
    ) -> int | None:
        """The number of the datapath port, made where it is not there; None: there is to be none.
        Raises DpifError."""
        if name in self._set_aside:
            return self._set_aside.pop(name)
        if type_ == "patch":
            return None
        if tunnel is not None:
            return self._backer.ports.vports.take(tunnel)
        return self._backer.ports.add(name, type_, options)

    def _make_tunnel(self, port: OfPort, tunnel: TunnelConfig) -> None:
        """Raises DpifError where another port gets the same packets."""
        port.tunnel = tunnel
        port.xport.tunnel = Tunnel(tunnel)
        try:
            self._backer.flows.tunnel_set(port.odp_port, port.xport)
        except ValueError as error:
            self._numbers.free(port.number)
            self._backer.ports.delete(port.odp_port)
            raise DpifError(errno.EEXIST, str(error)) from error

    @property
    def has_news(self) -> bool:
        """Whether tell_new() has something to tell."""
        return bool(self._untold)

    def tell_new(self, _now: int) -> None:
        """Tell of ports that came since the last time, as they are now: whoever adds one says
        right away what its device is like."""
        untold, self._untold = self._untold, {}
        for port in untold.values():
            live, port.state = port.state & OFPPS_LIVE, port.state & ~OFPPS_LIVE
            self._tell(OFPPR_ADD, port)
            if live:  # a message of its own, as from Open vSwitch
                port.state |= live
                self._tell(OFPPR_MODIFY, port)

    def _connect_patch(self, port: OfPort) -> None:
        """Join it with the port that it names, if that one names it, too."""
        for bridge in self._backer.bridges.values():
            peer = bridge.port_by_name(port.peer)
            if peer is not None and peer.is_patch and peer.peer == port.name:
                connect_patch(port.xport, peer.xport)
                return

    def set_options(self, port: OfPort, options: dict[str, str]) -> None:
        """See Ofproto.port_set_options()."""
        if port.options != options and port.odp_port is not None:
            self._backer.ports.set(port.odp_port, options)
            port.options = options

    def set_peer(self, port: OfPort, options: dict[str, str]) -> None:
        """See Ofproto.patch_set_peer()."""
        if port.options == options:
            return
        port.options = options
        disconnect_patch(port.xport)
        self._connect_patch(port)

    def delete(self, number: int) -> None:
        """No error when there is none."""
        port = self._take_out(number)
        if port is not None and port.odp_port is not None:
            self._backer.ports.delete(port.odp_port)

    def set_aside(self, number: int) -> None:
        """Delete a port, but for its datapath port, which add() takes again under the same name:
        an internal device stays where a container has it."""
        port = self._take_out(number)
        if port is not None and port.odp_port is not None:
            if port.tunnel is None:
                self._backer.flows.port_del(port.odp_port)
            self._set_aside[port.name] = port.odp_port

    def drop_set_aside(self) -> None:
        """Delete what was set aside and not added again."""
        while self._set_aside:
            self._backer.ports.delete(self._set_aside.popitem()[1])

    def _take_out(self, number: int) -> OfPort | None:
        port = self.by_number.pop(number, None)
        if port is None:
            return None
        del self.by_name[port.name]
        self.set_policers(port, {}, clock.msec())
        self._xbridge.port_del(port.xport)
        if port.tunnel is not None:
            self._backer.flows.tunnel_del(port.xport)
        self._numbers.free(number)
        if self._untold.pop(number, None) is None:
            self._tell(OFPPR_DELETE, port)
        return port

    def update(
        self,
        port: OfPort,
        mac: bytes | None,
        admin_up: bool | None,
        link_up: bool | None,
        speed: int | None,
        full_duplex: bool,
        copper: bool,
        mtu: int | None,
    ) -> None:
        """Take over what a network device says; None leaves a value as it is."""
        before = port.description()
        if mac is not None:
            port.hw_addr = mac
        if mtu is not None:
            port.mtu = mtu
        if admin_up is not None:
            port.set_admin(admin_up)
        if link_up is not None:
            port.set_link(link_up, speed or 0, full_duplex, copper)
        self._changed(port, before)

    def configure(self, port: OfPort, config: int) -> None:
        """Give a port other config bits (PC_*)."""
        before = port.description()
        port.config = config
        if config & OFPPC_PORT_DOWN:
            port.state &= ~OFPPS_LIVE  # at once; that its link is down, the device says
        self._changed(port, before)

    def judge(self, port: OfPort, who: str, live: bool | None) -> None:
        """See Ofproto.port_verdict()."""
        before = port.description()
        port.judge(who, live)
        self._changed(port, before)

    def _changed(self, port: OfPort, before: tuple) -> None:
        xport, now = port.xport, (port.xlate_config, port.may_forward, port.is_sound)
        if (xport.config, xport.up, xport.live) != now:
            xport.config, xport.up, xport.live = now
            self._xbridge.touch("port_toggled")
        if port.description() != before and port.number not in self._untold:
            self._tell(OFPPR_MODIFY, port)

    # --- spanning trees

    def set_tree_state(self, port: OfPort, state: TreeState) -> None:
        """What a spanning tree protocol lets a port do."""
        before, xport = port.description(), port.xport
        allowed = (state.forwards, state.learns, state.sends_bpdus)
        if (xport.forwards, xport.learns, xport.sends_bpdus) != allowed:
            xport.forwards, xport.learns, xport.sends_bpdus = allowed
            self._xbridge.touch("stp" if self._xbridge.spanning == "STP" else "rstp")
        port.state = port.state & ~OFPPS_STP_MASK | state.bits
        self._changed(port, before)

    def forget_stations(self, numbers: Collection[int]) -> None:
        """What was learned on these ports' bundles."""
        ports = [self.by_number[number] for number in numbers if number in self.by_number]
        mac = self._xbridge.mac
        bundles = {port.xport.bundle for port in ports}
        mac.forget(mac.keys_of(*bundles))
        self._xbridge.forget_groups(*bundles)

    # --- counters

    def stats(self) -> dict[int, dict[str, int]]:
        """All ports' counters by number, under the OpenFlow names."""
        counted = self._backer.ports.stats()
        return {
            number: own_stats(port.xport) if port.counts_itself else counted.get(port.odp_port, {})
            for number, port in self.by_number.items()
        }

    def stats_of(self, number: int) -> dict[str, int]:
        """One port's counters; {} when there is no such port."""
        port = self.by_number.get(number)
        if port is None:
            return {}
        return (
            own_stats(port.xport)
            if port.counts_itself
            else self._backer.ports.stats_of(port.odp_port)
        )

    # --- quality of service

    def set_queues(
        self, port: OfPort, dscp: dict[int, int] | None, queues: tuple[int, ...] | None
    ) -> None:
        now = clock.msec()
        port.queue_numbers = queues
        port.queues_since = {each: port.queues_since.get(each, now) for each in queues or ()}
        if port.xport.dscp != dscp:
            port.xport.dscp = dscp
            self._xbridge.touch()

    def set_policers(self, port: OfPort, wanted: dict[str, Any], now: int) -> None:
        """`wanted`: flags and bands of meters, by words that tell a port's meters apart."""
        had = self._policers.pop(port.name, {})
        made = {
            kind: (self._policer(port, kind, had.get(kind), meter), meter)
            for kind, meter in wanted.items()
        }
        for kind, (number, _) in had.items():
            if kind not in made and number is not None:
                self._backer.meters.remove(number, now)
        if made:
            self._policers[port.name] = made
        if made != had:
            port.xport.policers = tuple(each for each, _ in made.values() if each is not None)
            self._xbridge.touch()

    def _policer(self, port: OfPort, kind: str, had: tuple | None, meter: Any) -> int | None:
        """The number of the datapath's meter; None: there are no more."""
        number, before = had or (None, None)
        if number is None:
            owner = f"{self._xbridge.name}:{kind}:{port.name}"[-31:]
            return self._backer.meters.add(owner, *meter)
        if meter != before:
            self._backer.meters.change(number, *meter)
        return number

    # --- bundles

    def bundle_set(
        self,
        key: Any,
        name: str,
        ofp_ports: list[int],
        vlan_mode: str | None = None,
        tag: int | None = None,
        trunks: list[int] | None = None,
        priority_tags: str | None = None,
        cvlans: list[int] | None = None,
        qinq_ethtype: str = "802.1ad",
        protected: bool = False,
        mcast_flood: bool = False,
        mcast_flood_reports: bool = False,
    ) -> None:
        """Make or change the bundle `key`.  Nothing passes between two that are `protected`; what
        NORMAL sends to one with `mcast_flood…` whoever wants it: see XBundle."""
        bundle = self._bundles.get(key)
        if bundle is None:
            bundle = self._bundles[key] = XBundle(name)
        tpid = QINQ_TPIDS.get(qinq_ethtype, QINQ_TPIDS["802.1ad"])
        vlan = (vlan_mode, tag, trunks, cvlans, priority_tags or "never", tpid)
        if self._vlans.get(key) != (vlan, protected):  # set_vlan() has it forget its stations
            bundle.set_vlan(*vlan)
            bundle.protected = protected
            self._vlans[key] = (vlan, protected)
        bundle.mcast_flood = mcast_flood
        bundle.mcast_flood_reports = mcast_flood_reports
        members = [self.by_number[number].xport for number in ofp_ports]
        self._xbridge.bundle_set(bundle, members)

    @property
    def bundles(self) -> dict[Any, Any]:
        """The XBundles by key."""
        return self._bundles

    def bundle(self, key: Any) -> Any:
        """The XBundle of a bundle that there is."""
        return self._bundles[key]

    def bundle_del(self, key: Any) -> None:
        """No error when there is none.  Other bridges forget its stations, too: what they learned
        behind a patch port is as old."""
        bundle = self._bundles.pop(key, None)
        self._vlans.pop(key, None)
        if bundle is None:
            return
        gone = self._xbridge.mac.keys_of(bundle)
        self._xbridge.bundle_del(bundle)
        for bridge in self._backer.bridges.values():
            bridge.xbridge.mac.forget(gone)

    def close(self) -> None:
        """Nobody is told of them any more."""
        self._tell = lambda reason, port: None


def own_stats(xport: Any) -> dict[str, int]:
    """A patch or tunnel port's counters are translation's."""
    return {
        name: getattr(xport, name) for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
    }
