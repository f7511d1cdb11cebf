"""Compiled actions: an OpenFlow action list as a flat array of C ops.

compile_actions (ofproto.compile) fills it; ofproto.xlate runs it.
"""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from datapath.key.flow cimport flow_key

cdef extern from "<endian.h>" nogil:
    uint64_t htobe64(uint64_t)


cdef class Program:
    """Ops, the bytes they refer to, and the actions they came from."""

    def __cinit__(self):
        self._actions = []
        self.subs = []
        self.specs = []
        self.learned = ()

    def __dealloc__(self):
        free(self.ops)
        free(self.pool)
        free(self.conjs)

    cdef op *add(self, op_code code) except NULL:
        """A new op, all zero but its code; valid until the next add."""
        cdef op *grown
        cdef op *fresh
        if self.n_ops == self.capacity:
            grown = <op *> realloc(self.ops, (self.capacity + 4) * 2 * sizeof(op))
            if grown is NULL:
                raise MemoryError
            self.ops = grown
            self.capacity = (self.capacity + 4) * 2
        fresh = &self.ops[self.n_ops]
        memset(fresh, 0, sizeof(op))
        fresh.code = code
        self.n_ops += 1
        self._signature = None
        return fresh

    cdef int add_conjunction(self, uint32_t id, uint8_t clause, uint8_t n_clauses) except -1:
        """Before the program is given to a rule."""
        cdef conjunction *grown
        if not self.n_conjs & (self.n_conjs - 1):       # a power of two: full
            grown = <conjunction *> realloc(
                self.conjs, max(1, 2 * self.n_conjs) * sizeof(conjunction))
            if grown is NULL:
                raise MemoryError
            self.conjs = grown
        self.conjs[self.n_conjs] = conjunction(id, clause, n_clauses)
        self.n_conjs += 1
        return 0

    cdef uint32_t add_data(self, const uint8_t *data, uint32_t size) except? 0xffffffff:
        """Copies bytes to the pool; their offset."""
        cdef uint32_t at = self.pool_size
        cdef uint8_t *grown = <uint8_t *> realloc(self.pool, at + size + 1)
        if grown is NULL:
            raise MemoryError
        self.pool = grown
        memcpy(&self.pool[at], data, size)
        self.pool_size = at + size
        self._signature = None
        return at

    cpdef bytes signature(self):
        cdef Program sub
        if self._signature is None:
            parts = [(<char *> self.ops)[:self.n_ops * sizeof(op)],
                     (<char *> self.pool)[:self.pool_size]]
            for sub in self.subs:
                parts.append(sub.signature())
            self._signature = b"".join([len(part).to_bytes(4, "little") + part for part in parts])
        return self._signature

    @property
    def actions(self):
        """The objects that the ops came from, in order, which `op.action` counts."""
        if self._actions is None:
            self._actions = self.source.compile().actions
        return self._actions

    cdef Program copy(self, source):
        """One whose ops and bytes may be given other values, so that it does what these
        RawInstructions say; for programs without conjunctions."""
        cdef Program made = Program.__new__(Program)
        made._actions = None
        made.source = source
        made.ops = <op *> malloc((self.n_ops + 1) * sizeof(op))
        made.pool = <uint8_t *> malloc(self.pool_size + 1)
        if made.ops is NULL or made.pool is NULL:
            raise MemoryError
        memcpy(made.ops, self.ops, self.n_ops * sizeof(op))
        memcpy(made.pool, self.pool, self.pool_size)
        made.n_ops = self.n_ops
        made.capacity = self.n_ops + 1
        made.pool_size = self.pool_size
        made.subs, made.specs, made.learned = self.subs, self.specs, self.learned
        made.groups, made.options = self.groups, self.options
        return made

    def remaining(self, uint32_t pc):
        """What the ops from `pc` on come from; lists are told by what they have."""
        if pc >= self.n_ops:
            return []
        return [each for each in self.actions[self.ops[pc].action:] if not is_list(each)]

    def __len__(self):
        return self.n_ops


cdef bint is_list(action):
    return type(action).__name__ == "ApplyActions"


cdef inline int get_bit(const uint8_t *key, const slot *s, int bit) noexcept nogil:
    """Bit number `bit` of a slot, 0 the least significant."""
    bit += s.shift
    return key[s.offset + s.size - 1 - (bit >> 3)] >> (bit & 7) & 1


cdef inline void put_bit(uint8_t *key, const slot *s, int bit, int value) noexcept nogil:
    cdef uint8_t *at
    bit += s.shift
    at = &key[s.offset + s.size - 1 - (bit >> 3)]
    at[0] = <uint8_t> ((at[0] & ~(1 << (bit & 7))) | (value << (bit & 7)))


cdef void read_slot(const uint8_t *key, const slot *s, uint8_t *out) noexcept nogil:
    cdef int bit
    memset(out, 0, 16)
    for bit in range(s.absent, s.n_bits):
        out[15 - (bit >> 3)] |= <uint8_t> (get_bit(key, s, bit) << (bit & 7))


cdef void write_slot(uint8_t *key, const slot *s, const uint8_t *value) noexcept nogil:
    cdef int bit
    for bit in range(s.absent, s.n_bits):
        put_bit(key, s, bit, value[15 - (bit >> 3)] >> (bit & 7) & 1)


cdef void fill_slot(uint8_t *key, const slot *s) noexcept nogil:
    cdef int bit
    for bit in range(s.absent, s.n_bits):
        put_bit(key, s, bit, 1)


cdef void note_written(flow_key *key, const slot *s) noexcept nogil:
    if s.option:
        key.tun_present |= htobe64(<uint64_t> 1 << (s.option - 1))


cdef slot part_of_slot(const slot *s, int first) noexcept nogil:
    cdef slot part = s[0]
    part.shift = <uint16_t> (s.shift + first)
    part.n_bits = <uint16_t> min(s.n_bits - first, <int> SLOT_BITS)
    part.absent = <uint16_t> min(max(s.absent - first, 0), <int> part.n_bits)
    return part
