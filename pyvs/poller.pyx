"""What `wait(poller)` methods say what they wait for to: poll(2).

poll(2) is called as it is: between a packet that comes up and its answer, a list of events and the
steps of a loop in Python were a good part of the time.
"""

import os
import signal

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport read

from pyvs import clock, containment

cdef extern from "<math.h>" nogil:
    double ceil(double)

cdef extern from "<poll.h>" nogil:
    ctypedef unsigned long nfds_t
    short POLLIN
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *, nfds_t, int)

cdef enum:
    QUICK_MS = 50
    LONGEST = 60000     # ms; poll(2) takes no number, and who asks for a year has a look once a minute

QUICK = QUICK_MS / 1000.0


cdef double monotonic() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <double> t.tv_sec + <double> t.tv_nsec / 1e9


cdef int _signalled = -1        # readable when a signal has come since it was last read


def watch_signals():
    """See those, too, that come just before poll(2) begins, instead of when it ends.  Once, in the
    main thread of a process that does not fork any more to go on in its child."""
    global _signalled
    if _signalled < 0:
        _signalled, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        former = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        if former >= 0:     # whose owner waits for it
            signal.set_wakeup_fd(former)


cdef bint was_signal(pollfd *at) noexcept:
    cdef char numbers[64]
    return at.revents != 0 and read(at.fd, numbers, sizeof(numbers)) > 0


cdef int wait_for(pollfd *fds, nfds_t n, int timeout) except -1:
    """poll(2), begun again behind a signal's handler, as Python's own is; `fds` has room for n + 1."""
    cdef double end = monotonic() + timeout / 1000.0
    cdef int found, error
    fds[n].fd, fds[n].events = _signalled, POLLIN
    while True:
        # Of one that came while nothing was done in Python, poll(2) knows nothing.
        PyErr_CheckSignals()
        with nogil:
            found = poll(fds, n + 1, timeout)
            error = errno
        if found < 0 and error != EINTR:
            raise OSError(error, os.strerror(error))
        if found > 0 and was_signal(&fds[n]):
            PyErr_CheckSignals()
            found -= 1
            if found == 0 and timeout != 0:
                found = -1
        if found >= 0:
            return found
        if timeout > 0:
            timeout = max(0, <int> ceil((end - monotonic()) * 1000))


cdef class Server:
    cdef double serve(self) except? -1:
        return 0


cdef class Poller:
    cdef dict _events           # descriptor -> events
    cdef dict _quick            # descriptor -> Server or function
    cdef readonly int timeout
    cdef readonly object ready

    def __cinit__(self):
        self._events = {}
        self._quick = {}
        self.timeout = -1

    def fd_wait(self, fd, int events):
        number = fd if isinstance(fd, int) else fd.fileno()
        if number < 0:  # closed meanwhile: its owner must look
            self.immediate_wake()
            return
        self._events[number] = self._events.get(number, 0) | events

    def quick(self, int fd, serve):
        self._quick[fd] = serve

    def timer_wait(self, double msec):
        cdef int whole = <int> max(0.0, min(msec, <double> LONGEST))
        if self.timeout < 0 or whole < self.timeout:
            self.timeout = whole

    def timer_wait_until(self, msec):
        self.timer_wait(msec - clock.msec())

    def immediate_wake(self):
        self.timeout = 0

    @property
    def is_immediate(self):
        return self.timeout == 0

    def block(self):
        cdef nfds_t n = 0, i, total = len(self._events)
        cdef double start = monotonic()
        cdef pollfd *fds = <pollfd *> malloc((total + 1) * sizeof(pollfd))
        if fds is NULL:
            raise MemoryError
        try:
            for number, events in self._events.items():
                fds[n].fd, fds[n].events = number, events
                n += 1
            if wait_for(fds, n, self.timeout) and self._quick:
                self._serve(fds, n, start)
            found = [(fds[i].fd, fds[i].revents) for i in range(n) if fds[i].revents]
        finally:
            free(fds)
        self.ready = {number for number, _events in found}
        return found

    cdef int _serve(self, pollfd *fds, nfds_t n, double start) except -1:
        """Those of quick(); `fds` is afterwards what poll(2) said last."""
        cdef double now, end = monotonic() + QUICK_MS / 1000.0
        cdef double wanted
        if self.timeout >= 0:
            end = min(end, start + self.timeout / 1000.0)
        while self._are_quick(fds, n):
            wanted = self._serve_each(fds, n)
            now = monotonic()
            end = min(end, now + wanted)
            if end <= now or not wait_for(fds, n, <int> ceil((end - now) * 1000)):
                break
        return 0

    cdef double _serve_each(self, pollfd *fds, nfds_t n) except? -1:
        cdef double wanted = QUICK_MS / 1000.0
        cdef nfds_t i
        for i in range(n):
            if fds[i].revents:
                wanted = min(wanted, self._served(self._quick[fds[i].fd]))
        return wanted

    cdef double _served(self, serve) except? -1:
        try:
            return (<Server> serve).serve() if isinstance(serve, Server) else serve()
        except Exception:
            containment.caught("between rounds")
            return 0

    cdef bint _are_quick(self, pollfd *fds, nfds_t n) except -1:
        cdef nfds_t i
        for i in range(n):
            if fds[i].revents and (fds[i].revents != POLLIN or fds[i].fd not in self._quick):
                return False
        return True
