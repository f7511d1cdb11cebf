cimport cython

from ofproto.peers.connection cimport OFConnection
from pyvs.coverage cimport Counter

cdef Counter PREEMPTED

cdef class Turns:
    cdef readonly bint busy
    cdef object _handle, _between, _next
    @cython.locals(end=double)
    cpdef run(self, list peers)
    cdef list _in_order(self, list peers)
    @cython.locals(now=double, own=double)
    cdef bint _turn(self, peer, double end) except -1
    @cython.locals(connection=OFConnection)
    cdef bint _step(self, peer) except -1
