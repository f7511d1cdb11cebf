# Steps of a list of actions that have to do with tunnels: a header is put on or taken off, or its
# packet's fragments are put together.  Each returns what a step does: 0 to go on, 2 where the packet is
# kept elsewhere or all the rest of the list is done, else minus the reason (DROP_*) of its loss, minus 1.

from libc.stdint cimport uint8_t, uint32_t

from datapath.actions.executor cimport execution

# ACT_TUNNEL_PUSH at `at`, `length` bytes with all that stands behind it.
cdef int push_tunnel(execution *e, const uint8_t *at, uint32_t length) noexcept nogil
# ACT_TUNNEL_POP, likewise.  `last`: nothing is done with the packet afterwards.
cdef int pop_tunnel(execution *e, const uint8_t *at, uint32_t length, bint last) noexcept nogil
# ACT_TUNNEL_DEFRAG, of which this is the payload.
cdef int defragment_tunnel(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil
