# OpenFlow groups as translation and statistics see them.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ofproto.rules.program cimport Program

cdef enum group_type:       # OFPGT_*
    GROUP_ALL
    GROUP_SELECT
    GROUP_INDIRECT
    GROUP_FF

cdef enum:
    MAX_SLOTS = 256         # a slot is one datapath flow for each way to the group
    NO_GROUP = -1


cdef class XBucket:
    cdef readonly object source         # messages.Bucket
    cdef readonly uint32_t number       # its bucket_id
    cdef readonly uint16_t weight
    cdef readonly uint16_t watch_port   # OFPP_NONE: none
    cdef readonly int64_t watch_group   # NO_GROUP: none
    cdef Program program                # its actions in an action set's order
    cdef public uint64_t n_packets, n_bytes


cdef class XGroup:
    cdef readonly uint32_t group_id
    cdef readonly int type
    cdef readonly list buckets          # XBucket
    cdef readonly bytes slots           # select: numbers of buckets, a power of two of them; b"":
                                        # the weights need more than MAX_SLOTS
    cdef readonly object selection      # as (method, parameter, fields) of the GROUP_MOD
    cdef readonly Program fields        # select: what is hashed, where it is named; or None
    cdef readonly uint64_t parameter
    cdef readonly uint64_t total        # select: sum of the weights
    cdef public int64_t created         # ms
    cdef public int version             # OpenFlow's, that the buckets came with
    cdef public uint64_t n_packets, n_bytes
