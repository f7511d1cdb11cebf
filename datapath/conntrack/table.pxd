# The table of connections, shared by all workers and the control thread.
#
# Records have a fixed size and lie in memory of their own (a memfd), so that they outlive the
# process; the hash over them is private, and made anew from the records by who takes them over.
#
# Locks: a bucket's stripe, then a record's own.  Who changes a chain holds its bucket's stripe; who
# removes a record those of both its tuples, and its lock, and it is free at once.  Who looks for one
# goes through the chain without a lock, takes the record's and sees whether it still is the one:
# memory of records stays memory of records, so he gets nowhere else, and who waits for the lock of a
# record that is removed, or made anew meanwhile, finds `used` 0 or another tuple.  Only who has not
# found it so, and cannot know whether the chain was changed under him, takes the stripe.

from libc.stdint cimport uint8_t, int32_t, uint16_t, uint32_t, uint64_t

cdef enum:
    NO_CONN = 0xffffffff
    NO_BUCKET = 0xffffffff
    CT_STRIPES = 4096
    CT_MAX_POLICIES = 256
    CT_ZONES = 65536
    CT_DEFAULT_LIMIT = 3000000  # connections, as in Open vSwitch
    CT_CAPACITY = 4 << 20       # records that there is address space for
    CT_EXPECTED = 1024          # connections that may be expected at once
    CT_RECORD = 240             # bytes of a connection: with its place in the hash, less than 256
    CT_NAME = 32                # bytes of a policy's name, with NUL

    # bits of a packet's ct_state, host order (ovs-fields(7))
    CS_NEW = 0x01
    CS_EST = 0x02
    CS_REL = 0x04
    CS_RPL = 0x08
    CS_INV = 0x10
    CS_TRK = 0x20
    CS_SNAT = 0x40
    CS_DNAT = 0x80

    CONN_SNAT = 1               # conn.flags
    CONN_DNAT = 2
    CONN_RELATED = 4            # expected by another one: parent
    CONN_SEEN_REPLY = 8

# Timeouts; the order is that of TIMEOUT_NAMES in policies.py.
cdef enum ct_timeout:
    TM_TCP_SYN_SENT
    TM_TCP_SYN_RECV
    TM_TCP_ESTABLISHED
    TM_TCP_FIN_WAIT
    TM_TCP_TIME_WAIT
    TM_TCP_CLOSE
    TM_UDP_FIRST
    TM_UDP_SINGLE
    TM_UDP_MULTIPLE
    TM_ICMP_FIRST
    TM_ICMP_REPLY
    N_TIMEOUTS

# One direction of a connection; network order.  ICMP: src_port is the id, dst_port type and code.
# Compared and hashed as memory: unused bytes are 0.
cdef struct ct_tuple:
    uint8_t src[16]             # IPv4: the first four bytes
    uint8_t dst[16]
    uint16_t src_port
    uint16_t dst_port
    uint16_t zone               # host order
    uint8_t proto
    uint8_t family              # 4 or 6

cdef struct tcp_peer:
    uint32_t seqlo              # highest sequence number sent, + 1
    uint32_t seqhi              # highest that the other end can take
    uint16_t max_win
    uint8_t wscale              # WSCALE_* in tcp.pyx
    uint8_t state               # TCPS_*

cdef struct conn:               # CT_RECORD bytes
    ct_tuple way[2]             # the original direction, and the reply as it comes in
    uint32_t next[2]            # of the chains of both; private to the process
    uint32_t bucket[2]
    uint32_t used               # 1: a connection; set last, cleared first
    uint32_t lock
    uint64_t expiration         # ms of CLOCK_MONOTONIC; from here on: conn_copy()
    uint32_t mark               # network order
    uint32_t id
    uint8_t label[16]
    tcp_peer peer[2]            # of the original direction, of the reply
    uint8_t flags               # CONN_*
    uint8_t alg                 # ALG_*
    uint8_t l4_state            # of protocols without TCP's states
    uint8_t policy              # number of a timeout policy, 0: default
    int32_t skew[2]             # what was added to the payload of each direction (ftp)
    uint32_t skew_seq[2]        # from this sequence number on,
    int32_t skew_before[2]      # and this up to there
    ct_tuple parent             # with RELATED
    uint8_t pad[8]

cdef struct ct_policy:
    char name[CT_NAME]          # "": not there
    uint32_t timeouts[N_TIMEOUTS]       # s

# At the start of the memory, whole pages.
cdef struct ct_header:
    uint64_t magic
    uint32_t capacity
    uint32_t high               # records from here on were never used
    uint32_t limit              # connections that may be
    uint32_t no_seq_check       # 1: TCP's windows are not looked at
    uint32_t default_zone_limit # 0: none
    uint32_t next_id
    uint32_t zone_limit[CT_ZONES]       # + 1; 0: the default's
    ct_policy policies[CT_MAX_POLICIES] # 0 has the defaults

cdef struct ct_counters:
    uint64_t full               # a connection could not be made: limit
    uint64_t zone_full
    uint64_t expired
    uint64_t exhausted          # no address and port of a NAT's range was free
    uint64_t bad_checksum
    uint64_t bad_sequence

# A connection that a helper expects: `way`, of which any source port will do and, in the answer,
# any destination port.
cdef struct expectation:
    ct_tuple way[2]
    uint64_t until              # ms; 0: the place is free
    uint32_t mark
    uint8_t label[16]
    uint8_t flags               # CONN_SNAT, CONN_DNAT
    ct_tuple parent

cdef struct tracker:
    ct_header *head
    conn *conns
    uint64_t size               # of the memory
    uint64_t secret[8]
    uint32_t *buckets
    uint32_t mask               # buckets - 1
    uint32_t *stripes           # locks, each on a line of its own
    uint32_t *zone_count
    uint32_t count
    uint32_t free_lock
    uint32_t free               # first of the list of free records, by next[0]
    uint32_t sweep_at
    expectation *expected       # EXPECTED of them; not kept for another process
    uint32_t n_expected
    uint32_t expected_lock
    ct_counters counters

cdef int tracker_map(tracker *t, int fd, bint fresh) noexcept nogil      # 0 or an errno
cdef void tracker_unmap(tracker *t) noexcept nogil

cdef uint64_t tuple_hash(const tracker *t, const ct_tuple *tuple) noexcept nogil
cdef bint tuple_equal(const ct_tuple *a, const ct_tuple *b) noexcept nogil
# The connection that has the tuple and has not expired, locked; NULL when there is none.
# `way`: 1 where it is the reply's.
cdef conn *ct_find(tracker *t, const ct_tuple *tuple, uint64_t now, int *way) noexcept nogil
# The bucket of a tuple, and the first connection in it, on their way from memory.
cdef uint32_t prefetch_bucket(const tracker *t, const ct_tuple *tuple) noexcept nogil
cdef void prefetch_first(const tracker *t, uint32_t bucket) noexcept nogil
cdef bint ct_exists(tracker *t, const ct_tuple *tuple, uint64_t now) noexcept nogil
cdef void conn_unlock(conn *c) noexcept nogil
# What there is to tell of a connection, as it is at one moment: all but its place in the hash.
cdef void conn_copy(conn *to, conn *c) noexcept nogil
# A record for a new connection, not in the table yet; NULL: no more may be (counted).
cdef conn *ct_take(tracker *t, uint16_t zone) noexcept nogil
cdef void ct_give_back(tracker *t, conn *c) noexcept nogil
# Puts it in: false where one of its tuples is there already.  Locked when it succeeds.
cdef bint ct_insert(tracker *t, conn *c, uint64_t now) noexcept nogil
# Removes the connection if its id is still this one.  No lock is held by the caller.
cdef bint ct_remove(tracker *t, conn *c, uint32_t id) noexcept nogil
# Looks at n records further on and removes what has expired; how many.
cdef uint32_t ct_sweep(tracker *t, uint32_t n, uint64_t now) noexcept nogil

cdef void set_timeout(const tracker *t, conn *c, ct_timeout which, uint64_t now) noexcept nogil
cdef void ct_count(uint64_t *counter) noexcept nogil    # one more; several workers may
cdef void spin_lock(uint32_t *lock) noexcept nogil
cdef void spin_unlock(uint32_t *lock) noexcept nogil
