# What translation knows of bridges, bundles and ports.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.rules.classifier cimport Classifier, Rule
from ofproto.rules.view cimport View
from ofproto.xlate.bridges.mac_learning cimport MacLearning
from ofproto.xlate.bridges.tunnel cimport Tunnel
from ofproto.xlate.bridges.xbond cimport XBond
from ofproto.codec.numbers cimport N_TABLES

cdef enum:                  # a reason of a packet-in, besides OFPR_*
    OFPR_TABLE_MISS_FLOW = 6    # a table-miss flow's controller action: NO_MATCH to OpenFlow 1.3
    OFPR_IMPLICIT_MISS = 7      # no rule at all: NO_MATCH, and nothing to who speaks 1.3

cdef enum vlan_mode_t:
    VLAN_ACCESS
    VLAN_TRUNK
    VLAN_NATIVE_TAGGED
    VLAN_NATIVE_UNTAGGED
    VLAN_DOT1Q_TUNNEL

cdef enum priority_tags_t:
    PRIORITY_TAGS_NEVER
    PRIORITY_TAGS_IF_NONZERO
    PRIORITY_TAGS_ALWAYS

cpdef enum:
    MISS_DEFAULT                # controller or drop: XBridge.miss_to_controller
    MISS_CONTROLLER
    MISS_CONTINUE
    MISS_DROP

cdef enum:
    NO_ODP_PORT = 0xffffffff


cdef enum:
    N_LISTENERS = 5             # protocols: the SLOW_* bits of datapath.actions.odp, lowest first


# What a protocol takes of the packets that come in by a port.
cdef struct listening:
    uint8_t dst[6]              # destination, if has_dst
    bint has_dst
    bint checks_key             # only those whose tunnel key is 0
    uint32_t nw_dst             # IPv4 destination, network order; 0: any


cdef enum:
    MOST_CHANGES = 64           # of single rules that are remembered

cdef class Generation:
    cdef readonly uint64_t value
    cdef uint64_t vague         # as of the last change of which it is not known what it was
    cdef list changes           # (value, Classifier, Rule that came, went or changed) since then
    cdef set reasons            # what raised it since they were taken, as rev_* of coverage/show
    cdef int touch_rule(self, Classifier table, Rule rule) except -1
    # The changes later than that value, or None: it is not known what they were.
    cdef list since(self, uint64_t value)
    cdef set take_reasons(self)


# What of the datapath translation makes use of, of all bridges together; who changes one calls
# Generation.touch().
cdef class Features:
    cdef public bint clone              # else a sample of every packet stands for it,
    cdef public int sample_nesting      # if that many may be in one another
    cdef public bint ct_clear
    cdef public bint set_arp            # else vswitchd changes ARP packets, as Open vSwitch does;
    cdef public bint trunc              # cuts them,
    cdef public bint check_pkt_len      # compares their lengths
    cdef public bint add_mpls           # and puts labels in front of them
    cdef public int vlan_limit          # headers that translation sees; what is behind is payload


cdef class XPort:
    cdef readonly str name
    cdef readonly uint16_t ofp_port
    cdef public uint32_t odp_port       # NO_ODP_PORT: none (a patch port)
    cdef public uint32_t config         # OFPPC_*
    cdef public bint up                 # link state; a port that is down gets no packet
    cdef public bint live               # as protocols see it: groups and bundle() use no other port
    cdef readonly uint32_t listens      # SLOW_* bits of protocols that take packets
    cdef listening listeners[N_LISTENERS]
    cdef readonly dict receivers        # SLOW_* bit -> callable(packet, now)
    cdef public XBridge bridge
    cdef public XBundle bundle
    cdef public XPort peer              # patch ports: the other side
    cdef public dict dscp               # queue -> DSCP of what leaves by it; None: none
    cdef public tuple policers          # the datapath's meters that what comes in passes
    cdef public Tunnel tunnel           # tunnel ports: what is in the outer header; else None
    # Of ports that the datapath does not count for: patch and tunnel ports.
    cdef public uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes
    # What a spanning tree protocol lets a port do: carry packets, learn from them, send BPDUs.
    cdef public bint forwards, learns, sends_bpdus


cdef class XBundle:
    cdef public str name
    cdef public XBridge bridge
    cdef readonly list ports
    cdef vlan_mode_t mode
    cdef readonly int vlan              # -1: trunk
    cdef uint8_t trunk_bits[512]
    cdef uint8_t cvlan_bits[512]
    cdef bint has_trunks, has_cvlans
    cdef public uint16_t qinq_tpid
    cdef priority_tags_t priority_tags_
    cdef public bint protected
    cdef public bint floodable
    cdef public bint mcast_flood            # gets all multicast, of groups that nobody joined, too
    cdef public bint mcast_flood_reports    # and the hosts' reports
    # Bits of the bridge's mirrors: that copy what comes in here, what goes out, that use it as output.
    cdef public uint32_t mirror_src, mirror_dst, mirror_out
    cdef readonly XBond bond            # or None


cdef class XBridge:
    cdef public str name
    cdef readonly Generation generation
    cdef readonly dict ports            # OpenFlow port -> XPort
    cdef readonly list bundles
    cdef readonly dict bonds            # name -> XBundle, of those with a bond
    cdef readonly list mirrors          # XMirror
    cdef public object sampling         # XSampling, or None
    cdef public object netflow          # ofproto.exports.netflow's Exporter, or None
    cdef readonly MacLearning mac
    cdef readonly object snooping       # McastSnooping, or None
    cdef readonly list tables           # Classifier or None, N_TABLES of them
    cdef readonly View view             # the version of the tables that is seen
    cdef public dict groups             # number -> XGroup; a transaction's steps have their own
    cdef readonly dict meters           # OpenFlow meter -> the datapath's
    cdef uint8_t miss[N_TABLES]
    cdef public bint miss_to_controller
    cdef public bint forward_bpdu
    cdef public str spanning            # "STP" or "RSTP", where the bridge has one
    cdef public str frag_mode
    cdef readonly Classifier internal   # table 254, of what meets no rule of controllers
    cdef readonly tuple internal_rules  # recirculated packets', and the three that follow
    cdef readonly Rule miss_rule, no_packet_in_rule, drop_frags_rule
    cdef public object packet_in        # callable(PacketInEvent) or None
    cdef public dict ct_timeouts        # zone -> name of its timeout policy, bytes; all bridges' own
    cdef public dict queues             # (OpenFlow port, queue) -> skb_priority
    cdef public object learner          # learns flows (see xbridge.pyi), or None
    cdef public Features features
    cdef object _underlay               # ofproto.underlay's, of all bridges together, or None,
    cdef dict listening                 # and its dict of devices at which tunnels may end
    cdef public object options          # tun_options.Layout: which tun_metadataN is which option
    cdef public object data
    cpdef Classifier table(self, int table_id)


cdef bint bundle_trunks_vlan(XBundle bundle, int vlan) noexcept
cdef bint bundle_includes_vlan(XBundle bundle, int vlan, int inner) noexcept
cdef bint bundle_allows_cvlan(XBundle bundle, int vlan) noexcept
