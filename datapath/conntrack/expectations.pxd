# Connections that another one has announced (ftp's data, tftp's transfers).

from libc.stdint cimport uint16_t, uint64_t

from datapath.conntrack.table cimport conn, ct_tuple, tracker

# Whether a connection with this tuple was announced; fills `parent` with what the new connection
# takes over: way[0], the parent's original tuple; way[1] and the NAT flags, its own reply tuple as
# it is to be translated (but for the port of who begins); mark and label.  `take`: it is made, and
# expected no longer.
cdef bint expected(tracker *t, const ct_tuple *tuple, uint64_t now, bint nat, bint take,
                   conn *parent) noexcept nogil
# Expects one to `port` (network order) of the other end of direction `way` of c, where it will be
# known by `outside`.  False: too many are, or that port is taken.
cdef bint expect(tracker *t, const conn *c, int way, uint16_t port, uint16_t outside,
                 uint64_t now) noexcept nogil
