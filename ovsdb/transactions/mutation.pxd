cimport cython

from ovsdb.data.datum cimport subtract, union
from ovsdb.data.schema cimport Column, ColumnType, Symbols, TableSchema

cdef class Mutation:
    cdef public Column column
    cdef public str mutator
    cdef public object arg
    cpdef apply(self, old)
    cdef _arithmetic(self, old)
    cdef _insert(self, old)
    cdef _delete(self, old)

cpdef Mutation parse_mutation(TableSchema table, json, Symbols symbols)
cdef _parse_number(Column column, str mutator, list json)
@cython.locals(type_=ColumnType)
cdef _parse_elements(Column column, str mutator, list json, Symbols symbols)
