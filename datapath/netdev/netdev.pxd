# What a network device is to a worker: the provider interface of af_packet, tap, dummy and
# tunnel.
#
# A cdef class Netdev (control thread, Python) owns the file descriptors, rings and memory, and
# embeds the C struct netdev, which is all that a worker sees.  Rules:
#   - A device has one or more receive queues.  Only the worker that owns a queue calls receive and
#     release of it, and link_error.  Any worker may call send.
#   - No method blocks, allocates, or closes anything.  Errors are counted, not returned.
#   - Netdev.close() is called after every worker has let go of the device.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.base.drops cimport DROP_REASONS
from datapath.base.packet cimport packet

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

cdef enum:
    BURST = 32
    VNET_SIZE = 10              # bytes of a virtio-net header in front of a frame
    BIG_BUFFERS = 16            # of a worker, for frames that do not lie in a ring slot
    LARGEST_FRAME = 65535 + 18
    BIG_SIZE = 66560            # 65535 bytes, tags and headroom
    MAX_PORTS = 65536           # port numbers are 1 .. MAX_PORTS - 1
    MAX_WORKERS = 64            # their ids are below
    MAX_QUEUES = 64             # of a port
    NO_WORKER = 0xffffffff

# Frames received in one go.  A packet of it lies in memory of the device (a ring slot) or in a
# big buffer of the worker, with at least PACKET_HEADROOM / 2 bytes of room in front, and is the
# worker's, to change as well, until release().
cdef struct rx_burst:
    uint32_t n
    uint32_t big_used
    uint8_t *big                # BIG_BUFFERS * BIG_SIZE bytes
    packet packets[BURST]

# What one worker keeps of one port; nobody else writes it, anyone may read it.
cdef struct worker_port:
    uint64_t rx_packets
    uint64_t rx_bytes
    uint64_t rx_errors
    uint64_t tx_packets
    uint64_t tx_bytes
    uint64_t drops[DROP_REASONS]
    # frames waiting to be sent in this round: a list in worker.frames
    uint32_t tx_first
    uint32_t tx_last
    uint32_t tx_count
    uint32_t tx_priority        # skb_priority of all of them, where the device prioritizes
    # its packets in the worker's up ring; see upcalls.pyx
    uint64_t upcall_window      # the ring's head when the present window began
    uint32_t upcall_bytes       # put into the ring since then,
    uint32_t upcall_bytes_before    # and in the window before

# Appends frames to the burst, until it is full, big buffers run out, or nothing waits.  Fills
# packet.vnet; a VLAN tag that came beside the frame is put into it; metadata is the caller's.
# Counts rx_packets, rx_bytes, and drops of what it could not take.  Returns how many frames
# were taken in, dropped ones included: 0 means that nothing waits.
ctypedef uint32_t (*receive_fn)(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil
# Gives the memory of all frames received back to the device.
ctypedef void (*release_fn)(rxq *q) noexcept nogil
# Sends n frames; each message has one iovec: a struct virtio_net_hdr, then the frame.  Counts
# tx_packets, tx_bytes and drops.  Keeps no reference.
ctypedef void (*send_fn)(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil
# epoll reported an error condition: clear it, and set `dead` if the device is gone for good.
ctypedef void (*link_error_fn)(rxq *q) noexcept nogil

# What the device says now of the largest IP packet that it sends; 0: nothing.
ctypedef uint32_t (*mtu_fn)(netdev *dev) noexcept nogil

# A receive queue.  All but `owner` belongs to the worker that polls it.
cdef struct rxq:
    netdev *dev
    void *private
    uint32_t id
    int fd                      # what epoll watches; -1: nothing comes by itself
    uint32_t owner              # the worker that receives, or NO_WORKER
    bint ready                  # in its list of queues that may have something
    uint64_t n_packets
    uint64_t busy               # cycles that its packets took; see base/cycles.pxd

cdef struct netdev:
    receive_fn receive
    release_fn release
    send_fn send
    link_error_fn link_error
    mtu_fn read_mtu             # NULL: it takes all that it can be given
    uint32_t mtu                # as last read
    bint prioritizes            # send() looks at worker_port.tx_priority: the qdisc may
    void *private
    bint takes_offload          # false: the worker completes checksums and segments before send
    bint into_stack             # send() runs the host's own stack: frames for others go first
    bint dead                   # the interface is gone; never comes back
    bint not_exact              # what it receives puts no flow into the exact-match cache
    bint diverted               # its frames come by another device, which may go
    uint64_t link_errors
    uint32_t port_no
    uint32_t port_be            # the same in network order
    uint32_t tunnel_kind        # TUNNEL_*; TUNNEL_NONE: a port that receives
    uint32_t n_queues
    rxq *queues
    uint32_t n_worker_ports     # of worker_ports, how many have been of use
    worker_port *worker_ports   # MAX_WORKERS, by the workers' ids
    worker_port control         # the control thread's
    # the kernel cache's: a device that its programs may send to, 0: none; and its frames pass them
    uint32_t kernel_index
    bint kernel_cached
    bint kernel_bare            # they will: it has no classifier before the first flow is hot ...
    bint kernel_asked           # ... and then a worker asks for it

# What send functions count a failed transmission under.
cdef uint32_t drop_of_errno(int error) noexcept nogil

cdef class Netdev:
    cdef netdev dev
    cdef readonly str name
    cdef readonly str type
    cdef readonly dict options
    cdef readonly int ifindex               # 0: not a device of the kernel
    # Once, before any worker knows the device: as many queues, each with the device's private part.
    cdef int make_queues(self, uint32_t n) except -1
    cdef uint64_t total(self, const uint64_t *counter)
    cpdef refresh(self)
