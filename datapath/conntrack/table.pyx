"""The table of connections: hash, locks, records; see table.pxd."""

from libc.errno cimport EFBIG, EINVAL, ENOMEM, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from datapath.base.atomic cimport exchange32, load32, load64, store32, store64
from datapath.base.large cimport large_alloc, large_free
from datapath.base.hashing cimport hash_finish, hash_salted
from datapath.conntrack.table cimport *

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<unistd.h>" nogil:
    int ftruncate(int, long)
    long lseek(int, long, int)
    int SEEK_END

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, long)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_NORESERVE
    void *MAP_FAILED

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *, size_t, unsigned int)

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint32_t pyvs_add32(uint32_t *at, uint32_t n) {
        return __atomic_add_fetch(at, n, __ATOMIC_RELAXED);
    }
    static inline void pyvs_count(uint64_t *at) {
        __atomic_fetch_add(at, 1, __ATOMIC_RELAXED);
    }
    static inline void pyvs_pause(void) {
    #if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
    #endif
    }
    """
    uint32_t add32 "pyvs_add32"(uint32_t *at, uint32_t n) nogil
    void count "pyvs_count"(uint64_t *at) nogil
    void cpu_pause "pyvs_pause"() nogil
    void prefetch "__builtin_prefetch"(const void *) nogil

cdef enum:
    HEADER_PAGES = 1 << 20      # bytes set aside for ct_header
    LINE = 16                   # uint32_t of a cache line
    SPINS = 100
    CHAIN = 16                  # records of a bucket that are looked at without its lock
    BUCKETS = 1 << 20
    CT_LEAST = 1 << 10          # records without which there is no table

cdef uint64_t MAGIC = 0x3263747376797000ULL      # raised with every change of the layout


# ---- Locks ----

cdef void spin_lock(uint32_t *lock) noexcept nogil:
    cdef uint32_t tries = 0
    while exchange32(lock, 1):
        tries += 1
        if tries % SPINS == 0:
            sched_yield()       # its holder may wait for our processor
        else:
            cpu_pause()


cdef void spin_unlock(uint32_t *lock) noexcept nogil:
    store32(lock, 0)


cdef void conn_unlock(conn *c) noexcept nogil:
    spin_unlock(&c.lock)


cdef inline uint32_t *_stripe(const tracker *t, uint32_t bucket) noexcept nogil:
    return &t.stripes[(bucket % CT_STRIPES) * LINE]


cdef void _lock_both(const tracker *t, uint32_t a, uint32_t b) noexcept nogil:
    """The stripes of two buckets, in the order that everybody takes them."""
    cdef uint32_t x = a % CT_STRIPES
    cdef uint32_t y = b % CT_STRIPES
    spin_lock(_stripe(t, min(x, y)))
    if x != y:
        spin_lock(_stripe(t, max(x, y)))


cdef void _unlock_both(const tracker *t, uint32_t a, uint32_t b) noexcept nogil:
    spin_unlock(_stripe(t, a))
    if a % CT_STRIPES != b % CT_STRIPES:
        spin_unlock(_stripe(t, b))


cdef void ct_count(uint64_t *counter) noexcept nogil:
    count(counter)


# ---- Memory ----

cdef bint _make_index(tracker *t) noexcept nogil:
    t.mask = BUCKETS - 1
    t.buckets = <uint32_t *> large_alloc(BUCKETS * sizeof(uint32_t))
    t.stripes = <uint32_t *> calloc(CT_STRIPES * LINE, sizeof(uint32_t))
    t.zone_count = <uint32_t *> calloc(CT_ZONES, sizeof(uint32_t))
    t.expected = <expectation *> calloc(CT_EXPECTED, sizeof(expectation))
    return t.expected != NULL and t.buckets != NULL and t.stripes != NULL and t.zone_count != NULL


cdef void _adopt(tracker *t) noexcept nogil:
    """Hash and free list from the records of a process that is gone."""
    cdef uint32_t i
    cdef conn *c
    t.free = NO_CONN
    for i in range(t.head.high):
        c = &t.conns[i]
        c.lock = 0
        if c.used:
            t.count += 1
            t.zone_count[c.way[0].zone] += 1
            _link(t, c, 0)
            _link(t, c, 1)
        else:
            c.next[0] = t.free
            t.free = i


cdef long _make_long(int fd) noexcept nogil:
    """The bytes that the file has now, -1: errno.  Fewer than are wanted where the length of files
    is limited (ulimit -f), which counts for memory with a descriptor, too."""
    cdef uint64_t capacity = CT_CAPACITY
    cdef long size
    while True:
        size = <long> (HEADER_PAGES + capacity * sizeof(conn))
        if ftruncate(fd, size) == 0:
            return size
        if errno != EFBIG or capacity <= CT_LEAST:
            return -1
        capacity //= 2


cdef int tracker_map(tracker *t, int fd, bint fresh) noexcept nogil:
    cdef void *memory
    cdef uint32_t capacity
    cdef long size = _make_long(fd) if fresh else lseek(fd, 0, SEEK_END)
    memset(t, 0, sizeof(tracker))
    if size < 0:
        return errno
    if sizeof(ct_header) > HEADER_PAGES or sizeof(conn) != CT_RECORD or size < HEADER_PAGES:
        return EINVAL
    t.size = <uint64_t> size
    capacity = <uint32_t> min((t.size - HEADER_PAGES) // sizeof(conn), CT_CAPACITY)
    memory = mmap(NULL, t.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
    if memory == MAP_FAILED:
        return errno
    t.head = <ct_header *> memory
    t.conns = <conn *> (<uint8_t *> memory + HEADER_PAGES)
    if not _make_index(t) or getrandom(t.secret, sizeof(t.secret), 0) != sizeof(t.secret):
        tracker_unmap(t)
        return ENOMEM
    t.free = NO_CONN
    if fresh:
        t.head.magic = MAGIC
        t.head.capacity = capacity
        t.head.limit = CT_DEFAULT_LIMIT
        t.head.next_id = 1
        return 0
    if t.head.magic != MAGIC or t.head.capacity != capacity or t.head.high > capacity:
        tracker_unmap(t)
        return EINVAL
    _adopt(t)
    return 0


cdef void tracker_unmap(tracker *t) noexcept nogil:
    if t.head != NULL:
        munmap(t.head, t.size)
    large_free(t.buckets, BUCKETS * sizeof(uint32_t))
    free(t.stripes)
    free(t.zone_count)
    free(t.expected)
    memset(t, 0, sizeof(tracker))


# ---- The hash ----

cdef uint64_t tuple_hash(const tracker *t, const ct_tuple *tuple) noexcept nogil:
    """Keyed: who does not know the secret cannot choose tuples that share a bucket."""
    cdef const uint64_t *words = <const uint64_t *> tuple
    cdef uint64_t sum = t.secret[5]
    cdef int i
    for i in range(5):
        sum += hash_salted(words[i], t.secret[i])
    return hash_finish(sum ^ t.secret[6])


cdef bint tuple_equal(const ct_tuple *a, const ct_tuple *b) noexcept nogil:
    cdef const uint64_t *x = <const uint64_t *> a
    cdef const uint64_t *y = <const uint64_t *> b
    return (x[4] == y[4] and x[0] == y[0] and x[2] == y[2] and x[1] == y[1] and x[3] == y[3])


# In a chain a number stands for record and way: record * 2 + way + 1; 0 ends it.

cdef void _link(tracker *t, conn *c, int way) noexcept nogil:
    cdef uint32_t bucket = <uint32_t> tuple_hash(t, &c.way[way]) & t.mask
    store32(&c.bucket[way], bucket)
    store32(&c.next[way], t.buckets[bucket])
    store32(&t.buckets[bucket], <uint32_t> (c - t.conns) * 2 + way + 1)


cdef void _unlink(tracker *t, conn *c, int way) noexcept nogil:
    cdef uint32_t wanted = <uint32_t> (c - t.conns) * 2 + way + 1
    cdef uint32_t *at = &t.buckets[c.bucket[way]]
    while at[0] and at[0] != wanted:
        at = &t.conns[(at[0] - 1) // 2].next[(at[0] - 1) % 2]
    if at[0]:
        store32(at, c.next[way])    # ct_find() looks without a lock whether a bucket is empty


cdef conn *_search(tracker *t, uint32_t bucket, const ct_tuple *tuple, uint64_t now,
                   int *way) noexcept nogil:
    """In a bucket whose stripe is locked."""
    cdef uint32_t at = t.buckets[bucket]
    cdef conn *c
    while at:
        c = &t.conns[(at - 1) // 2]
        way[0] = (at - 1) % 2
        if tuple_equal(&c.way[way[0]], tuple) and load64(&c.expiration) > now:
            return c
        at = c.next[way[0]]
    return NULL


cdef conn *_find_unlocked(tracker *t, uint32_t at, const ct_tuple *tuple, uint64_t now,
                          int *way) noexcept nogil:
    """In a chain that may change meanwhile; NULL: perhaps it is there."""
    cdef conn *c
    cdef int steps
    for steps in range(CHAIN):
        # What was freed meanwhile has a number of the free list there, perhaps of none.
        if at == 0 or (at - 1) // 2 >= t.head.capacity:
            break
        c = &t.conns[(at - 1) // 2]
        way[0] = (at - 1) % 2
        if tuple_equal(&c.way[way[0]], tuple):
            spin_lock(&c.lock)
            if c.used and tuple_equal(&c.way[way[0]], tuple) and load64(&c.expiration) > now:
                return c
            spin_unlock(&c.lock)
            break
        at = load32(&c.next[way[0]])
    return NULL


cdef conn *ct_find(tracker *t, const ct_tuple *tuple, uint64_t now, int *way) noexcept nogil:
    cdef uint32_t bucket = <uint32_t> tuple_hash(t, tuple) & t.mask
    cdef uint32_t first = load32(&t.buckets[bucket])
    cdef conn *c
    if first == 0:
        return NULL
    c = _find_unlocked(t, first, tuple, now, way)
    if c != NULL:
        return c
    spin_lock(_stripe(t, bucket))
    c = _search(t, bucket, tuple, now, way)
    if c != NULL:
        spin_lock(&c.lock)
    spin_unlock(_stripe(t, bucket))
    return c


cdef uint32_t prefetch_bucket(const tracker *t, const ct_tuple *tuple) noexcept nogil:
    cdef uint32_t bucket = <uint32_t> tuple_hash(t, tuple) & t.mask
    prefetch(&t.buckets[bucket])
    return bucket


cdef void prefetch_first(const tracker *t, uint32_t bucket) noexcept nogil:
    cdef uint32_t at = load32(&t.buckets[bucket])
    cdef const uint8_t *c
    cdef size_t i
    if at:
        c = <const uint8_t *> &t.conns[(at - 1) // 2]
        for i in range(0, sizeof(conn), 64):
            prefetch(c + i)


cdef bint ct_exists(tracker *t, const ct_tuple *tuple, uint64_t now) noexcept nogil:
    cdef int way
    cdef conn *c = ct_find(t, tuple, now, &way)
    if c != NULL:
        conn_unlock(c)
    return c != NULL


# ---- Records ----

cdef bint _zone_is_full(const tracker *t, uint16_t zone) noexcept nogil:
    cdef uint32_t limit = t.head.zone_limit[zone]
    limit = limit - 1 if limit else t.head.default_zone_limit
    return limit and load32(&t.zone_count[zone]) >= limit


cdef void _clear(conn *c) noexcept nogil:
    """All but what others may still look at, to see whether this is the record they wanted: the
    buckets, `used`, which is 0, and the lock."""
    memset(c.way, 0, sizeof(c.way))
    memset(&c.expiration, 0, sizeof(conn) - <size_t> (<uint8_t *> &c.expiration - <uint8_t *> c))


cdef void conn_copy(conn *to, conn *c) noexcept nogil:
    spin_lock(&c.lock)
    to.way = c.way
    to.used = c.used
    memcpy(&to.expiration, &c.expiration,
           sizeof(conn) - <size_t> (<uint8_t *> &c.expiration - <uint8_t *> c))
    spin_unlock(&c.lock)


cdef conn *ct_take(tracker *t, uint16_t zone) noexcept nogil:
    cdef uint32_t number
    if _zone_is_full(t, zone):
        count(&t.counters.zone_full)
        return NULL
    if load32(&t.count) >= t.head.limit:
        count(&t.counters.full)
        return NULL
    spin_lock(&t.free_lock)
    number = t.free
    if number != NO_CONN:
        t.free = t.conns[number].next[0]
    elif t.head.high < t.head.capacity:
        number = t.head.high
        store32(&t.head.high, number + 1)
    spin_unlock(&t.free_lock)
    if number == NO_CONN:
        count(&t.counters.full)
        return NULL
    _clear(&t.conns[number])
    add32(&t.count, 1)
    add32(&t.zone_count[zone], 1)
    t.conns[number].way[0].zone = zone
    t.conns[number].id = add32(&t.head.next_id, 1)
    return &t.conns[number]


cdef void ct_give_back(tracker *t, conn *c) noexcept nogil:
    add32(&t.count, <uint32_t> -1)
    add32(&t.zone_count[c.way[0].zone], <uint32_t> -1)
    spin_lock(&t.free_lock)
    store32(&c.next[0], t.free)
    t.free = <uint32_t> (c - t.conns)
    spin_unlock(&t.free_lock)


cdef bint ct_insert(tracker *t, conn *c, uint64_t now) noexcept nogil:
    cdef uint32_t a = <uint32_t> tuple_hash(t, &c.way[0]) & t.mask
    cdef uint32_t b = <uint32_t> tuple_hash(t, &c.way[1]) & t.mask
    cdef int way
    cdef bint taken
    _lock_both(t, a, b)
    taken = (_search(t, a, &c.way[0], now, &way) != NULL
             or _search(t, b, &c.way[1], now, &way) != NULL)
    if not taken:
        spin_lock(&c.lock)
        _link(t, c, 0)
        _link(t, c, 1)
        store32(&c.used, 1)
    _unlock_both(t, a, b)
    return not taken


cdef bint ct_remove(tracker *t, conn *c, uint32_t id) noexcept nogil:
    return _remove(t, c, id, <uint64_t> -1)


cdef bint _remove(tracker *t, conn *c, uint32_t id, uint64_t now) noexcept nogil:
    """Where it still is that connection, and has expired by `now`."""
    cdef uint32_t a = load32(&c.bucket[0]) & t.mask
    cdef uint32_t b = load32(&c.bucket[1]) & t.mask
    cdef bint found
    _lock_both(t, a, b)
    spin_lock(&c.lock)
    found = (c.used and c.id == id and c.bucket[0] == a and c.bucket[1] == b
             and c.expiration <= now)
    if found:
        store32(&c.used, 0)
        _unlink(t, c, 0)
        _unlink(t, c, 1)
    spin_unlock(&c.lock)
    _unlock_both(t, a, b)
    if found:
        ct_give_back(t, c)
    return found


cdef uint32_t ct_sweep(tracker *t, uint32_t n, uint64_t now) noexcept nogil:
    cdef uint32_t i, id, removed = 0, high = load32(&t.head.high)
    cdef bint expired
    cdef conn *c
    for i in range(min(n, high)):
        if t.sweep_at >= high:
            t.sweep_at = 0
        c = &t.conns[t.sweep_at]
        t.sweep_at += 1
        if not load32(&c.used):
            continue
        spin_lock(&c.lock)
        expired, id = c.expiration <= now, c.id
        spin_unlock(&c.lock)
        if expired:
            removed += _remove(t, c, id, now)
    t.counters.expired += removed
    return removed


# ---- Timeouts ----

cdef void set_timeout(const tracker *t, conn *c, ct_timeout which, uint64_t now) noexcept nogil:
    cdef const ct_policy *policy = &t.head.policies[c.policy]
    if not policy.name[0]:
        policy = &t.head.policies[0]
    store64(&c.expiration, now + <uint64_t> policy.timeouts[<int> which] * 1000)
