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

cdef extern from "datapath/flow_key.h":
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
        uint32_t pad_mpls
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
        uint16_t pad_l4
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
        uint16_t tun_flags
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
        uint32_t pad_tun
        uint8_t tun_metadata[256]   # Geneve option values, allotted by the TLV table
        # pipeline (ofproto only)
        uint64_t metadata
        uint32_t regs[16]       # xreg0 is regs[0]:regs[1], xxreg0 is regs[0..3]
        uint32_t actset_output
        uint32_t conj_id

    enum:
        KEY_PACKET_SIZE
        KEY_DP_SIZE
        KEY_SIZE
        KEY_PACKET_WORDS        # the same in 8-byte words
        KEY_DP_WORDS
        KEY_WORDS
        FRAG_ANY                # nw_frag: a fragment
        FRAG_LATER              # nw_frag: not the first fragment
