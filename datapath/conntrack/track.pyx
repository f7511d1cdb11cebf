"""A packet meets the table of connections: its state, its connection, its translation.

What Open vSwitch's userspace datapath says of a packet is said here, too: ovs-fields(7), ct_state.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset, strncmp

from datapath.actions.executor cimport CT_DONE
from datapath.actions.odp cimport *
from datapath.base.drops cimport DROP_CT_NAT_EXHAUSTED
from datapath.base.atomic cimport store64
from datapath.base.packet cimport ct_metadata, packet
from datapath.base.protocols cimport *
from datapath.conntrack.expectations cimport expected
from datapath.conntrack.helpers cimport helper_before, helper_packet
from datapath.conntrack.keys cimport *
from datapath.conntrack.nat cimport *
from datapath.conntrack.simple cimport simple_new, simple_update, simple_valid_new
from datapath.conntrack.table cimport *
from datapath.conntrack.tcp cimport *
from datapath.conntrack.track cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

# One packet's way through the tracker.
cdef struct passage:
    tracker *t
    packet *p
    flow_key *key
    const ct_action *a
    uint64_t now
    uint64_t random
    ct_tuple tuple
    extraction kind
    uint32_t inner              # with KEY_RELATED
    uint32_t state              # CS_*, host order
    bint natted                 # it was translated in this zone before
    conn *c                     # locked, or NULL
    int way
    int lost                    # CT_DONE, or a reason


# ---- What the packet is told ----

cdef void _tell_tuple(ct_metadata *ct, const ct_tuple *t) noexcept nogil:
    ct.nw_proto = t.proto
    ct.v6 = t.family == 6
    if ct.v6:
        memcpy(ct.ipv6_src, t.src, 16)
        memcpy(ct.ipv6_dst, t.dst, 16)
    else:
        memcpy(&ct.nw_src, t.src, 4)
        memcpy(&ct.nw_dst, t.dst, 4)
    if t.proto == (PROTO_ICMP if t.family == 4 else PROTO_ICMPV6):
        ct.tp_src = htons((<const uint8_t *> &t.dst_port)[0])
        ct.tp_dst = htons((<const uint8_t *> &t.dst_port)[1])
    else:
        ct.tp_src = t.src_port
        ct.tp_dst = t.dst_port


cdef void _tell(passage *s, const conn *c, const ct_tuple *original) noexcept nogil:
    """Fills p.ct; `original`: the tuple of the original direction, NULL: unknown."""
    cdef ct_metadata *ct = &s.p.ct
    memset(ct, 0, sizeof(ct_metadata))
    ct.state = htonl(s.state | CS_TRK)
    ct.zone = s.a.zone
    if c != NULL:
        ct.mark = c.mark
        memcpy(ct.label, c.label, 16)
    if original != NULL:
        _tell_tuple(ct, original)


cdef void _set_mark_and_label(conn *c, const ct_action *a) noexcept nogil:
    cdef int i
    if a.flags & CT_MARK:
        c.mark = (c.mark & ~a.mark_mask) | (a.mark & a.mark_mask)
    if a.flags & CT_LABEL:
        for i in range(16):
            c.label[i] = (c.label[i] & ~a.label_mask[i]) | (a.label[i] & a.label_mask[i])


# ---- Protocols ----

cdef bint _valid_new(passage *s) noexcept nogil:
    if s.tuple.proto == PROTO_TCP:
        return tcp_valid_new(s.p.data + s.p.l4)
    return simple_valid_new(&s.tuple)


cdef void _new_state(passage *s, conn *c) noexcept nogil:
    if s.tuple.proto == PROTO_TCP:
        tcp_new(s.t, c, s.p.data + s.p.l4, l4_size(s.p), s.now)
    else:
        simple_new(s.t, c, s.now)


cdef update _update(passage *s) noexcept nogil:
    if s.tuple.proto == PROTO_TCP:
        return tcp_update(s.t, s.c, s.way, s.p.data + s.p.l4, l4_size(s.p), s.now)
    return simple_update(s.t, s.c, s.way, s.now)


# ---- A known connection ----

cdef void _forget(passage *s) noexcept nogil:
    """Removes the connection in hand."""
    cdef conn *c = s.c
    cdef uint32_t id = c.id
    store64(&c.expiration, 0)   # who looks it up meanwhile has the bucket's lock, not this one
    conn_unlock(c)
    ct_remove(s.t, c, id)
    s.c = NULL


cdef void _find(passage *s) noexcept nogil:
    cdef ct_tuple reversed
    if s.natted:
        # It has the tuple that it leaves with: its answers' reversed.
        tuple_reverse(&s.tuple, &reversed)
        s.c = ct_find(s.t, &reversed, s.now, &s.way)
        s.way = 1 - s.way
    if s.c == NULL:
        s.c = ct_find(s.t, &s.tuple, s.now, &s.way)
    if s.c != NULL and s.a.flags & CT_FORCE and s.way == 1:
        _forget(s)


cdef void _of_connection(passage *s) noexcept nogil:
    """The state of a packet that has a connection; which is forgotten where it begins anew."""
    cdef update what
    s.state &= CS_SNAT | CS_DNAT
    if s.kind == KEY_RELATED:
        s.state |= CS_REL | (CS_RPL if s.way else 0)
        return
    if s.c.flags & CONN_RELATED:
        s.state |= CS_REL
    if s.c.alg:
        helper_before(s.p, s.c, s.way)
    what = _update(s)
    if what == UPDATE_RESTART:
        _forget(s)
    elif what == UPDATE_INVALID:
        s.state = CS_INV
    elif what == UPDATE_NEW:
        s.state |= CS_NEW
    else:
        s.state |= CS_EST | (CS_RPL if s.way else 0)


# ---- A new one ----

cdef uint8_t _policy(const tracker *t, const char *name) noexcept nogil:
    cdef int i
    if not name[0]:
        return 0
    for i in range(1, CT_MAX_POLICIES):
        if strncmp(t.head.policies[i].name, name, CT_NAME) == 0:
            return <uint8_t> i
    return 0


cdef nat_result _insert(passage *s, conn *c) noexcept nogil:
    if s.a.flags & (CT_SRC | CT_DST):
        return nat_insert(s.t, c, s.a, s.random, s.now)
    if not c.flags & (CONN_SNAT | CONN_DNAT):
        tuple_reverse(&c.way[0], &c.way[1])
    if ct_insert(s.t, c, s.now):
        return NAT_DONE
    return NAT_KNOWN if ct_exists(s.t, &c.way[0], s.now) else NAT_EXHAUSTED


cdef bint _commit(passage *s, const conn *parent) noexcept nogil:
    """Makes the connection; true where another worker did and it is to be looked up again."""
    cdef conn *c = ct_take(s.t, s.tuple.zone)
    cdef nat_result result
    if c == NULL:
        return False            # counted; the packet goes on as a new one
    c.way[0] = s.tuple
    c.alg = s.a.alg
    c.policy = _policy(s.t, s.a.timeout)
    if parent != NULL:
        c.flags = CONN_RELATED | parent.flags
        c.parent = parent.way[0]
        c.way[1] = parent.way[1]
        c.way[1].dst_port = s.tuple.src_port
        c.mark = parent.mark
        memcpy(c.label, parent.label, 16)
    _new_state(s, c)
    result = _insert(s, c)
    if result == NAT_DONE:
        s.c = c
        s.way = 0
        return False
    ct_give_back(s.t, c)
    if result == NAT_KNOWN:
        return True
    ct_count(&s.t.counters.exhausted)
    s.lost = DROP_CT_NAT_EXHAUSTED
    return False


cdef bint _begin(passage *s) noexcept nogil:
    """A packet without a connection.  True: look again."""
    cdef conn parent
    cdef bint related
    if s.kind == KEY_RELATED or not _valid_new(s):
        s.state = CS_INV
        _tell(s, NULL, &s.tuple)
        return False
    s.state = CS_NEW
    related = expected(s.t, &s.tuple, s.now, s.a.flags & CT_NAT, s.a.flags & CT_COMMIT, &parent)
    if related:
        s.state |= CS_REL
    if s.a.flags & CT_COMMIT and _commit(s, &parent if related else NULL):
        return True
    if s.c == NULL:
        _tell(s, &parent if related else NULL, &parent.way[0] if related else &s.tuple)
    return False


# ---- The whole ----

cdef void _finish(passage *s) noexcept nogil:
    """With the connection in hand: translation, mark and label, what the packet is told."""
    cdef conn *c = s.c
    if s.a.flags & CT_NAT and c.flags & (CONN_SNAT | CONN_DNAT) and not s.natted:
        nat_packet(s.p, s.key, c, s.way, &s.tuple, s.inner)
        s.state |= nat_state(c, s.way)
    _set_mark_and_label(c, s.a)
    _tell(s, c, &c.parent if c.flags & CONN_RELATED else &c.way[0])
    if c.alg and s.kind == KEY_GOOD:
        helper_packet(s.t, s.p, s.key, c, s.way, s.a.flags & CT_NAT, s.now)
    conn_unlock(c)


cdef int ct_track(tracker *t, packet *p, flow_key *key, const ct_action *a, uint64_t random,
                  uint64_t now) noexcept nogil:
    cdef passage s
    cdef int tries
    s.t = t
    s.p = p
    s.key = key
    s.a = a
    s.now = now
    s.random = random
    s.c = NULL
    s.way = 0
    s.inner = 0
    s.lost = CT_DONE
    s.state = ntohl(p.ct.state) if p.ct.state and p.ct.zone == a.zone else 0
    s.natted = (s.state & (CS_SNAT | CS_DNAT)) != 0
    s.kind = tuple_extract(p, key, ntohs(a.zone), &s.tuple, &s.inner)
    if s.kind == KEY_BAD or s.kind == KEY_BAD_SUM:
        if s.kind == KEY_BAD_SUM:
            ct_count(&t.counters.bad_checksum)
        s.state = CS_INV
        _tell(&s, NULL, NULL)
        return CT_DONE
    for tries in range(4):
        _find(&s)
        if s.c != NULL:
            _of_connection(&s)
        if s.c != NULL or not _begin(&s):
            break
    else:
        # Each time another worker made the connection, and it was gone again.
        s.state = CS_NEW
        _tell(&s, NULL, &s.tuple)
    if s.c != NULL:
        _finish(&s)
    return s.lost


# ---- What a burst will need ----

cdef uint32_t ct_prefetch(const tracker *t, const flow_key *key, const ct_action *a) noexcept nogil:
    cdef ct_tuple tuple
    if key.nw_frag or (key.nw_proto != PROTO_TCP and key.nw_proto != PROTO_UDP):
        return NO_BUCKET
    memset(&tuple, 0, sizeof(tuple))
    if not tuple_take_addresses(&tuple, key):
        return NO_BUCKET
    tuple.src_port = key.tp_src
    tuple.dst_port = key.tp_dst
    tuple.zone = ntohs(a.zone)
    tuple.proto = key.nw_proto
    return prefetch_bucket(t, &tuple)


cdef void ct_prefetch_connection(const tracker *t, uint32_t bucket) noexcept nogil:
    if bucket != NO_BUCKET:
        prefetch_first(t, bucket)
