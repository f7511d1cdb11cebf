from ovsdb.condition cimport Condition
from ovsdb.database cimport Database, Table
from ovsdb.schema cimport Symbols

cdef class Transaction:
    cdef public Database database
    cdef public Symbols symbols
    cdef public list comments
    cdef public bint durable
    cdef public dict before
    cdef dict _delta
    cdef list _moved
    cpdef list find(self, Table table, Condition condition)
    cpdef insert(self, Table table, str uuid, dict values)
    cpdef dict writable(self, Table table, dict row)
    cpdef dict commit(self)
    cdef bint _settle(self) except -1
    cdef _check_indexes(self)
    cdef _update_indexes(self)
    cdef dict _changes(self)
