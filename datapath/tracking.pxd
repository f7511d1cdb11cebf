from libc.stdint cimport uint64_t

from datapath.conntrack.connections cimport Connections
from datapath.crew cimport Crew
from datapath.worker.worker cimport Worker


cdef class Tracking:
    cdef Crew crew
    cdef readonly Connections table
    cdef public uint64_t sweep_interval         # ms in which all connections are looked at
    cdef uint64_t swept                         # ms, when that was done last
    cdef int equip(self, Worker worker) except -1
