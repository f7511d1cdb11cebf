# The flow key: what a packet is to the switch.
#
# One struct serves the datapath, the classifier and translation.  Every multi-byte member is in
# network byte order, without exception, so that a field is a run of bytes: (offset, size), and its
# OpenFlow value is those bytes.  A mask is the same struct, a 1 bit meaning "matters".
#
# The struct has three parts, in this order; each starts on an 8-byte boundary:
#   packet    what extraction and recirculation know of the packet   [0, KEY_PACKET_SIZE)
#   tunnel    the outer header that a tunnel port took off           [KEY_PACKET_SIZE, KEY_DP_SIZE)
#   pipeline  registers and metadata of the OpenFlow tables          [KEY_DP_SIZE, KEY_SIZE)
# The datapath sees and sends the first two only (KEY_DP_SIZE bytes on every socket and ring).
# Unused bytes (pad*) are always zero: keys are hashed and compared as memory.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "datapath/key/flow_key.h":
    ctypedef struct vlan_tag:
        uint16_t tpid           # 0: no tag at this level
        uint16_t tci            # PCP:3, CFI:1 (always set when a tag is there), VID:12

    ctypedef struct flow_key:
        # packet: metadata
        uint32_t recirc_id
        uint32_t in_port        # datapath port number; inside ofproto the OpenFlow port number
        uint32_t skb_priority
        uint32_t pkt_mark
        uint32_t dp_hash
        uint32_t ct_state
        uint32_t ct_mark
        uint16_t ct_zone
        uint8_t ct_nw_proto
        uint8_t ct_pad
        uint8_t ct_label[16]
        uint32_t packet_type    # 0: Ethernet; else (1 << 16 | Ethertype), as in OpenFlow 1.5
        uint32_t ct_nw_src
        uint32_t ct_nw_dst
        uint16_t ct_tp_src
        uint16_t ct_tp_dst
        # packet: L2
        uint8_t eth_dst[6]
        uint8_t eth_src[6]
        uint16_t eth_type       # of the innermost parsed header; 0x05ff: 802.3 without SNAP
        uint16_t pad_l2
        vlan_tag vlan[2]        # [0] is the outermost
        uint32_t mpls_lse[3]    # [0] is the outermost
        uint32_t pbb_isid       # of the I-TAG, when eth_type is 0x88e7: I-SID, and the UCA flag (PBB_BITS)
        # packet: L3
        uint32_t nw_src         # IPv4, or ARP spa
        uint32_t nw_dst         # IPv4, or ARP tpa
        uint8_t ipv6_src[16]
        uint8_t ipv6_dst[16]
        uint32_t ipv6_label     # 20 bits
        uint8_t nw_frag         # FRAG_ANY | FRAG_LATER
        uint8_t nw_tos          # DSCP:6, ECN:2
        uint8_t nw_ttl
        uint8_t nw_proto        # IP protocol, or low byte of the ARP opcode
        # packet: L4
        uint16_t tp_src         # ICMP type in the low byte, network order
        uint16_t tp_dst         # ICMP code in the low byte, network order
        uint16_t tcp_flags      # 12 bits
        uint16_t ipv6_exthdr    # EXT_*: which IPv6 extension headers there are, and how
        uint32_t igmp_group_ip4
        uint32_t nd_reserved    # RFC 4861 reserved/flags word of NS/NA
        # packet: rare
        uint8_t arp_sha[6]      # ARP sha, or ND source link-layer address
        uint8_t arp_tha[6]      # ARP tha, or ND target link-layer address
        uint8_t nd_options_type
        uint8_t pad_nd[3]
        uint8_t nd_target[16]
        uint8_t ct_ipv6_src[16]
        uint8_t ct_ipv6_dst[16]
        uint8_t nsh_flags
        uint8_t nsh_ttl
        uint8_t nsh_mdtype
        uint8_t nsh_np
        uint32_t nsh_path_hdr   # SPI:24, SI:8
        uint32_t nsh_context[4]
        # tunnel
        uint64_t tun_id
        uint32_t tun_src
        uint32_t tun_dst
        uint8_t tun_ipv6_src[16]
        uint8_t tun_ipv6_dst[16]
        uint16_t tun_flags      # TUN_*
        uint8_t tun_tos
        uint8_t tun_ttl
        uint16_t tun_tp_src
        uint16_t tun_tp_dst
        uint16_t tun_gbp_id
        uint8_t tun_gbp_flags
        uint8_t tun_erspan_ver
        uint32_t tun_erspan_idx
        uint8_t tun_erspan_dir
        uint8_t tun_erspan_hwid
        uint8_t tun_gtpu_flags
        uint8_t tun_gtpu_msgtype
        # In the datapath: bytes of Geneve options, which stand in tun_metadata as in the packet.
        # Inside ofproto tun_metadata has the options' values, allotted by the bridge's TLV table.
        uint8_t tun_opts_size
        uint8_t pad_tun[3]
        uint8_t tun_metadata[256]
        # pipeline (ofproto only)
        uint64_t tun_present    # 1 << N: there is a tun_metadataN, which may be 0, or have no bytes
        uint64_t metadata
        uint32_t regs[16]       # xreg0 is regs[0]:regs[1], xxreg0 is regs[0..3]
        uint32_t actset_output
        uint32_t conj_id
        uint32_t in_phy_port    # the OpenFlow port it came in by, whatever was loaded into in_port
        uint32_t pad_pipeline

    enum:
        KEY_PACKET_SIZE
        KEY_DP_SIZE
        KEY_SIZE
        KEY_PACKET_WORDS        # the same in 8-byte words
        KEY_DP_WORDS
        KEY_WORDS
        FRAG_ANY                # nw_frag: a fragment
        FRAG_LATER              # nw_frag: not the first fragment
        # ipv6_exthdr, as OpenFlow 1.3.5 has them (section 7.2.3)
        EXT_NONEXT              # "no next header"
        EXT_ESP
        EXT_AUTH
        EXT_DEST                # destination options
        EXT_FRAG
        EXT_ROUTER              # routing header
        EXT_HOP                 # hop-by-hop options, as the first header
        EXT_UNREP               # a header more often than RFC 2460 lets it be
        EXT_UNSEQ               # headers in another order than RFC 2460 prefers

    # A member's position in the struct, counting those that have a meaning: its id in ACT_SET.
    enum:
        MEMBER_recirc_id, MEMBER_in_port, MEMBER_skb_priority, MEMBER_pkt_mark, MEMBER_dp_hash,
        MEMBER_ct_state, MEMBER_ct_mark, MEMBER_ct_zone, MEMBER_ct_nw_proto, MEMBER_ct_label,
        MEMBER_packet_type, MEMBER_ct_nw_src, MEMBER_ct_nw_dst, MEMBER_ct_tp_src,
        MEMBER_ct_tp_dst, MEMBER_eth_dst, MEMBER_eth_src, MEMBER_eth_type, MEMBER_vlan0_tpid,
        MEMBER_vlan0_tci, MEMBER_vlan1_tpid, MEMBER_vlan1_tci, MEMBER_mpls_lse0,
        MEMBER_mpls_lse1, MEMBER_mpls_lse2, MEMBER_pbb_isid, MEMBER_nw_src,
        MEMBER_nw_dst, MEMBER_ipv6_src, MEMBER_ipv6_dst, MEMBER_ipv6_label, MEMBER_nw_frag,
        MEMBER_nw_tos, MEMBER_nw_ttl, MEMBER_nw_proto, MEMBER_tp_src, MEMBER_tp_dst, MEMBER_tcp_flags, MEMBER_ipv6_exthdr,
        MEMBER_igmp_group_ip4, MEMBER_nd_reserved, MEMBER_arp_sha, MEMBER_arp_tha,
        MEMBER_nd_options_type, MEMBER_nd_target, MEMBER_ct_ipv6_src, MEMBER_ct_ipv6_dst, MEMBER_nsh_flags,
        MEMBER_nsh_ttl, MEMBER_nsh_mdtype, MEMBER_nsh_np, MEMBER_nsh_path_hdr,
        MEMBER_nsh_context0, MEMBER_nsh_context1, MEMBER_nsh_context2, MEMBER_nsh_context3,
        MEMBER_tun_id, MEMBER_tun_src, MEMBER_tun_dst, MEMBER_tun_ipv6_src, MEMBER_tun_ipv6_dst,
        MEMBER_tun_flags, MEMBER_tun_tos, MEMBER_tun_ttl, MEMBER_tun_tp_src, MEMBER_tun_tp_dst,
        MEMBER_tun_gbp_id, MEMBER_tun_gbp_flags, MEMBER_tun_erspan_ver, MEMBER_tun_erspan_idx,
        MEMBER_tun_erspan_dir, MEMBER_tun_erspan_hwid, MEMBER_tun_gtpu_flags,
        MEMBER_tun_gtpu_msgtype, MEMBER_tun_opts_size, MEMBER_tun_metadata, MEMBER_tun_present, MEMBER_metadata, MEMBER_reg0, MEMBER_reg1,
        MEMBER_reg2, MEMBER_reg3, MEMBER_reg4, MEMBER_reg5, MEMBER_reg6, MEMBER_reg7,
        MEMBER_reg8, MEMBER_reg9, MEMBER_reg10, MEMBER_reg11, MEMBER_reg12, MEMBER_reg13,
        MEMBER_reg14, MEMBER_reg15, MEMBER_actset_output, MEMBER_conj_id,
        MEMBER_in_phy_port
        N_MEMBERS

    ctypedef struct key_member:
        const char *name
        uint16_t offset
        uint16_t size

    const key_member key_members[]

from datapath.base.packet cimport ct_metadata, packet

cdef flow_key NO_KEY    # nobody's, all 0

cdef inline size_t key_at(const void *member) noexcept nogil:
    """Where a member of NO_KEY lies in each key."""
    return <size_t> member - <size_t> &NO_KEY

# Fills the packet part of the key and the offsets of p; the metadata comes from p.  The tunnel
# and pipeline parts are not touched: zero them once, or fill them when a tunnel port gives them.
# A layer that is truncated or contradicts itself leaves its members 0.  Returns the map of key
# words that may be nonzero (bit 63 stands for all words from 63 on), for emc_prepare.
cdef uint64_t flow_extract(packet *p, flow_key *key) noexcept nogil
# What the key says of the tracker, as a packet's metadata: for packets that come back.
cdef void key_ct(const flow_key *key, ct_metadata *ct) noexcept nogil
# The same map as flow_extract's for any key, found by looking at each datapath word.
cdef uint64_t key_map(const flow_key *key) noexcept nogil
# 128 bits that name a megaflow.  Covers the datapath part; the same in every process.
cdef void flow_ufid(const flow_key *masked, const flow_key *mask, uint8_t *out) noexcept nogil
# Hash of the L4 flow, as HASH_L4 and HASH_SYM_L4 define it; host order.  The symmetric one has the
# ports of TCP and SCTP, of UDP where that is said, and of what is not IP the Ethernet header.
cdef uint32_t flow_hash_5tuple(const flow_key *key, uint32_t basis) noexcept nogil
cdef uint32_t flow_hash_symmetric_ip(const flow_key *key, uint32_t basis, bint udp) noexcept nogil
# Mask of the members that mean something for a packet with this key (prerequisites hold).
cdef void flow_wildcards_for(const flow_key *key, flow_key *mask) noexcept nogil

cdef inline bint key_equal_masked(const flow_key *a, const flow_key *b,
                                  const flow_key *mask) noexcept nogil:
    cdef const uint64_t *x = <const uint64_t *> a
    cdef const uint64_t *y = <const uint64_t *> b
    cdef const uint64_t *m = <const uint64_t *> mask
    cdef uint64_t differ = 0
    cdef int i
    for i in range(KEY_DP_WORDS):
        differ |= (x[i] ^ y[i]) & m[i]
    return differ == 0
