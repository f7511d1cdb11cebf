cimport cython

from ovsdb.storage cimport sysio
from ovsdb.serving.rpc cimport Peer
from ovsdb.serving.service cimport Service
from pyvs.coverage cimport Counter

cdef Counter WAKEUPS
cdef int READ, WRITE

cdef class Connection:
    cdef public Loop loop
    cdef public object sock, name
    cdef public int fd
    cdef public double probe_interval, last_heard, connected_at
    cdef public bint probed
    cdef public Peer session
    cdef public int _mask
    cpdef ready(self, int events)
    cpdef _receive(self)
    cpdef process(self)
    cpdef flush(self)
    cpdef bytes _read(self)
    cpdef Py_ssize_t _write(self, list output) except -1

cdef class Loop:
    cdef public Service service
    cdef public object tls, tls_contexts, epoll
    cdef public dict handlers
    cdef public set connections, dirty, busy, _large, paused
    cdef public double now, _next_scan
    cdef int _epoll_fd
    cdef public list timers
    @cython.locals(connection=Connection, number=int)
    cpdef run(self, wait_ms)
    cdef _serve_busy(self)
    @cython.locals(wait=double, service=Service)
    cdef int _timeout(self, wait_ms) except -1
    @cython.locals(connection=Connection)
    cpdef flush(self)
