"""Making and closing AF_XDP sockets; Documentation/networking/af_xdp.rst, <linux/if_xdp.h>.

Each has a memory of its own: half of the chunks are the kernel's to fill, half are for sending.
All of them together have a bound: this memory cannot be swapped out.
"""

import errno
import os
import socket
import struct
import time

from libc.errno cimport errno as last_error
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap,
)

from datapath.base.atomic cimport store32

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    int bind(int fd, sockaddr *address, unsigned int length)

cdef extern from "<linux/if_xdp.h>" nogil:
    struct sockaddr_xdp:
        uint16_t sxdp_family
        uint16_t sxdp_flags
        uint32_t sxdp_ifindex
        uint32_t sxdp_queue_id

AF_XDP = 44
SOL_XDP = 283
MMAP_OFFSETS, RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING, STATISTICS = range(1, 8)
RX_PAGES, TX_PAGES, FILL_PAGES, COMPLETION_PAGES = 0, 1 << 31, 1 << 32, 3 << 31
USE_NEED_WAKEUP = 8             # flag of bind()
_OFFSETS = struct.Struct("=4Q")     # of a ring: producer, consumer, entries, flags
_UMEM = struct.Struct("=QQIIII")
_STATISTICS = struct.Struct("=6Q")
STATISTIC_NAMES = (
    "rx_dropped", "rx_invalid_descs", "tx_invalid_descs", "rx_ring_full", "rx_fill_ring_empty_descs",
    "tx_ring_empty_descs",
)
MOST_MEMORY = 512 << 20         # of all sockets
BIND_SECONDS, BIND_PAUSE = 0.5, 0.01    # a queue is let go of a moment after its socket was closed

cdef size_t _memory = 0         # bytes of all sockets of this process


cdef int _map_ring(xdp_ring *r, int fd, offsets, uint32_t n, size_t entry, uint64_t pages) except -1:
    cdef uint64_t producer, consumer, entries, flags
    producer, consumer, entries, flags = offsets
    cdef size_t size = entries + n * entry
    cdef void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, <long> pages)
    if memory == MAP_FAILED:
        raise OSError(last_error, os.strerror(last_error))
    r.memory, r.mapped, r.mask = memory, size, n - 1
    r.producer = <uint32_t *> (<uint8_t *> memory + producer)
    r.consumer = <uint32_t *> (<uint8_t *> memory + consumer)
    r.flags = <uint32_t *> (<uint8_t *> memory + flags)
    r.entries = <uint8_t *> memory + entries
    return 0


cdef void _unmap_ring(xdp_ring *r) noexcept:
    if r.memory != NULL:
        munmap(r.memory, r.mapped)
    r.memory = NULL


cdef class XdpSocket:
    """A socket whose rings are mapped, and which bind() gives a device's queue.  OSError."""

    def __cinit__(self):
        self.s = <xdp_socket *> calloc(1, sizeof(xdp_socket))
        if self.s == NULL:
            raise MemoryError()
        self.s.fd = -1

    def __init__(self):
        try:
            self._open()
        except OSError:
            self.close()
            raise

    def __dealloc__(self):
        self._unmap()
        free(self.s)

    def _open(self):
        global _memory
        cdef xdp_socket *s = self.s
        cdef void *memory
        cdef uint32_t i
        self.sock = socket.socket(AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        if _memory + SOCKET_MEMORY > <size_t> MOST_MEMORY:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        s.fd = self.sock.fileno()
        memory = mmap(NULL, SOCKET_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise OSError(last_error, os.strerror(last_error))
        s.frames = <uint8_t *> memory
        _memory += SOCKET_MEMORY
        umem = _UMEM.pack(<size_t> memory, SOCKET_MEMORY, CHUNK, 0, 0, 0)
        self.sock.setsockopt(SOL_XDP, UMEM_REG, umem)
        for option, size in ((FILL_RING, RX_CHUNKS), (COMPLETION_RING, TX_CHUNKS),
                             (RX_RING, RX_CHUNKS), (TX_RING, TX_CHUNKS)):
            self.sock.setsockopt(SOL_XDP, option, size)
        told = self.sock.getsockopt(SOL_XDP, MMAP_OFFSETS, 4 * _OFFSETS.size)
        rx, tx, fill, done = _OFFSETS.iter_unpack(told)
        _map_ring(&s.rx, s.fd, rx, RX_CHUNKS, sizeof(xdp_desc), RX_PAGES)
        _map_ring(&s.tx, s.fd, tx, TX_CHUNKS, sizeof(xdp_desc), TX_PAGES)
        _map_ring(&s.fill, s.fd, fill, RX_CHUNKS, sizeof(uint64_t), FILL_PAGES)
        _map_ring(&s.done, s.fd, done, TX_CHUNKS, sizeof(uint64_t), COMPLETION_PAGES)
        for i in range(RX_CHUNKS):
            (<uint64_t *> s.fill.entries)[i] = <uint64_t> i * CHUNK
        store32(s.fill.producer, RX_CHUNKS)
        for i in range(TX_CHUNKS):
            s.free[i] = <uint64_t> (RX_CHUNKS + i) * CHUNK
        s.n_free = TX_CHUNKS

    def bind(self, int ifindex, uint32_t queue, int flags, bint need_wakeup, double until):
        """`flags`: copying or not.  Sleeps while the queue is another socket's, `until` when."""
        cdef sockaddr_xdp address
        memset(&address, 0, sizeof(address))
        address.sxdp_family = AF_XDP
        address.sxdp_flags = <uint16_t> (flags | (USE_NEED_WAKEUP if need_wakeup else 0))
        address.sxdp_ifindex = ifindex
        address.sxdp_queue_id = queue
        while bind(self.s.fd, <sockaddr *> &address, sizeof(address)) != 0:
            if last_error != errno.EBUSY or time.monotonic() >= until:
                raise OSError(last_error, os.strerror(last_error))
            time.sleep(BIND_PAUSE)
        self.s.need_wakeup = need_wakeup

    def fileno(self):
        return self.s.fd

    def statistics(self):
        """What the kernel counts of the socket, {name: count}."""
        told = self.sock.getsockopt(SOL_XDP, STATISTICS, _STATISTICS.size)
        return dict(zip(STATISTIC_NAMES, _STATISTICS.unpack(told.ljust(_STATISTICS.size, b"\0"))))

    def is_bound(self):
        """Whether the device is there; it is told once that it went."""
        return not self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    cdef void _unmap(self) noexcept:
        global _memory
        cdef xdp_socket *s = self.s
        if s == NULL:
            return
        _unmap_ring(&s.rx)
        _unmap_ring(&s.fill)
        _unmap_ring(&s.tx)
        _unmap_ring(&s.done)
        if s.frames != NULL:
            munmap(s.frames, SOCKET_MEMORY)
            s.frames = NULL
            _memory -= SOCKET_MEMORY

    def close(self):
        """Idempotent; no worker may know it any more."""
        if self.sock is not None:
            self.sock.close()
        self.s.fd = -1
        self._unmap()
