# Masks, as the classifier has them.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from datapath.base.hashing cimport hash_finish
from datapath.key.flow cimport KEY_WORDS

cdef enum:              # of a lookup: what pipeline and tunnel say, L2, L3, L4
    TUNNEL_STAGE = 0
    L3_STAGE = 2
    L4_STAGE = 3
    N_STAGES = 4


# Which words of the key a mask touches, in the order of the lookup stages.  Interned: equal masks
# share one Shape, so `rule.shape is subtable.shape` says that masks are equal.
cdef class Shape:
    cdef uint32_t n
    cdef uint8_t index[KEY_WORDS]   # word numbers, by stage
    cdef uint64_t mask[KEY_WORDS]
    cdef uint8_t stage_end[N_STAGES]    # words before the end of each stage
    cdef bytes mask_bytes
    cdef object __weakref__


cdef Shape shape_of(bytes mask)
# (key, mask) of a Match or of a pair of bytes, checked for length; the packet type implied.
cdef tuple key_and_mask(match)
cdef Shape shape_of_match(match)

# Puts the words of `key` that the shape has into `values`; returns their hash, which is
# fold() of the sum of hash_word() of each.
cdef uint32_t masked_values(Shape shape, const uint64_t *key, uint64_t *values) noexcept nogil


cdef inline uint32_t fold(uint64_t sum) noexcept nogil:
    cdef uint64_t h = hash_finish(sum)
    return <uint32_t> (h ^ (h >> 32))
