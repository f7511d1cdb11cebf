cpdef bytes dumps(value, bint sort_keys=*)
