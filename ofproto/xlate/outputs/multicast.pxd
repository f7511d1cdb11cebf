from libc.stdint cimport uint16_t

from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.bridges.xbridge cimport XBundle

# Whether the bridge goes by who wants which group, for a packet to this address.
cdef bint is_snooped(XlateContext x) noexcept
# The bundles that a multicast packet goes to in a VLAN, where these are in it; None: flood it.
cdef list multicast_bundles(XlateContext x, XBundle in_bundle, uint16_t vid)
# What a translated packet says of groups is learned; `packet`: its bytes.
cdef int learn_groups(XlateContext x, bytes packet) except -1
