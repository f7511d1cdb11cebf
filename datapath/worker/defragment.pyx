"""The tnl_defrag action in a worker: outer packets of tunnels whose underlay cut them into fragments.

They are put together before the outer header is taken off, as a host does with a tunnel's socket;
with a table and bounds of their own, beside the tracker's, whose settings are the user's.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.executor cimport CT_DONE, CT_TAKEN
from datapath.actions.odp cimport tunnel_end
from datapath.base.drops cimport DROP_BAD_ACTION, DROP_FRAG_MALFORMED
from datapath.base.packet cimport packet
from datapath.base.protocols cimport PROTO_UDP
from datapath.conntrack.fragments cimport *
from datapath.key.flow cimport FRAG_ANY, flow_extract, flow_key
from datapath.worker.state cimport time_of, worker
from datapath.worker.track cimport MS, lost
from datapath.worker.transmit cimport output

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t)

OUTER.v4 = OUTER.v6 = True
OUTER.most = FRAG_DEFAULT_MAX
OUTER.timeout = FRAG_OUTER_TIMEOUT
OUTER.evicts = True


cdef int defragment(void *owner, const packet *p, const flow_key *key, const uint8_t *payload,
                    uint32_t length, packet *whole, flow_key *whole_key, uint32_t *port) noexcept nogil:
    cdef worker *w = <worker *> owner
    cdef waiting done
    cdef uint32_t otherwise
    cdef int reason
    if not key.nw_frag & FRAG_ANY:
        return DROP_BAD_ACTION
    memcpy(&otherwise, payload, 4)
    # The port tells one bridge's host from another's.
    reason = frag_take(&w.outer_fragments, p, key, <uint16_t> otherwise, time_of(w) // MS, &done, lost, w)
    if reason != -2:
        return CT_TAKEN if reason < 0 else reason
    if frag_ecn(&done) < 0 or not frag_join(&done, whole):
        lose(w, &done)
        return DROP_FRAG_MALFORMED
    memset(whole_key, 0, sizeof(flow_key))
    flow_extract(whole, whole_key)
    if find_tunnel(whole_key, payload + 4, length - 4, port):
        frag_free(&done)
        return CT_DONE
    send_pieces(w, &done, otherwise)
    return CT_TAKEN


cdef bint find_tunnel(const flow_key *key, const uint8_t *at, uint32_t length, uint32_t *port) noexcept nogil:
    cdef uint16_t udp_port = ntohs(key.tp_dst) if key.nw_proto == PROTO_UDP else 0
    cdef tunnel_end end
    while length >= sizeof(tunnel_end):
        memcpy(&end, at, sizeof(tunnel_end))
        if end.proto == key.nw_proto and end.udp_port == udp_port:
            port[0] = end.port
            return True
        at += sizeof(tunnel_end)
        length -= <uint32_t> sizeof(tunnel_end)
    return False


cdef void send_pieces(worker *w, waiting *done, uint32_t port) noexcept nogil:
    cdef uint32_t i
    w.x.last = False            # their memory is given back here
    for i in range(done.n):
        output(w, &done.list[i].p, port)
    frag_free(done)


cdef void lose(worker *w, waiting *done) noexcept nogil:
    cdef uint32_t i
    for i in range(1, done.n):
        lost(w, DROP_FRAG_MALFORMED)        # and one is counted by who called
    frag_free(done)
