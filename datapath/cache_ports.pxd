# See cache_ports.pyx.

from datapath.crew cimport Crew
from datapath.netdev.af_packet cimport PacketNetdev


cdef enum classifier_is:
    LATER_OURS      # it comes with the first hot flow
    FORMERS         # a former process's is there until hand-over
    OURS


cdef class Device:
    cdef int index
    cdef str name               # of its port
    cdef classifier_is classifier
    cdef PacketNetdev port      # None: its socket is not open yet, or it has no part in the cache


cdef class CachePorts:
    cdef Crew crew
    cdef object tc
    cdef object former
    cdef object memory          # KernelMemory; None: the cache is off
    cdef dict devices           # number: Device
    cdef dict failures          # name of a port: how often frames did not reach its classifier
    cdef readonly dict refused  # name of a port: why it has no part in it
    cdef bint unsettled         # of some ports it is not said yet whether the host uses them

    cdef bint _join(self, PacketNetdev port) except -1
    cdef bint _filter(self, Device device) except -1
    cdef int _refuse(self, Device device, str why) except -1
    cdef int _attach_late(self, Device device) except -1
    cdef int _exchange(self, Device device) except -1
    cdef int _withdraw(self, Device device) except -1
    cdef int _void(self, PacketNetdev port) except -1
    cdef int _detach(self, Device device) except -1
