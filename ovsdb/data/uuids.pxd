cpdef bint is_uuid(str text)
cpdef str new_uuid()
