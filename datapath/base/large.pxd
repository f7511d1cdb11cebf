# Memory for tables of megabytes that are read here and there.

cdef void *large_alloc(size_t size) noexcept nogil      # zeroed, or NULL
cdef void large_free(void *at, size_t size) noexcept nogil     # NULL: nothing
