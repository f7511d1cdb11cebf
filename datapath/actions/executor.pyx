"""The buffers of copies that actions make; see executor.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.actions.executor cimport *
from datapath.base.clock cimport clock_ns
from datapath.base.drops cimport DROP_NO_MEMORY, DROP_RECIRC_TOO_DEEP
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_copy
from datapath.key.flow cimport KEY_SIZE, flow_key


cdef void executor_init(executor *x) noexcept nogil:
    x.random = (clock_ns() << 20 ^ <uint64_t> <size_t> x) | 1
    x.depth = x.work = 0
    x.last = x.wrote_tunnel = x.told = False
    memset(x.scratch, 0, sizeof(x.scratch))
    memset(x.scratch_size, 0, sizeof(x.scratch_size))


cdef void executor_free(executor *x) noexcept nogil:
    cdef int i
    for i in range(MAX_EXECUTE_DEPTH):
        free(x.scratch[i])
        x.scratch[i] = NULL
        x.scratch_size[i] = 0


cdef bint take_buffer(execution *e, packet *p, uint32_t room) noexcept nogil:
    cdef executor *x = e.x
    cdef uint32_t size = PACKET_HEADROOM + e.p.size + room
    if x.depth >= MAX_EXECUTE_DEPTH:
        drop(e, DROP_RECIRC_TOO_DEEP)
        return False
    if x.scratch_size[x.depth] < size:
        free(x.scratch[x.depth])
        size = max(size, <uint32_t> 2048)
        x.scratch[x.depth] = <uint8_t *> malloc(size)
        x.scratch_size[x.depth] = size if x.scratch[x.depth] != NULL else 0
        if x.scratch[x.depth] == NULL:
            drop(e, DROP_NO_MEMORY)
            return False
    p.base = x.scratch[x.depth]
    p.capacity = x.scratch_size[x.depth]
    return True


cdef bint copy_packet(execution *e, execution *copy, packet *p, flow_key *key) noexcept nogil:
    if not take_buffer(e, p, ROOM):
        return False
    packet_copy(p, e.p, PACKET_HEADROOM)
    memcpy(key, e.key, KEY_SIZE)
    copy[0] = e[0]
    copy.p = p
    copy.key = key
    return True
