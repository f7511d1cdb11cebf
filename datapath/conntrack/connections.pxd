# The tracker as the control thread has it.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.conntrack.fragments cimport frag_settings
from datapath.conntrack.table cimport ct_tuple, tracker

# Which connections are meant: members under masks, both tuples.
cdef struct conn_filter:
    bint any_zone
    uint16_t zone
    ct_tuple value[2]
    ct_tuple mask[2]
    uint32_t mark
    uint32_t mark_mask
    uint8_t label[16]
    uint8_t label_mask[16]

cdef class Connections:
    cdef tracker t
    cdef readonly int fd
    cdef frag_settings fragments

    cdef int _find(self, bytes name)
    cdef int _fill(self, int i, timeouts) except -1
