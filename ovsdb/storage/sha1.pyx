"""The header of a log record, with its SHA-1 (FIPS 180-4), for records as small as most are.

OpenSSL's is faster for long ones; for a hundred bytes, what leads to it costs several times the
hash where caches are cold, as they are when transactions come one at a time.
"""

from hashlib import sha1

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    LONG = 4096  # bytes, from which on OpenSSL's is the faster
    HEADER_SIZE = 80
    DIGEST_SIZE = 20

cdef const char* DIGITS = b"0123456789abcdef"


cdef inline uint32_t rotated(uint32_t word, int bits) noexcept nogil:
    return word << bits | word >> (32 - bits)


cdef void block(uint32_t* state, const uint8_t* data) noexcept nogil:
    """Take in 64 bytes."""
    cdef uint32_t[16] words
    cdef uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4]
    cdef uint32_t mixed, next_a
    cdef int t
    for t in range(80):
        if t < 16:
            words[t] = (<uint32_t>data[4 * t] << 24 | <uint32_t>data[4 * t + 1] << 16
                        | <uint32_t>data[4 * t + 2] << 8 | data[4 * t + 3])
        else:
            words[t & 15] = rotated(words[(t + 13) & 15] ^ words[(t + 8) & 15]
                                    ^ words[(t + 2) & 15] ^ words[t & 15], 1)
        if t < 20:
            mixed = (b & c | ~b & d) + <uint32_t>0x5A827999
        elif t < 40:
            mixed = (b ^ c ^ d) + <uint32_t>0x6ED9EBA1
        elif t < 60:
            mixed = (b & c | b & d | c & d) + <uint32_t>0x8F1BBCDC
        else:
            mixed = (b ^ c ^ d) + <uint32_t>0xCA62C1D6
        next_a = rotated(a, 5) + mixed + e + words[t & 15]
        e, d, c, b, a = d, c, rotated(b, 30), a, next_a
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


cdef void digest(const uint8_t* data, size_t size, uint8_t* result) noexcept nogil:
    cdef uint32_t[5] state
    cdef uint8_t[128] tail
    cdef size_t whole = size & ~<size_t>63
    cdef size_t rest = size - whole
    cdef size_t padded = 64 if rest < 56 else 128
    cdef uint64_t bits = <uint64_t>size * 8
    cdef size_t at
    state[0], state[1], state[2] = 0x67452301, 0xEFCDAB89, 0x98BADCFE
    state[3], state[4] = 0x10325476, 0xC3D2E1F0
    for at in range(0, whole, 64):
        block(state, data + at)
    memset(tail, 0, sizeof(tail))
    memcpy(tail, data + whole, rest)
    tail[rest] = 0x80
    for at in range(8):
        tail[padded - 1 - at] = <uint8_t>(bits >> (8 * at))
    for at in range(0, padded, 64):
        block(state, tail + at)
    for at in range(DIGEST_SIZE):
        result[at] = <uint8_t>(state[at // 4] >> (24 - 8 * (at % 4)))


cdef int header_start(char* to, size_t length) noexcept nogil:
    """Write what comes before the hash; how many bytes that is."""
    cdef char[20] digits
    cdef int count = 0, at = 11
    memcpy(to, b"OVSDB JSON ", 11)
    while True:
        digits[count] = <char>(c"0" + length % 10)
        count += 1
        length //= 10
        if not length:
            break
    while count:
        count -= 1
        to[at] = digits[count]
        at += 1
    to[at] = c" "
    return at + 1


cpdef bytes record(bytes json):
    """The bytes of the record whose content is `json` and a line feed: header, JSON, line feed."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(json)
    cdef char[HEADER_SIZE] header
    cdef uint8_t[DIGEST_SIZE] hashed
    cdef uint8_t[LONG] text
    cdef int size, at
    cdef bytes whole
    cdef char* to
    if length >= LONG:
        json += b"\n"
        return b"OVSDB JSON %d %s\n%s" % (length + 1, sha1(json).hexdigest().encode(), json)
    memcpy(text, PyBytes_AS_STRING(json), length)
    text[length] = b"\n"
    digest(text, length + 1, hashed)
    size = header_start(header, length + 1)
    for at in range(DIGEST_SIZE):
        header[size] = DIGITS[hashed[at] >> 4]
        header[size + 1] = DIGITS[hashed[at] & 15]
        size += 2
    header[size] = b"\n"
    size += 1
    whole = PyBytes_FromStringAndSize(NULL, size + length + 1)
    to = PyBytes_AS_STRING(whole)
    memcpy(to, header, size)
    memcpy(to + size, text, length + 1)
    return whole
