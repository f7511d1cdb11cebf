"""The numbers of protocols for Python; protocols.pxd has those that C code needs."""

# Ethertypes (IEEE 802 Numbers of IANA)
ETH_FIRST = 0x0600  # from here on; what is less is the length of an 802.3 frame
ETH_IP = 0x0800
ETH_ARP = 0x0806
ETH_TEB = 0x6558
ETH_RARP = 0x8035
ETH_VLAN = 0x8100
ETH_IPV6 = 0x86DD
ETH_SLOW = 0x8809  # IEEE 802.3 annex 57A: LACP and marker
ETH_MPLS = 0x8847
ETH_MPLS_MCAST = 0x8848
ETH_QINQ = 0x88A8
ETH_LLDP = 0x88CC
ETH_PBB = 0x88E7
ETH_NSH = 0x894F
ETH_CFM = 0x8902
ETH_QINQ_OLD = 0x9100

VLAN_TPIDS = (ETH_VLAN, ETH_QINQ)  # of tags that are pushed, and looked behind in protocols' frames
MPLS_TYPES = (ETH_MPLS, ETH_MPLS_MCAST)

# IP protocols (Assigned Internet Protocol Numbers)
PROTO_ICMP = 1
PROTO_IGMP = 2
PROTO_IPIP = 4
PROTO_TCP = 6
PROTO_UDP = 17
PROTO_IPV6 = 41  # IPv6 in IP
PROTO_ROUTING = 43
PROTO_GRE = 47
PROTO_ICMPV6 = 58
PROTO_SCTP = 132
WITH_PORTS = (PROTO_TCP, PROTO_UDP, PROTO_SCTP)

# Neighbour discovery (RFC 4861): types of ICMPv6
ND_SOLICIT = 135
ND_ADVERT = 136
