# What the sender of a packet is told that is too big for its tunnel's way.

from libc.stdint cimport uint8_t, uint32_t

from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

cdef enum:
    TUNNEL_ANSWER = 1280 + 64   # bytes of an answer, its tags included, at most

# Bytes of IP in the largest frame that `p` becomes behind the header in `payload`.
cdef uint32_t tunnel_outer_size(const packet *p, const uint8_t *payload, uint32_t length) noexcept nogil

# Makes the answer to `p`, whose key was extracted: what the tunnel's other end would send, had it a
# way on for IP packets of so much only, that the header and they are `mtu` bytes.  It is in `answer`,
# decapsulated, and the tunnel part of `answer_key` says where from.  The buffer of `answer` (base,
# capacity) has room for PACKET_HEADROOM, TUNNEL_HEADER and TUNNEL_ANSWER.  False: none is due.
cdef bint tunnel_answer(const packet *p, const flow_key *key, const uint8_t *payload, uint32_t length,
                        uint32_t mtu, packet *answer, flow_key *answer_key) noexcept nogil
