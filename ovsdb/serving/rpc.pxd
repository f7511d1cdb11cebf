from pyvs.coverage cimport Counter
from pyvs.streams.framing cimport JsonStream
from pyvs.streams.json_text cimport dumps

cdef Counter RECEIVED

cdef class Peer:
    cdef public str name
    cdef public list output
    cdef public object closed, client_id, on_output
    cdef public Py_ssize_t backlog
    cdef public bint attended
    cdef public Py_ssize_t _excused
    cdef JsonStream _stream
    cpdef receive(self, bytes data)
    cpdef Py_ssize_t unhandled(self)
    cpdef bint process(self, double now, Py_ssize_t limit) except -1
    cpdef handle(self, dict message, double now)
    cpdef send(self, bytes data)
    cpdef written(self, Py_ssize_t count)
    cpdef reply(self, id_json, result)
