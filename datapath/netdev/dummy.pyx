"""Types "dummy", "dummy-internal" and "dummy-pmd": frames are injected and read by request, so that
tests need no interfaces.  Options as Open vSwitch's: pcap, rxq_pcap and tx_pcap name files that get
a copy of each frame.

Takes no offload state, so what it is given to send is what an ordinary NIC would put on a wire.
A spin lock guards the frames that wait, as any worker may send; nothing here is meant to be fast.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.errno cimport errno
from libc.stdio cimport FILE, fclose, fdopen, fflush, fwrite
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from posix.fcntl cimport O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY, open as open_fd
from posix.unistd cimport close as close_fd, write

import os

from datapath.netdev.netdev import wanted_queues

from datapath.base.atomic cimport exchange32, store32
from datapath.base.clock cimport clock_ns
from datapath.base.drops cimport DROP_NO_MEMORY, DROP_TX_QUEUE_FULL
from datapath.netdev.netdev cimport VNET_SIZE, Netdev, mmsghdr, netdev, rxq, rx_burst, worker_port

cdef extern from "fcntl.h":
    int O_CLOEXEC

TYPES = ("dummy", "dummy-internal", "dummy-pmd")

cdef struct pcap_header:        # of a file: pcap-savefile(5)
    uint32_t magic
    uint16_t major
    uint16_t minor
    uint32_t zone
    uint32_t accuracy
    uint32_t longest
    uint32_t link_type

cdef struct pcap_record:        # of a frame
    uint32_t seconds
    uint32_t microseconds
    uint32_t stored
    uint32_t size

cdef enum:
    QUEUE_LIMIT = 1024          # frames that wait for being read
    BYTES_LIMIT = 2 << 20       # and their bytes: one answer carries them all


cdef uint32_t dummy_receive(rxq *q, rx_burst *burst, worker_port *port) noexcept nogil:
    return 0                    # the worker is given injected frames by command


cdef void dummy_release(rxq *q) noexcept nogil:
    pass


cdef inline void _lock(dummy_io *io) noexcept nogil:
    while exchange32(&io.locked, 1):
        pass


cdef inline void _unlock(dummy_io *io) noexcept nogil:
    store32(&io.locked, 0)


cdef FILE *_open_pcap(const char *path) noexcept:
    """NULL and errno where it cannot be.  Neither the control thread nor a worker waits for whoever is
    to read a FIFO: one without a reader is refused, and of one that is full the rest is lost."""
    cdef pcap_header head = [0xa1b2c3d4, 2, 4, 0, 0, 65535, 1]
    cdef int fd = open_fd(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0o666)
    cdef FILE *file = NULL
    if fd < 0:
        return NULL
    file = fdopen(fd, "wb")
    if file == NULL:
        close_fd(fd)
        return NULL
    fwrite(&head, sizeof(head), 1, file)
    fflush(file)
    return file


cdef void close_files(FILE *sent, FILE *received) noexcept:
    if received != NULL and received != sent:
        fclose(received)
    if sent != NULL:
        fclose(sent)


cdef void _write_pcap(FILE *file, const uint8_t *data, uint32_t size) noexcept nogil:
    cdef uint64_t now = clock_ns() // 1000
    cdef pcap_record head
    head.seconds = <uint32_t> (now // 1000000)
    head.microseconds = <uint32_t> (now % 1000000)
    head.stored = head.size = size
    fwrite(&head, sizeof(head), 1, file)
    fwrite(data, size, 1, file)
    fflush(file)                # whoever is told that the frame was sent may read it here


cdef void _append(dummy_io *io, const uint8_t *data, uint32_t size, worker_port *port) noexcept nogil:
    cdef dummy_frame *frame
    cdef uint64_t one = 1
    if io.sent != NULL:
        _write_pcap(io.sent, data, size)
    if io.n >= QUEUE_LIMIT or io.bytes + size > BYTES_LIMIT:
        port.drops[DROP_TX_QUEUE_FULL] += 1
        return
    frame = <dummy_frame *> malloc(sizeof(dummy_frame) + size)
    if frame == NULL:
        port.drops[DROP_NO_MEMORY] += 1
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
    port.tx_packets += 1
    port.tx_bytes += size
    if io.event >= 0:
        write(io.event, &one, 8)


cdef void dummy_send(netdev *dev, mmsghdr *messages, uint32_t n, worker_port *port) noexcept nogil:
    cdef dummy_io *io = <dummy_io *> dev.private
    cdef uint32_t i
    _lock(io)
    for i in range(n):
        _append(io, <uint8_t *> messages[i].msg_hdr.msg_iov.iov_base + VNET_SIZE,
                <uint32_t> messages[i].msg_hdr.msg_iov.iov_len - VNET_SIZE, port)
    _unlock(io)


cdef dummy_frame *dummy_take(dummy_io *io) noexcept nogil:
    cdef dummy_frame *first
    _lock(io)
    first = io.first
    io.first = io.last = NULL
    io.n = io.bytes = 0
    _unlock(io)
    return first


cdef void dummy_link_error(rxq *q) noexcept nogil:
    pass


cdef class DummyNetdev(Netdev):
    """`type` is one of TYPES.  Unknown options are left alone."""

    def __init__(self, str name, dict options, uint32_t n_workers, str type="dummy"):
        self.type = type
        memset(&self.io, 0, sizeof(self.io))
        self.io.event = -1
        self.dev.takes_offload = False
        self.dev.receive = dummy_receive
        self.dev.release = dummy_release
        self.dev.send = dummy_send
        self.dev.link_error = dummy_link_error
        self.dev.private = &self.io
        self.make_queues(wanted_queues(options) if type == "dummy-pmd" else 1)
        try:
            self.configure(options)
        except BaseException:
            self.close()
            raise

    def configure(self, dict options):
        """The files that these options name, in place of those that it has.  OSError where one cannot
        be written: then nothing changes."""
        cdef FILE *sent = NULL
        cdef FILE *received = NULL
        if options.get("pcap"):
            sent = received = self.open_file(options["pcap"])
        else:
            if options.get("tx_pcap"):
                sent = self.open_file(options["tx_pcap"])
            if options.get("rxq_pcap"):
                try:
                    received = self.open_file(options["rxq_pcap"])
                except BaseException:
                    close_files(sent, NULL)
                    raise
        self.keep_options(options)
        self._take_files(sent, received)

    cdef int _take_files(self, FILE *sent, FILE *received) except -1:
        cdef FILE *old_sent = self.io.sent
        cdef FILE *old_received = self.io.received
        _lock(&self.io)
        self.io.sent = sent
        self.io.received = received
        _unlock(&self.io)
        close_files(old_sent, old_received)
        return 0

    cdef FILE *open_file(self, str path) except NULL:
        cdef bytes name = os.fsencode(path)
        cdef FILE *file = _open_pcap(name)
        cdef int error = errno
        if file == NULL:
            raise OSError(error, f"{path}: cannot be written: {os.strerror(error)}", path)
        return file

    cdef int note_received(self, bytes frame) except -1:
        """A frame that is about to be injected."""
        if self.io.received != NULL:
            _lock(&self.io)
            _write_pcap(self.io.received, frame, <uint32_t> len(frame))
            _unlock(&self.io)
        return 0

    def tell(self, int event):
        """Have this eventfd (-1: none) written when a frame waits for drain()."""
        self.io.event = event

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
        self._take_files(NULL, NULL)
