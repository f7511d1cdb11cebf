# Helpers of protocols whose control connection says which other connections will come.

from libc.stdint cimport uint64_t

from datapath.base.packet cimport packet
from datapath.conntrack.table cimport conn, ct_tuple, tracker
from datapath.key.flow cimport flow_key

# Whether a connection with this tuple was announced; fills `parent` with what the new connection
# takes over: way[0], the parent's original tuple; way[1] and the NAT flags, its own reply tuple as
# it is to be translated; mark and label.  `take`: it is made, and expected no longer.
cdef bint expected(tracker *t, const ct_tuple *tuple, uint64_t now, bint nat, bint take,
                   conn *parent) noexcept nogil
# A packet of a connection with a helper, translated already; the connection is locked.
cdef void helper_packet(tracker *t, packet *p, flow_key *key, conn *c, int way, bint nat,
                        uint64_t now) noexcept nogil
