# What vswitchd knows of each flow in the datapath, and the table of all of them.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cpython.object cimport PyObject

from ofproto.xlate.state.xcache cimport XCache


# How many flows the datapath has of packets that came by one of its ports.
cdef class PortShare:
    cdef uint32_t in_port               # network order
    cdef Py_ssize_t n


cdef class Ukey:
    cdef uint8_t name[16]               # the ufid
    # Of the packet that it was made for, KEY_DP_SIZE, in_port as datapath port; not masked.
    cdef readonly bytes key
    cdef readonly bytes mask
    cdef readonly bytes actions
    cdef readonly uint64_t packets      # as last seen in the datapath
    cdef readonly uint64_t n_bytes
    cdef readonly int64_t used          # ms; 0 never
    cdef readonly int64_t created
    cdef readonly uint64_t workers      # a bit for each that has the flow, as far as is known
    cdef readonly uint64_t generation
    cdef uint64_t round                 # of the dump that saw it last
    cdef XCache cache
    cdef XCache previous                # whom packets before the last change belong to, or None
    cdef PortShare share                # its port's, while it is in the table
    cdef bint doomed                    # to be deleted with others, before the next upcall
    cdef readonly bint dead
    # In the table: its neighbours by age, and those in its row of the calendar.
    cdef PyObject *older
    cdef PyObject *newer
    cdef int64_t day
    cdef PyObject *before
    cdef PyObject *behind


cdef enum:
    DAYS = 256


cdef struct ukey_slot:
    uint64_t word               # the ufid's first 8 bytes
    PyObject *ukey              # NULL: free


# Whom the slot of his hash does not have, one of the next has, before one that is free.
cdef struct slot_array:
    ukey_slot *slots
    uint32_t last_slot          # their number is a power of two


@cython.final
cdef class UkeyTable:
    cdef slot_array slots
    # The half as large one of before, from which each new flow has some moved; slots NULL: none.
    cdef slot_array former
    cdef uint32_t moving        # the next one of its slots,
    cdef uint32_t unmoved       # and how many there are left
    cdef readonly uint32_t n
    cdef uint64_t salt          # so that nobody can make up flows that all go to one place
    cdef PyObject *oldest
    cdef PyObject *newest
    # Flows by when they were used last: rows of half a second, of which each stands for all days that
    # are DAYS apart.
    cdef PyObject *calendar[DAYS]
    cdef int64_t first_day      # nobody stands in a row of an earlier one
    cdef Ukey find(self, const uint8_t *name)
    cdef int add(self, Ukey ukey, int64_t now) except -1    # used then
    # Whether it was there.
    cdef bint remove(self, Ukey ukey) except -1
    # It was used then.
    cdef void renew(self, Ukey ukey, int64_t then) noexcept
    # By age.
    cdef list values(self)
    # Those that may not have been used after `then`, and all that were not.  Who was given is not given
    # again, unless it was used later or keep() is told that it stays.
    cdef list unused_since(self, int64_t then)
    cdef void keep(self, Ukey ukey) noexcept
    # The same, and the table is empty.
    cdef list take_all(self)
    # Private.
    cdef slot_array *holder(self, Ukey ukey) noexcept
    cdef int grow(self) except -1
    cdef void move_some(self) noexcept
    cdef void enter(self, Ukey ukey, int64_t then) noexcept
    cdef void strike_out(self, Ukey ukey) noexcept
    cdef void forget_age(self, Ukey ukey) noexcept
