cimport cython

from ovsdb.database cimport Database
from ovsdb.rpc cimport Peer
from ovsdb.service cimport Service

cdef class Session(Peer):
    cdef public Service service
    cdef public bint read_only, change_aware
    cdef public str role
    cdef public dict monitors
    @cython.locals(methods=dict)
    cpdef handle(self, dict message, double now)
    @cython.locals(database=Database)
    cdef _transact(self, list params, id_json, double now)
