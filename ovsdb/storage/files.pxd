from ovsdb.data.database cimport Database
from ovsdb.storage.log cimport LogWriter, encode_record
from ovsdb.storage.records cimport transaction_json

cdef class DatabaseFile:
    cdef public str path
    cdef public object lock, _child
    cdef public LogWriter log
    cdef public bint as_diff
    cdef public Py_ssize_t commits_since_compaction, compacted_size, _commits_before
    cdef public double compacted_at
    cpdef Py_ssize_t commit(self, Database database, dict changes, str comment, bint durable,
                            dict written=*) except -1
