"""Bridges, bundles (a port of the database: one interface or a bond) and ports for translation.

The OpenFlow side makes these objects, changes them by their methods and attributes, and calls
`XBridge.touch()` after each change that can alter what happens to a packet; methods here do so
themselves.  OpenFlow port numbers are 16 bits wide inside, LOCAL = 0xfffe.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ofproto.exports.netflow import Exporter
from ofproto.rules.classifier import Classifier, Rule
from ofproto.rules.learned import Learned
from ofproto.rules.view import View
from ofproto.xlate.bridges.mac_learning import MacLearning
from ofproto.xlate.bridges.mcast_snooping import McastSnooping
from ofproto.xlate.bridges.tun_options import Layout
from ofproto.xlate.bridges.tunnel import Tunnel
from ofproto.xlate.bridges.xbond import XBond
from ofproto.xlate.bridges.xgroup import XGroup
from ofproto.xlate.bridges.xmirror import XMirror
from ofproto.xlate.bridges.xsampling import XSampling

NO_ODP_PORT: int
MISS_DEFAULT: int
MISS_CONTROLLER: int
MISS_CONTINUE: int
MISS_DROP: int

class Generation:
    """A counter shared by a datapath's bridges: older flows are checked."""

    value: int
    def touch(self, why: str = ...) -> None: ...

class XPort:
    name: str
    ofp_port: int
    odp_port: int
    config: int  # OFPPC_* bits
    up: bool
    bridge: XBridge | None
    bundle: XBundle | None
    peer: XPort | None  # set through connect_patch
    dscp: dict[int, int] | None  # queue -> DSCP of what leaves by it
    policers: tuple[int, ...]  # the datapath's meters that what comes in passes
    live: bool  # as protocols see it: see OfPort.verdicts
    listens: int
    receivers: dict[int, Callable[[bytes, int], Any]]
    tunnel: Tunnel | None
    forwards: bool  # what a spanning tree protocol lets it do
    learns: bool
    sends_bpdus: bool
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    def __init__(self, name: str, ofp_port: int, odp_port: int = ...) -> None: ...
    def listen(
        self,
        slow: int,
        receive: Callable[[bytes, int], Any],
        dst: bytes | None = None,
        checks_key: bool = False,
        nw_dst: int = 0,
    ) -> None:
        """Has the packets of a protocol (CFM, BFD, LACP, STP or LLDP of datapath.actions.odp) that
        come in by this port go to `receive(packet, now)`, once each and soon (see
        ofproto.flows.inbox), and not through the tables.

        Which these are: ofproto.xlate.outputs.slow.  `dst`: only those to this Ethernet address;
        `checks_key`: only those whose tunnel key is 0; `nw_dst`: only those to this IPv4 address.
        """

    def unlisten(self, slow: int) -> None:
        """The protocol's packets are like others again; no error where they are."""

def connect_patch(a: XPort, b: XPort) -> None:
    """Makes two patch ports each other's peer."""

def disconnect_patch(a: XPort) -> None: ...

class XBundle:
    name: str
    ports: list[XPort]
    vlan_mode: str  # access, trunk, native-tagged, native-untagged, dot1q-tunnel
    vlan: int  # tag; -1 on a trunk
    trunks: frozenset[int] | None
    cvlans: frozenset[int] | None
    priority_tags: str  # never, if-nonzero, always
    protected: bool
    mcast_flood: bool  # gets all multicast, of groups that nobody joined, too
    mcast_flood_reports: bool  # and the hosts' reports
    qinq_tpid: int
    bond: XBond | None
    # Bits of the bridge's mirrors: that copy what comes in, what goes out, that use it as output.
    mirror_src: int
    mirror_dst: int
    mirror_out: int
    def __init__(self, name: str) -> None: ...
    def set_vlan(
        self,
        mode: str | None = None,
        tag: int | None = None,
        trunks: Iterable[int] | None = None,
        cvlans: Iterable[int] | None = None,
        priority_tags: str = "never",
        qinq_tpid: int = 0x88A8,
    ) -> None:
        """Mode None: access with a tag, else trunk, as ovs-vswitchd.conf.db(5) says."""

class Learner(Protocol):
    """Who owns the flow tables."""

    def learn(self, learned: Learned, used: int) -> Rule | None:
        """Has the flow there, refreshed by a packet at `used` (ms); None: there is no room."""

    def would_learn(self, learned: Learned) -> bool:
        """Whether learn() would find or make it."""

    def finished(self, rule: Rule, idle: int, hard: int) -> None:
        """A TCP connection of the flow ended: its timeouts become these (seconds), if less."""

class Features:
    """What of the datapath translation makes use of; who changes it calls Generation.touch()."""

    clone: bool  # else a sample of every packet stands for it,
    sample_nesting: int  # if that many may be in one another
    ct_clear: bool
    set_arp: bool  # else vswitchd changes ARP packets, as Open vSwitch does,
    trunc: bool  # cuts packets,
    check_pkt_len: bool  # compares their lengths
    add_mpls: bool  # and puts labels in front of them
    def __init__(self) -> None: ...

class XBridge:
    name: str
    generation: Generation
    features: Features  # of all bridges together
    ports: dict[int, XPort]
    bundles: list[XBundle]
    bonds: dict[str, XBundle]  # by name, those with a bond
    mirrors: list[XMirror]
    sampling: XSampling | None
    netflow: Exporter | None  # ofproto.exports.netflow's
    mac: MacLearning
    snooping: McastSnooping | None
    tables: list[Classifier | None]
    internal_rules: tuple[Rule, ...]  # of table 254, which no FLOW_MOD may change
    view: View
    groups: dict[int, XGroup]  # who changes it calls touch()
    meters: dict[int, int]  # OpenFlow meter -> the datapath's
    miss_to_controller: bool  # what a miss in a table with MISS_DEFAULT means
    forward_bpdu: bool
    frag_mode: str  # normal, drop, nx-match
    packet_in: Callable[[PacketInEvent], None] | None
    learner: Learner | None
    ct_timeouts: dict[int, bytes]  # zone -> name of its timeout policy in the datapath
    queues: dict[tuple[int, int], int]
    options: Layout  # which tun_metadataN is which tunnel option
    data: Any
    def __init__(self, name: str, generation: Generation | None = None) -> None: ...
    def table(self, table_id: int) -> Classifier:
        """The table, made on first use."""

    def set_miss(self, table_id: int, miss: int) -> None: ...
    def get_miss(self, table_id: int) -> int: ...
    def port_add(self, port: XPort) -> None: ...
    def port_del(self, port: XPort) -> None:
        """Takes it out of the bridge and its bundle, which forgets its MACs with its last port."""

    def bundle_set(self, bundle: XBundle, ports: Iterable[XPort]) -> None:
        """Adds or changes a bundle; a port is in one bundle at most."""

    def bond_set(self, bundle: XBundle, bond: XBond | None) -> None:
        """Makes a bundle of this bridge the bond that `bond` says, None: no bond."""

    def mirrors_set(self, mirrors: Iterable[XMirror]) -> None:
        """Makes these the bridge's; the bundles' bits are the caller's to set."""

    def forget_bundle(self, bundle: XBundle) -> None:
        """What was learned there."""

    def forget_groups(self, *bundles: XBundle | None) -> None:
        """The multicast groups and routers that were heard of on these bundles."""

    def snooping_set(self, snooping: McastSnooping | None) -> None:
        """Has NORMAL go by these groups; None: by none."""

    def bundle_del(self, bundle: XBundle) -> None: ...
    def touch(self, why: str = ...) -> None:
        """Flow tables, ports or configuration changed: have the datapath's flows checked."""

    def touch_rule(self, rule: Rule) -> None:
        """The same, where nothing changed but that this rule came, went, or does other things."""

class PacketInEvent:
    """A packet for the controllers.  `key` has KEY_SIZE bytes, in_port as OpenFlow port, with
    metadata, registers and tunnel as they were when the action ran."""

    packet: bytes
    reason: int  # OFPR_* of OpenFlow 1.4, 0 (no match) to 5 (packet out)
    miss: str | None  # "flow": priority 0 and matches all (1.0-1.2 say ACTION); "implicit": none
    table_id: int
    cookie: int
    controller_id: int
    in_port: int
    userdata: bytes  # of the action
    continuation: bytes | None  # see continuation.py; the packet waits to be resumed
    options: Layout  # of the bridge
    key: bytes
