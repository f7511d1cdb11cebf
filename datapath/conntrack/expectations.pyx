"""Connections that a helper expects; see expectations.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy, memset

from datapath.base.atomic cimport load32, store32
from datapath.conntrack.expectations cimport *
from datapath.conntrack.table cimport *

cdef enum:
    PATIENCE = 300000           # ms that a connection is expected


cdef inline bint _same(const ct_tuple *a, const ct_tuple *b) noexcept nogil:
    """But for the source's port."""
    return (a.dst_port == b.dst_port and a.zone == b.zone and a.proto == b.proto
            and a.family == b.family and memcmp(a.src, b.src, 32) == 0)


cdef expectation *_find(tracker *t, const ct_tuple *tuple, uint64_t now) noexcept nogil:
    cdef expectation *e
    cdef int i
    for i in range(CT_EXPECTED):
        e = &t.expected[i]
        if e.until > now and _same(&e.way[0], tuple):
            return e
    return NULL


cdef expectation *_free_place(tracker *t, uint64_t now) noexcept nogil:
    cdef expectation *e
    cdef int i
    for i in range(CT_EXPECTED):
        e = &t.expected[i]
        if e.until <= now:
            t.n_expected -= e.until != 0
            return e
    return NULL


cdef bint expected(tracker *t, const ct_tuple *tuple, uint64_t now, bint nat, bint take,
                   conn *parent) noexcept nogil:
    cdef expectation *e
    cdef expectation copy
    if load32(&t.n_expected) == 0:
        return False
    spin_lock(&t.expected_lock)
    e = _find(t, tuple, now)
    if e != NULL:
        copy = e[0]
        if take:
            e.until = 0
            store32(&t.n_expected, t.n_expected - 1)
    spin_unlock(&t.expected_lock)
    if e == NULL:
        return False
    memset(parent, 0, sizeof(conn))
    parent.way[0] = copy.parent
    parent.way[1] = copy.way[1]
    parent.mark = copy.mark
    memcpy(parent.label, copy.label, 16)
    if nat:
        parent.flags = copy.flags
    return True


cdef bint expect(tracker *t, const conn *c, int way, uint16_t port, uint16_t outside,
                 uint64_t now) noexcept nogil:
    """The announced connection begins where packets of `way` end: its first tuple is the other
    direction's, as it comes in; its answers are like packets of `way`."""
    cdef expectation *e
    cdef ct_tuple first = c.way[1 - way]
    cdef bint done = False
    first.src_port = 0
    first.dst_port = outside
    spin_lock(&t.expected_lock)
    e = _find(t, &first, now)
    if e == NULL:
        e = _free_place(t, now)
        done = e != NULL
    elif memcmp(&e.parent, &c.way[0], sizeof(ct_tuple)) == 0:
        done = True             # said again
        t.n_expected -= 1
    if done:
        e.way[0] = first
        e.way[1] = c.way[way]
        e.way[1].src_port = port
        e.until = now + PATIENCE
        e.mark = c.mark
        memcpy(e.label, c.label, 16)
        e.parent = c.way[0]
        e.flags = c.flags & (CONN_SNAT | CONN_DNAT)
        if way == 0 and e.flags:
            e.flags ^= CONN_SNAT | CONN_DNAT        # it comes from the other side
        store32(&t.n_expected, t.n_expected + 1)
    spin_unlock(&t.expected_lock)
    return done
