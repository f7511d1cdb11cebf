"""What is to be counted and learned for each packet of a flow, without translating it again.

There is one for each flow in the datapath.  The effects stand in an array of C structs: with
lists and tuples for them the garbage collector took most of an upcall's time.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF, Py_XINCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ofproto.rules.classifier cimport Classifier, Rule
from ofproto.xlate.state.learning cimport LearnEffect
from ofproto.xlate.bridges.mac_learning cimport MacEntry, MacLearning
from ofproto.xlate.state.recirc cimport FrozenState, RecircTable
from ofproto.xlate.bridges.xbond cimport XBond
from ofproto.xlate.bridges.xbridge cimport XBridge, XBundle, XPort
from ofproto.xlate.bridges.xgroup cimport XBucket, XGroup
from ofproto.xlate.bridges.xmirror cimport XMirror


cdef enum:
    TCP_FIN = 0x01
    TCP_RST = 0x04


@cython.no_gc
cdef class XCache:
    """Not known to the garbage collector: who drops a flow drops its cache, and with it the
    references that lead in a circle (by the watchers of a MAC table)."""

    def __cinit__(self):
        self.effects = self.few
        self.capacity = FEW_EFFECTS

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.n):
            Py_XDECREF(self.effects[i].first)
            Py_XDECREF(self.effects[i].second)
        if self.effects is not self.few:
            free(self.effects)

    cdef int add(self, effect_kind kind, object first, object second=None,
                 uint64_t key=0) except -1:
        cdef effect *e
        if self.n == self.capacity:
            self.grow()
        e = &self.effects[self.n]
        e.kind = kind
        e.first = <PyObject *> first
        e.second = NULL if second is None else <PyObject *> second
        e.key = key
        Py_XINCREF(e.first)
        Py_XINCREF(e.second)
        self.n += 1
        return 0

    cdef int grow(self) except -1:
        cdef effect *more = <effect *> malloc(4 * self.capacity * sizeof(effect))
        if more is NULL:
            raise MemoryError
        memcpy(more, self.effects, self.n * sizeof(effect))
        if self.effects is not self.few:
            free(self.effects)
        self.effects = more
        self.capacity *= 4
        return 0

    cdef int credit(self, uint64_t packets, uint64_t n_bytes, int64_t used) except -1:
        if not packets:
            return 0
        self.count(packets, n_bytes, used)
        return self.learn(used)

    cdef int count(self, uint64_t packets, uint64_t n_bytes, int64_t used) except -1:
        cdef effect *e
        cdef uint32_t i
        for i in range(self.n):
            e = &self.effects[i]
            if e.kind == X_TABLE:
                (<Classifier> e.first).n_lookup += packets
                if e.second is not NULL:
                    (<Classifier> e.first).n_matched += packets
                    credit_rule(<Rule> e.second, packets, n_bytes, used)
            elif e.kind == X_PATCH:
                (<XPort> e.first).tx_packets += packets
                (<XPort> e.first).tx_bytes += n_bytes
                (<XPort> e.second).rx_packets += packets
                (<XPort> e.second).rx_bytes += n_bytes
            elif e.kind == X_RECEIVED:
                (<XPort> e.first).rx_packets += packets
                (<XPort> e.first).rx_bytes += n_bytes
            elif e.kind == X_SENT:
                (<XPort> e.first).tx_packets += packets
                (<XPort> e.first).tx_bytes += n_bytes
            elif e.kind == X_DROP:
                (<object> e.first).count += packets
            elif e.kind == X_GROUP:
                credit_group(<XGroup> e.first, e.second, packets, n_bytes)
            elif e.kind == X_BOND:
                (<XBond> e.first).n_bytes[e.key] += n_bytes
            elif e.kind == X_MIRROR:
                (<XMirror> e.first).n_packets += packets
                (<XMirror> e.first).n_bytes += n_bytes
            elif e.kind == X_NETFLOW:
                (<object> e.first).count(<object> e.second, e.key, packets, n_bytes, used)
            elif e.kind == X_HEADER:
                n_bytes += packets * e.key
        return 0

    cdef bint asked(self, object table) noexcept:
        cdef uint32_t i
        for i in range(self.n):
            if self.effects[i].kind == X_TABLE and self.effects[i].first == <PyObject *> table:
                return True
        return False

    cdef bint credits_same(self, XCache other) noexcept:
        """Whether packets are credited to the same rules, ports, groups, bonds and outputs of NetFlow."""
        cdef uint32_t i = 0, j = 0
        while True:
            i = next_credited(self, i)
            j = next_credited(other, j)
            if i == self.n or j == other.n:
                return i == self.n and j == other.n
            if (self.effects[i].kind != other.effects[j].kind
                    or self.effects[i].first is not other.effects[j].first
                    or (self.effects[i].second is not other.effects[j].second
                        and self.effects[i].kind != X_NETFLOW)      # one flow: its keys are equal
                    or (has_number(self.effects[i].kind)
                        and self.effects[i].key != other.effects[j].key)):
                return False
            i += 1
            j += 1

    cdef int use_rules(self, int by) except -1:
        cdef uint32_t i
        for i in range(self.n):
            if self.effects[i].kind == X_TABLE and self.effects[i].second is not NULL:
                (<Rule> self.effects[i].second).n_flows += by
        return 0

    cdef int learn(self, int64_t used) except -1:
        cdef XBridge bridge
        cdef XBundle bundle
        cdef MacEntry entry
        cdef effect *e
        cdef uint32_t i
        for i in range(self.n):
            e = &self.effects[i]
            if e.kind == X_FLOW:
                (<LearnEffect> e.first).learn(used)
            elif e.kind == X_LOCK:
                (<MacLearning> e.first).lock(e.key, used)
            elif e.kind == X_NEIGHBOUR:
                (<object> e.first).keep(<object> e.second, used)
            elif e.kind == X_HEARD:
                (<object> e.first).heard(*<tuple> e.second, used)
            if e.kind != X_LEARN:
                continue
            bridge = <XBridge> e.first
            bundle = <XBundle> e.second
            entry = bridge.mac.lookup(e.key)
            # Packets counted late say nothing about a station that moved meanwhile.
            if bundle.bridge is bridge and (
                    entry is None or entry.bundle is bundle or used > entry.moved):
                bridge.mac.learn(e.key, bundle, used)
        return 0

    cdef int finish_tcp(self, uint32_t flags) except -1:
        cdef effect *e
        cdef uint32_t i
        if not flags:
            return 0
        for i in range(self.n):
            e = &self.effects[i]
            if e.kind == X_NETFLOW:
                (<object> e.first).add_flags(<object> e.second, flags)
            elif e.kind == X_FIN and flags & (TCP_FIN | TCP_RST) and (<XBridge> e.first).learner is not None:
                (<XBridge> e.first).learner.finished(<Rule> e.second, e.key >> 16, e.key & 0xffff)
        return 0

    cdef int end_flow(self) except -1:
        cdef uint32_t i
        for i in range(self.n):
            if self.effects[i].kind == X_NETFLOW:
                (<object> self.effects[i].first).end(<object> self.effects[i].second)
        return 0

    cdef int watch(self, object watcher, bint on) except -1:
        cdef MacLearning table
        cdef effect *e
        cdef uint32_t i
        for i in range(self.n):
            e = &self.effects[i]
            if e.kind == X_WATCH:
                table = <MacLearning> e.first
            elif e.kind == X_LEARN:
                table = (<XBridge> e.first).mac
            else:
                continue
            if on:
                table.watch(e.key, watcher)
            else:
                table.unwatch(e.key, watcher)
        return 0

    cdef int keep_states(self, RecircTable table, bint on, int64_t now) except -1:
        cdef uint32_t i
        for i in range(self.n):
            if self.effects[i].kind == X_STATE:
                if on:
                    table.reference(<FrozenState> self.effects[i].first)
                else:
                    table.release(<FrozenState> self.effects[i].first, now)
        return 0

    cdef object learned_at(self, object bridge, uint64_t key):
        cdef effect *e
        cdef uint32_t i
        for i in range(self.n):
            e = &self.effects[i]
            if e.kind == X_LEARN and e.key == key and <object> e.first is bridge:
                return <object> e.second
        return None


cdef bint has_number(uint32_t kind) noexcept:
    return kind == X_BOND or kind == X_HEADER or kind == X_NETFLOW


cdef uint32_t next_credited(XCache cache, uint32_t i) noexcept:
    """The first effect from number i on that is counted."""
    while i < cache.n and not (cache.effects[i].kind == X_TABLE or cache.effects[i].kind == X_PATCH
                               or cache.effects[i].kind == X_GROUP
                               or cache.effects[i].kind == X_BOND
                               or cache.effects[i].kind == X_MIRROR
                               or cache.effects[i].kind == X_HEADER
                               or cache.effects[i].kind == X_NETFLOW
                               or cache.effects[i].kind == X_SENT
                               or cache.effects[i].kind == X_RECEIVED):
        i += 1
    return i


cdef inline int credit_rule(Rule rule, uint64_t packets, uint64_t n_bytes,
                            int64_t used) except -1:
    while rule.heir is not None:
        if rule.heir.heir is not None:
            rule.heir = rule.heir.heir      # a shorter way the next time
        rule = rule.heir
    rule.n_packets += packets
    rule.n_bytes += n_bytes
    if used > rule.used:
        rule.used = used
    return 0


cdef int credit_group(XGroup group, PyObject *chosen, uint64_t packets, uint64_t n_bytes) except -1:
    cdef XBucket bucket
    group.n_packets += packets
    group.n_bytes += n_bytes
    for bucket in group.buckets if chosen is NULL else (<XBucket> chosen,):
        bucket.n_packets += packets
        bucket.n_bytes += n_bytes
    return 0
