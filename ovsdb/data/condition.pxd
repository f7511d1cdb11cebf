cimport cython

from ovsdb.data.schema cimport Column, Symbols, TableSchema

cdef class Clause:
    cdef public object column
    cdef public str function
    cdef public object arg
    cdef public object test
    cpdef bint matches(self, dict row) except -1

cdef class Condition:
    cdef public list clauses
    cpdef bint all(self, dict row) except -1
    cpdef bint any(self, dict row) except -1
    cpdef dict equalities(self)

cdef Clause _equality(str column, arg)
@cython.locals(column=Column)
cdef Clause _parse_clause(TableSchema table, json, Symbols symbols)
@cython.locals(condition=Condition)
cpdef Condition parse_condition(TableSchema table, list json, Symbols symbols)
