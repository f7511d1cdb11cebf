cimport cython

from pyvs.coverage cimport Counter

cdef Counter PACKET_INS_DROPPED, NOT_READ

cdef class OFConnection:
    cdef public frozenset allowed
    cdef public str state, error
    cdef public object version, snoop, log
    cdef public Py_ssize_t n_packet_in_dropped, n_received, n_sent
    cdef readonly bytearray _input
    cdef readonly int _held
    cdef object _output, _replies
    cdef Py_ssize_t _backlog
    cdef bint _only_hellos
    cdef public bint tells_echoes
    cpdef receive(self, data)
    @cython.locals(raw=bytes)
    cpdef bytes next_message(self)
    cdef bint _waits(self) except -1
    cpdef hold(self)
    cpdef release(self)
    @cython.locals(data=bytearray, length=Py_ssize_t)
    cdef bytes _cut(self)
    cpdef bint _message(self, bytes raw) except -1
    cpdef fail(self, str error)
    @cython.locals(backlog=Py_ssize_t)
    cpdef send(self, data)
    cpdef discard(self)
    cdef _count(self, Py_ssize_t size)
    cpdef bint send_packet_in(self, data) except -1
    cdef _queue(self, data)
    cpdef advance(self)
    @cython.locals(parts=list, size=Py_ssize_t)
    cpdef bytes pull(self, Py_ssize_t limit=*)
    cpdef unpull(self, rest)
