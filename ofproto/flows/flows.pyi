"""The datapath's flows as vswitchd knows them, and translation of datapath keys."""

from typing import Any

from datapath.ipc.protocol import FlowInfo
from ofproto.flows.inbox import Inbox
from ofproto.flows.ukeys import Ukey
from ofproto.rules.program import Program
from ofproto.underlay.underlay import Underlay
from ofproto.xlate.bridges.tunnel import TunnelTable
from ofproto.xlate.bridges.xbridge import Features, Generation, XBridge, XPort
from ofproto.xlate.state.recirc import FrozenState, RecircTable

class Flows:
    """Bridges, ports and flows of one datapath.  Times in ms.

    `generation` is to be given to each XBridge of this datapath.  `recirc` has the frozen states.
    """

    dpif: Any
    generation: Generation
    max_flows: int  # as configured
    exact: bool  # flows match all that their packets have: for tests
    flow_limit: int  # at present: what can be revalidated in a second
    recirc: RecircTable
    inbox: Inbox  # packets that are for protocols
    tunnels: TunnelTable
    features: Features
    underlay: Underlay
    bridges: list[XBridge]
    counts: dict[str, int]
    def __init__(self, dpif: Any = None) -> None: ...
    def set_dpif(self, dpif: Any) -> None:
        """After a reconnect (None: disconnected); forgets the flows known of the old datapath,
        with None by forget_lost()."""

    def forget_lost(self) -> bool:
        """Some of the flows of a datapath that is gone are let go; whether there are more.  What
        they have counted is known for the next datapath once there are none."""

    @property
    def forgetting(self) -> bool:
        """Whether forget_lost() is to be called."""

    def add_bridge(self, bridge: XBridge) -> None: ...
    def remove_bridge(self, bridge: XBridge) -> None: ...
    def set_underlay(self, underlay: Underlay) -> None:
        """The tables of routes and neighbours of all bridges."""

    def solicit(self, now: int) -> None:
        """Sends what is due of questions for neighbours.  Raises DpifError."""

    def port_set(self, odp_port: int, port: XPort) -> None:
        """Packets with this datapath port number come in by `port`; sets port.odp_port."""

    def port_del(self, odp_port: int) -> None: ...
    def port_get(self, odp_port: int) -> XPort | None:
        """Tunnel ports have none of their own."""

    def port_for(self, key: bytes) -> XPort | None:
        """The port of a packet with this datapath key, KEY_DP_SIZE bytes at least."""

    def tunnel_set(self, odp_port: int, port: XPort) -> None:
        """Packets of this datapath port that `port.tunnel` says are for `port` come in by it.
        ValueError where they are another port's."""

    def tunnel_del(self, port: XPort) -> None: ...
    def resume(self, state: FrozenState, packet: bytes, sent: bytes, now: int) -> None:
        """A packet that waited for a controller goes on, as packet_out() does; `sent`: a key with
        what the controller says of its mark and tunnel.  Raises DpifError.
        """

    def packet_out(
        self, bridge: XBridge, packet: bytes, in_port: int, sent: bytes, program: Program, now: int
    ) -> None:
        """Runs an OpenFlow action list on a packet, with statistics and learning; `sent`: a key
        with what the controller says of its mark, tunnel, metadata and registers.

        Raises DpifError.
        """

    def flush(self) -> None:
        """Deletes all flows from the datapath."""

    def stats(self) -> dict[str, int]: ...
    def with_seen_key(self, info: FlowInfo) -> FlowInfo: ...
    def ukeys(self) -> list[Ukey]: ...
    def __len__(self) -> int: ...
