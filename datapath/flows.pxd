from libc.stdint cimport uint8_t, uint32_t

from datapath.crew cimport Crew
from datapath.worker.state cimport command, command_kind
from datapath.worker.worker cimport Worker


cdef class Flows:
    cdef Crew crew
    cdef uint8_t *piece                 # DUMP_PIECE bytes, for one command's records
    cdef uint32_t piece_used
    cdef bytes for_each_worker(self, command_kind kind, bytes ufid, bint terse=*)
    cdef object _dump_piece(self, list group, uint32_t index, command *c)
    cdef int add_counters(self, list group, uint32_t index, command *c) except -1
    cdef int hand_over(self, Worker gone) except -1
