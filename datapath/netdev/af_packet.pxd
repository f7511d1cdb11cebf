# A network interface of the kernel through AF_PACKET: see af_packet.pyx.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from datapath.netdev.netdev cimport Netdev, mmsghdr, netdev, worker_port

cdef enum:
    SLOT_SIZE = 2048
    DEFAULT_SLOTS = 256         # of a ring
    MAX_SLOTS = 4096            # as of Open vSwitch
    FEWER_SLOTS = 64            # of each further one, where all together have RINGS_PLENTY bytes
    RINGS_PLENTY = 64 << 20
    RINGS_MOST = 256 << 20      # of all together, but for ports that ask for the least
    SLOT_RESERVE = 96           # room for headers in front of a frame, besides the slot's own

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass

# Of one receive queue.
cdef struct packet_ring:
    uint8_t *slots
    size_t mapped               # bytes
    uint32_t slot_mask          # slots - 1; a power of two
    uint32_t next               # the slot that the kernel fills next, free-running
    uint32_t taken              # slots handed out and not yet given back, those before `next`
    int fd

cdef struct packet_io:
    int tx_fd
    # The socket's priority belongs to all workers: who sends holds it, as soon as one that is not
    # 0 was there.  All 0 is an unlocked mutex.
    pthread_mutex_t lock
    uint32_t priority           # of the key, as the socket has it
    uint32_t has_priorities

# Sends with sendmmsg(2); also what counts the results.
cdef void packet_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil

cdef class PacketNetdev(Netdev):
    cdef packet_io io
    cdef packet_ring *rings             # as many as there are queues
    cdef list rx_sockets
    cdef object tx_socket
    cdef bint deaf                      # when it is opened
    cdef readonly int source            # ifindex of the device by which its frames come
    cdef open_device(self, str device)
