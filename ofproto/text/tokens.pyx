"""The values in a flow's text, and the rest: two lines that differ in values only have the same
skeleton, in which each value is one byte that says how it is written.

What a value means, its place decides, and what is a value here may well be none: the parser of
match_text is asked about each place (flow_lines, flow_rows).  Forms that can be written in several
ways (octal, addresses without all their digits) are left in the skeleton.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from "arpa/inet.h" nogil:
    enum:
        AF_INET6
    int inet_pton(int, const char *, void *)
    const char *inet_ntop(int, const void *, char *, unsigned int)


cdef const char *DIGITS = "0123456789abcdef"


cdef inline int hex_of(char c) noexcept:
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= 0x20
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


cdef inline bint opens(char c) noexcept:
    """Whether a value may follow."""
    return c == c'=' or c == c':' or c == c',' or c == c'(' or c == c' '


cdef inline bint closes(char c) noexcept:
    return c == c',' or c == c' ' or c == c')' or c == c'/' or c == c'-' or c == c'\n'


cdef inline bint is_part(char c) noexcept:
    return hex_of(c) >= 0 or c == c'.' or c == c':' or c == c'x'


cdef void put(token *t, uint64_t value) noexcept:
    cdef int i
    for i in range(VALUE_SIZE - 1, VALUE_SIZE - 9, -1):
        t.value[i] = value & 0xFF
        value >>= 8


cdef bint read_decimal(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if size > 19 or (size > 1 and text[0] == c'0'):
        return False
    for i in range(size):
        if not c'0' <= text[i] <= c'9':
            return False
        value = value * 10 + <uint64_t> (text[i] - c'0')
    put(t, value)
    t.form = DECIMAL
    return True


cdef bint read_hex(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if not 3 <= size <= 18 or text[0] != c'0' or text[1] != c'x':
        return False
    for i in range(2, size):
        if hex_of(text[i]) < 0:
            return False
        value = value << 4 | <uint64_t> hex_of(text[i])
    put(t, value)
    t.form = HEX
    return True


cdef bint read_ipv4(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef Py_ssize_t i, begin = 0
    cdef int value = 0, part = 0
    for i in range(size + 1):
        if i < size and c'0' <= text[i] <= c'9':
            value = value * 10 + (text[i] - c'0')
            if value > 255 or (i > begin and text[begin] == c'0'):
                return False
            continue
        if i == begin or part > 3 or (i < size and text[i] != c'.'):
            return False
        t.value[VALUE_SIZE - 4 + part] = <uint8_t> value
        part += 1
        value = 0
        begin = i + 1
    t.form = IPV4
    return part == 4


cdef bint read_mac(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef int i
    if size != 17:
        return False
    for i in range(6):
        if hex_of(text[3 * i]) < 0 or hex_of(text[3 * i + 1]) < 0 or (i < 5 and text[3 * i + 2] != c':'):
            return False
        t.value[VALUE_SIZE - 6 + i] = <uint8_t> (hex_of(text[3 * i]) << 4 | hex_of(text[3 * i + 1]))
    t.form = MAC
    return True


cdef bint read_ipv6(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef char copy[SHOWN_SIZE]
    if not 2 <= size < SHOWN_SIZE:
        return False
    memcpy(copy, text, size)
    copy[size] = 0
    t.form = IPV6
    return inet_pton(AF_INET6, copy, t.value) == 1


cdef bint read(const char *text, Py_ssize_t size, token *t) noexcept:
    cdef Py_ssize_t i
    cdef bint colon = False, point = False
    memset(t.value, 0, VALUE_SIZE)
    for i in range(size):
        colon |= text[i] == c':'
        point |= text[i] == c'.'
    if colon:
        return read_mac(text, size, t) or read_ipv6(text, size, t)
    if point:
        return read_ipv4(text, size, t)
    return read_decimal(text, size, t) or read_hex(text, size, t)


cdef Py_ssize_t cut(const char *text, Py_ssize_t size, char *skeleton, token *tokens,
                    int *n_tokens) noexcept:
    """Fills in the skeleton, which is no longer than the text, and the tokens; returns the
    skeleton's size, -1 where the text is none for this."""
    cdef Py_ssize_t at = 0, end, made = 0
    cdef int n = 0
    if size > MOST_TEXT:
        return -1
    while at < size:
        if 0 <= text[at] < 9:
            return -1       # as which values stand in the skeleton
        if at and opens(text[at - 1]) and (hex_of(text[at]) >= 0 or text[at] == c':'):
            end = at
            while end < size and is_part(text[end]):
                end += 1
            if n == MOST_TOKENS:
                return -1
            if (end == size or closes(text[end])) and read(text + at, end - at, &tokens[n]):
                tokens[n].begin = at
                tokens[n].end = end
                skeleton[made] = tokens[n].form
                made += 1
                n += 1
                at = end
                continue
        skeleton[made] = text[at]
        made += 1
        at += 1
    n_tokens[0] = n
    return made


cdef Py_ssize_t show_number(uint64_t value, unsigned int base, char *out) noexcept:
    cdef char digits[24]
    cdef Py_ssize_t n = 0, i
    while True:
        digits[n] = DIGITS[value % base]
        n += 1
        value //= base
        if not value:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n


cdef Py_ssize_t show(int form, const uint8_t *value, char *out) noexcept:
    """A value's text, of at most SHOWN_SIZE bytes; returns the size."""
    cdef uint64_t number = 0
    cdef Py_ssize_t size = 0
    cdef int i
    if form == IPV6:
        inet_ntop(AF_INET6, value, out, SHOWN_SIZE)
        while out[size]:
            size += 1
        return size
    if form == MAC:
        for i in range(6):
            out[3 * i] = DIGITS[value[VALUE_SIZE - 6 + i] >> 4]
            out[3 * i + 1] = DIGITS[value[VALUE_SIZE - 6 + i] & 15]
            out[3 * i + 2] = c':'
        return 17
    if form == IPV4:
        for i in range(4):
            size += show_number(value[VALUE_SIZE - 4 + i], 10, out + size)
            if i < 3:
                out[size] = c'.'
                size += 1
        return size
    for i in range(8, VALUE_SIZE):
        number = number << 8 | value[i]
    if form == DECIMAL:
        return show_number(number, 10, out)
    out[0] = c'0'
    out[1] = c'x'
    return 2 + show_number(number, 16, out + 2)


def tokens_of(bytes text not None):
    """(skeleton, [(begin, end, form, value)]) of a text; None where it is none for this."""
    cdef char skeleton[MOST_TEXT]
    cdef token found[MOST_TOKENS]
    cdef int n = 0, i
    cdef Py_ssize_t size = cut(text, len(text), skeleton, found, &n)
    if size < 0:
        return None
    values = [
        (found[i].begin, found[i].end, found[i].form,
         int.from_bytes((<uint8_t *> found[i].value)[:VALUE_SIZE], "big"))
        for i in range(n)
    ]
    return skeleton[:size], values


def shown(int form, value):
    """The text of a value, as bytes."""
    cdef char out[SHOWN_SIZE]
    cdef bytes data = value.to_bytes(VALUE_SIZE, "big")
    return out[:show(form, data, out)]
