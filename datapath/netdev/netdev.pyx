"""Network devices as the control thread has them; netdev.pxd says what a provider must do."""

from libc.errno cimport EAGAIN, EBADF, EIO, EMSGSIZE, ENETDOWN, ENOBUFS, ENODEV, ENXIO
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from datapath.base.drops cimport (
    DROP_MTU_EXCEEDED,
    DROP_PORT_DOWN,
    DROP_REASONS,
    DROP_RX_INVALID,
    DROP_RX_OVERSIZE,
    DROP_RX_QUEUE_FULL,
    DROP_TX_ERROR,
    DROP_TX_QUEUE_FULL,
)

from datapath.base import drops

LONGEST_NUMBER = 9              # digits


def wanted_queues(options, name="n_rxq"):
    """The number of queues that a port's options ask for: 1 where they make no sense, as in Open
    vSwitch, and MAX_QUEUES at most."""
    text = options.get(name, "1")
    if not text.isdecimal() or len(text) > LONGEST_NUMBER:
        return 1
    return min(max(int(text), 1), MAX_QUEUES)


cdef uint32_t drop_of_errno(int error) noexcept nogil:
    if error in (EAGAIN, ENOBUFS):
        return DROP_TX_QUEUE_FULL
    if error in (ENETDOWN, ENXIO, ENODEV, EIO, EBADF):
        return DROP_PORT_DOWN
    if error == EMSGSIZE:
        return DROP_MTU_EXCEEDED
    return DROP_TX_ERROR


cdef worker_port NO_PORT    # nobody's: where a counter lies in one

_RX_DROPS = (DROP_RX_OVERSIZE, DROP_RX_QUEUE_FULL)
EXACT = "emc-enable"

_TX_DROPS = (DROP_TX_QUEUE_FULL, DROP_PORT_DOWN, DROP_MTU_EXCEEDED)


cdef class Netdev:
    """A port's device.  Subclasses: PacketNetdev, TapNetdev, DummyNetdev.

    Their constructor takes (name, options, n_workers: how many ids of workers are in use) and opens
    the device: OSError when that fails, ValueError for an option that makes no sense.
    """

    def __cinit__(self, str name, dict options, uint32_t n_workers, *args):
        self.name = name
        self.keep_options(options)
        self.dev.takes_offload = True
        self.dev.n_worker_ports = n_workers
        # Pages of workers that there are not are never touched.
        self.dev.worker_ports = <worker_port *> calloc(MAX_WORKERS, sizeof(worker_port))
        if self.dev.worker_ports == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.dev.worker_ports)
        free(self.dev.queues)

    cdef int make_queues(self, uint32_t n) except -1:
        cdef uint32_t i
        self.dev.queues = <rxq *> calloc(n, sizeof(rxq))
        if self.dev.queues == NULL:
            raise MemoryError()
        self.dev.n_queues = n
        for i in range(n):
            self.dev.queues[i].dev = &self.dev
            self.dev.queues[i].private = self.dev.private
            self.dev.queues[i].id = i
            self.dev.queues[i].fd = -1
            self.dev.queues[i].owner = <uint32_t> NO_WORKER
        return 0

    def close(self):
        """Give everything back; no worker may know the device any more.  Idempotent."""

    cpdef refresh(self):
        """Bring counters that the kernel keeps, and `ifindex`, up to date."""

    def set_options(self, dict options):
        """Others than it was opened with; False, and nothing is changed, where one has to be from the
        beginning."""
        cdef str name
        for name in options.keys() | self.options.keys():
            if name != EXACT and options.get(name) != self.options.get(name):
                return False
        self.keep_options(options)
        return True

    def keep_options(self, dict options):
        """These are its own, and all that concerns every device is done about them."""
        self.options = dict(options)
        self.dev.not_exact = options.get(EXACT) == "false"

    def told(self):
        """What is told of its configuration besides its type, {name: text}."""
        return {}

    @property
    def port_no(self):
        return self.dev.port_no

    @property
    def n_queues(self):
        return self.dev.n_queues

    def queues(self):
        """Of each queue by its id: (number of the worker that polls it, packets, cycles they took)."""
        return [(self.dev.queues[i].owner, self.dev.queues[i].n_packets, self.dev.queues[i].busy)
                for i in range(self.dev.n_queues)]

    @property
    def dead(self):
        """Whether the interface is gone, so that only closing is left."""
        return bool(self.dev.dead)

    cdef uint64_t total(self, const uint64_t *counter):
        """Of all workers; `counter` is one of NO_PORT's."""
        cdef size_t offset = <size_t> counter - <size_t> &NO_PORT
        cdef uint64_t total = (<uint64_t *> (<uint8_t *> &self.dev.control + offset))[0]
        cdef uint32_t i
        for i in range(self.dev.n_worker_ports):
            total += (<uint64_t *> (<uint8_t *> &self.dev.worker_ports[i] + offset))[0]
        return total

    def drops(self):
        """Discarded packets by reason, {name: count}, reasons that never happened left out."""
        counts = {
            drops.NAMES[i]: self.total(&NO_PORT.drops[<int> i]) for i in range(DROP_REASONS)
        }
        return {name: count for name, count in counts.items() if count}

    def stats(self):
        """The OpenFlow port counters, {name: count}; GSO frames count once."""
        names = drops.NAMES
        return {
            "rx_packets": self.total(&NO_PORT.rx_packets),
            "tx_packets": self.total(&NO_PORT.tx_packets),
            "rx_bytes": self.total(&NO_PORT.rx_bytes),
            "tx_bytes": self.total(&NO_PORT.tx_bytes),
            "rx_dropped": sum(self.total(&NO_PORT.drops[<int> i]) for i in _RX_DROPS),
            "tx_dropped": sum(self.total(&NO_PORT.drops[<int> i]) for i in _TX_DROPS),
            "rx_errors": self.total(&NO_PORT.rx_errors)
            + self.total(&NO_PORT.drops[DROP_RX_INVALID]),
            "tx_errors": self.total(&NO_PORT.drops[DROP_TX_ERROR]),
            "rx_frame_err": self.total(&NO_PORT.drops[DROP_RX_INVALID]),
            "rx_over_err": self.total(&NO_PORT.drops[DROP_RX_QUEUE_FULL]),
            "rx_crc_err": 0,
            "collisions": 0,
        }
