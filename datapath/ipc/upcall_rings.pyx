"""The rings of the handler of upcalls, in memory shared with the datapath process: packets come up,
and flows with their first packets go down, without a system call where both sides are awake.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from datapath.base.atomic cimport load64
from datapath.key.flow cimport KEY_DP_SIZE, flow_key
from datapath.actions.odp cimport MAX_EXECUTED
from datapath.ipc.doorbell cimport quiet_doorbell, ring_doorbell
from datapath.ipc.ring cimport (
    RING_HEAD, ring, ring_awake, ring_commit, ring_map, ring_must_wake, ring_peek, ring_release,
    ring_reserve, ring_sleep, ring_unmap,
)
from datapath.ipc.upcall cimport (
    DOWN_EXECUTE, DOWN_INSTALL, MAX_UPCALL_PACKET, down_record, padded, upcall_record,
)

from collections import namedtuple

from datapath.ipc.connection import DpifError
from datapath.key import flow

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)


cdef enum:
    HELD = 16                   # records that workers are not woken for, at most,
    HELD_PACKET = 2048          # and bytes of a packet: the ring has room for so many of these


cdef flow_key _any
IN_PORT_AT = sizeof(upcall_record) + (<size_t> &_any.in_port - <size_t> &_any)     # of a record


cdef _drop_rings(UpcallRings rings):
    while rings.n_workers:
        rings._drop_worker(rings.n_workers - 1)
    if rings.upcall_fd >= 0:
        close(rings.upcall_fd)
    free(rings.up)
    free(rings.down)
    free(rings.wake)
    rings.up = rings.down = NULL
    rings.wake = NULL
    rings.upcall_fd = -1


cdef class UpcallRings:
    def __cinit__(self):
        self.upcall_fd = -1

    def __dealloc__(self):
        _drop_rings(self)  # not the method: at the end of the process a subclass has none any more

    # --- coming and going: what the datapath's answers name

    def new_rings(self, int upcall_fd):
        """Begin anew, with no workers; the descriptor stays the caller's, as those of add_rings()."""
        self.drop_rings()
        self.up = <ring *> calloc(MAX_WORKERS, sizeof(ring))
        self.down = <ring *> calloc(MAX_WORKERS, sizeof(ring))
        self.wake = <int *> calloc(MAX_WORKERS, sizeof(int))
        if self.up == NULL or self.down == NULL or self.wake == NULL:
            raise MemoryError()
        self.upcall_fd = os.dup(upcall_fd)

    def add_rings(self, workers, fds):
        """`workers`: (number, core or None) of each; three descriptors of each."""
        cdef uint32_t id
        workers = list(workers)
        if len(fds) != 3 * len(workers):
            raise DpifError(5, f"{len(fds)} descriptors for {len(workers)} workers")
        for (number, core), at in zip(workers, range(0, len(fds), 3)):
            if not 0 <= number < MAX_WORKERS or self.knows(number):
                raise DpifError(5, f"a worker {number}")
            id = number
            self.wake[id] = os.dup(fds[at + 2])
            self.ids[self.n_workers] = id
            self.n_workers += 1
            self.all |= <uint64_t> 1 << id
            if core is not None:
                self.on_own_core |= <uint64_t> 1 << id
            if ring_map(&self.up[id], fds[at]) or ring_map(&self.down[id], fds[at + 1]):
                raise OSError(errno, os.strerror(errno))

    cpdef drop_rings(self):
        _drop_rings(self)

    cdef _drop_worker(self, uint32_t index):
        cdef uint32_t id = self.ids[index]
        ring_unmap(&self.up[id])
        ring_unmap(&self.down[id])
        close(self.wake[id])
        self.on_own_core &= ~(<uint64_t> 1 << id)
        self.behind &= ~(<uint64_t> 1 << id)
        self.all &= ~(<uint64_t> 1 << id)
        self.n_workers -= 1
        self.ids[index] = self.ids[self.n_workers]

    def drop_workers(self, workers):
        """The rings of these go."""
        cdef uint32_t i
        for i in range(self.n_workers, 0, -1):
            if self.ids[i - 1] in workers:
                self._drop_worker(i - 1)

    def is_broken(self):
        """Whether a ring is of no more use."""
        cdef uint32_t i
        for i in range(self.n_workers):
            if self.up[self.ids[i]].broken or self.down[self.ids[i]].broken:
                return True
        return False

    def knows(self, worker):
        """Whether there are rings of the worker of this number."""
        return worker in [self.ids[i] for i in range(self.n_workers)]

    def upcall_wait(self):
        """Before poll(): ask to be woken.  False: there are upcalls, do not sleep."""
        return self.may_sleep()

    cdef bint may_sleep(self) noexcept:
        cdef uint32_t i
        cdef bint may_sleep = True
        for i in range(self.n_workers):
            may_sleep = ring_sleep(&self.up[self.ids[i]]) and may_sleep
        return may_sleep

    def upcall_awake(self):
        """After poll(): no waking needed while upcalls are being taken."""
        self.awake()

    cdef void awake(self) noexcept:
        cdef uint32_t i
        for i in range(self.n_workers):
            ring_awake(&self.up[self.ids[i]])
        if self.upcall_fd >= 0:
            quiet_doorbell(self.upcall_fd, self.n_workers)

    def execute_soon(self, bytes packet not None, bytes actions not None, in_port=0, packet_type=0,
                     bytes key not None=b""):
        """As execute(), by the ring of a worker and without an answer; `key` has all of the packet's
        metadata.  False: no room there.

        What this handler installed before is there when the packet is sent, and packets stay in
        their order.  Faults in the actions are counted as drops.
        """
        cdef flow_key whole
        memset(&whole, 0, sizeof(whole))
        memcpy(&whole, <const char *> key, min(len(key), <size_t> KEY_DP_SIZE))
        whole.in_port = htonl(in_port)
        whole.packet_type = htonl(packet_type)
        return self.execute_packet(<const uint8_t *> <const char *> packet, <uint32_t> len(packet),
                                   &whole, <const uint8_t *> <const char *> actions,
                                   <uint32_t> len(actions)) == 0

    cdef int execute_packet(self, const uint8_t *packet, uint32_t size, const flow_key *key,
                            const uint8_t *actions, uint32_t length) noexcept:
        cdef upcall u
        if not self.n_workers or size > MAX_UPCALL_PACKET or length > MAX_EXECUTED:
            return -1
        memset(&u, 0, sizeof(u))
        memcpy(&u.key, key, KEY_DP_SIZE)
        u.packet = packet
        u.packet_size = size
        return self.execute_upcall(&u, actions, length)

    cdef bint next_upcall(self, upcall *u) noexcept:
        cdef uint32_t i, worker, length
        cdef const uint8_t *record
        for i in range(self.n_workers):
            worker = self.ids[(self.turn + i) % self.n_workers]
            while True:
                record = ring_peek(&self.up[worker], &length)
                if record == NULL:
                    break
                if read_upcall(u, worker, record, length):
                    self.turn += i + 1
                    return True
                ring_release(&self.up[worker])
        return False

    cdef void release_upcall(self, upcall *u) noexcept:
        ring_release(&self.up[u.worker])

    cdef int _push(self, uint32_t worker, uint16_t what, const upcall *u, const uint8_t *ufid,
                   const flow_key *key, const flow_key *mask, const uint8_t *actions,
                   uint32_t length) noexcept:
        cdef uint32_t packet_size = u.packet_size if what & DOWN_EXECUTE else 0
        cdef uint32_t size = <uint32_t> sizeof(down_record) + KEY_DP_SIZE + padded(length)
        cdef down_record *record
        cdef uint8_t *at
        if what & DOWN_INSTALL:
            size += KEY_DP_SIZE
            self.n_installed += 1
        if worker >= MAX_WORKERS or self.down == NULL:
            return -1
        at = ring_reserve(&self.down[worker], size + padded(packet_size))
        if at == NULL:
            return -1           # full, or the worker is gone
        record = <down_record *> at
        memset(record, 0, sizeof(down_record))
        record.what = what
        record.packet_size = packet_size
        record.actions_size = length
        at += sizeof(down_record)
        # With EXECUTE the key is the packet's own, which any flow for it matches as well.
        memcpy(at, &u.key if what & DOWN_EXECUTE else key, KEY_DP_SIZE)
        at += KEY_DP_SIZE
        if what & DOWN_INSTALL:
            memcpy(record.ufid, ufid, 16)
            memcpy(at, mask, KEY_DP_SIZE)
            at += KEY_DP_SIZE
        if length:
            memcpy(at, actions, length)
        if what & DOWN_EXECUTE:
            record.vnet = u.vnet
            memcpy(at + padded(length), u.packet, packet_size)
        ring_commit(&self.down[worker])
        if not self.holding:
            if self.wake_worker(worker):
                # It may have given us this very processor before it slept: a first packet waits
                # for the worker, and nobody for what is left to do here.
                sched_yield()
            return 0
        self.behind |= <uint64_t> 1 << worker
        self.n_behind += 1
        if self.n_behind >= HELD or packet_size > HELD_PACKET:
            self.wake_those_behind()
        return 0

    cdef bint wake_worker(self, uint32_t worker) noexcept:
        """Whether it slept."""
        if not ring_must_wake(&self.down[worker]):
            return False
        ring_doorbell(self.wake[worker])
        return True

    cdef void wake_those_behind(self) noexcept:
        cdef uint32_t i
        for i in range(self.n_workers):
            if self.behind >> self.ids[i] & 1:
                self.wake_worker(self.ids[i])
        self.behind = self.n_behind = 0

    cdef void hold(self) noexcept:
        self.holding = True

    cdef void hold_while_more(self, const upcall *u) noexcept:
        cdef uint32_t i
        cdef ring *up
        for i in range(self.n_workers):
            up = &self.up[self.ids[i]]
            if load64(up.memory + RING_HEAD) != (up.next if self.ids[i] == u.worker else up.tail):
                self.holding = True
                return
        self.holding = False

    cdef void let_go(self) noexcept:
        self.holding = False
        self.wake_those_behind()

    cdef uint64_t peers(self, uint32_t worker) noexcept:
        cdef uint64_t bit = <uint64_t> 1 << worker
        return bit if self.on_own_core & bit else ~self.on_own_core

    cdef uint64_t install(self, uint64_t workers, const uint8_t *ufid, const flow_key *key,
                          const flow_key *mask, const uint8_t *actions,
                          uint32_t length) noexcept:
        cdef uint32_t i
        cdef uint64_t lacking = 0
        for i in range(self.n_workers):
            if workers >> self.ids[i] & 1 and self._push(
                    self.ids[i], DOWN_INSTALL, NULL, ufid, key, mask, actions, length):
                lacking |= <uint64_t> 1 << self.ids[i]
        return lacking

    cdef int execute_upcall(self, const upcall *u, const uint8_t *actions,
                            uint32_t length) noexcept:
        return self._push(u.worker, DOWN_EXECUTE, u, NULL, NULL, NULL, actions, length)

    cdef uint64_t install_and_execute(self, const upcall *u, const uint8_t *ufid, const flow_key *mask,
                                      const uint8_t *actions, uint32_t length) noexcept:
        cdef uint64_t own = <uint64_t> 1 << u.worker, lacking = 0
        if self._push(u.worker, DOWN_INSTALL | DOWN_EXECUTE, u, ufid, &u.key, mask, actions, length):
            lacking = own
        return lacking | self.install(self.peers(u.worker) & ~own, ufid, &u.key, mask, actions, length)


# --- upcalls for Python: tests, and who wants to see what comes up

Upcall = namedtuple("Upcall", "type worker reason key vnet userdata packet")


cdef object _copy_upcall(const upcall *u):
    return Upcall(
        u.type, u.worker, u.reason, (<const char *> &u.key)[:KEY_DP_SIZE], dict(u.vnet),
        u.userdata[:u.userdata_size], u.packet[:u.packet_size],
    )


def take_upcall(UpcallRings rings not None):
    """The next packet that came up as an Upcall, or None."""
    cdef upcall u
    if not rings.next_upcall(&u):
        return None
    copy = _copy_upcall(&u)
    rings.release_upcall(&u)
    return copy


def answer_upcall(UpcallRings rings not None, given, bytes actions, key=None, mask=None):
    """Run actions on an Upcall's packet; with key and mask, also install a flow that has them.

    False where the ring is full.
    """
    cdef upcall u
    cdef flow_key m
    cdef bytes words, packet, ufid
    memset(&u, 0, sizeof(u))
    u.worker = given.worker
    if not rings.knows(u.worker):
        raise ValueError(f"there is no worker {given.worker}")
    u.vnet = given.vnet
    packet, words = given.packet, given.key
    memcpy(&u.key, <const char *> words, min(KEY_DP_SIZE, len(words)))
    u.packet = packet
    u.packet_size = <uint32_t> len(packet)
    if key is None:
        return rings.execute_upcall(&u, actions, <uint32_t> len(actions)) == 0
    memset(&m, 0, sizeof(m))
    words = bytes(mask[:KEY_DP_SIZE])
    memcpy(&m, <const char *> words, len(words))
    ufid = flow.ufid(bytes(key[:KEY_DP_SIZE]), words)
    return rings.install_and_execute(&u, ufid, &m, actions, <uint32_t> len(actions)) == 0


def push_down(UpcallRings rings not None, uint32_t worker, bytes record):
    """Put any bytes into a worker's down ring, as a handler gone mad would.  False: no room."""
    cdef uint8_t *at
    if not rings.knows(worker):
        raise ValueError(f"there is no worker {worker}")
    at = ring_reserve(&rings.down[worker], <uint32_t> len(record))
    if at == NULL:
        return False
    memcpy(at, <const char *> record, len(record))
    ring_commit(&rings.down[worker])
    if ring_must_wake(&rings.down[worker]):
        ring_doorbell(rings.wake[worker])
    return True


cdef bint read_upcall(upcall *u, uint32_t worker, const uint8_t *at, uint32_t length) noexcept:
    """Fills `u`; false for a record that contradicts itself."""
    cdef upcall_record record
    if length < sizeof(upcall_record) + KEY_DP_SIZE:
        return False
    memcpy(&record, at, sizeof(upcall_record))
    at += sizeof(upcall_record)
    if (record.userdata_size > 65535 or record.packet_size > MAX_UPCALL_PACKET
            or sizeof(upcall_record) + KEY_DP_SIZE + padded(record.userdata_size)
            + record.packet_size > length):
        return False
    u.type = record.type
    u.worker = <uint16_t> worker
    u.reason = record.reason
    u.vnet = record.vnet
    memset(&u.key, 0, sizeof(u.key))
    memcpy(&u.key, at, KEY_DP_SIZE)
    at += KEY_DP_SIZE
    u.userdata = at
    u.userdata_size = record.userdata_size
    u.packet = at + padded(record.userdata_size)
    u.packet_size = record.packet_size
    return True
