from ovsdb.database cimport Database, Table
from ovsdb.datum cimport diff

cdef dict _row_json(Table table, dict old, dict new, bint as_diff)
cpdef transaction_json(Database database, dict changes, str comment, bint as_diff=*)

cdef class Reader:
    cdef public Database database
    cdef dict _parsers
    cdef _apply_row(self, Table table, str uuid, dict json, bint is_diff)
