cpdef bint is_int64(object value)
