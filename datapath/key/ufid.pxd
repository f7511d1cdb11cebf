# The name of a megaflow, for who makes many under few masks.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "datapath/key/flow_key.h":
    enum:
        KEY_DP_WORDS

# Which words of a mask are not 0.
cdef struct key_words:
    uint32_t n
    uint8_t index[KEY_DP_WORDS]

# Keys and masks as words.
cdef void find_words(const uint64_t *mask, key_words *words) noexcept nogil
# As flow_ufid(); `key` may be that of any packet of the flow, and `words` are those of its mask.
cdef void name_by_words(const uint64_t *key, const uint64_t *mask, const key_words *words,
                        uint8_t *out) noexcept nogil
