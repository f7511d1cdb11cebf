# What is to be counted and learned for each packet of a flow, without translating it again.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ofproto.xlate.state.recirc cimport RecircTable

cdef enum effect_kind:
    X_TABLE                     # a lookup: Classifier, Rule found (or NULL)
    X_PATCH                     # a way through: XPort out, XPort in
    X_LEARN                     # a station is heard: XBridge, XBundle, key; its entry is watched
    X_LOCK                      # it tells where it is: MacLearning, -, key
    X_WATCH                     # the result depends on an entry: MacLearning, -, key
    X_STATE                     # the actions refer to a state: FrozenState
    X_DROP                      # the packet is dropped: coverage.Counter
    X_GROUP                     # through a group: XGroup, XBucket (or NULL: all of them)
    X_FLOW                      # a flow is learned: LearnEffect
    X_BOND                      # out by a bond: XBond, -, bucket
    X_MIRROR                    # a mirror has a copy: XMirror
    X_RECEIVED                  # in by a tunnel port: XPort
    X_SENT                      # out by a tunnel port: XPort
    X_HEADER                    # from here on packets are longer: -, -, by how much (a negative one ends it)
    X_NEIGHBOUR                 # the next hop is needed: Neighbours, (bridge, address)
    X_HEARD                     # a neighbour answers: Neighbours, (bridge, address, MAC)
    X_NETFLOW                   # a flow of NetFlow: Exporter, its key, output
    X_FIN                       # with FIN or RST, timeouts are less: XBridge, Rule, idle << 16 | hard

# `first` and `second` are references of the cache's own.
ctypedef struct effect:
    uint32_t kind
    PyObject *first
    PyObject *second
    uint64_t key

cdef enum:
    FEW_EFFECTS = 4

cdef class XCache:
    cdef effect *effects
    cdef uint32_t n
    cdef uint32_t capacity
    # A bit for each word of the packet's part of the key that was another one in some lookup.
    cdef uint64_t rewritten
    cdef effect few[FEW_EFFECTS]        # as many as a learning switch has
    cdef int grow(self) except -1
    cdef int add(self, effect_kind kind, object first, object second=*, uint64_t key=*) except -1
    # Counts `packets`, the last of them at `used`, for all that the flow went through.
    cdef int credit(self, uint64_t packets, uint64_t n_bytes, int64_t used) except -1
    # The same without what they teach.
    cdef int count(self, uint64_t packets, uint64_t n_bytes, int64_t used) except -1
    # Whether there was a lookup in this Classifier.
    cdef bint asked(self, object table) noexcept
    cdef bint credits_same(self, XCache other) noexcept
    # Counts a flow in each rule that it refers to, or out (-1).
    cdef int use_rules(self, int by) except -1
    # Packets came at `used`: their sources are where the flow says.
    cdef int learn(self, int64_t used) except -1
    # TCP flags (host order) of its packets, all in one; behind credit().
    cdef int finish_tcp(self, uint32_t flags) except -1
    # The flow is gone, with all of its packets credited: NetFlow has a record of it.
    cdef int end_flow(self) except -1
    # Has `watcher` told of changes of the MAC entries, or no more.
    cdef int watch(self, object watcher, bint on) except -1
    # Keeps the states in their table, or lets them go.
    cdef int keep_states(self, RecircTable table, bint on, int64_t now) except -1
    # The bundle that the flow says a station (a key of the bridge's MAC table) is at, or None.
    cdef object learned_at(self, object bridge, uint64_t key)
