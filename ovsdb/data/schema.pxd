cimport cython

from ovsdb.data.integers cimport is_int64
from ovsdb.data.uuids cimport is_uuid, new_uuid

cdef class Symbols:
    cdef public dict uuids
    cdef public set created
    cpdef dict named(self)
    cpdef bint create(self, str name) except -1

cdef class BaseType:
    cdef public str kind
    cdef public object enum, minimum, maximum, ref_table
    cdef public object strong
    cdef object _native, _parser
    cdef bint _integer
    cpdef parse(self, json, Symbols symbols=*)

cdef class ColumnType:
    cdef public object default, encode
    cdef public BaseType key, value
    cdef public object min, max
    cdef bint _constrained
    cdef dict _resized
    cpdef parse(self, json, Symbols symbols=*)
    cpdef unchecked_parse(self, json, Symbols symbols=*)
    @cython.locals(key=BaseType, count=Py_ssize_t, atoms=list)
    cdef tuple _parse_set(self, list json, Symbols symbols)
    @cython.locals(key=BaseType, value=BaseType, pairs=list)
    cdef dict _parse_map(self, json, Symbols symbols)
    cpdef ColumnType resized(self, low, high)

cdef class Column:
    cdef public str name
    cdef public ColumnType type
    cdef public object persistent, mutable, bad_default
    cdef public list refs

cdef class TableSchema:
    cdef public str name
    cdef public dict columns, all_columns
    cdef public object max_rows, is_root
    cdef public list indexes
    cpdef Column column(self, name, json)
