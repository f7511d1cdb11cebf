"""Which queues have frames, and a burst from each of them in turn."""

from libc.stdint cimport uint32_t, uint64_t

from datapath.base.cycles cimport cycles
from datapath.netdev.netdev cimport netdev, rxq
from datapath.worker.epoll cimport *
from datapath.worker.forward cimport process_burst
from datapath.worker.state cimport EVENTS, add_ready, remove_ready, worker


cdef bint poll_ready(worker *w, bint prune) noexcept nogil:
    """One burst from each queue that may have frames; true when there was a frame.

    `prune`: queues without one leave the list; look() brings them back.
    """
    cdef uint32_t i = w.n_ready
    cdef rxq *q
    cdef netdev *dev
    cdef bint any_frames = False
    cdef uint64_t since = cycles(), now
    while i > 0:
        i -= 1
        q = w.ready[i]
        dev = q.dev
        w.ingress = &dev.worker_ports[w.id]
        w.burst.n = w.burst.big_used = 0
        if dev.receive(q, &w.burst, w.ingress):
            any_frames = True
            if w.burst.n:
                process_burst(w, dev)
            dev.release(q)
            now = cycles()
            q.n_packets += w.burst.n
            q.busy += now - since
            w.busy += now - since
            since = now
        elif prune:
            remove_ready(w, i)
            continue
        if dev.dead:
            epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, q.fd, NULL)
            remove_ready(w, i)
    return any_frames


cdef void look(worker *w, int timeout) noexcept nogil:
    """Ask the kernel which queues have frames; sleeps up to `timeout` ms, -1: until there are."""
    cdef epoll_event events[EVENTS]
    cdef rxq *q
    cdef int i
    cdef int n = epoll_wait(w.epoll_fd, events, EVENTS, timeout)
    for i in range(n):
        q = <rxq *> events[i].data.ptr
        if q == NULL:           # a command, or the doorbell
            w.woken = True
            continue
        if events[i].events & (EPOLLERR | EPOLLHUP):
            q.dev.link_error(q)
            if q.dev.dead:
                epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, q.fd, NULL)
                continue
        add_ready(w, q)
