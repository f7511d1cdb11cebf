"""Masks, as the classifier has them: the words of the key that one touches, in the order of lookups."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from weakref import WeakValueDictionary

from datapath.base.hashing cimport hash_word
from datapath.key.flow cimport KEY_SIZE, KEY_WORDS, NO_KEY, key_at
from ofproto.rules.typed cimport typed_mask

cdef object _shapes = WeakValueDictionary()     # mask bytes -> Shape

cdef uint8_t _stage_of[KEY_WORDS]


cdef void _init_stages():
    """Stage of each word of the key: what pipeline and tunnel say comes first."""
    cdef size_t l2 = key_at(&NO_KEY.eth_dst[0])
    cdef size_t l3 = key_at(&NO_KEY.nw_src)
    cdef size_t l4 = key_at(&NO_KEY.tp_src)
    cdef size_t tunnel = key_at(&NO_KEY.tun_id)
    cdef size_t at
    cdef int word
    for word in range(KEY_WORDS):
        at = <size_t> word * 8
        if at < l2 or at >= tunnel:
            _stage_of[word] = 0
        elif at < l3:
            _stage_of[word] = 1
        elif at < l4:
            _stage_of[word] = 2
        else:
            _stage_of[word] = 3

_init_stages()


cdef class Shape:
    """A mask: the words it touches, by stage."""

    def __cinit__(self, bytes mask):
        cdef const uint64_t *words = <const uint64_t *> <const char *> mask
        cdef int stage, word
        self.mask_bytes = mask
        self.n = 0
        for stage in range(N_STAGES):
            for word in range(KEY_WORDS):
                if words[word] and _stage_of[word] == stage:
                    self.index[self.n] = word
                    self.mask[self.n] = words[word]
                    self.n += 1
            self.stage_end[stage] = self.n


cdef Shape shape_of(bytes mask):
    shape = _shapes.get(mask)
    if shape is None:
        shape = _shapes[mask] = Shape(mask)
    return <Shape> shape


cdef tuple key_and_mask(match):
    if isinstance(match, tuple):
        key, mask = match
    else:
        key, mask = match.key_bytes, match.mask_bytes
    key, mask = bytes(key), bytes(mask)
    if len(key) != KEY_SIZE or len(mask) != KEY_SIZE:
        raise ValueError(f"key and mask must have {KEY_SIZE} bytes")
    return key, typed_mask(mask)


cdef Shape shape_of_match(match):
    return shape_of(key_and_mask(match)[1])


cdef uint32_t masked_values(Shape shape, const uint64_t *key, uint64_t *values) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t sum = 0
    for i in range(shape.n):
        values[i] = key[shape.index[i]] & shape.mask[i]
        sum += hash_word(values[i], i)
    return fold(sum)
