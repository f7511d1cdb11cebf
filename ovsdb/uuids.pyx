"""Random UUIDs (RFC 4122, version 4), and whether a text is one, written in C: every changed row
gets a new one, and most conditions name one."""

import os

from cpython.unicode cimport (
    PyUnicode_DecodeASCII,
    PyUnicode_GET_LENGTH,
    PyUnicode_READ_CHAR,
)

cdef const char* DIGITS = b"0123456789abcdef"

# Random bytes, and how many of them are used up: one system call for many UUIDs.
cdef bytes pool = b""
cdef Py_ssize_t used = 0


def new_uuid():
    """A fresh random UUID in lower case."""
    global pool, used
    cdef char text[36]
    cdef const unsigned char* random
    cdef unsigned char byte
    cdef int number, at = 0
    if used == len(pool):
        pool = os.urandom(16 * 256)
        used = 0
    random = <const unsigned char*>pool + used
    used += 16
    for number in range(16):
        byte = random[number]
        if number == 6:
            byte = byte & 0x0F | 0x40  # version
        elif number == 8:
            byte = byte & 0x3F | 0x80  # variant
        if number in (4, 6, 8, 10):
            text[at] = b"-"
            at += 1
        text[at] = DIGITS[byte >> 4]
        text[at + 1] = DIGITS[byte & 0x0F]
        at += 2
    return PyUnicode_DecodeASCII(text, 36, NULL)


cpdef bint is_uuid(str text):
    """Whether `text` is a UUID, in letters of either case."""
    cdef Py_UCS4 letter
    cdef int at
    if PyUnicode_GET_LENGTH(text) != 36:
        return False
    for at in range(36):
        letter = PyUnicode_READ_CHAR(text, at)
        if at == 8 or at == 13 or at == 18 or at == 23:
            if letter != c"-":
                return False
        elif not (c"0" <= letter <= c"9" or c"a" <= letter <= c"f" or c"A" <= letter <= c"F"):
            return False
    return True
