# Helpers of protocols whose control connection says which other connections will come: ftp (RFC 959,
# RFC 2428) and tftp (RFC 1350).

from libc.stdint cimport uint64_t

from datapath.base.packet cimport packet
from datapath.conntrack.table cimport conn, tracker
from datapath.key.flow cimport flow_key

# A packet of a connection with a helper, as it came: what it acknowledges, in its sender's numbers.
cdef void helper_before(packet *p, const conn *c, int way) noexcept nogil
# The same packet, translated already; the connection is locked.
cdef void helper_packet(tracker *t, packet *p, flow_key *key, conn *c, int way, bint nat,
                        uint64_t now) noexcept nogil
