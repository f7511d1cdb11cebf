# What a ct action does with a packet.

from libc.stdint cimport uint32_t, uint64_t

from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet
from datapath.conntrack.table cimport tracker
from datapath.key.flow cimport flow_key

# p: flow_extract(p, key) was called; no fragment.  Sets p.ct; packet and key change where NAT wants
# it.  now: ms of CLOCK_MONOTONIC.  Returns CT_DONE, or the reason (DROP_*) why the packet is lost.
cdef int ct_track(tracker *t, packet *p, flow_key *key, const ct_action *a, uint64_t random,
                  uint64_t now) noexcept nogil
# For a burst: the bucket that ct_track will look into, on its way from memory, and later the
# connection that is there first.  Which one it will be is a guess: of fragments and ICMP none.
cdef uint32_t ct_prefetch(const tracker *t, const flow_key *key, const ct_action *a) noexcept nogil
cdef void ct_prefetch_connection(const tracker *t, uint32_t bucket) noexcept nogil
