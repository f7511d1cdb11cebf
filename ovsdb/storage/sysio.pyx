"""The system calls of a round of the server, without what Python's objects add to them.

With one transaction at a time they, and what surrounds them, are a good part of the work.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t c_recv "recv"(int fd, void* buffer, size_t size, int flags)
    Py_ssize_t c_send "send"(int fd, const void* buffer, size_t size, int flags)
    int MSG_NOSIGNAL

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP
    struct epoll_event:
        unsigned int events
        epoll_data_t data
    int c_epoll_wait "epoll_wait"(int fd, epoll_event* events, int most, int timeout)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC, CLOCK_REALTIME
    int clock_gettime(int clock, timespec* now)

cdef enum:
    MOST_EVENTS = 256
    RECEIVE_SIZE = 256 * 1024

# All sockets are read into it: a fresh block of this size each time would cost more than a
# transaction, as the allocator gives large blocks back to the kernel.
cdef char buffer[RECEIVE_SIZE]
cdef epoll_event events[MOST_EVENTS]


cpdef bytes receive(int fd):
    """Received bytes, b"" at the end; BlockingIOError when there are none yet, OSError."""
    cdef Py_ssize_t size
    while True:
        size = c_recv(fd, buffer, RECEIVE_SIZE, 0)
        if size >= 0:
            return PyBytes_FromStringAndSize(buffer, size)
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cpdef Py_ssize_t send(int fd, bytes data) except -2:
    """How many bytes were taken, -1 for none yet; OSError."""
    cdef Py_ssize_t size
    while True:
        size = c_send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_NOSIGNAL)
        if size >= 0:
            return size
        if errno == EAGAIN:
            return -1
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cpdef int wait(int epoll_fd, int timeout) except -1:
    """How many descriptors of an epoll are ready, in `timeout` milliseconds; a signal ends the
    wait.  They are asked for with ready_fd() and ready_events() before the next wait()."""
    cdef int count
    with nogil:
        count = c_epoll_wait(epoll_fd, events, MOST_EVENTS, timeout)
    if count < 0:
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        count = 0
    PyErr_CheckSignals()
    return count


cpdef int ready_fd(int number) noexcept:
    return events[number].data.fd


cpdef int ready_events(int number) noexcept:
    return <int>events[number].events


cpdef bint is_readable(int events) noexcept:
    """Whether there is something to read, or an end or error to be learnt by reading."""
    return (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0


cpdef bint is_writable(int events) noexcept:
    """Whether there is room for output."""
    return (events & EPOLLOUT) != 0


cpdef double monotonic_ms() noexcept:
    """As time.monotonic(), in milliseconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6


cpdef long long wall_ms() noexcept:
    """Milliseconds since 1970."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <long long>now.tv_sec * 1000 + now.tv_nsec // 1000000
