from ovsdb.data.database cimport Database
from ovsdb.transactions.operations cimport execute
from pyvs.coverage cimport Counter

cdef Counter TRANSACTIONS

cdef class Service:
    cdef public str server_id
    cdef public set sessions, compacting
    cdef public dict databases, fanouts, locks, waiting
    cdef public object _due
    cdef public dict _queued
    cdef public bint read_only, trim_memory
    cpdef transact(self, session, id_json, Database database, list operations, double now)
    cdef list _execute(self, session, Database database, list operations, double elapsed)
    cpdef run(self, double now)
