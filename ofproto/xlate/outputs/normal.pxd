from libc.stdint cimport uint8_t, uint16_t

from datapath.key.flow cimport flow_key
from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XBundle

# The NORMAL action: a learning switch with VLANs.
cdef int xlate_normal(XlateContext x) except -1

# The tags of a packet inside the switch, host byte order: [0] is the VLAN it is switched in.
ctypedef struct xtag:
    uint16_t tpid           # 0: to be chosen
    uint16_t vid
    uint16_t pcp            # in place, 0xe000

# The tags that a packet has; why it may not come in with VLAN `vid` (None: it may); the tags that
# it has inside; and out with these.
cdef void extract_tags(const flow_key *flow, xtag *tags) noexcept nogil
cdef str refusal(XBundle bundle, uint16_t vid)
cdef void tags_in(XBundle bundle, const xtag *packet, xtag *tags) noexcept
cdef int output_bundle(XlateContext x, XBundle bundle, const xtag *tags) except -1
# An address that forward-bpdu is about.
cdef bint is_reserved(const uint8_t *mac) noexcept nogil
