"""The name of a megaflow: a hash of the words that its mask has, and of the mask."""

from libc.string cimport memcpy

from datapath.base.hashing cimport hash_finish, hash_word


cdef void find_words(const uint64_t *mask, key_words *words) noexcept nogil:
    cdef uint32_t i
    words.n = 0
    for i in range(KEY_DP_WORDS):
        if mask[i]:
            words.index[words.n] = <uint8_t> i
            words.n += 1


cdef void name_by_words(const uint64_t *key, const uint64_t *mask, const key_words *words,
                        uint8_t *out) noexcept nogil:
    cdef uint64_t sums[2]
    cdef uint64_t word
    cdef uint32_t n, i
    sums[0] = sums[1] = 0
    for n in range(words.n):
        i = words.index[n]
        word = key[i] & mask[i]
        sums[0] += hash_word(word, i) + hash_word(mask[i], i + 1000)
        sums[1] += hash_word(word, i + 2000) ^ hash_word(mask[i], i + 3000)
    sums[0] = hash_finish(sums[0])
    sums[1] = hash_finish(sums[1] + sums[0])
    memcpy(out, sums, 16)
