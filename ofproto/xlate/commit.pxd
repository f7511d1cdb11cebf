# The difference between what a packet is (base) and what it shall be (flow), as datapath actions.

from libc.stdint cimport uint16_t, uint32_t

from datapath.key.flow cimport flow_key
from datapath.actions.odp cimport ActionBuffer

cdef enum:
    MAX_MPLS = 3            # labels the key has room for

# Appends what makes `base` equal to `flow`, and makes it so.  Bits that must be known for that are
# set in `wc`.
cdef void commit_actions(const flow_key *flow, flow_key *base, flow_key *wc,
                         ActionBuffer out) noexcept
cdef int count_vlans(const flow_key *key) noexcept nogil
cdef int count_mpls(const flow_key *key) noexcept nogil
cdef bint is_mpls(uint16_t eth_type) noexcept nogil
cdef bint is_pbb(uint16_t eth_type) noexcept nogil
cdef bint is_ip_any(const flow_key *key) noexcept nogil
# What a packet's members behind the MPLS labels are once another label or an I-TAG hides them.
cdef void clear_l3(flow_key *key) noexcept nogil
