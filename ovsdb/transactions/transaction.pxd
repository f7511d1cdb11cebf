cimport cython

from ovsdb.data.condition cimport Condition
from ovsdb.data.database cimport Database, Table
from ovsdb.data.schema cimport Symbols
from ovsdb.data.uuids cimport new_uuid

cdef class Transaction:
    cdef public Database database
    cdef public Symbols symbols
    cdef public list comments
    cdef public bint durable
    cdef public dict before, written
    cdef dict _delta
    cdef list _moved
    cpdef list find(self, Table table, Condition condition)
    cpdef insert(self, Table table, str uuid, dict values)
    cpdef dict writable(self, Table table, dict row, names)
    cpdef comment(self, str text)
    cdef dict _rows_before(self, Table table)
    @cython.locals(written=set)
    cdef _write(self, Table table, names)
    cpdef dict commit(self)
    @cython.locals(table=Table, current=dict, rows=dict, old=dict, new=dict, written=set, same=list)
    cdef bint _settle(self) except -1
    cdef _forget(self, dict rows, dict current, list same)
    @cython.locals(table=Table, rows=dict, added=dict, index=dict, number=Py_ssize_t)
    cdef _check_indexes(self)
    cdef _update_indexes(self)
    @cython.locals(table=Table, rows=dict, current=dict, old=dict, new=dict, of_table=dict)
    cdef dict _changes(self)

@cython.locals(self=Transaction)
cpdef Transaction begin(Database database)
cdef bint _differ(dict old, dict new, set names) except -1
