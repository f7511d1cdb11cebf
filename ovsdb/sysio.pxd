cpdef bytes receive(int fd)
cpdef Py_ssize_t send(int fd, bytes data) except -2
cpdef list wait(int epoll_fd, int timeout)
