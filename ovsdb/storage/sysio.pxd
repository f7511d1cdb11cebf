cpdef bytes receive(int fd)
cpdef Py_ssize_t send(int fd, bytes data) except -2
cpdef int wait(int epoll_fd, int timeout) except -1
cpdef int ready_fd(int number) noexcept
cpdef int ready_events(int number) noexcept
cpdef double monotonic_ms() noexcept
cpdef long long wall_ms() noexcept
cpdef bint is_readable(int events) noexcept
cpdef bint is_writable(int events) noexcept
