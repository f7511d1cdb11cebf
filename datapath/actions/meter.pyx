"""Meters of the datapath: token buckets that packets with a METER action have to pass.

A packet is weighed against every band.  Those that have enough tokens give them; of the others
the one with the highest rate drops the packet, or makes it likelier to be dropped further on
(OpenFlow 1.3.5 5.7.1), and counts it.

A frame that is left to be segmented is as many packets as it will be on the wire: else a rate of
packets would mean little, and no TCP could live with a burst smaller than such frames.  It passes
whole where all of them may.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from datapath.base.clock cimport clock_ns
from datapath.base.atomic cimport exchange32, load64, store32, store64

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    MAX_OWNER = 255             # characters
    MAX_PREC_LEVEL = 255
    SPINS = 100                 # tries for the lock before the processor is given away

cdef uint64_t TOKENS = 1000000000      # in a packet, or a kilobit
cdef uint64_t TOKENS_PER_BYTE = 8000000

FLAGS = METER_KBPS | METER_PKTPS | METER_BURST | METER_STATS
FEATURES = {"max_meters": MAX_METERS, "max_bands": MAX_BANDS, "flags": FLAGS}


# --- the way of a packet

cdef inline void take_lock(meter *m) noexcept nogil:
    cdef uint32_t tries = 0
    while exchange32(&m.lock, 1):
        tries += 1
        if tries % SPINS == 0:
            sched_yield()       # its holder may wait for our processor


cdef inline void fill(meter *m, uint64_t now) noexcept nogil:
    """Gives each bucket what it got since it was last looked at."""
    cdef uint64_t passed = now - m.used
    cdef meter_band *band
    cdef uint64_t full
    cdef uint32_t i
    if now <= m.used:           # the other worker's clock was read later
        return
    m.used = now
    for i in range(m.n_bands):
        band = &m.bands[i]
        full = band.burst * TOKENS
        band.tokens = min(full, band.tokens + min(passed, band.fill_time) * band.rate)


cdef inline bint affords(const meter *m, uint64_t cost) noexcept nogil:
    cdef uint32_t i
    for i in range(m.n_bands):
        if m.bands[i].tokens < cost:
            return False
    return True


cdef inline meter_band *take(meter *m, uint64_t cost) noexcept nogil:
    """The band that a packet is too much for; NULL: it passes."""
    cdef meter_band *found = NULL
    cdef meter_band *band
    cdef uint32_t i
    for i in range(m.n_bands):
        band = &m.bands[i]
        if band.tokens >= cost:
            band.tokens -= cost
        elif found == NULL or band.rate > found.rate:
            found = band
    return found


cdef meter_verdict meter_weigh(meter **table, uint32_t id, uint32_t n_packets, uint32_t n_bytes,
                               uint64_t now) noexcept nogil:
    cdef meter *m
    cdef meter_verdict verdict
    if table == NULL or id >= MAX_METERS:
        return METER_PASS
    m = <meter *> load64(&table[id])
    if m == NULL:
        return METER_PASS
    take_lock(m)
    verdict = decide(m, n_packets, n_bytes, now)
    store32(&m.lock, 0)
    return verdict


cdef inline meter_verdict decide(meter *m, uint32_t n_packets, uint32_t n_bytes,
                                 uint64_t now) noexcept nogil:
    cdef uint64_t cost = (n_packets * TOKENS if m.flags & METER_PKTPS
                          else n_bytes * TOKENS_PER_BYTE)
    cdef meter_band *band
    fill(m, now)
    if n_packets > 1 and not affords(m, cost):
        return METER_SPLIT
    m.n_packets += n_packets
    m.n_bytes += n_bytes
    band = take(m, cost)
    if band == NULL:
        return METER_PASS
    band.n_packets += n_packets
    band.n_bytes += n_bytes
    if band.prec_level:
        return <meter_verdict> (METER_REMARK + band.prec_level)
    return METER_DROP


# --- as the control thread has them

def check(id, flags, bands, owner=""):
    """Raises ValueError unless a meter may be like that: see meter.pyi."""
    if type(id) is not int or not 0 <= id < MAX_METERS:
        raise ValueError(f"{id}: not the number of a meter")
    if type(flags) is not int or flags & ~FLAGS:
        raise ValueError(f"{flags}: unknown flags of a meter")
    if bool(flags & METER_KBPS) == bool(flags & METER_PKTPS):
        raise ValueError("a meter counts either kilobits or packets")
    if not isinstance(owner, str) or len(owner) > MAX_OWNER:
        raise ValueError(f"the owner of a meter is a text of {MAX_OWNER} characters at most")
    if not isinstance(bands, list) or len(bands) > MAX_BANDS:
        raise ValueError(f"a meter has a list of {MAX_BANDS} bands at most")
    for band in bands:
        check_band(band)


cdef check_band(band):
    if not isinstance(band, (list, tuple)) or len(band) not in (2, 3):
        raise ValueError("a band has a rate and a burst, and a level if it re-marks")
    for number in band[:2]:
        if type(number) is not int or not 0 <= number < 1 << 32:
            raise ValueError(f"{number}: not a rate or burst")
    if len(band) == 3 and (type(band[2]) is not int or not 0 < band[2] <= MAX_PREC_LEVEL):
        raise ValueError(f"{band[2]}: not a level of drop precedence")


@cython.no_gc_clear      # __dealloc__ needs `owners`; nothing in it leads in a circle
cdef class Meters:
    """The meters of one datapath, by number."""

    def __cinit__(self):
        self.owners = {}
        self.retired = []
        self.table = <meter **> calloc(MAX_METERS, sizeof(meter *))
        if self.table == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef uint32_t id
        if self.table != NULL:
            for id in self.owners:
                free(self.table[id])
        self.reclaim()
        free(self.table)

    def __len__(self):
        return len(self.owners)

    def __contains__(self, id):
        return id in self.owners

    def __iter__(self):
        return iter(sorted(self.owners))

    cdef int replace(self, uint32_t id, meter *fresh) except -1:
        cdef size_t old = <size_t> self.table[id]
        if old:
            self.retired.append(old)
        store64(&self.table[id], <uint64_t> <size_t> fresh)
        return 0

    def set(self, id, flags, bands, owner="", now=None):
        """Make or replace a meter, with full buckets and counters of 0."""
        cdef meter *m
        cdef meter_band *band
        check(id, flags, bands, owner)
        m = <meter *> calloc(1, sizeof(meter))
        if m == NULL:
            raise MemoryError()
        m.flags = flags
        m.n_bands = <uint16_t> len(bands)
        m.used = clock_ns() if now is None else now
        for i, (rate, burst, *level) in enumerate(bands):
            band = &m.bands[i]
            band.rate = rate
            band.burst = burst or rate
            band.prec_level = level[0] if level else 0
            band.tokens = band.burst * TOKENS
            band.fill_time = (band.tokens + rate - 1) // rate if rate else 0
        self.replace(id, m)
        self.owners[id] = owner

    def delete(self, id):
        """Raises KeyError when it is not there."""
        del self.owners[id]
        self.replace(id, NULL)

    def reclaim(self):
        """Free what was replaced or deleted; no worker may be in the midst of a packet since."""
        cdef size_t address
        for address in self.retired:
            free(<void *> address)
        self.retired = []

    def get(self, id):
        """Configuration and counters, a dictionary: see meter.pyi.  KeyError when there is none."""
        cdef meter copy
        cdef uint32_t i
        if id not in self.owners:
            raise KeyError(id)
        take_lock(self.table[<uint32_t> id])
        copy = self.table[<uint32_t> id][0]
        store32(&self.table[<uint32_t> id].lock, 0)
        bands = [copy.bands[i] for i in range(copy.n_bands)]
        return {
            "meter": id, "owner": self.owners[id], "flags": copy.flags,
            "packets": copy.n_packets, "bytes": copy.n_bytes,
            "bands": [[band["rate"], band["burst"], *([band["prec_level"]] * (band["prec_level"] > 0))]
                      for band in bands],
            "dropped": [[band["n_packets"], band["n_bytes"]] for band in bands],
        }

    def passes(self, uint32_t id, uint32_t size, uint64_t now):
        """What a packet of `size` bytes at `now` meets; for tests."""
        return meter_weigh(self.table, id, 1, size, now) == METER_PASS

    def weigh(self, uint32_t id, uint32_t n_packets, uint32_t n_bytes, uint64_t now):
        """What meter_weigh() says of several packets; for tests."""
        return <int> meter_weigh(self.table, id, n_packets, n_bytes, now)
