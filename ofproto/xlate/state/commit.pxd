# The difference between what a packet is (base) and what it shall be (flow), as datapath actions.

from libc.stdint cimport uint16_t, uint32_t

from datapath.key.flow cimport flow_key
from datapath.actions.odp cimport ActionBuffer

cdef enum:
    MAX_MPLS = 3            # labels the key has room for

cdef enum pending_header:   # what encap and decap leave to be written out
    PENDING_NOTHING
    PENDING_PUSH_ETH
    PENDING_POP_ETH
    PENDING_PUSH_NSH
    PENDING_POP_NSH
    PENDING_ADD_MPLS

# Appends the action for it; `base` then is of the packet type that `flow` has, with its headers.
# `metadata`: options of a new NSH header, or None.
cdef int commit_pending(pending_header what, bytes metadata, const flow_key *flow, flow_key *base,
                        ActionBuffer out) except -1
# Appends what makes `base` equal to `flow`, and makes it so.  Bits that must be known for that are
# set in `wc`.
cdef void commit_actions(const flow_key *flow, flow_key *base, flow_key *wc,
                         ActionBuffer out) noexcept
cdef int count_vlans(const flow_key *key) noexcept nogil
cdef int count_known_mpls(const flow_key *key, flow_key *wc) noexcept nogil
cdef bint is_mpls(uint16_t eth_type) noexcept nogil
cdef bint is_pbb(uint16_t eth_type) noexcept nogil
cdef bint is_ip_any(const flow_key *key) noexcept nogil
# What a packet's members behind the MPLS labels are once another label or an I-TAG hides them.
cdef void clear_l3(flow_key *key) noexcept nogil
cdef void hide_inner_vlan(flow_key *key) noexcept nogil
# The same for all headers, Ethernet's, too.
cdef void clear_headers(flow_key *key) noexcept nogil
