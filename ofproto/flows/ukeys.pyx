"""The table of what vswitchd knows of each flow in the datapath.

Some hundred thousand flows come and go, and each is asked for by its name with every look at the
datapath's counters: so there is no object for a name, and who looks for flows that are idle looks
into some rows of a calendar instead of at all of them.
"""

import os

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from datapath.base.hashing cimport hash_finish, hash_salted

cdef enum:
    FIRST_SLOTS = 64
    DAY_BITS = 9                # of milliseconds


@cython.no_gc
cdef class PortShare:
    pass


@cython.no_gc
cdef class Ukey:
    """A flow in the datapath, as vswitchd knows it."""

    @property
    def ufid(self):
        """Its name, 16 bytes."""
        return (<char *> self.name)[:16]

    def __repr__(self):
        return f"<Ukey {self.ufid.hex()} packets={self.packets}>"


cdef inline uint64_t first_word(const uint8_t *name) noexcept:
    cdef uint64_t word
    memcpy(&word, name, sizeof(word))
    return word


@cython.final
@cython.no_gc
cdef class UkeyTable:
    def __cinit__(self):
        self.last_slot = FIRST_SLOTS - 1
        self.slots = <ukey_slot *> calloc(FIRST_SLOTS, sizeof(ukey_slot))
        if self.slots is NULL:
            raise MemoryError
        self.salt = int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        if self.slots is not NULL:
            self.take_all()
            free(self.slots)

    cdef uint32_t home(self, uint64_t word) noexcept:
        return <uint32_t> hash_finish(hash_salted(word, self.salt)) & self.last_slot

    cdef uint32_t place(self, const uint8_t *name) noexcept:
        """The slot of that name, or the free one where it would be."""
        cdef uint64_t word = first_word(name)
        cdef uint32_t i = self.home(word)
        while self.slots[i].ukey is not NULL:
            if self.slots[i].word == word and not memcmp((<Ukey> self.slots[i].ukey).name, name, 16):
                break
            i = (i + 1) & self.last_slot
        return i

    cdef Ukey find(self, const uint8_t *name):
        cdef PyObject *found = self.slots[self.place(name)].ukey
        return <Ukey> found if found is not NULL else None

    cdef int grow(self) except -1:
        cdef uint32_t i, at, n = self.last_slot + 1
        cdef ukey_slot *former = self.slots
        self.slots = <ukey_slot *> calloc(<size_t> 2 * n, sizeof(ukey_slot))
        if self.slots is NULL:
            self.slots = former
            raise MemoryError
        self.last_slot = 2 * n - 1
        for i in range(n):
            if former[i].ukey is NULL:
                continue
            at = self.home(former[i].word)
            while self.slots[at].ukey is not NULL:
                at = (at + 1) & self.last_slot
            self.slots[at] = former[i]
        free(former)
        return 0

    cdef int add(self, Ukey ukey, int64_t now) except -1:
        cdef uint32_t i
        if 2 * (self.n + 1) > self.last_slot:
            self.grow()
        i = self.place(ukey.name)
        if self.slots[i].ukey is not NULL:
            raise KeyError(ukey.ufid)
        Py_INCREF(ukey)
        self.slots[i].word = first_word(ukey.name)
        self.slots[i].ukey = <PyObject *> ukey
        self.n += 1
        ukey.older = self.newest
        if self.newest is NULL:
            self.oldest = <PyObject *> ukey
        else:
            (<Ukey> self.newest).newer = <PyObject *> ukey
        self.newest = <PyObject *> ukey
        self.enter(ukey, now)
        return 0

    cdef bint remove(self, Ukey ukey) except -1:
        cdef uint32_t hole = self.place(ukey.name), i, home
        if self.slots[hole].ukey is not <PyObject *> ukey:
            return False
        i = hole
        while True:
            i = (i + 1) & self.last_slot
            if self.slots[i].ukey is NULL:
                break
            # One may move into the hole unless its home lies between the hole and itself.
            home = self.home(self.slots[i].word)
            if ((i - home) & self.last_slot) >= ((i - hole) & self.last_slot):
                self.slots[hole] = self.slots[i]
                hole = i
        self.slots[hole].ukey = NULL
        self.n -= 1
        self.forget_age(ukey)
        self.strike_out(ukey)
        Py_DECREF(ukey)
        return True

    cdef void forget_age(self, Ukey ukey) noexcept:
        if ukey.older is NULL:
            self.oldest = ukey.newer
        else:
            (<Ukey> ukey.older).newer = ukey.newer
        if ukey.newer is NULL:
            self.newest = ukey.older
        else:
            (<Ukey> ukey.newer).older = ukey.older
        ukey.older = ukey.newer = NULL

    # --- the calendar

    cdef void enter(self, Ukey ukey, int64_t then) noexcept:
        cdef PyObject **row
        ukey.day = then >> DAY_BITS
        row = &self.calendar[<uint64_t> ukey.day % DAYS]
        ukey.before = NULL
        ukey.behind = row[0]
        if row[0] is not NULL:
            (<Ukey> row[0]).before = <PyObject *> ukey
        row[0] = <PyObject *> ukey
        self.first_day = min(self.first_day, ukey.day)

    cdef void strike_out(self, Ukey ukey) noexcept:
        if ukey.before is NULL:
            self.calendar[<uint64_t> ukey.day % DAYS] = ukey.behind
        else:
            (<Ukey> ukey.before).behind = ukey.behind
        if ukey.behind is not NULL:
            (<Ukey> ukey.behind).before = ukey.before

    cdef void renew(self, Ukey ukey, int64_t then) noexcept:
        if ukey.day == then >> DAY_BITS:
            return
        if ukey.newer is NULL and self.newest is not <PyObject *> ukey:
            return              # it is not in the table any more
        self.strike_out(ukey)
        self.enter(ukey, then)

    cdef list unused_since(self, int64_t then):
        cdef list found = []
        cdef int64_t day, last = then >> DAY_BITS
        cdef PyObject *at
        for day in range(max(self.first_day, last - DAYS + 1), last + 1):
            at = self.calendar[<uint64_t> day % DAYS]
            while at is not NULL:
                if (<Ukey> at).day <= last:
                    found.append(<Ukey> at)
                at = (<Ukey> at).behind
        self.first_day = max(self.first_day, last)
        return found

    cdef void keep(self, Ukey ukey) noexcept:
        self.first_day = min(self.first_day, ukey.day)

    cdef list values(self):
        cdef PyObject *at = self.oldest
        cdef list found = []
        while at is not NULL:
            found.append(<Ukey> at)
            at = (<Ukey> at).newer
        return found

    cdef list take_all(self):
        cdef list found = self.values()
        cdef Ukey ukey
        cdef uint32_t i
        for i in range(self.last_slot + 1):
            self.slots[i].ukey = NULL
        for i in range(DAYS):
            self.calendar[i] = NULL
        self.oldest = self.newest = NULL
        self.n = 0
        for ukey in found:
            ukey.older = ukey.newer = NULL
            Py_DECREF(ukey)
        return found

    def __len__(self):
        return self.n
