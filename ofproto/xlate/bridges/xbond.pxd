# What translation knows of a bond: its members' shares.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    N_BUCKETS = 256

cpdef enum:
    BOND_ACTIVE_BACKUP
    BOND_SLB                    # by source address and VLAN
    BOND_TCP                    # by addresses and ports, which the datapath hashes

cdef class XBond:
    cdef readonly int mode
    cdef readonly uint32_t lb_id        # under which the datapath chooses by itself (LB_OUTPUT); 0: it does not
    cdef readonly uint32_t basis
    cdef readonly bint all_members_active
    # Where LACP has negotiated the bond: the XPorts that packets may come in by, any of them.
    cdef readonly frozenset accepting   # or None
    cdef readonly object active         # XPort or None
    cdef readonly tuple buckets         # XPort or None for each of N_BUCKETS; () of active-backup
    cdef uint64_t n_bytes[N_BUCKETS]    # that left by a bucket, since ever

# The bucket of a station: MAC, and VLAN as its packets have it in the switch.
cdef int source_bucket(const uint8_t *mac, uint16_t vlan, uint32_t basis) noexcept nogil
