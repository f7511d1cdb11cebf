cimport cython

from pyvs.streams.json_scan cimport may_be_one

cdef class JsonStream:
    cdef bytearray _buffer
    cdef object _found
    cdef bytes _fresh
    cdef Py_ssize_t _limit, _scanned, _depth
    cdef bint _in_string, _tried
    cdef _restart(self)
    @cython.locals(fresh=bytes, waiting=Py_ssize_t)
    cpdef Py_ssize_t waiting(self)
    cpdef feed(self, bytes data)
    cpdef next(self)
    cdef _settle(self)
    cdef _guess(self)
    cdef _whole(self)
    cdef _consume(self, Py_ssize_t end)
    cdef _scan(self)

cdef _loads(data)
