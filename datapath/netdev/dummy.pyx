"""type "dummy": frames are injected and read by request, so that tests need no interfaces.

Takes no offload state, so what it is given to send is what an ordinary NIC would put on a wire.
A spin lock guards the frames that wait, as any worker may send; nothing here is meant to be fast.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.base.atomic cimport exchange32, store32
from datapath.base.drops cimport DROP_NO_MEMORY, DROP_TX_QUEUE_FULL
from datapath.netdev.netdev cimport VNET_SIZE, Netdev, mmsghdr, netdev, netdev_side, rx_burst

cdef enum:
    QUEUE_LIMIT = 1024          # frames that wait for being read
    BYTES_LIMIT = 2 << 20       # and their bytes: one answer carries them all


cdef uint32_t dummy_receive(netdev *dev, rx_burst *burst, netdev_side *side) noexcept nogil:
    return 0                    # the worker is given injected frames by command


cdef void dummy_release(netdev *dev) noexcept nogil:
    pass


cdef inline void _lock(dummy_io *io) noexcept nogil:
    while exchange32(&io.locked, 1):
        pass


cdef inline void _unlock(dummy_io *io) noexcept nogil:
    store32(&io.locked, 0)


cdef void _append(dummy_io *io, const uint8_t *data, uint32_t size, netdev_side *side) noexcept nogil:
    cdef dummy_frame *frame
    if io.n >= QUEUE_LIMIT or io.bytes + size > BYTES_LIMIT:
        side.drops[DROP_TX_QUEUE_FULL] += 1
        return
    frame = <dummy_frame *> malloc(sizeof(dummy_frame) + size)
    if frame == NULL:
        side.drops[DROP_NO_MEMORY] += 1
        return
    frame.next = NULL
    frame.size = size
    frame.data = <uint8_t *> (frame + 1)
    memcpy(frame.data, data, size)
    if io.first == NULL:
        io.first = frame
    else:
        io.last.next = frame
    io.last = frame
    io.n += 1
    io.bytes += size
    side.tx_packets += 1
    side.tx_bytes += size


cdef void dummy_send(netdev *dev, mmsghdr *messages, uint32_t n, netdev_side *side) noexcept nogil:
    cdef dummy_io *io = <dummy_io *> dev.private
    cdef uint32_t i
    _lock(io)
    for i in range(n):
        _append(io, <uint8_t *> messages[i].msg_hdr.msg_iov.iov_base + VNET_SIZE,
                <uint32_t> messages[i].msg_hdr.msg_iov.iov_len - VNET_SIZE, side)
    _unlock(io)


cdef dummy_frame *dummy_take(dummy_io *io) noexcept nogil:
    cdef dummy_frame *first
    _lock(io)
    first = io.first
    io.first = io.last = NULL
    io.n = io.bytes = 0
    _unlock(io)
    return first


cdef void dummy_link_error(netdev *dev) noexcept nogil:
    pass


cdef class DummyNetdev(Netdev):
    """No options."""

    def __init__(self, str name, dict options, uint32_t n_workers):
        self.type = "dummy"
        memset(&self.io, 0, sizeof(self.io))
        self.dev.takes_offload = False
        self.dev.receive = dummy_receive
        self.dev.release = dummy_release
        self.dev.send = dummy_send
        self.dev.link_error = dummy_link_error
        self.dev.private = &self.io

    def drain(self):
        """The frames sent by this port since the last call, oldest first."""
        cdef dummy_frame *frame = dummy_take(&self.io)
        cdef dummy_frame *following
        frames = []
        while frame != NULL:
            frames.append(frame.data[: frame.size])
            following = frame.next
            free(frame)
            frame = following
        return frames

    def close(self):
        self.drain()
