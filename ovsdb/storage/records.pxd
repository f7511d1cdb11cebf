cimport cython

from ovsdb.storage cimport sysio
from ovsdb.data.database cimport Database, Table
from ovsdb.data.datum cimport diff

@cython.locals(base=dict, stored=dict, json=dict, column=tuple)
cdef dict _row_json(Table table, dict old, dict new, bint as_diff, set names)
@cython.locals(table=Table, rows=dict, of_table=dict, json=dict, old=dict, new=dict)
cpdef transaction_json(Database database, dict changes, str comment, bint as_diff=*, dict written=*)

cdef class Reader:
    cdef public Database database
    cdef dict _parsers
    cdef _apply_row(self, Table table, str uuid, dict json, bint is_diff)
