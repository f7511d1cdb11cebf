# What a ct action does with a packet.

from libc.stdint cimport uint64_t

from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet
from datapath.conntrack.table cimport tracker
from datapath.key.flow cimport flow_key

# p: flow_extract(p, key) was called; no fragment.  Sets p.ct; packet and key change where NAT wants
# it.  now: ms of CLOCK_MONOTONIC.  Returns -1, or the reason (DROP_*) why the packet is lost.
cdef int ct_track(tracker *t, packet *p, flow_key *key, const ct_action *a, uint64_t random,
                  uint64_t now) noexcept nogil
