# Which keys come often: a packet is worth an entry in the kernel when its key came HOT times lately.
#
# Keys are counted in sets of WAYS places, 64 bytes, by their hash.  A key that has no place wears down
# the one with the fewest, and takes it when nothing is left of it: keys that come once push out
# nobody, however many there are.  With one way, of a thousand keys in 16,384 places 60 would share
# theirs and keep each other out of the kernel for ever, and each of their packets wakes the worker.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    HOT = 4                     # the packet with which a key is hot
    WAYS = 8
    SETS = 2048                 # 128 KiB

cdef struct heat_place:
    uint32_t tag                # of the key's hash
    uint32_t count

cdef struct heat_table:
    heat_place places[SETS][WAYS]


# Counts a packet whose key has this hash.  The key's place when it is hot now, and it counts from 0
# again: where the kernel does not take it, or loses it, it comes back.  Else NULL.
cdef inline heat_place *heat_count(heat_table *t, uint64_t hash) noexcept nogil:
    cdef heat_place *set = t.places[hash % SETS]
    cdef heat_place *least = set
    cdef uint32_t tag = <uint32_t> (hash >> 32)
    cdef uint32_t i
    for i in range(WAYS):
        if set[i].tag == tag:
            set[i].count += 1
            if set[i].count < HOT:
                return NULL
            set[i].count = 0
            return &set[i]
        if set[i].count < least.count:
            least = &set[i]
    if least.count > 1:
        least.count -= 1
    else:
        least.tag = tag
        least.count = 1
    return NULL
