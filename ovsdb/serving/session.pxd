cimport cython

from ovsdb.data.database cimport Database
from ovsdb.serving.rpc cimport Peer
from ovsdb.serving.service cimport Service

cdef class Session(Peer):
    cdef public Service service
    cdef public bint read_only, change_aware
    cdef public str role
    cdef public dict monitors
    @cython.locals(methods=dict)
    cpdef handle(self, dict message, double now)
    @cython.locals(database=Database)
    cdef _transact(self, list params, id_json, double now)
