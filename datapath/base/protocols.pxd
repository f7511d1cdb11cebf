# Numbers of protocols, host byte order: the one place of them for compiled code.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    # Ethertypes (IEEE 802 Numbers of IANA)
    ETH_NONE = 0x05ff           # ours, for 802.3 without a SNAP Ethertype
    ETH_FIRST = 0x0600          # from here on; what is less is the length of an 802.3 frame
    ETH_IP = 0x0800
    ETH_ARP = 0x0806
    ETH_RARP = 0x8035
    ETH_VLAN = 0x8100           # IEEE 802.1Q, the customer's tag
    ETH_IPV6 = 0x86dd
    ETH_MPLS = 0x8847
    ETH_MPLS_MCAST = 0x8848
    ETH_QINQ = 0x88a8           # IEEE 802.1ad, the service's tag
    ETH_PBB = 0x88e7            # IEEE 802.1ah: an I-TAG
    PBB_BITS = 0x8ffffff        # of it, what flows know: the UCA flag and the I-SID
    ETH_NSH = 0x894f            # RFC 8300: network service header
    ETH_TEB = 0x6558            # transparent Ethernet bridging: what follows is a frame
    ETH_QINQ_OLD = 0x9100       # service tags before 802.1ad

    # IP protocols, and IPv6 extension headers (Assigned Internet Protocol Numbers)
    PROTO_HOPOPTS = 0
    PROTO_ICMP = 1
    PROTO_IGMP = 2
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_ROUTING = 43
    PROTO_FRAGMENT = 44
    PROTO_GRE = 47
    PROTO_ESP = 50
    PROTO_AH = 51
    PROTO_ICMPV6 = 58
    PROTO_NONEXT = 59
    PROTO_DSTOPTS = 60
    PROTO_SCTP = 132

    # neighbour discovery (RFC 4861): types of ICMPv6, and of options
    ND_SOLICIT = 135
    ND_ADVERT = 136
    ND_OPT_SOURCE = 1
    ND_OPT_TARGET = 2

    # network service header (RFC 8300): metadata, and what follows
    NSH_MD1 = 1                 # four context words
    NSH_MD2 = 2                 # options
    NSH_P_IPV4 = 1
    NSH_P_IPV6 = 2
    NSH_P_ETHERNET = 3
    NSH_P_NSH = 4
    NSH_BASE = 8                # bytes in front of the metadata
    NSH_MD1_SIZE = 24           # bytes in all, with four context words
    NSH_MAX = 252

    # packet types (OpenFlow 1.5, section 7.2.3.11): namespace << 16 | type; Ethernet is 0
    PT_ETHERTYPE = 1 << 16      # namespace: what begins with the header of that Ethertype

    # in flow_key.tun_flags, host order: OpenFlow's, as ovs-fields(7) has it; the outer header's
    TUN_OAM = 1
    TUN_DF = 2                  # IPv4: "don't fragment"
    TUN_CSUM = 4                # it has a checksum
    TUN_KEY = 8                 # it has a key, which is tun_id

    # kinds of tunnels, as Open vSwitch's datapath interface numbers them
    TUNNEL_NONE = 0
    TUNNEL_GRE = 3
    TUNNEL_VXLAN = 4
    TUNNEL_GENEVE = 5
    TUNNEL_LISP = 105
    TUNNEL_STT = 106
    TUNNEL_ERSPAN = 107
    TUNNEL_IP6ERSPAN = 108
    TUNNEL_IP6GRE = 109
    TUNNEL_GTPU = 110
    TUNNEL_BAREUDP = 111
    TUNNEL_SRV6 = 112

    # in flow_key.vlan[].tci: a tag is there (in a frame this bit is DEI, once CFI)
    VLAN_CFI = 0x1000


# The Ethertype of a VLAN tag.
cdef inline bint is_vlan_tpid(uint16_t ethertype) noexcept nogil:
    return ethertype == ETH_VLAN or ethertype == ETH_QINQ or ethertype == ETH_QINQ_OLD


cdef inline bint is_mpls_type(uint16_t ethertype) noexcept nogil:
    return ethertype == ETH_MPLS or ethertype == ETH_MPLS_MCAST


# Bytes of the NSH header of which `left` bytes are at `at`; 0: none that the switch understands.
cdef inline uint32_t nsh_size(const uint8_t *at, uint32_t left) noexcept nogil:
    cdef uint32_t size
    if left < NSH_BASE:
        return 0
    size = (at[1] & 63) * 4
    if at[0] >> 6 != 0 or size < NSH_BASE or size > left:
        return 0
    return 0 if at[2] == NSH_MD1 and size != NSH_MD1_SIZE else size
