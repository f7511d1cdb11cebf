# The hashes by which Open vSwitch spreads packets, so that a packet goes the same way here:
# MurmurHash3 (32 bit) over words, and lookup3 of Bob Jenkins over bytes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef inline uint32_t rotate(uint32_t x, int n) noexcept nogil:
    return x << n | x >> (32 - n)


# --- MurmurHash3: begin with the basis, add words, finish

cdef inline uint32_t murmur_add(uint32_t hash, uint32_t word) noexcept nogil:
    hash ^= rotate(word * <uint32_t> 0xcc9e2d51, 15) * <uint32_t> 0x1b873593
    return rotate(hash, 13) * 5 + <uint32_t> 0xe6546b64

cdef inline uint32_t murmur_add64(uint32_t hash, uint64_t word) noexcept nogil:
    return murmur_add(murmur_add(hash, <uint32_t> word), <uint32_t> (word >> 32))

cdef inline uint32_t murmur_finish(uint32_t hash, uint32_t final) noexcept nogil:
    hash ^= final
    hash = (hash ^ hash >> 16) * <uint32_t> 0x85ebca6b
    hash = (hash ^ hash >> 13) * <uint32_t> 0xc2b2ae35
    return hash ^ hash >> 16

cdef inline uint32_t murmur_pair(uint32_t a, uint32_t b) noexcept nogil:
    return murmur_finish(murmur_add(murmur_add(a, 0), b), 8)

cdef inline uint32_t murmur_bytes(const uint8_t *data, uint32_t size, uint32_t basis) noexcept nogil:
    cdef uint32_t hash = basis, word, at = 0
    while at < size:
        word = 0
        memcpy(&word, data + at, 4 if size - at >= 4 else size - at)
        hash = murmur_add(hash, word)
        at += 4
    return murmur_finish(hash, size)


# --- lookup3

cdef inline void lookup3_mix(uint32_t *w) noexcept nogil:
    w[0] = (w[0] - w[2]) ^ rotate(w[2], 4)
    w[2] += w[1]
    w[1] = (w[1] - w[0]) ^ rotate(w[0], 6)
    w[0] += w[2]
    w[2] = (w[2] - w[1]) ^ rotate(w[1], 8)
    w[1] += w[0]
    w[0] = (w[0] - w[2]) ^ rotate(w[2], 16)
    w[2] += w[1]
    w[1] = (w[1] - w[0]) ^ rotate(w[0], 19)
    w[0] += w[2]
    w[2] = (w[2] - w[1]) ^ rotate(w[1], 4)
    w[1] += w[0]

cdef inline void lookup3_final(uint32_t *w) noexcept nogil:
    w[2] = (w[2] ^ w[1]) - rotate(w[1], 14)
    w[0] = (w[0] ^ w[2]) - rotate(w[2], 11)
    w[1] = (w[1] ^ w[0]) - rotate(w[0], 25)
    w[2] = (w[2] ^ w[1]) - rotate(w[1], 16)
    w[0] = (w[0] ^ w[2]) - rotate(w[2], 4)
    w[1] = (w[1] ^ w[0]) - rotate(w[0], 14)
    w[2] = (w[2] ^ w[1]) - rotate(w[1], 24)

cdef inline uint32_t lookup3_bytes(const uint8_t *data, uint32_t size, uint32_t basis) noexcept nogil:
    cdef uint32_t w[3]
    cdef uint32_t part[3]
    cdef uint32_t at = 0, n
    w[0] = w[1] = w[2] = <uint32_t> 0xdeadbeef + size + basis
    while at < size:
        n = 12 if size - at >= 12 else size - at
        part[0] = part[1] = part[2] = 0
        memcpy(part, data + at, n)
        w[0] += part[0]
        w[1] += part[1]
        w[2] += part[2]
        if n == 12:
            lookup3_mix(w)
        else:
            lookup3_final(w)
        at += n
    return w[2]
