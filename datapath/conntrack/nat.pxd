# Network address translation: which tuple a new connection gets, and packets written anew.

from libc.stdint cimport uint32_t, uint64_t

from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet
from datapath.conntrack.table cimport conn, ct_tuple, tracker
from datapath.key.flow cimport flow_key

cdef enum nat_result:
    NAT_DONE                    # inserted, and locked
    NAT_EXHAUSTED               # no free tuple was found
    NAT_KNOWN                   # another worker has made this connection meanwhile

# Chooses c.way[1] within the action's range, c.way[0] being known, and inserts the connection.
# random: a number that differs each time.
cdef nat_result nat_insert(tracker *t, conn *c, const ct_action *a, uint64_t random,
                           uint64_t now) noexcept nogil
# Rewrites a packet that goes in direction `way`; `found`: the tuple that it has.  `inner`: offset
# of the IP header in an ICMP error, 0 in other packets.  Key and packet change.
cdef void nat_packet(packet *p, flow_key *key, const conn *c, int way, const ct_tuple *found,
                     uint32_t inner) noexcept nogil
# CS_SNAT or CS_DNAT: what nat_packet() does to packets of that direction.
cdef uint32_t nat_state(const conn *c, int way) noexcept nogil
