# Tunnel ports as translation has them, and which of them a packet came by.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.key.flow cimport flow_key

cdef enum packet_types_t:       # which packets a port takes
    TAKES_FRAMES                # Ethernet only
    TAKES_L3                    # what has no Ethernet header; a frame's is taken off
    TAKES_ALL

# A TunnelConfig for C.  Network byte order; addresses are IPv6, IPv4's in their mapped form.
ctypedef struct tunnel_config:
    uint64_t out_key
    uint8_t local[16]           # zero: none
    uint8_t remote[16]
    uint32_t egress_mark
    uint32_t erspan_idx
    uint16_t dst_port
    uint8_t kind                # TUNNEL_* of datapath/base/protocols.pxd
    uint8_t packet_types        # TAKES_*
    uint8_t tos, ttl
    uint8_t erspan_ver, erspan_dir, erspan_hwid
    # The value is the packet's:
    bint local_flow, remote_flow, out_key_flow, tos_inherit, ttl_inherit
    bint ver_flow, idx_flow, dir_flow, hwid_flow
    # It is in the header, or set:
    bint has_out_key, df, csum, seq, has_egress_mark, gbp, gpe


cdef class Tunnel:
    cdef tunnel_config c
    cdef readonly object config         # TunnelConfig


cdef class TunnelTable:
    cdef readonly dict ports            # XPort -> (place in SHAPES, what it is found by)
    cdef list shapes                    # of SHAPES: {(odp port, key and addresses): XPort}, or None
    # The XPort of a packet that a tunnel's datapath port received, or None.
    cdef object find(self, const flow_key *key)


cdef inline bint has_tunnel(const flow_key *key) noexcept nogil:
    """Whether a packet came through a tunnel."""
    cdef const uint64_t *dst = <const uint64_t *> key.tun_ipv6_dst
    return key.tun_dst != 0 or dst[0] | dst[1] != 0

# An address of a key as IPv6.
cdef void mapped(uint32_t ipv4, const uint8_t *ipv6, uint8_t *out) noexcept nogil
