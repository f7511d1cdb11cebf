"""Ports on interfaces of the kernel through AF_XDP: types afxdp and afxdp-nonpmd.

A socket for each receive queue, with rings and memory of its own (rings.pyx), and a program on the
device (program.py).  Frames are those that the device sees: no larger than a chunk, VLAN tags in
them, segments and checksums finished.  What is missing of the latter on virtual devices is found
out (partial_sum.pyx).
"""

import errno
import os
import socket
import struct
import time

from libc.errno cimport EAGAIN, EBUSY, EINTR, errno as last_error
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from datapath.base.atomic cimport load32, store32
from datapath.base.drops cimport (
    DROP_MTU_EXCEEDED, DROP_RX_INVALID, DROP_RX_QUEUE_FULL, DROP_TX_QUEUE_FULL,
)
from datapath.base.packet cimport packet, packet_init
from datapath.netdev.netdev cimport (
    BURST, VNET_SIZE, Netdev, mmsghdr, netdev, rx_burst, rxq, worker_port,
)
from datapath.xdp.partial_sum cimport note_partial_sum
from datapath.xdp.rings cimport *

from datapath.netdev.netdev import wanted_queues
from datapath.xdp.program import BEST_EFFORT, MODES, Attachment, modes_to_try
from datapath.xdp.rings import BIND_SECONDS

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    ssize_t sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to,
                   unsigned int length)
    ssize_t recvfrom(int fd, void *data, size_t size, int flags, sockaddr *of, unsigned int *length)
    int MSG_DONTWAIT

cdef enum:
    SMALLEST_FRAME = 14
    KERNEL_BATCH = 16           # frames that one call sends, at least, where the kernel copies them

TYPES = ("afxdp", "afxdp-nonpmd")
MAX_XDP_QUEUES = 16             # as of Open vSwitch
SOL_PACKET, ADD_MEMBERSHIP, MR_PROMISC = 263, 1, 1
# Counters of a socket that a port's statistics have, as in Open vSwitch.
TOLD = ("rx_dropped", "rx_invalid_descs", "tx_invalid_descs")
LOST = ("rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs")


cdef uint32_t xdp_receive(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil:
    cdef xdp_socket *s = <xdp_socket *> q.private
    cdef xdp_desc *d
    cdef packet *p
    cdef uint32_t at = s.rx.consumer[0]
    cdef uint32_t n = load32(s.rx.producer) - at
    cdef uint32_t i
    if n > BURST - burst.n:
        n = BURST - burst.n
    for i in range(at, at + n):
        d = &(<xdp_desc *> s.rx.entries)[i & s.rx.mask]
        if d.len < SMALLEST_FRAME:
            port.drops[DROP_RX_INVALID] += 1
            continue
        p = &burst.packets[burst.n]
        packet_init(p, s.frames + (d.addr & ~<uint64_t> (CHUNK - 1)), CHUNK,
                    <uint32_t> (d.addr & (CHUNK - 1)), d.len)
        note_partial_sum(p)
        port.rx_packets += 1
        port.rx_bytes += d.len
        burst.n += 1
    s.taken = n
    return n


cdef void xdp_release(rxq *q) noexcept nogil:
    """The chunks are the kernel's again: what it is given there are always as many as it took."""
    cdef xdp_socket *s = <xdp_socket *> q.private
    cdef uint32_t at = s.rx.consumer[0], to = s.fill.producer[0]
    cdef uint32_t i
    for i in range(s.taken):
        (<uint64_t *> s.fill.entries)[(to + i) & s.fill.mask] = (
            (<xdp_desc *> s.rx.entries)[(at + i) & s.rx.mask].addr & ~<uint64_t> (CHUNK - 1))
    store32(s.rx.consumer, at + s.taken)
    store32(s.fill.producer, to + s.taken)
    s.taken = 0
    if s.need_wakeup and load32(s.fill.flags) & XDP_RING_NEED_WAKEUP:
        recvfrom(s.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL)


cdef void _reclaim(xdp_socket *s) noexcept nogil:
    cdef uint32_t at = s.done.consumer[0]
    cdef uint32_t end = load32(s.done.producer)
    while at != end and s.n_free < TX_CHUNKS:
        s.free[s.n_free] = (<uint64_t *> s.done.entries)[at & s.done.mask]
        s.n_free += 1
        at += 1
    store32(s.done.consumer, at)


cdef void _kick(xdp_socket *s) noexcept nogil:
    """Have the kernel send what is in the ring: so many frames in each call.  What it cannot take
    now it sends with those that come next, or when somebody waits for the socket."""
    cdef uint32_t waiting = s.tx.producer[0] - load32(s.tx.consumer)
    cdef uint32_t left = waiting // KERNEL_BATCH + 2
    while left and load32(s.tx.consumer) != s.tx.producer[0]:
        if s.need_wakeup and not load32(s.tx.flags) & XDP_RING_NEED_WAKEUP:
            return
        left -= 1
        if (sendto(s.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0
                and last_error not in (EAGAIN, EBUSY, EINTR)):
            return


cdef inline bint _queue(xdp_socket *s, const uint8_t *frame, uint32_t size) noexcept nogil:
    """False: no chunk is free."""
    cdef uint32_t at = s.tx.producer[0]
    cdef xdp_desc *d = &(<xdp_desc *> s.tx.entries)[at & s.tx.mask]
    if not s.n_free:
        _kick(s)
        _reclaim(s)
        if not s.n_free:
            return False
    s.n_free -= 1
    d.addr = s.free[s.n_free]
    d.len = size
    d.options = 0
    memcpy(s.frames + d.addr, frame, size)
    store32(s.tx.producer, at + 1)
    return True


cdef void xdp_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    """Workers send by different queues, as far as there are."""
    cdef size_t place = <size_t> port - <size_t> dev.worker_ports
    cdef uint32_t queue = <uint32_t> (place // sizeof(worker_port)) % dev.n_queues
    cdef xdp_socket *s = <xdp_socket *> dev.queues[queue if port != &dev.control else 0].private
    cdef uint32_t i, size
    cdef const uint8_t *frame
    pthread_mutex_lock(&s.lock)
    _reclaim(s)
    for i in range(n):
        frame = <const uint8_t *> messages[i].msg_hdr.msg_iov.iov_base + VNET_SIZE
        size = <uint32_t> messages[i].msg_hdr.msg_iov.iov_len - VNET_SIZE
        if size > LARGEST_XDP_FRAME:
            port.drops[DROP_MTU_EXCEEDED] += 1
        elif _queue(s, frame, size):
            port.tx_packets += 1
            port.tx_bytes += size
        else:
            port.drops[DROP_TX_QUEUE_FULL] += 1
    _kick(s)
    pthread_mutex_unlock(&s.lock)


cdef void xdp_link_error(rxq *q) noexcept nogil:
    """There is one only: the device was unregistered, or left the namespace."""
    q.dev.link_errors += 1
    q.dev.dead = True


def _lost(counts):
    return sum(counts[name] for name in LOST)


def _index(name):
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _queues_of(options):
    n = wanted_queues(options)
    if n > MAX_XDP_QUEUES:
        raise ValueError(f"n_rxq: an AF_XDP port has {MAX_XDP_QUEUES} queues at most")
    return n


cdef class XdpNetdev(Netdev):
    """Opening and closing it takes a while.

    Options: xdp-mode (best-effort, native-with-zerocopy, native, generic), use-need-wakeup (true),
    n_rxq: queues of the device that are taken, from the first on.  `patient`: one that is somebody
    else's is waited for, for a moment."""

    cdef list sockets
    cdef object attachment
    cdef object promiscuous
    cdef dict wanted
    cdef dict lost                          # what was counted of each socket's losses before
    cdef readonly str mode                  # in use

    def __cinit__(self, *args):
        self.sockets, self.lost = [], {}

    def __init__(self, str name, dict options, uint32_t n_workers, str type,
                 bint patient=True):
        cdef double until = time.monotonic() + BIND_SECONDS if patient else 0
        self.type = type
        n_queues = _queues_of(options)
        wakeup = options.get("use-need-wakeup", "true")
        if wakeup not in ("true", "false"):
            raise ValueError(f"use-need-wakeup: {wakeup} is neither true nor false")
        self.wanted = {
            "n_rxq": str(n_queues),
            "use-need-wakeup": wakeup,
            "xdp-mode": options.get("xdp-mode", BEST_EFFORT),
        }
        modes = modes_to_try(self.wanted["xdp-mode"])
        self.ifindex = _index(name)
        self.dev.takes_offload = False
        self.dev.receive, self.dev.release = xdp_receive, xdp_release
        self.dev.send, self.dev.link_error = xdp_send, xdp_link_error
        self.make_queues(n_queues)
        try:
            self._open(modes, wakeup == "true", until)
            self._be_promiscuous()
        except OSError:
            self.close()
            raise

    def _open(self, modes, need_wakeup, until):
        """In the first of the modes that works; else the last one's error."""
        for mode in modes:
            try:
                self._open_as(mode, need_wakeup, until)
                self.mode = mode
                return
            except OSError as error:
                self._close_sockets()
                failed = error
        raise failed

    def _open_as(self, mode, need_wakeup, double until):
        cdef XdpSocket made
        cdef uint32_t queue
        self.attachment = Attachment(self.ifindex, self.dev.n_queues, mode)
        for queue in range(self.dev.n_queues):
            made = XdpSocket()
            self.sockets.append(made)
            made.bind(self.ifindex, queue, MODES[mode][1], need_wakeup, until)
            self.dev.queues[queue].private = made.s
            self.dev.queues[queue].fd = made.s.fd
        for queue in range(self.dev.n_queues):
            self.attachment.give(queue, self.sockets[queue].fileno())

    def _be_promiscuous(self):
        self.promiscuous = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        membership = struct.pack("IHH8s", self.ifindex, MR_PROMISC, 0, b"")
        self.promiscuous.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, membership)

    def told(self):
        return {**self.wanted, "xdp-mode-in-use": self.mode}

    cpdef refresh(self):
        cdef uint64_t count
        try:
            socket.if_indextoname(self.ifindex)
        except OSError:
            self.dev.dead = True
        for queue, each in enumerate(self.sockets):
            count = _lost(each.statistics())
            self.dev.control.drops[DROP_RX_QUEUE_FULL] += count - self.lost.get(queue, 0)
            self.lost[queue] = count

    def stats(self):
        counts = Netdev.stats(self)
        for queue, each in enumerate(self.sockets):
            told = each.statistics()
            counts.update({f"xsk_queue_{queue}_{name}": told[name] for name in TOLD})
        return counts

    def _close_sockets(self):
        cdef uint32_t queue
        if self.attachment is not None:
            self.attachment.close()
        self.attachment = None
        for each in self.sockets:
            each.close()
        self.sockets = []
        for queue in range(self.dev.n_queues if self.dev.queues != NULL else 0):
            self.dev.queues[queue].fd = -1
            self.dev.queues[queue].private = NULL

    def close(self):
        self._close_sockets()
        if self.promiscuous is not None:
            self.promiscuous.close()
        self.promiscuous = None
