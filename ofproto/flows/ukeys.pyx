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
    MOVED = 32                  # slots, with each flow that is added to a table that has grown


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


cdef int make_slots(slot_array *a, uint32_t n) except -1:
    a.slots = <ukey_slot *> calloc(n, sizeof(ukey_slot))
    if a.slots is NULL:
        raise MemoryError
    a.last_slot = n - 1
    return 0


cdef uint32_t home(const slot_array *a, uint64_t salt, uint64_t word) noexcept:
    return <uint32_t> hash_finish(hash_salted(word, salt)) & a.last_slot


cdef uint32_t place(const slot_array *a, uint64_t salt, const uint8_t *name) noexcept:
    """The slot of that name, or the free one where it would be."""
    cdef uint64_t word = first_word(name)
    cdef uint32_t i = home(a, salt, word)
    while a.slots[i].ukey is not NULL:
        if a.slots[i].word == word and not memcmp((<Ukey> a.slots[i].ukey).name, name, 16):
            break
        i = (i + 1) & a.last_slot
    return i


cdef void vacate(slot_array *a, uint64_t salt, uint32_t hole) noexcept:
    cdef uint32_t i = hole, wanted
    while True:
        i = (i + 1) & a.last_slot
        if a.slots[i].ukey is NULL:
            break
        # One may move into the hole unless its home lies between the hole and itself.
        wanted = home(a, salt, a.slots[i].word)
        if ((i - wanted) & a.last_slot) >= ((i - hole) & a.last_slot):
            a.slots[hole] = a.slots[i]
            hole = i
    a.slots[hole].ukey = NULL


@cython.final
@cython.no_gc
cdef class UkeyTable:
    def __cinit__(self):
        make_slots(&self.slots, FIRST_SLOTS)
        self.salt = int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        if self.slots.slots is not NULL:
            self.take_all()
            free(self.slots.slots)

    cdef slot_array *holder(self, Ukey ukey) noexcept:
        """Where it stands; NULL: nowhere."""
        cdef PyObject *wanted = <PyObject *> ukey
        if self.slots.slots[place(&self.slots, self.salt, ukey.name)].ukey is wanted:
            return &self.slots
        if (self.former.slots is not NULL
                and self.former.slots[place(&self.former, self.salt, ukey.name)].ukey is wanted):
            return &self.former
        return NULL

    cdef Ukey find(self, const uint8_t *name):
        cdef PyObject *found = self.slots.slots[place(&self.slots, self.salt, name)].ukey
        if found is NULL and self.former.slots is not NULL:
            found = self.former.slots[place(&self.former, self.salt, name)].ukey
        return <Ukey> found if found is not NULL else None

    cdef int grow(self) except -1:
        cdef slot_array larger
        while self.former.slots is not NULL:
            self.move_some()
        make_slots(&larger, 2 * (self.slots.last_slot + 1))
        self.former, self.slots = self.slots, larger
        self.unmoved = self.former.last_slot + 1
        self.moving = 0
        while self.former.slots[self.moving].ukey is not NULL:
            self.moving += 1
        return 0

    cdef void move_some(self) noexcept:
        """Not a million of them in one step.  Neighbours without a free slot between them go together, as
        each is looked for from the first of them."""
        cdef ukey_slot *slot
        cdef uint32_t at, n = 0
        while self.unmoved:
            slot = &self.former.slots[self.moving]
            if slot.ukey is not NULL:
                at = home(&self.slots, self.salt, slot.word)
                while self.slots.slots[at].ukey is not NULL:
                    at = (at + 1) & self.slots.last_slot
                self.slots.slots[at] = slot[0]
                slot.ukey = NULL
            elif n >= MOVED:
                return
            self.moving = (self.moving + 1) & self.former.last_slot
            self.unmoved -= 1
            n += 1
        free(self.former.slots)
        self.former.slots = NULL

    cdef int add(self, Ukey ukey, int64_t now) except -1:
        cdef uint32_t i
        if 2 * (self.n + 1) > self.slots.last_slot:
            self.grow()
        if self.former.slots is not NULL:
            self.move_some()
        if self.find(ukey.name) is not None:
            raise KeyError(ukey.ufid)
        i = place(&self.slots, self.salt, ukey.name)
        Py_INCREF(ukey)
        self.slots.slots[i].word = first_word(ukey.name)
        self.slots.slots[i].ukey = <PyObject *> ukey
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
        cdef slot_array *holder = self.holder(ukey)
        if holder is NULL:
            return False
        vacate(holder, self.salt, place(holder, self.salt, ukey.name))
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
        free(self.former.slots)
        self.former.slots = NULL
        for i in range(self.slots.last_slot + 1):
            self.slots.slots[i].ukey = NULL
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
