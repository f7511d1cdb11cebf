"""Which ports have frames, and a burst from each of them in turn."""

from libc.stdint cimport uint32_t

from datapath.netdev.netdev cimport netdev
from datapath.worker.epoll cimport *
from datapath.worker.forward cimport process_burst
from datapath.worker.state cimport EVENTS, add_ready, clear_event, remove_ready, worker


cdef bint poll_ready(worker *w, bint prune) noexcept nogil:
    """One burst from each port that may have frames; true when there was a frame.

    `prune`: ports without one leave the list; look() brings them back.
    """
    cdef uint32_t i = w.n_ready
    cdef netdev *dev
    cdef bint any_frames = False
    while i > 0:
        i -= 1
        dev = w.ready[i]
        w.ingress = &dev.worker_ports[w.id]
        w.burst.n = w.burst.big_used = 0
        if dev.receive(dev, &w.burst, w.ingress):
            any_frames = True
            if w.burst.n:
                process_burst(w, dev)
            dev.release(dev)
        elif prune:
            remove_ready(w, i)
            continue
        if dev.dead:
            epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, dev.rx_fd, NULL)
            remove_ready(w, i)
    return any_frames


cdef void look(worker *w, int timeout) noexcept nogil:
    """Ask the kernel which ports have frames; sleeps up to `timeout` ms, -1: until there are."""
    cdef epoll_event events[EVENTS]
    cdef netdev *dev
    cdef int i
    cdef int n = epoll_wait(w.epoll_fd, events, EVENTS, timeout)
    for i in range(n):
        dev = <netdev *> events[i].data.ptr
        if dev == NULL:
            clear_event(w.wake_fd)
            continue
        if events[i].events & (EPOLLERR | EPOLLHUP):
            dev.link_error(dev)
            if dev.dead:
                epoll_ctl(w.epoll_fd, EPOLL_CTL_DEL, dev.rx_fd, NULL)
                continue
        add_ready(w, dev)
