"""Bonds whose members the datapath chooses by itself, for LB_OUTPUT: a bucket is a hash of addresses
and ports.  So a packet is looked up once, and buckets that move to other members change no flow.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from datapath.base.atomic cimport load32, load64, store32, store64
from datapath.key.flow cimport flow_hash_5tuple, flow_key

cdef extern from *:
    """
    static inline void pyvs_add64(void *at, uint64_t n) {
        __atomic_fetch_add((uint64_t *) at, n, __ATOMIC_RELAXED);
    }
    """
    void add64 "pyvs_add64"(void *at, uint64_t n) noexcept nogil

BUCKETS = <int> LB_BUCKETS
NONE = <unsigned> LB_NONE


cdef lb_bond *find_bond(const lb_table *table, uint32_t id) noexcept nogil:
    cdef uint32_t low = 0, high = table.n, at
    while low < high:
        at = (low + high) // 2
        if table.bonds[at].id < id:
            low = at + 1
        else:
            high = at
    return table.bonds[low] if low < table.n and table.bonds[low].id == id else NULL


cdef uint32_t lb_choose(lb_table **table, uint32_t id, const flow_key *key, uint32_t size) noexcept nogil:
    cdef lb_bond *bond
    cdef uint32_t bucket
    if table == NULL:
        return LB_NONE
    bond = find_bond(<const lb_table *> load64(table), id)
    if bond == NULL:
        return LB_NONE
    bucket = flow_hash_5tuple(key, load32(&bond.basis)) & (LB_BUCKETS - 1)
    add64(&bond.n_packets[bucket], 1)
    add64(&bond.n_bytes[bucket], size)
    return load32(&bond.members[bucket])


# --- as the control thread has them

def check(id, basis, members):
    """Raises ValueError unless a bond may be like that."""
    if type(members) is not list or len(members) != LB_BUCKETS:
        raise ValueError(f"a bond has a list of {BUCKETS} members")
    for number in (id, basis, *members):
        if type(number) is not int or not 0 <= number < 1 << 32:
            raise ValueError(f"{number}: not a number of 32 bits")


@cython.no_gc_clear      # __dealloc__ needs `retired`; nothing in it leads in a circle
cdef class LbBonds:
    def __cinit__(self):
        self.retired = []
        self.table = <lb_table *> calloc(1, sizeof(lb_table))
        if self.table == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef uint32_t i
        if self.table != NULL:
            for i in range(self.table.n):
                free(self.table.bonds[i])
        self.reclaim()
        free(self.table)

    def __len__(self):
        return self.table.n

    cdef lb_bond *find(self, uint32_t id) noexcept:
        return find_bond(self.table, id)

    cdef int publish(self, lb_table *fresh) except -1:
        self.retired.append(<size_t> self.table)
        store64(&self.table, <uint64_t> <size_t> fresh)
        return 0

    def set(self, id, basis, members):
        cdef lb_bond *bond
        cdef uint32_t i
        check(id, basis, members)
        bond = self.find(id)
        if bond == NULL:
            bond = <lb_bond *> calloc(1, sizeof(lb_bond))
            if bond == NULL:
                raise MemoryError()
            fill_bond(bond, id, basis, members)
            try:
                self.insert(bond)
            except (ValueError, MemoryError):
                free(bond)
                raise
            return
        store32(&bond.basis, basis)
        for i in range(LB_BUCKETS):
            store32(&bond.members[i], members[i])

    cdef int insert(self, lb_bond *bond) except -1:
        cdef lb_table *fresh
        cdef uint32_t n = self.table.n, at = 0
        if n >= MAX_LB_BONDS:
            raise ValueError(f"there are {n} bonds")
        fresh = <lb_table *> calloc(1, sizeof(lb_table))
        if fresh == NULL:
            raise MemoryError()
        while at < n and self.table.bonds[at].id < bond.id:
            at += 1
        memcpy(fresh.bonds, self.table.bonds, at * sizeof(lb_bond *))
        fresh.bonds[at] = bond
        memcpy(&fresh.bonds[at + 1], &self.table.bonds[at], (n - at) * sizeof(lb_bond *))
        fresh.n = n + 1
        return self.publish(fresh)

    def delete(self, uint32_t id):
        cdef lb_bond *gone = self.find(id)
        cdef lb_table *fresh
        cdef uint32_t i
        if gone == NULL:
            raise KeyError(id)
        fresh = <lb_table *> calloc(1, sizeof(lb_table))
        if fresh == NULL:
            raise MemoryError()
        for i in range(self.table.n):
            if self.table.bonds[i] != gone:
                fresh.bonds[fresh.n] = self.table.bonds[i]
                fresh.n += 1
        self.publish(fresh)
        self.retired.append(<size_t> gone)

    def reclaim(self):
        cdef size_t address
        for address in self.retired:
            free(<void *> address)
        self.retired = []

    def dump(self, behind=-1, count=None):
        bonds = []
        for i in range(self.table.n):
            if self.table.bonds[i].id > behind and (count is None or len(bonds) < count):
                bonds.append(told(self.table.bonds[i]))
        return bonds


cdef fill_bond(lb_bond *bond, id, basis, members):
    cdef uint32_t i
    bond.id, bond.basis = id, basis
    for i in range(LB_BUCKETS):
        bond.members[i] = members[i]


cdef told(lb_bond *bond):
    return {
        "bond": bond.id, "basis": bond.basis,
        "members": [bond.members[i] for i in range(LB_BUCKETS)],
        "packets": [bond.n_packets[i] for i in range(LB_BUCKETS)],
        "bytes": [bond.n_bytes[i] for i in range(LB_BUCKETS)],
    }
