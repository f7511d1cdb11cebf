cpdef bint is_uuid(str text)
