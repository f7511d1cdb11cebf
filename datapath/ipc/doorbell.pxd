# A doorbell wakes the other process where it sleeps beside a ring: a pair of connected sockets.
#
# Not an eventfd: whether reading and writing one may wait is said in what both sides share, so that
# either could have the other wait for ever.  To a socket it is said with each call.  Datagrams, as
# the end that stays behind when the other is closed is then not readable for ever.

from libc.stdint cimport uint8_t, uint32_t

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT, MSG_NOSIGNAL
    ssize_t send(int, const void *, size_t, int)
    ssize_t recv(int, void *, size_t, int)


# Where there is no room the other side has not looked since, and will.
cdef inline void ring_doorbell(int fd) noexcept nogil:
    cdef uint8_t one = 1
    send(fd, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL)


# Takes up to `most` rings away; those that are left wake once more, for nothing.
cdef inline void quiet_doorbell(int fd, uint32_t most) noexcept nogil:
    cdef uint8_t byte
    cdef uint32_t i
    for i in range(most):
        if recv(fd, &byte, 1, MSG_DONTWAIT) < 0:
            return
