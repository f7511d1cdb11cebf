"""The ct action in a worker: packets to the tracker, fragments when they are a packet again."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.actions.executor cimport CT_TAKEN, emit_fn
from datapath.actions.odp cimport ct_action
from datapath.base.drops cimport DROP_CT_NO_TRACKER, DROP_FRAG_MALFORMED
from datapath.base.clock cimport clock_ns
from datapath.base.hashing cimport hash_word
from datapath.base.packet cimport packet
from datapath.conntrack.fragments cimport (
    frag_expire, frag_free, frag_join, frag_split, frag_take, waiting,
)
from datapath.conntrack.track cimport ct_track
from datapath.key.flow cimport FRAG_ANY, flow_extract, flow_key
from datapath.netdev.netdev cimport BIG_SIZE
from datapath.base.protocols cimport ETH_IP
from datapath.worker.state cimport time_of, worker

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

MS = 1000000


cdef void lost(void *owner, uint32_t reason) noexcept nogil:
    (<worker *> owner).ingress.drops[reason] += 1


cdef void expire_fragments(worker *w) noexcept nogil:
    cdef uint64_t now
    if fragments_wait(w):
        now = clock_ns() // MS
        w.ingress = &w.no_port
        frag_expire(&w.fragments, now, lost, w)
        frag_expire(&w.outer_fragments, now, lost, w)


cdef inline uint64_t draw(worker *w) noexcept nogil:
    """A number for the choices of NAT, another one each time."""
    return hash_word(time_of(w) + w.n_packets, w.id)


cdef int track(void *owner, packet *p, flow_key *key, const ct_action *a, emit_fn emit,
               void *arg) noexcept nogil:
    cdef worker *w = <worker *> owner
    cdef bint wanted
    if w.connections == NULL:
        return DROP_CT_NO_TRACKER
    if key.nw_frag & FRAG_ANY:
        wanted = (w.fragments.settings.v4 if key.eth_type == htons(ETH_IP)
                  else w.fragments.settings.v6)
        if wanted:
            return track_fragment(w, p, key, a, emit, arg)
    return ct_track(w.connections, p, key, a, draw(w), time_of(w) // MS)


cdef int track_fragment(worker *w, packet *p, const flow_key *key, const ct_action *a,
                        emit_fn emit, void *arg) noexcept nogil:
    cdef waiting done
    cdef packet whole
    cdef flow_key whole_key
    cdef uint32_t i
    cdef int reason = frag_take(&w.fragments, p, key, ntohs(a.zone), time_of(w) // MS, &done, lost, w)
    if reason != -2:
        return CT_TAKEN if reason < 0 else reason
    whole.base = w.whole
    whole.capacity = BIG_SIZE
    reason = DROP_FRAG_MALFORMED
    if frag_join(&done, &whole):
        memset(&whole_key, 0, sizeof(whole_key))
        flow_extract(&whole, &whole_key)
        reason = ct_track(w.connections, &whole, &whole_key, a, draw(w), time_of(w) // MS)
    if reason < 0:
        frag_split(&done, &whole)
        for i in range(done.n):
            emit(arg, &done.list[i].p)
    else:
        for i in range(1, done.n):
            lost(w, reason)         # and one is counted by who called
    frag_free(&done)
    return CT_TAKEN if reason < 0 else reason
