cpdef bint may_be_one(bytes data)
