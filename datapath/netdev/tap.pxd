# Interfaces that the switch makes: internal ports and TAPs; see tap.pyx.

from datapath.netdev.netdev cimport Netdev
from datapath.netdev.af_packet cimport PacketNetdev

cdef struct tap_io:
    int fd

cdef class TapNetdev(Netdev):
    cdef tap_io io

cdef class VethNetdev(PacketNetdev):
    cdef str inner
    cdef str outer
