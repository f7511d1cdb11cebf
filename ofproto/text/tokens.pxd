from libc.stdint cimport uint8_t

cdef enum:
    MOST_TOKENS = 32
    MOST_TEXT = 2048        # bytes of a line
    VALUE_SIZE = 16
    SHOWN_SIZE = 48         # the longest text of a value

cdef enum:                  # how a value is written
    DECIMAL = 1
    HEX = 2
    IPV4 = 3
    MAC = 4
    IPV6 = 5

cdef struct token:
    Py_ssize_t begin, end
    int form
    uint8_t value[VALUE_SIZE]       # big endian, from the end

cdef Py_ssize_t cut(const char *text, Py_ssize_t size, char *skeleton, token *tokens,
                    int *n_tokens) noexcept
cdef Py_ssize_t show(int form, const uint8_t *value, char *out) noexcept
