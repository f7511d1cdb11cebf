# Meters: how many packets, or bits, of what comes by may pass.
#
# The table belongs to the control thread, which puts whole meters into it.  Workers read a slot
# whenever a packet meets a METER action; a meter that left its slot is freed only after each
# worker has done a command since.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_METERS = 1 << 18
    MAX_BANDS = 8

    METER_KBPS = 1              # flags, as OFPMF_*
    METER_PKTPS = 2
    METER_BURST = 4
    METER_STATS = 8

# A token bucket.  A token is 1e-9 packets, or 1e-9 kilobits, so that `rate` tokens come in a
# nanosecond and nothing is lost by rounding.
cdef struct meter_band:
    uint32_t rate               # packets or kilobits in a second
    uint32_t burst              # what the bucket holds, in packets or kilobits
    uint64_t tokens
    uint32_t prec_level         # by how much the DSCP's drop precedence rises; 0: it drops
    uint64_t fill_time          # ns after which an empty bucket is full
    uint64_t n_packets          # dropped, or re-marked, by this band
    uint64_t n_bytes

cdef struct meter:
    uint32_t lock               # held while a packet is weighed: workers may meet here
    uint16_t flags
    uint16_t n_bands
    uint64_t used               # ns of CLOCK_MONOTONIC, as of which the buckets are filled
    uint64_t n_packets          # that came, dropped ones included
    uint64_t n_bytes
    meter_band bands[MAX_BANDS]

cdef enum meter_verdict:
    METER_PASS
    METER_DROP
    METER_SPLIT                 # of several packets not all may pass: ask for each by itself
    METER_REMARK = 0x100        # plus the levels by which the drop precedence of the DSCP rises

# What becomes of a packet, or of several in one frame, of n_bytes in all; by a meter that is not
# there everything passes.  SPLIT has counted nothing.  now: ns of CLOCK_MONOTONIC.
cdef meter_verdict meter_weigh(meter **table, uint32_t id, uint32_t n_packets, uint32_t n_bytes,
                               uint64_t now) noexcept nogil

cdef class Meters:
    cdef meter **table          # MAX_METERS pointers
    cdef dict owners            # number -> what its maker wants to find it by
    cdef list retired           # addresses of meters that workers may still look at

    cdef int replace(self, uint32_t id, meter *fresh) except -1
