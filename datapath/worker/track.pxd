# The ct action, as execute_actions() calls it.

from libc.stdint cimport uint32_t, uint64_t

from datapath.actions.executor cimport emit_fn
from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key
from datapath.worker.state cimport worker

cdef uint64_t MS               # ns

# Counts a fragment that is lost, for frag_take().
cdef void lost(void *owner, uint32_t reason) noexcept nogil

# Whether fragments wait for others; and an end of those that have waited too long.
cdef inline bint fragments_wait(const worker *w) noexcept nogil:
    return w.fragments.n_fragments or w.outer_fragments.n_fragments

cdef void expire_fragments(worker *w) noexcept nogil

cdef int track(void *owner, packet *p, flow_key *key, const ct_action *a, emit_fn emit,
               void *arg) noexcept nogil
