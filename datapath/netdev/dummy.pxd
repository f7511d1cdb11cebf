# A port whose frames come from and go to requests on the control socket; for tests.

from libc.stdint cimport uint8_t, uint32_t
from libc.stdio cimport FILE

from datapath.netdev.netdev cimport Netdev

cdef struct dummy_frame:
    dummy_frame *next
    uint32_t size
    uint8_t *data               # allocated together with the struct

cdef struct dummy_io:
    dummy_frame *first
    dummy_frame *last
    uint32_t n
    uint32_t bytes              # of all frames together
    uint32_t locked
    FILE *sent                  # pcap(5) files, or NULL; they may be the same
    FILE *received
    int event                   # an eventfd to be written when a frame waits, or -1

# Takes all frames that were sent; the caller frees each.
cdef dummy_frame *dummy_take(dummy_io *io) noexcept nogil

cdef class DummyNetdev(Netdev):
    cdef dummy_io io
    cdef int note_received(self, bytes frame) except -1
    cdef FILE *open_file(self, str path) except NULL
    cdef int _take_files(self, FILE *sent, FILE *received) except -1
