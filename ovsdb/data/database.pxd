cimport cython

from ovsdb.data.condition cimport Clause, Condition
from ovsdb.data.datum cimport as_key
from ovsdb.data.schema cimport TableSchema
from ovsdb.data.uuids cimport new_uuid
from pyvs.coverage cimport Counter

cdef Counter COMMITS

cdef class RefColumn:
    cdef public str name, target
    cdef public object in_key, strong

cdef class Table:
    cdef public TableSchema schema
    cdef public str name
    cdef public dict rows, strong, weak, defaults, encoders, stored
    cdef public list indexes, strong_columns, weak_columns
    cdef list _ref_names
    cdef dict _unique
    cpdef index_key(self, Py_ssize_t index, dict row)
    cpdef list moved(self, Py_ssize_t index, dict before)
    cpdef bint relinked(self, str uuid, dict old, dict new) except -1
    @cython.locals(clause=Clause, clauses=list, index=dict)
    cpdef list find(self, Condition condition, bint use_indexes)
    cpdef _candidates(self, dict equalities, bint use_indexes)

cdef class Database:
    cdef public object file, relay, schema
    cdef public list history
    cdef public bint read_only, ready
    cdef public list listeners
    cdef public str name, last_txn_id
    cdef public dict tables
    cdef Py_ssize_t _history_size
    cpdef publish(self, dict changes, Py_ssize_t size=*)
    @cython.locals(history=list)
    cdef _remember(self, dict changes, Py_ssize_t size)
    cpdef forget(self)
