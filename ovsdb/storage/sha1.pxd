cpdef bytes record(bytes json)
