cimport cython

from ovsdb.data.condition cimport parse_condition
from ovsdb.data.database cimport Database, Table
from ovsdb.data.datum cimport as_key
from ovsdb.data.errors cimport Members, members_of
from ovsdb.transactions.mutation cimport Mutation, parse_mutation
from ovsdb.data.schema cimport Column, TableSchema
from ovsdb.transactions.transaction cimport Transaction, begin
from ovsdb.data.uuids cimport is_uuid, new_uuid

cdef class Context:
    cdef public Transaction transaction
    cdef public Database database
    cdef public object owner, rights
    cdef public double elapsed
    cdef public bint read_only

@cython.locals(context=Context, transaction=Transaction, number=Py_ssize_t)
cpdef list execute(Database database, list operations, double elapsed=*, owner=*,
                   bint read_only=*, rights=*)
@cython.locals(operations=dict, members=Members)
cdef dict _run(Context context, operation, int number, int count)
cdef Table _table(Context context, Members members)
cdef list _where(Context context, Members members, Table table, list json)
cdef dict _parse_row(Context context, Table table, dict json)
@cython.locals(table=Table, values=dict, column=Column)
cpdef dict _insert(Context context, Members members)
@cython.locals(table=Table, values=dict, rows=list)
cpdef dict _update(Context context, Members members)
@cython.locals(table=Table, rows=list, new=dict, mutation=Mutation)
cpdef dict _mutate(Context context, Members members)
@cython.locals(table=Table, rows=list)
cpdef dict _delete(Context context, Members members)
@cython.locals(table=Table, rows=list, names=list, found=list, wanted=list)
cpdef dict _wait(Context context, Members members)
cdef list _names(Table table, list json)
@cython.locals(schema=TableSchema, column=Column, key=list)
cdef list _wanted(Context context, Table table, list names, list json)
