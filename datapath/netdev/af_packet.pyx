"""Ports on interfaces of the kernel (veth, NIC ...) through AF_PACKET.

Receiving: a TPACKET_V2 ring of small slots with virtio-net headers.  A frame larger than its
slot (GSO makes frames of up to 64 KiB) arrives with TP_STATUS_COPY, and recvmsg() on the same
socket has it whole.  Sending: a second socket without protocol, sendmmsg() with virtio-net
headers, past the qdisc.  See packet(7), Documentation/networking/packet_mmap.rst.
"""

import ctypes
import errno as error_numbers
import os
import socket
import struct

from libc.errno cimport EAGAIN, EINTR, ENETDOWN, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from datapath.base.atomic cimport load32, store32
from datapath.base.drops cimport (
    DROP_NO_HEADROOM,
    DROP_RX_INVALID,
    DROP_RX_OVERSIZE,
    DROP_RX_QUEUE_FULL,
)
from datapath.netdev.netdev cimport (
    BIG_BUFFERS,
    BIG_SIZE,
    BURST,
    LARGEST_FRAME,
    VNET_SIZE,
    Netdev,
    drop_of_errno,
    iovec,
    mmsghdr,
    msghdr,
    netdev,
    rxq,
    worker_port,
    rx_burst,
)
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_init, packet_push_vlan
from datapath.base.protocols cimport ETH_VLAN

from datapath.netdev.handover import nothing_lost
from datapath.netdev.netdev import wanted_queues

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t ntohl(uint32_t)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int n, int flags)
    int getsockopt(int fd, int level, int name, void *value, unsigned int *length)
    struct sockaddr:
        pass
    int getsockname(int fd, sockaddr *address, unsigned int *length)
    struct cmsghdr:
        int cmsg_level
        int cmsg_type
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    void *CMSG_DATA(cmsghdr *c)
    size_t CMSG_SPACE(size_t n)
    int MSG_DONTWAIT
    int MSG_TRUNC
    int SOL_SOCKET
    int SO_PRIORITY
    int setsockopt(int fd, int level, int name, const void *value, unsigned int length)
    int SO_ERROR

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, void *argument)

cdef extern from "<linux/sockios.h>" nogil:
    int SIOCGIFNAME, SIOCGIFMTU

cdef extern from "<net/if.h>" nogil:
    struct ifreq:
        int ifr_ifindex
        int ifr_mtu

cdef extern from "<linux/if_packet.h>" nogil:
    struct tpacket2_hdr:
        uint32_t tp_status
        uint32_t tp_len
        uint32_t tp_snaplen
        uint16_t tp_mac
        uint16_t tp_vlan_tci
        uint16_t tp_vlan_tpid
    struct tpacket_auxdata:
        uint32_t tp_status
        uint32_t tp_len
        uint16_t tp_vlan_tci
        uint16_t tp_vlan_tpid
    struct sockaddr_ll:
        int sll_ifindex
    struct tpacket_stats:
        unsigned int tp_packets
        unsigned int tp_drops
    uint32_t TP_STATUS_KERNEL
    uint32_t TP_STATUS_USER
    uint32_t TP_STATUS_COPY
    uint32_t TP_STATUS_VLAN_VALID
    uint32_t TP_STATUS_VLAN_TPID_VALID
    int PACKET_AUXDATA, PACKET_COPY_THRESH, PACKET_IGNORE_OUTGOING
    int PACKET_RESERVE, PACKET_RX_RING, PACKET_VERSION, PACKET_VNET_HDR, PACKET_STATISTICS
    int PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, TPACKET_V2

cdef extern from "<sys/socket.h>" nogil:
    int SOL_PACKET

cdef enum:
    SLOT_HEADER = 32            # TPACKET_ALIGN(sizeof(struct tpacket2_hdr)): ours to write after
    SMALLEST_FRAME = 14
    BLOCK_SIZE = 65536          # the kernel allots the ring in such pieces
    ETH_P_ALL = 3
    QUEUES_MAJOR = 0x10000      # of the qdisc's handle, and of its classes'
    QUEUES = 0xf000             # classes behind are others' (see vswitchd/qos/tc.py)

SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_ATTACH_BPF = 26, 27, 50
PACKET_FANOUT = 18              # its type HASH is 0
FANOUT_UNIQUEID, FANOUT_IGNORE_OUTGOING = 0x2000, 0x4000

# In front of each: what it takes to have one 64 KiB frame in flight; the kernel doubles it.
RECEIVE_BUFFER = 8 << 20
SEND_BUFFER = 4 << 20


cdef inline void _put_tag(packet *p, uint32_t status, uint16_t tci, uint16_t tpid,
                          worker_port *port, rx_burst *burst) noexcept nogil:
    """Append the packet to the burst, with the VLAN tag that the kernel gave beside it."""
    if status & TP_STATUS_VLAN_VALID:
        if not status & TP_STATUS_VLAN_TPID_VALID:
            tpid = ETH_VLAN
        if not packet_push_vlan(p, htons(tpid), htons(tci)):
            port.drops[DROP_NO_HEADROOM] += 1
            return
    port.rx_packets += 1
    port.rx_bytes += p.size
    burst.n += 1


cdef void _take_slot(tpacket2_hdr *slot, uint32_t status, worker_port *port,
                     rx_burst *burst) noexcept nogil:
    cdef packet *p = &burst.packets[burst.n]
    cdef uint8_t *start = <uint8_t *> slot + SLOT_HEADER
    cdef uint32_t at = slot.tp_mac
    if (slot.tp_snaplen < SMALLEST_FRAME or at < SLOT_HEADER + VNET_SIZE
            or at + slot.tp_snaplen > SLOT_SIZE):
        port.drops[DROP_RX_INVALID] += 1
        return
    packet_init(p, start, SLOT_SIZE - SLOT_HEADER, at - SLOT_HEADER, slot.tp_snaplen)
    memcpy(&p.vnet, p.data - VNET_SIZE, VNET_SIZE)
    _put_tag(p, status, slot.tp_vlan_tci, slot.tp_vlan_tpid, port, burst)


cdef void _take_big(int fd, worker_port *port, rx_burst *burst) noexcept nogil:
    """Fetch a frame that did not fit its slot from the socket's queue into a big buffer.

    The VLAN tag comes from the frame's own auxiliary data: with several senders the order of
    the queue can differ from that of the slots.
    """
    cdef packet *p = &burst.packets[burst.n]
    cdef uint8_t *base = burst.big + <size_t> burst.big_used * BIG_SIZE
    cdef uint8_t control[64]
    cdef iovec vector
    cdef msghdr message
    cdef cmsghdr *c
    cdef tpacket_auxdata *aux
    cdef ssize_t n
    vector.iov_base = base + PACKET_HEADROOM - VNET_SIZE
    vector.iov_len = LARGEST_FRAME + VNET_SIZE
    memset(&message, 0, sizeof(message))
    message.msg_iov = &vector
    message.msg_iovlen = 1
    message.msg_control = control
    message.msg_controllen = sizeof(control)
    n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC)
    if n < 0 and (errno == ENETDOWN or errno == EINTR):    # the news of a link that went down
        message.msg_controllen = sizeof(control)
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC)
    if n < 0:
        port.drops[DROP_RX_QUEUE_FULL] += 1
        return
    if n > LARGEST_FRAME + VNET_SIZE:
        port.drops[DROP_RX_OVERSIZE] += 1
        return
    if n < SMALLEST_FRAME + VNET_SIZE:
        port.drops[DROP_RX_INVALID] += 1
        return
    packet_init(p, base, BIG_SIZE, PACKET_HEADROOM, <uint32_t> (n - VNET_SIZE))
    memcpy(&p.vnet, p.data - VNET_SIZE, VNET_SIZE)
    burst.big_used += 1
    c = CMSG_FIRSTHDR(&message)
    if c != NULL and c.cmsg_level == SOL_PACKET and c.cmsg_type == PACKET_AUXDATA:
        aux = <tpacket_auxdata *> CMSG_DATA(c)
        _put_tag(p, aux.tp_status, aux.tp_vlan_tci, aux.tp_vlan_tpid, port, burst)
    else:
        _put_tag(p, 0, 0, 0, port, burst)


cdef uint32_t packet_receive(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil:
    cdef packet_ring *io = <packet_ring *> q.private
    cdef tpacket2_hdr *slot
    cdef uint32_t status, taken = 0
    while burst.n < BURST and taken < BURST:
        slot = <tpacket2_hdr *> (io.slots + <size_t> (io.next & io.slot_mask) * SLOT_SIZE)
        status = load32(&slot.tp_status)
        if not status & TP_STATUS_USER:
            break
        if slot.tp_snaplen >= slot.tp_len:
            _take_slot(slot, status, port, burst)
        elif status & TP_STATUS_COPY:
            if burst.big_used == BIG_BUFFERS:
                break
            _take_big(io.fd, port, burst)
        else:
            port.drops[DROP_RX_QUEUE_FULL] += 1     # the socket's buffer had no room for it
        io.next += 1
        io.taken += 1
        taken += 1
    return taken


cdef void packet_release(rxq *q) noexcept nogil:
    cdef packet_ring *io = <packet_ring *> q.private
    cdef uint32_t i
    for i in range(io.next - io.taken, io.next):
        store32(io.slots + <size_t> (i & io.slot_mask) * SLOT_SIZE, TP_STATUS_KERNEL)
    io.taken = 0


cdef inline int _send_some(int fd, mmsghdr *messages, uint32_t n) noexcept nogil:
    """How many frames went, from the first on; -1 when that one failed, for errno's reason."""
    cdef const iovec *only = messages.msg_hdr.msg_iov
    if n > 1:
        return sendmmsg(fd, messages, n, MSG_DONTWAIT)
    return -1 if send(fd, only.iov_base, only.iov_len, MSG_DONTWAIT) < 0 else 1


cdef void packet_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    cdef packet_io *io = <packet_io *> dev.private
    if not port.tx_priority and not load32(&io.has_priorities):
        _send(io.tx_fd, messages, n, port)
        return
    store32(&io.has_priorities, 1)
    pthread_mutex_lock(&io.lock)
    if io.priority != port.tx_priority:
        _prioritize(io, port.tx_priority)
    _send(io.tx_fd, messages, n, port)
    pthread_mutex_unlock(&io.lock)


cdef void _send(int fd, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    cdef uint32_t i = 0, end
    cdef int sent
    while i < n:
        sent = _send_some(fd, messages + i, n - i)
        if sent < 0:
            if errno == EINTR:
                continue
            # The first of the rest failed: count it, go on behind it.  After the link went
            # down the kernel tells so once through the socket, and once more for each frame.
            port.drops[drop_of_errno(errno)] += 1
            i += 1
            continue
        end = i + <uint32_t> sent
        while i < end:
            port.tx_packets += 1
            port.tx_bytes += messages[i].msg_hdr.msg_iov.iov_len - VNET_SIZE
            i += 1


cdef void _prioritize(packet_io *io, uint32_t skb_priority) noexcept nogil:
    """A queue's number becomes the class that its QoS has for it: sch_htb and sch_hfsc look there.
    There is none for QUEUES and above."""
    cdef uint32_t queue = ntohl(skb_priority)
    cdef int value = <int> (QUEUES_MAJOR | queue + 1) if 0 < queue < QUEUES else 0
    io.priority = skb_priority
    setsockopt(io.tx_fd, SOL_SOCKET, SO_PRIORITY, &value, sizeof(value))


cdef bint _unbound(int fd) noexcept nogil:
    """Whether the interface was unregistered or left the namespace: then the kernel unbinds."""
    cdef sockaddr_ll address
    cdef unsigned int length = sizeof(sockaddr_ll)
    address.sll_ifindex = 0
    return getsockname(fd, <sockaddr *> &address, &length) == 0 and address.sll_ifindex <= 0


cdef uint32_t packet_mtu(netdev *dev) noexcept nogil:
    cdef packet_io *io = <packet_io *> dev.private
    cdef sockaddr_ll address
    cdef unsigned int length = sizeof(sockaddr_ll)
    cdef ifreq request
    memset(&request, 0, sizeof(request))
    if getsockname(io.tx_fd, <sockaddr *> &address, &length) < 0:
        return 0
    request.ifr_ifindex = address.sll_ifindex
    if ioctl(io.tx_fd, SIOCGIFNAME, &request) < 0 or ioctl(io.tx_fd, SIOCGIFMTU, &request) < 0:
        return 0
    return <uint32_t> request.ifr_mtu


cdef void packet_link_error(rxq *q) noexcept nogil:
    cdef int error = 0
    cdef unsigned int length = sizeof(error)
    q.dev.link_errors += 1
    getsockopt(q.fd, SOL_SOCKET, SO_ERROR, &error, &length)
    if _unbound(q.fd) and not q.dev.diverted:
        q.dev.dead = True


def _set_buffer(sock, forced, plain, size):
    """Ask for a socket buffer of `size`; an ordinary user gets what the system allows."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)


def _deafen(sock):
    """Let nothing pass, by a program of one instruction: return 0."""
    code = struct.pack("HBBI", 6, 0, 0, 0)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


cdef size_t _rings = 0          # bytes of all receive rings of this process


def _slots(options, n_queues):
    """Of each of a port's rings.  OSError where they are more than the least, and all ports' rings
    together would have more than RINGS_MOST bytes."""
    usual = DEFAULT_SLOTS if _rings < RINGS_PLENTY else FEWER_SLOTS
    text = options.get("n_rxq_desc", str(usual))
    if not text.isdigit() or not 64 <= int(text) <= MAX_SLOTS or int(text) & (int(text) - 1):
        raise ValueError(f"n_rxq_desc: {text} is not a power of two from 64 to {MAX_SLOTS}")
    wanted = int(text) * n_queues
    if wanted > FEWER_SLOTS and _rings + wanted * SLOT_SIZE > <size_t> RINGS_MOST:
        raise OSError(ENOBUFS, os.strerror(ENOBUFS))
    return int(text)


cdef class PacketNetdev(Netdev):
    """type "system".

    Options: n_rxq_desc, the slots of the receive ring (256; 64 where there are many ports); n_rxq,
    how many rings there are, among which the kernel shares out connections (PACKET_FANOUT_HASH).
    With `deaf` nothing comes before set_filter().
    """

    def __cinit__(self, *args):
        self.rx_sockets = []

    def __init__(self, str name, dict options, uint32_t n_workers, bint deaf=False):
        self.type = "system"
        self.deaf = deaf
        self.open_device(name)

    def __dealloc__(self):
        free(self.rings)

    cdef open_device(self, str device):
        cdef uint32_t n_queues = wanted_queues(self.options)
        cdef uint32_t slots = _slots(self.options, n_queues)
        self.dev.private = &self.io
        self.make_queues(n_queues)
        self.rings = <packet_ring *> calloc(n_queues, sizeof(packet_ring))
        if self.rings == NULL:
            raise MemoryError()
        try:
            if n_queues == 1 or not self._open_shared(device, slots):
                self.dev.n_queues = 1
                self._open_receive(device, slots, 0, self.deaf)
            self._open_send()
        except OSError:
            self.close()
            raise
        self.dev.receive = packet_receive
        self.dev.release = packet_release
        self.dev.send = packet_send
        self.dev.prioritizes = True
        self.dev.link_error = packet_link_error
        self.dev.read_mtu = packet_mtu

    def _open_receive(self, str device, uint32_t slots, uint32_t number, bint deaf):
        """`deaf`: nothing comes before the filter is taken off."""
        global _rings
        cdef void *memory
        cdef packet_ring *ring = &self.rings[number]
        rx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.rx_sockets.append(rx)
        _set_buffer(rx, 33, socket.SO_RCVBUF, RECEIVE_BUFFER)     # SO_RCVBUFFORCE
        if deaf:
            _deafen(rx)
        for option, value in (
            (PACKET_VERSION, TPACKET_V2),
            (PACKET_VNET_HDR, 1),
            (PACKET_RESERVE, SLOT_RESERVE),
            (PACKET_COPY_THRESH, 1),
            (PACKET_IGNORE_OUTGOING, 1),
            (PACKET_AUXDATA, 1),
        ):
            rx.setsockopt(SOL_PACKET, option, value)
        size = slots * SLOT_SIZE
        request = struct.pack("IIII", BLOCK_SIZE, size // BLOCK_SIZE, SLOT_SIZE, slots)
        rx.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, rx.fileno(), 0)
        if memory == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))
        ring.mapped = size
        _rings += size
        ring.slots = <uint8_t *> memory
        ring.slot_mask = slots - 1
        ring.fd = self.dev.queues[number].fd = rx.fileno()
        self.dev.queues[number].private = ring
        rx.bind((device, ETH_P_ALL))
        self.ifindex = self.source = socket.if_nametoindex(device)
        membership = struct.pack("IHH8s", self.ifindex, PACKET_MR_PROMISC, 0, b"")
        rx.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)

    def _open_shared(self, str device, uint32_t slots):
        """Each frame goes to one of the rings, those of a connection to the same.

        False, and none is open, where the kernel would give us what we send as well (before Linux
        6.0)."""
        for number in range(self.dev.n_queues):
            self._open_receive(device, slots, number, True)
        words = FANOUT_UNIQUEID | FANOUT_IGNORE_OUTGOING
        group = 0
        for rx in self.rx_sockets:
            try:
                rx.setsockopt(SOL_PACKET, PACKET_FANOUT, words << 16 | group)
            except OSError:
                self.close()
                return False
            words = FANOUT_IGNORE_OUTGOING
            group = rx.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xffff
        if not self.deaf:
            self.set_filter(-1)
        return True

    def _open_send(self):
        tx = self.tx_socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        _set_buffer(tx, 32, socket.SO_SNDBUF, SEND_BUFFER)        # SO_SNDBUFFORCE
        tx.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        # No PACKET_QDISC_BYPASS: it hides what we send from tcpdump and from tc, and paired with the
        # bridge TCP and small UDP packets were no slower without (bench/forwarding).
        tx.bind((socket.if_indextoname(self.ifindex), 0))
        self.io.tx_fd = tx.fileno()

    def take_from(self, int index):
        """Receive what the device `index` sends, in place of what our own receives; our own: as ever.

        OSError; EOPNOTSUPP where there are several rings, whose sockets stay where they are."""
        if index == self.source:
            return
        if len(self.rx_sockets) != 1:
            raise OSError(error_numbers.EOPNOTSUPP, os.strerror(error_numbers.EOPNOTSUPP))
        rx, name = self.rx_sockets[0], socket.if_indextoname(index)
        # On our own device it is never to hear what we send.
        if index == self.ifindex:
            rx.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            try:
                rx.bind((name, ETH_P_ALL))
            except OSError:     # of the device where it stays, what goes out is what we want
                rx.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 0)
                raise
            self.source = index
        else:
            self.dev.diverted = True
            try:
                with nothing_lost(name):
                    rx.bind((name, ETH_P_ALL))
                    self.source = index
                    rx.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 0)
            finally:
                self.dev.diverted = self.source != self.ifindex
            return
        self.dev.diverted = False

    def _come_back(self):
        """From a device that is gone, to our own."""
        try:
            self.take_from(self.ifindex)
        except OSError:
            self.dev.dead = True

    def set_filter(self, int fd):
        """A BPF program through which frames pass first, -1: none.  OSError."""
        for rx in self.rx_sockets:
            if fd < 0:
                rx.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            else:
                rx.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, fd)

    cpdef refresh(self):
        cdef tpacket_stats counts
        cdef unsigned int length = sizeof(counts)
        self.dev.mtu = packet_mtu(&self.dev)
        if self.dev.diverted and _unbound(self.io.tx_fd):
            self.dev.dead = True
        for rx in self.rx_sockets:
            # A link that went down before it was deleted says so once only, and too early.
            if _unbound(rx.fileno()):
                if self.dev.diverted:
                    self._come_back()
                else:
                    self.dev.dead = True
            # Reading resets the kernel's counters.
            if getsockopt(rx.fileno(), SOL_PACKET, PACKET_STATISTICS, &counts, &length) == 0:
                self.dev.control.drops[DROP_RX_QUEUE_FULL] += counts.tp_drops

    def close(self):
        global _rings
        cdef uint32_t i
        for i in range(self.dev.n_queues if self.rings != NULL else 0):
            if self.rings[i].slots != NULL:
                munmap(self.rings[i].slots, self.rings[i].mapped)
                self.rings[i].slots = NULL
                _rings -= self.rings[i].mapped
            self.dev.queues[i].fd = -1
        for sock in (*self.rx_sockets, self.tx_socket):
            if sock is not None:
                sock.close()
        self.rx_sockets = []
        self.tx_socket = None
