"""What a worker does all day: commands, the down ring, its ports; when it spins and when it sleeps."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from datapath.base.atomic cimport load64
from datapath.base.clock cimport kernel_ns
from datapath.base.cycles cimport cycles
from datapath.ipc.doorbell cimport quiet_doorbell
from datapath.ipc.ring cimport ring_awake, ring_sleep
from datapath.key.flow cimport flow_key
from datapath.lookup.emc cimport emc_key
from datapath.netdev.netdev cimport rxq, worker_port
from datapath.worker.commands cimport do_command
from datapath.worker.down cimport drain_down
from datapath.worker.forward cimport stamp_hits
from datapath.worker.ports cimport look, poll_ready
from datapath.worker.state cimport begin_round, end_round, remove_ready, worker
from datapath.worker.track cimport expire_fragments, fragments_wait
from datapath.worker.transmit cimport ANSWERING

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) noexcept nogil

cdef enum:
    SPIN_MAX = 50000            # ns to look for frames before sleeping, where that has paid
    SPIN_MIN = 5000
    SHORT_SLEEP = 100000        # ns, with the burst that ended it: spinning would have spared it
    LOOK_ROUND = 8              # rounds between two looks at the ports that were quiet
    RINGS = 16                  # of the doorbell that are taken at once; a handler rings once
    PRUNE_ROUND = 64            # and before a port without frames counts as quiet
    LATE_ROUND = 1024           # and between two looks for fragments that have waited too long,
    LATE_SLEEP = 250            # ms, of which a sleeper looks, too


cdef inline void prefetch_lines(const void *start, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(0, size, 64):
        prefetch(<const uint8_t *> start + at)


cdef void warm_up(worker *w) noexcept nogil:
    """Fetch into the CPU's cache, all at once, what a frame touches on its way one by one.

    A worker that wakes finds the caches cold: of a round trip of 100 us it waited 10 for memory.
    """
    cdef uint32_t i
    cdef rxq *q
    prefetch_lines(w.keys, sizeof(flow_key))
    prefetch_lines(w.prepared, sizeof(emc_key))
    prefetch_lines(&w.burst, 128)
    prefetch_lines(w.frames, 64)
    prefetch_lines(w.messages, 64)
    prefetch_lines(w.ports, 64)
    prefetch_lines(w.sending, 64)
    for i in range(min(w.n_ready, ANSWERING)):
        q = w.ready[i]
        prefetch_lines(q.private, 64)
        prefetch_lines(&q.dev.worker_ports[w.id], sizeof(worker_port))


cdef void cool(worker *w) noexcept nogil:
    while w.n_ready:
        remove_ready(w, w.n_ready - 1)


cdef void adapt_spin(worker *w, uint64_t slept) noexcept nogil:
    """Spin longer after a short sleep, and shorter after another."""
    if slept >= SHORT_SLEEP:
        w.spin = w.spin // 2 if w.spin > SPIN_MIN else 0
    elif w.spin < SPIN_MAX:
        w.spin = w.spin * 2 if w.spin else SPIN_MIN


cdef void sleep_till_frames(worker *w) noexcept nogil:
    cdef uint64_t since
    cdef bint polled
    cool(w)
    if w.woken:
        # Before the last look at what it stands for.  (The eventfd of commands need not be read:
        # each writing is news.)
        w.woken = False
        if w.down_bell >= 0:
            quiet_doorbell(w.down_bell, RINGS)
    if ring_sleep(&w.down) and not load64(&w.mailbox):
        w.n_sleeps += 1
        since = kernel_ns()
        w.sleeps_since = cycles()
        look(w, LATE_SLEEP if fragments_wait(w) else -1)
        w.asleep += cycles() - w.sleeps_since
        w.sleeps_since = 0
        begin_round(w)
        warm_up(w)
        # Frames first, and their answers: the ring's memory, and the clock, are far away
        # after a sleep.
        polled = poll_ready(w, False)
        if polled:
            poll_ready(w, False)
            stamp_hits(w)
        expire_fragments(w)
        end_round(w, polled)
        adapt_spin(w, kernel_ns() - since)
    ring_awake(&w.down)


cdef void run_worker(worker *w) noexcept nogil:
    """Until COMMAND_STOP.  A worker with nothing to do for w.spin sleeps in epoll_wait()."""
    cdef uint32_t rounds = 0
    cdef uint64_t idle_since = 0
    cdef bint busy, polled
    w.running = True
    w.began = cycles()
    while w.running:
        if load64(&w.mailbox):
            do_command(w)
            continue            # it may have been the last one
        begin_round(w)
        busy = drain_down(w)
        polled = poll_ready(w, rounds % PRUNE_ROUND == 0)
        if polled:
            stamp_hits(w)
        rounds += 1
        if rounds % LOOK_ROUND == 0:
            look(w, 0)
        if rounds % LATE_ROUND == 0:
            expire_fragments(w)
        end_round(w, polled)
        if busy or polled:
            idle_since = 0
        elif idle_since == 0:
            idle_since = kernel_ns()
            if w.spin:
                sched_yield()       # to whom the last frames woke, perhaps on this very CPU
        elif kernel_ns() - idle_since >= w.spin:
            sleep_till_frames(w)
            idle_since = 0
