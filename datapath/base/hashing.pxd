# The hash of key words: a sum of independent products, so that the CPU overlaps them.

from libc.stdint cimport uint64_t

cdef extern from *:
    ctypedef unsigned long long uint128 "unsigned __int128"

cdef inline uint64_t hash_salt(uint64_t position) noexcept nogil:
    return (position + 1) * <uint64_t> 0x9E3779B97F4A7C15ULL

cdef inline uint64_t hash_salted(uint64_t word, uint64_t salt) noexcept nogil:
    cdef uint128 product = <uint128> (word ^ salt) * <uint64_t> 0xD6E8FEB86659FD93ULL
    return <uint64_t> product ^ <uint64_t> (product >> 64)

# Mixes word number `position` of a key; the words' results are added up.
cdef inline uint64_t hash_word(uint64_t word, uint64_t position) noexcept nogil:
    return hash_salted(word, hash_salt(position))

cdef inline uint64_t hash_finish(uint64_t sum) noexcept nogil:
    sum ^= sum >> 32
    sum *= <uint64_t> 0x9FB21C651E98DF25ULL
    return sum ^ (sum >> 29)
