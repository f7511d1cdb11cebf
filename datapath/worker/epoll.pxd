# epoll(7)

from libc.stdint cimport uint32_t

cdef extern from "<sys/epoll.h>" nogil:
    union epoll_data:
        void *ptr
    struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL
    uint32_t EPOLLIN, EPOLLERR, EPOLLET, EPOLLHUP
