# Flows as they stand in a reply's bytes, one after the other: for who reads thousands of them, and
# wants no object for each.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

# As protocol.FLOW.  Behind it, where the reply has them, key and mask, and the actions, padded to 8.
cdef struct flow_record:
    uint8_t ufid[16]
    uint64_t n_packets
    uint64_t n_bytes
    uint64_t used               # ms of CLOCK_MONOTONIC; 0: never
    uint64_t earlier_packets    # as in megaflow
    uint64_t earlier_bytes
    uint16_t tcp_flags          # host order
    uint16_t offloaded          # 1: the kernel cache has it
    uint32_t actions_size


cdef class FlowRecords:
    cdef readonly bytes data
    cdef readonly bint terse            # without keys and actions
    cdef readonly bint keys
    cdef size_t _at, _here              # of the next record, and of the present one
    cdef size_t _size                   # of the present one, all told
    # The next record, which stays valid as long as this object; NULL: there is none.
    cdef const flow_record *next(self) noexcept
    # Of the present one; actions_size says how many.  Not of a terse one.
    cdef const uint8_t *actions(self) noexcept
    # The same as a FlowInfo.
    cdef object info(self)
