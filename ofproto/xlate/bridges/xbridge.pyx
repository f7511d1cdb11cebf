"""What translation knows of bridges, bundles and ports.  xbridge.pyi has the Python view."""

from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport MAX_NESTING, SLOW_CFM
from datapath.base.protocols cimport *
from datapath.key.flow cimport KEY_SIZE
from ofproto.rules.classifier cimport Classifier, Rule
from ofproto.rules.view cimport View
from ofproto.codec.numbers cimport N_TABLES

from ofproto.codec.actions.nx import Controller
from ofproto.codec.instructions import ApplyActions
from ofproto.codec.match import Match
from ofproto.codec.numbers import TABLE_INTERNAL
from ofproto.xlate.bridges.tun_options import NO_OPTIONS
from pyvs import clock

cdef extern from "arpa/inet.h" nogil:
    uint32_t htonl(uint32_t)

globals()["NO_ODP_PORT"] = 0xffffffff    # the C name is taken

MODES = {
    "access": VLAN_ACCESS,
    "trunk": VLAN_TRUNK,
    "native-tagged": VLAN_NATIVE_TAGGED,
    "native-untagged": VLAN_NATIVE_UNTAGGED,
    "dot1q-tunnel": VLAN_DOT1Q_TUNNEL,
}
TAGS = {
    "never": PRIORITY_TAGS_NEVER,
    "no": PRIORITY_TAGS_NEVER,
    "if-nonzero": PRIORITY_TAGS_IF_NONZERO,
    "true": PRIORITY_TAGS_IF_NONZERO,
    "always": PRIORITY_TAGS_ALWAYS,
}


cdef class Generation:
    """Raised by each change that can alter what happens to a packet."""

    def __cinit__(self):
        self.value = 1
        self.changes = []
        self.reasons = set()

    def touch(self, str why="reconfigure"):
        """`why`: Open vSwitch's word for it, of its coverage counters rev_*."""
        self.reasons.add(why)
        self.value += 1
        self.vague = self.value
        if self.changes:
            self.changes = []

    cdef int touch_rule(self, Classifier table, Rule rule) except -1:
        if len(self.changes) >= MOST_CHANGES:       # who waited for the older ones has been served
            self.vague = self.changes[MOST_CHANGES // 2 - 1][0]
            del self.changes[:MOST_CHANGES // 2]
        self.reasons.add("flow_table")
        self.value += 1
        self.changes.append((self.value, table, rule))
        return 0

    cdef set take_reasons(self):
        """Why it was raised since the last time."""
        taken, self.reasons = self.reasons, set()
        return taken

    cdef list since(self, uint64_t value):
        if value < self.vague:
            return None
        return [change for change in self.changes if <uint64_t> change[0] > value]


cdef class XPort:
    def __init__(self, str name, int ofp_port, uint32_t odp_port=NO_ODP_PORT):
        self.name = name
        self.ofp_port = ofp_port
        self.odp_port = odp_port
        self.up = self.live = True
        self.policers = ()
        self.forwards = self.learns = self.sends_bpdus = True
        self.receivers = {}

    def listen(self, uint32_t slow, receive, bytes dst=None, bint checks_key=False,
               uint32_t nw_dst=0):
        """Has a protocol's packets go to it, and not through the tables."""
        cdef listening *found = &self.listeners[listener(slow)]
        cdef listening before = found[0]
        memset(found, 0, sizeof(listening))
        if dst is not None:
            if len(dst) != 6:
                raise ValueError("an address has 6 bytes")
            memcpy(found.dst, <const char *> dst, 6)
            found.has_dst = True
        found.checks_key = checks_key
        found.nw_dst = htonl(nw_dst)
        self.receivers[slow] = receive
        if self.listens & slow and memcmp(&before, found, sizeof(listening)) == 0:
            return
        self.listens |= slow
        if self.bridge is not None:
            self.bridge.touch()

    def unlisten(self, uint32_t slow):
        """The protocol's packets are like others again; no error where they are."""
        if self.receivers.pop(slow, None) is None:
            return
        self.listens &= ~slow
        if self.bridge is not None:
            self.bridge.touch()

    def __repr__(self):
        return f"<XPort {self.name} ofp={self.ofp_port}>"


cdef int listener(uint32_t slow) except -1:
    cdef int i
    for i in range(N_LISTENERS):
        if slow == <uint32_t> SLOW_CFM << i:
            return i
    raise ValueError(f"no protocol: {slow:#x}")


def connect_patch(XPort a, XPort b):
    """Makes two patch ports each other's peer."""
    disconnect_patch(a)
    disconnect_patch(b)
    a.peer, b.peer = b, a
    touch_ports(a, b)


def disconnect_patch(XPort a):
    """Takes a patch port's peer away, from both sides."""
    cdef XPort b = a.peer
    if b is None:
        return
    a.peer = b.peer = None
    touch_ports(a, b)


cdef touch_ports(XPort a, XPort b):
    cdef XPort port
    for port in (a, b):
        if port.bridge is not None:
            port.bridge.touch()


cdef set_bits(uint8_t *bits, vlans):
    memset(bits, 0, 512)
    for vlan in vlans:
        if not 0 <= vlan <= 4095:
            raise ValueError(f"no VLAN id: {vlan}")
        bits[vlan >> 3] |= 1 << (vlan & 7)


cdef bint has_bit(const uint8_t *bits, int vlan) noexcept nogil:
    return bits[vlan >> 3] >> (vlan & 7) & 1


cdef get_bits(const uint8_t *bits):
    return frozenset([vlan for vlan in range(4096) if has_bit(bits, vlan)])


cdef class XBundle:
    def __init__(self, str name):
        self.name = name
        self.ports = []
        self.mode = VLAN_TRUNK
        self.vlan = -1
        self.qinq_tpid = ETH_QINQ
        self.floodable = True

    def set_vlan(self, mode=None, tag=None, trunks=None, cvlans=None, priority_tags="never",
                 int qinq_tpid=ETH_QINQ):
        """VLAN configuration, as the Port table has it."""
        if mode is None:
            mode = "trunk" if tag is None else "access"
        trunks = None if trunks is None else list(trunks)
        cvlans = None if cvlans is None else list(cvlans)
        kind = MODES.get(mode)
        if kind is None:
            raise ValueError(f"unknown VLAN mode {mode!r}")
        if tag is not None and not 0 <= tag <= 4095:
            raise ValueError(f"no VLAN id: {tag}")
        priority = TAGS.get(priority_tags, PRIORITY_TAGS_NEVER)     # anything may be written there
        if kind == VLAN_TRUNK:
            tag = -1
        elif tag is None:
            tag = 0
        self.has_trunks = bool(trunks) and kind != VLAN_ACCESS and kind != VLAN_DOT1Q_TUNNEL
        if tag > 0 and (kind == VLAN_NATIVE_TAGGED or kind == VLAN_NATIVE_UNTAGGED):
            # The native VLAN is one of them, and stands for VLAN 0, which is not.
            trunks = set(trunks or range(1, 4096)) - {0} | {tag}
            self.has_trunks = True
        set_bits(self.trunk_bits, trunks if self.has_trunks else ())
        self.has_cvlans = bool(cvlans) and kind == VLAN_DOT1Q_TUNNEL
        set_bits(self.cvlan_bits, cvlans if self.has_cvlans else ())
        self.mode = kind
        self.vlan = tag
        self.priority_tags_ = priority
        self.qinq_tpid = qinq_tpid
        if self.bridge is not None:
            # What was learned here was learned in other VLANs.
            self.bridge.forget_bundle(self)
            self.bridge.touch()

    @property
    def vlan_mode(self):
        """Its name in the database."""
        for name, mode in MODES.items():
            if mode == self.mode:
                return name

    @property
    def priority_tags(self):
        """Its name in the database."""
        for name, kind in TAGS.items():
            if kind == self.priority_tags_:
                return name

    @property
    def trunks(self):
        """VLANs of a trunk with the native one; None: all."""
        return get_bits(self.trunk_bits) if self.has_trunks else None

    @property
    def cvlans(self):
        """Customer VLANs of a tunnel port; None: all."""
        return get_bits(self.cvlan_bits) if self.has_cvlans else None

    def includes_vlan(self, int vlan, int inner=0):
        """Whether frames of this VLAN (and inner tag) go out here."""
        return bundle_includes_vlan(self, vlan, inner)

    def __repr__(self):
        return f"<XBundle {self.name}>"


cdef bint bundle_trunks_vlan(XBundle bundle, int vlan) noexcept:
    return not bundle.has_trunks or has_bit(bundle.trunk_bits, vlan)


cdef bint bundle_includes_vlan(XBundle bundle, int vlan, int inner) noexcept:
    if bundle.mode == VLAN_ACCESS:
        return vlan == bundle.vlan and not inner
    if bundle.mode == VLAN_DOT1Q_TUNNEL:
        return vlan == bundle.vlan and bundle_allows_cvlan(bundle, inner)
    return bundle_trunks_vlan(bundle, vlan)


cdef bint bundle_allows_cvlan(XBundle bundle, int vlan) noexcept:
    return not bundle.has_cvlans or has_bit(bundle.cvlan_bits, vlan)


cdef class Features:
    def __init__(self):
        self.clone = self.ct_clear = self.set_arp = True
        self.trunc = self.check_pkt_len = self.add_mpls = True
        self.sample_nesting = MAX_NESTING
        self.vlan_limit = 2


cdef class XBridge:
    def __init__(self, str name, Generation generation=None):
        self.name = name
        self.generation = generation if generation is not None else Generation()
        self.features = Features()
        self.ports = {}
        self.bundles = []
        self.bonds = {}
        self.mirrors = []
        self.netflow = None
        self.mac = MacLearning()
        self.tables = [None] * N_TABLES
        self.view = View()
        self.groups = {}
        self.meters = {}
        self.frag_mode = "normal"
        self.ct_timeouts = {}
        self.queues = {}
        self.internal = Classifier(TABLE_INTERNAL, View())
        self.internal_rules = internal_rules()
        for rule in self.internal_rules:
            self.internal.insert(rule)      # to be shown
        _, self.miss_rule, self.no_packet_in_rule, self.drop_frags_rule = self.internal_rules
        self.options = NO_OPTIONS
        memset(self.miss, MISS_DEFAULT, N_TABLES)

    @property
    def underlay(self):
        return self._underlay

    @underlay.setter
    def underlay(self, underlay):
        self._underlay = underlay
        self.listening = None if underlay is None else underlay.listening

    cpdef Classifier table(self, int table_id):
        """The table, made on first use."""
        if not 0 <= table_id < N_TABLES:
            raise ValueError(f"no table {table_id}")
        if self.tables[table_id] is None:
            self.tables[table_id] = Classifier(table_id, self.view)
        return <Classifier> self.tables[table_id]

    def set_miss(self, int table_id, int miss):
        """What a packet without a rule meets in this table (MISS_*)."""
        if not 0 <= table_id < N_TABLES:
            raise ValueError(f"no table {table_id}")
        self.miss[table_id] = <uint8_t> miss
        self.touch()

    def get_miss(self, int table_id):
        """MISS_* of a table."""
        return self.miss[table_id]

    def touch(self, str why="reconfigure"):
        """Have the datapath's flows checked again."""
        self.generation.touch(why)

    def touch_rule(self, Rule rule):
        """The same, where nothing changed but that this rule came, went, or does other things."""
        self.generation.touch_rule(self.table(rule.table_id), rule)

    def port_add(self, XPort port):
        """Makes it a port of this bridge, without a bundle."""
        if port.ofp_port in self.ports:
            raise ValueError(f"port {port.ofp_port} is there already")
        self.ports[port.ofp_port] = port
        port.bridge = self
        self.touch()

    def port_del(self, XPort port):
        """Takes it out of its bundle and of the bridge."""
        if self.ports.get(port.ofp_port) is not port:
            return
        disconnect_patch(port)
        self.leave_bundle(port)
        del self.ports[port.ofp_port]
        port.bridge = None
        self.touch()

    def leave_bundle(self, XPort port):
        """Stations behind a bundle stay there while it has another port."""
        cdef XBundle bundle = port.bundle
        if bundle is None:
            return
        bundle.ports.remove(port)
        port.bundle = None
        if not bundle.ports:
            self.forget_bundle(bundle)

    def forget_bundle(self, XBundle bundle):
        """What was learned there."""
        self.mac.flush_bundle(bundle)
        self.forget_groups(bundle)

    def forget_groups(self, *bundles):
        """The multicast groups and routers that were heard of on these bundles."""
        if self.snooping is not None and self.snooping.forget_ports(bundles):
            self.touch("mcast_snooping")

    def snooping_set(self, snooping):
        """Has NORMAL go by this McastSnooping; None: by no groups."""
        self.snooping = snooping
        self.touch()

    def bundle_set(self, XBundle bundle, ports):
        """Makes `ports` the ports of a bundle of this bridge."""
        cdef XPort port
        wanted = list(ports)
        for port in wanted:
            if port.bridge is not self:
                raise ValueError(f"{port.name} is not a port of {self.name}")
        for port in list(bundle.ports):
            if port not in wanted:
                self.leave_bundle(port)
        for port in wanted:
            if port.bundle is not bundle:
                self.leave_bundle(port)
                bundle.ports.append(port)
                port.bundle = bundle
        if bundle not in self.bundles:
            self.bundles.append(bundle)
        bundle.bridge = self
        self.touch()

    def bond_set(self, XBundle bundle, XBond bond):
        """Makes a bundle of this bridge the bond that `bond` says, None: no bond."""
        bundle.bond = bond
        if bond is None:
            self.bonds.pop(bundle.name, None)
        else:
            self.bonds[bundle.name] = bundle
        self.touch("bond")

    def mirrors_set(self, mirrors):
        """Makes these XMirrors the bridge's; the bundles' bits are the caller's to set."""
        self.mirrors = list(mirrors)
        self.touch()

    def bundle_del(self, XBundle bundle):
        """Its ports stay on the bridge; without a bundle NORMAL does not use them."""
        cdef XPort port
        if bundle not in self.bundles:
            return
        for port in list(bundle.ports):
            self.leave_bundle(port)
        self.forget_bundle(bundle)
        self.bundles.remove(bundle)
        self.bonds.pop(bundle.name, None)
        bundle.bridge = None
        self.touch()

    def __repr__(self):
        return f"<XBridge {self.name}>"


def internal_rules():
    """The rules of table 254, in the form that Open vSwitch shows them in: what comes round
    without a state, a miss that controllers are told, one that they are not, a fragment."""
    told = [ApplyActions([Controller(0xffff, OFPR_IMPLICIT_MISS)])]
    rows = (("recirc_id", 0, 2, []), ("reg0", 1, 0, told), ("reg0", 2, 0, []), ("reg0", 3, 0, []))
    rules = []
    for name, value, priority, actions in rows:
        match = Match()
        match.set(name, value)
        rules.append(Rule(match, priority, table_id=TABLE_INTERNAL, actions=actions,
                          now=clock.msec()))
    return tuple(rules)


class PacketInEvent:
    """A packet for the controllers: see xbridge.pyi."""

    __slots__ = ("packet", "reason", "table_id", "cookie", "controller_id", "in_port",
                 "key", "miss", "userdata", "continuation", "options")

    def __init__(self, packet, reason, table_id, cookie, controller_id, in_port, key,
                 miss=None, userdata=b"", continuation=None, options=NO_OPTIONS):
        self.packet = packet
        self.reason = reason
        self.table_id = table_id
        self.cookie = cookie
        self.controller_id = controller_id
        self.in_port = in_port
        self.key = key
        self.miss = miss
        self.userdata = userdata
        self.continuation = continuation
        self.options = options

    def __repr__(self):
        return (f"<PacketInEvent port {self.in_port} reason {self.reason} table {self.table_id}"
                f" {len(self.packet)} bytes>")
