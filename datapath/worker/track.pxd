# The ct action, as execute_actions() calls it.

from datapath.actions.execute cimport emit_fn
from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

cdef int track(void *owner, packet *p, flow_key *key, const ct_action *a, emit_fn emit,
               void *arg) noexcept nogil
