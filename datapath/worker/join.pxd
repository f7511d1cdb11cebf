# TCP segments out of a tunnel that leave as one frame.

from libc.stdint cimport uint32_t

from datapath.base.packet cimport packet
from datapath.netdev.netdev cimport netdev
from datapath.worker.state cimport worker

cdef struct tcp_segment:
    bint v6
    uint32_t l4                 # offsets from the frame's first byte
    uint32_t payload

# False for what cannot be joined with anything on its way to this device.
cdef bint read_segment(netdev *dev, const packet *p, tcp_segment *s) noexcept nogil
# Adds the segment to the port's last frame; false, and nothing happened, where it does not continue it.
cdef bint join_segment(worker *w, netdev *dev, const packet *p, const tcp_segment *s) noexcept nogil
# The segment that was just put into the arena, as the port's last frame, may be continued.
cdef void begin_joining(worker *w, netdev *dev, const tcp_segment *s) noexcept nogil
# Makes a frame of the segments: before it is sent, and before another one begins.
cdef void finish_joining(worker *w) noexcept nogil
