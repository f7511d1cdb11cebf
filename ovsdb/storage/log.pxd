from ovsdb.storage.sha1 cimport record

cpdef bytes encode_record(json)

cdef class LogWriter:
    cdef public int fd
    cdef public str path
    cdef public Py_ssize_t size
    cdef public bint _dirty, name_unsynced
    cpdef append(self, bytes record, bint durable)
