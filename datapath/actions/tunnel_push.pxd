# A tunnel's outer header, prepared by translation, in front of a packet.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.actions.encap cimport encap_result
from datapath.actions.offload cimport segment_fn
from datapath.base.packet cimport packet

cdef enum:
    TUNNEL_HEADER = 512         # bytes of an outer header, at most
    TUNNEL_SEQUENCES = 256
    PROTO_IPIP = 4
    PROTO_IPV6 = 41

# Payload of ACT_TUNNEL_PUSH in front of the header's bytes, host order.
cdef struct tunnel_push:
    uint32_t tnl_port           # the tunnel's port of the datapath, and the underlay's: for readers
    uint32_t out_port
    uint16_t kind               # TUNNEL_*
    uint16_t size               # bytes of header: Ethernet, IPv4 or IPv6, and the tunnel's

# Where the layers of a header are, from its first byte.
cdef struct tunnel_layout:
    bint v6
    uint8_t proto               # PROTO_UDP, PROTO_GRE, or the one of an IP packet in IPv6
    uint32_t l4

# NULL where the payload is a header that tunnel_encapsulate() takes; else what is wrong.
cdef const char *check_tunnel_push(const uint8_t *payload, uint32_t length) noexcept nogil

# Puts the header in front of a packet that is no GSO frame.  Lengths, IPv4's identification and
# checksum, UDP's source port (from `hash`) and checksum, GRE's checksum and sequence number are
# filled in; a UDP checksum that is 0 in the header stays so.  The packet's own checksum is
# completed where the outer one covers it.
cdef encap_result tunnel_encapsulate(packet *p, const uint8_t *payload, uint32_t length,
                                     uint32_t hash) noexcept nogil

# Whether the header is of IPv4 and lets routers cut the packet (df_default=false, or an inner DF
# that is inherited and not set).
cdef bint tunnel_may_be_cut(const uint8_t *payload) noexcept nogil

# Calls `emit` for each fragment of a packet that has such a header in front, of `mtu` bytes of IP at
# most; they are in the buffer of `piece` (base, capacity), which has room for as much as `p`.
# False: `mtu` is none of IPv4's.
cdef bint tunnel_cut(const packet *p, packet *piece, uint32_t mtu, segment_fn emit,
                     void *owner) noexcept nogil
