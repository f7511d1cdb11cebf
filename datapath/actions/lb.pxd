# Bonds whose members the datapath chooses by itself: LB_OUTPUT.
#
# The table belongs to the control thread.  Members change in place, of one bucket after the other; a
# table that left, and a bond of it, are freed only after each worker has done a command since.

from libc.stdint cimport uint32_t, uint64_t

from datapath.key.flow cimport flow_key

cdef enum:
    LB_BUCKETS = 256
    MAX_LB_BONDS = 1024
    LB_NONE = 0xffffffff        # no member carries the bucket; or there is no such bond

cdef struct lb_bond:
    uint32_t id
    uint32_t basis              # of the hash
    uint32_t members[LB_BUCKETS]        # ports of the datapath
    uint64_t n_packets[LB_BUCKETS]      # since it was made
    uint64_t n_bytes[LB_BUCKETS]

cdef struct lb_table:
    uint32_t n
    lb_bond *bonds[MAX_LB_BONDS]        # by id

# The port that a packet of `size` bytes leaves by, which is counted; LB_NONE.
cdef uint32_t lb_choose(lb_table **table, uint32_t id, const flow_key *key, uint32_t size) noexcept nogil

cdef class LbBonds:
    cdef lb_table *table
    cdef list retired           # addresses that workers may still look at

    cdef lb_bond *find(self, uint32_t id) noexcept
    cdef int publish(self, lb_table *fresh) except -1
    cdef int insert(self, lb_bond *bond) except -1
