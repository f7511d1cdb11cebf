"""A worker as the control thread has it: its memory, its thread, and the way to give it commands."""

import contextlib
import os
import threading

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from posix.unistd cimport close, read

from datapath.actions.executor cimport executor_free, executor_init
from datapath.actions.odp cimport MAX_EXECUTED
from datapath.conntrack.fragments cimport frag_destroy
from datapath.base.atomic cimport exchange32, fence, load32, store32, store64
from datapath.base.cycles cimport cycles
from datapath.base.drops cimport DROP_REASONS
from datapath.ipc.ring cimport ring_unmap
from datapath.lookup.emc cimport emc_destroy, emc_init
from datapath.lookup.megaflow cimport megaflow_table_destroy, megaflow_table_init
from datapath.netdev.netdev cimport BIG_BUFFERS, BIG_SIZE, MAX_PORTS, netdev, rxq
from datapath.worker.epoll cimport *
from datapath.worker.forward cimport forward_init
from datapath.worker.loop cimport run_worker
from datapath.worker.perf cimport (
    METRICS, PERF_BINS, PERF_KEPT, last_rows, perf, perf_log, perf_row,
)
from datapath.worker.state cimport *

from datapath.base import drops


cdef class Worker:
    """A worker and its thread.  start() it; stop() it before its ports are closed."""

    def __cinit__(self, uint32_t id, *args):
        cdef uint32_t i
        cdef worker *w = &self.w
        memset(w, 0, sizeof(worker))
        w.id = id
        w.epoll_fd = w.wake_fd = w.done_fd = w.up_bell = w.down_bell = w.alarm_fd = -1
        w.ports = <netdev **> calloc(MAX_PORTS, sizeof(netdev *))
        w.ready = <rxq **> calloc(MAX_PORTS, sizeof(rxq *))
        w.sending = <netdev **> calloc(FRAMES, sizeof(netdev *))
        w.burst.big = <uint8_t *> malloc(<size_t> BIG_BUFFERS * BIG_SIZE)
        w.arena = <uint8_t *> malloc(ARENA)
        w.segment_buffer = <uint8_t *> malloc(BIG_SIZE)
        w.whole = <uint8_t *> malloc(BIG_SIZE)
        w.down_packet = <uint8_t *> malloc(BIG_SIZE)
        w.down_actions = <uint8_t *> malloc(MAX_EXECUTED + 8)
        executor_init(&w.x)
        if (w.ports == NULL or w.ready == NULL or w.sending == NULL or w.burst.big == NULL
                or w.arena == NULL or w.segment_buffer == NULL or w.down_packet == NULL or w.whole == NULL
                or w.down_actions == NULL or megaflow_table_init(&w.flows) < 0
                or emc_init(&w.cache) < 0):
            raise MemoryError()
        forward_init(w)
        w.ingress = &w.no_port
        for i in range(FRAMES):
            w.messages[i].msg_hdr.msg_iovlen = 1

    def __init__(self, id, core=None, pinned=False):
        """`core`: the processor core that it is for, None: any; `pinned`: it runs there only."""
        cdef epoll_event event
        self.core = core
        self.pinned = pinned
        self.w.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.w.done_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.w.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.w.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        event.events = EPOLLIN | EPOLLET        # each writing is news: it is read when there is time
        event.data.ptr = NULL
        if epoll_ctl(self.w.epoll_fd, EPOLL_CTL_ADD, self.w.wake_fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        cdef worker *w = &self.w
        for fd in (w.epoll_fd, w.wake_fd, w.done_fd, w.up_bell, w.down_bell):
            if fd >= 0:
                close(fd)
        ring_unmap(&w.up)
        ring_unmap(&w.down)
        executor_free(&w.x)
        frag_destroy(&w.fragments)
        frag_destroy(&w.outer_fragments)
        emc_destroy(&w.cache)
        megaflow_table_destroy(&w.flows)
        free(w.ports)
        free(w.ready)
        free(w.sending)
        free(w.burst.big)
        free(w.arena)
        free(w.segment_buffer)
        free(w.down_packet)
        free(w.whole)
        free(w.down_actions)
        free(w.perf)

    @property
    def id(self):
        return self.w.id

    def start(self):
        """Run the thread; after the process forked for the last time."""
        self.thread = threading.Thread(target=self._run, name=f"worker{self.w.id}", daemon=True)
        self.thread.start()

    def _run(self):
        if self.pinned:
            with contextlib.suppress(OSError):      # that of a container may not be ours
                os.sched_setaffinity(0, {self.core})
        with nogil:
            run_worker(&self.w)

    def stop(self):
        """End the thread.  Idempotent."""
        cdef command c
        if self.thread is not None:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_STOP
            self.run_command(&c)
            self.thread.join()
            self.thread = None

    cdef int run_command(self, command *c) except -1:
        """Have the worker do `c`, and wait for it.  c.error is the result."""
        cdef uint64_t count
        if self.thread is None:
            raise RuntimeError("the worker does not run")
        with nogil:
            store64(&self.w.mailbox, <uint64_t> <size_t> c)
            fence()
            signal_event(self.w.wake_fd)
            while read(self.w.done_fd, &count, 8) < 0 and errno == EINTR:
                pass
        return 0

    def stats(self):
        """Counters since the start, {name: count}."""
        cdef worker *w = &self.w
        cdef uint64_t since = w.sleeps_since, now = cycles()
        return {
            "id": w.id,
            "core": self.core,
            "busy": w.busy,
            "cycles": now - w.began if w.began else 0,
            "packets": w.n_packets,
            "bursts": w.n_bursts,
            "rounds": w.n_rounds,
            "busy_rounds": w.n_busy_rounds,
            "asleep": w.asleep + (now - since if since else 0),
            "emc_hits": w.cache.hits,
            "smc_hits": w.cache.signatures.hits,
            "megaflow_hits": w.flows.found,
            "misses": w.flows.lookups - w.flows.found,
            "masks_probed": w.flows.probed,
            "upcalls": w.n_upcalls,
            "lost": w.n_lost,
            "recirculations": w.n_recirculations,
            "sent": w.n_sent,
            "sent_batches": w.n_sent_batches,
            "bad_records": w.n_bad_records,
            "refused_flows": w.n_refused_flows,
            "sleeps": w.n_sleeps,
            "flows": w.flows.n_flows,
            "masks": w.flows.n_subs,
        }

    cdef int measure(self, bint wanted, uint64_t per_ms) except -1:
        """Whether each iteration is measured, by a clock with so many cycles in a millisecond."""
        cdef command c
        memset(&c, 0, sizeof(c))
        if wanted == (self.w.perf != NULL):
            return 0
        c.kind = COMMAND_PERF
        if wanted:
            c.perf = <perf *> calloc(1, sizeof(perf))
            if c.perf == NULL:
                raise MemoryError()
            c.perf.per_ms = per_ms
        if self.thread is None:
            self.w.perf, c.perf = c.perf, self.w.perf
        else:
            self.run_command(&c)
        free(c.perf)
        return 0

    cdef int clear_measured(self) except -1:
        cdef command c
        if self.w.perf != NULL:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_PERF_CLEAR
            self.run_command(&c)
        return 0

    cdef int log_measured(self, const perf_log *log) except -1:
        """What is suspicious of what is measured."""
        cdef command c
        if self.w.perf == NULL:
            return 0
        memset(&c, 0, sizeof(c))
        c.kind, c.log = COMMAND_PERF_LOG, log[0]
        if self.thread is None:
            self.w.perf.log = log[0]
        else:
            self.run_command(&c)
        return 0

    cdef object take_report(self):
        """(suspicious iterations, the newest first of those around them), rows as perf_row_layout
        has them, or None."""
        cdef perf *p = self.w.perf
        if p == NULL or not load32(&p.report.ready):
            return None
        found = (
            last_rows(p.report.suspects, p.report.n_suspects - 1, p.report.n_suspects),
            (<const char *> p.report.rows)[: p.report.n_rows * sizeof(perf_row)],
        )
        store32(&p.report.ready, 0)
        return found

    def measured(self, iterations, ms):
        """(total, the last iterations, the last milliseconds), rows as perf_row_layout has them,
        and the bins of each histogram; None where nothing is measured."""
        cdef command c
        cdef perf *p
        if self.w.perf == NULL:
            return None
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_PERF_COPY
        p = c.perf = <perf *> malloc(sizeof(perf))
        if p == NULL:
            raise MemoryError()
        try:
            self.run_command(&c)
            n_iterations = min(iterations, p.n_iterations, PERF_KEPT)
            n_ms = min(ms, p.n_ms + (p.total.iterations > 0), PERF_KEPT)
            return (
                last_rows(&p.total, 0, 1),
                last_rows(p.iterations, p.n_iterations - 1, n_iterations),
                last_rows(p.ms, p.n_ms, n_ms),
                [[p.bins[i][j] for j in range(PERF_BINS)] for i in range(METRICS)],
            )
        finally:
            free(p)

    cdef bint take_alarm(self):
        """Whether the worker raised an alarm since the last call."""
        return exchange32(&self.w.alarm, 0)

    @property
    def broken(self):
        """Whether a ring to vswitchd is of no more use."""
        return bool(self.w.broken)

    def drops(self):
        """Discards of packets that came from no port, {name: count}."""
        counts = {drops.NAMES[i]: self.w.no_port.drops[i] for i in range(DROP_REASONS)}
        return {name: count for name, count in counts.items() if count}
