# Interfaces that the switch makes: internal ports and TAPs; see tap.pyx.

from libc.stdint cimport uint64_t

from datapath.netdev.netdev cimport Netdev
from datapath.netdev.af_packet cimport PacketNetdev

cdef struct tap_io:
    int fd
    uint64_t down_since         # ns of kernel_ns(), when it last said that it was down; 0: it is up

cdef class TapNetdev(Netdev):
    cdef tap_io io

cdef class VethNetdev(PacketNetdev):
    cdef str inner
    cdef str outer
