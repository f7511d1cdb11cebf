cdef class Symbols:
    cdef public dict uuids
    cdef public set created

cdef class BaseType:
    cdef public str kind
    cdef public object enum, minimum, maximum, ref_table
    cdef public object strong

cdef class ColumnType:
    cdef public object default, encode, parse, unchecked_parse
    cdef public BaseType key, value
    cdef public object min, max
    cdef dict _resized

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
