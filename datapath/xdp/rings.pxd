# An AF_XDP socket with its memory for frames (UMEM) and its four rings; see rings.pyx.
#
# Who receives owns rx and fill; tx, done, free and n_free are of who holds the lock.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef enum:
    CHUNK = 4096                # bytes for a frame
    RX_CHUNKS = 512             # of a socket; powers of two, as rings are
    TX_CHUNKS = 512
    SOCKET_MEMORY = (RX_CHUNKS + TX_CHUNKS) * CHUNK
    XDP_RING_NEED_WAKEUP = 1
    LARGEST_XDP_FRAME = CHUNK - 256     # the kernel keeps room in front

cdef struct xdp_desc:
    uint64_t addr               # from the memory's start
    uint32_t len
    uint32_t options

cdef struct xdp_ring:
    uint32_t *producer
    uint32_t *consumer
    uint32_t *flags
    void *entries               # xdp_desc, or uint64_t of fill and done
    uint32_t mask
    void *memory
    size_t mapped

cdef struct xdp_socket:
    int fd
    uint32_t need_wakeup        # the kernel says when it wants to be called
    uint8_t *frames
    xdp_ring rx
    xdp_ring fill               # chunks for the kernel to put frames into
    xdp_ring tx
    xdp_ring done               # chunks whose frames are sent
    uint32_t taken              # of rx, handed out and not given back yet
    pthread_mutex_t lock        # all 0: unlocked
    uint32_t n_free
    uint64_t free[TX_CHUNKS]

cdef class XdpSocket:
    cdef xdp_socket *s          # allocated: a netdev's queues refer to it
    cdef object sock
    cdef void _unmap(self) noexcept
