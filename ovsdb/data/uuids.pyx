"""Random UUIDs (RFC 4122, version 4), and whether a text is one, written in C: every changed row
gets a new one, and most conditions name one."""

import os

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_GET_LENGTH, PyUnicode_READ_CHAR

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    POOL = 16 * 256

cdef const char* DIGITS = b"0123456789abcdef"
# Where the digits of each byte stand in the text.
cdef int[16] PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]

# Random bytes, and how many of them are used up: one system call for many UUIDs.
cdef bytes pool = b""
cdef Py_ssize_t used = POOL


cpdef str new_uuid():
    """A fresh random UUID in lower case."""
    global pool, used
    cdef const unsigned char* random
    cdef unsigned char* to
    cdef unsigned char byte
    cdef int number
    cdef str made = PyUnicode_New(36, 127)
    if used == POOL:
        pool = os.urandom(POOL)
        used = 0
    random = <const unsigned char*>PyBytes_AS_STRING(pool) + used
    used += 16
    to = PyUnicode_1BYTE_DATA(made)
    for number in range(16):
        byte = random[number]
        to[PLACES[number]] = DIGITS[byte >> 4]
        to[PLACES[number] + 1] = DIGITS[byte & 0x0F]
    to[8] = to[13] = to[18] = to[23] = c"-"
    to[14] = c"4"  # version
    to[19] = DIGITS[random[8] >> 4 & 0x3 | 0x8]  # variant
    return made


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
