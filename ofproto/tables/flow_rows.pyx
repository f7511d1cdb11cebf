"""Rows of flow statistics, of tables with many flows of few kinds.

The first row of a kind - its shape, and its values where other values may mean other bytes - is
made by the codec.  For the others a plan has what is the same, and copies the values to where
codec/value_places found those of the first; instructions that are still as they came are copied, or
their values to where codec/action_places found them in another version's.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from datapath.key.flow cimport KEY_WORDS
from ofproto.codec.numbers cimport OFPP_MAX
from ofproto.rules.classifier cimport Rule
from ofproto.rules.shape cimport Shape
from ofproto.rules.raw_instructions cimport RawInstructions

from ofproto.codec import action_places, value_places
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import decode_instructions, encode_instructions


cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)

cdef enum:
    MOST_PLANS = 8          # for one shape
    MOST_SHAPES = 1024
    MOST_TAILS = 1024       # different instructions of one plan
    MOST_COPIES = 24
    MOST_VALUES = 24        # of actions
    MOST_HEAD = 2048        # bytes of a row before its instructions
    C_OF10 = 1
    C_OF13 = 4
    C_OF14 = 5


cdef struct copied:
    uint16_t begin          # in the row
    uint16_t size
    uint16_t at             # in the flow key
    bint is_port


cdef class RowPlan:
    cdef uint8_t head[MOST_HEAD]
    cdef Py_ssize_t head_size
    cdef uint64_t key[KEY_WORDS]        # of the first
    cdef uint64_t care[KEY_WORDS]       # bits that are the same in all
    cdef copied copies[MOST_COPIES]
    cdef int n_copies
    cdef dict tails                     # id of instructions -> (they, their bytes)
    cdef dict kinds                     # id of a RawInstructions' kind -> (it, TailPlan or None)

    cdef bint fits(self, Shape shape, const uint64_t *values, const uint8_t *key) noexcept:
        cdef uint32_t i, word
        cdef int c
        for i in range(shape.n):
            word = shape.index[i]
            if (values[i] ^ self.key[word]) & self.care[word]:
                return False
        for c in range(self.n_copies):
            if self.copies[c].is_port and not below_max(key + self.copies[c].at,
                                                        self.copies[c].size):
                return False
        return True


cdef inline bint below_max(const uint8_t *at, int size) noexcept:
    """A port number of 2 or 4 bytes is the same in 16 and in 32 bits."""
    return (size == 2 or not (at[0] | at[1])) and at[size - 2] < OFPP_MAX >> 8


cdef struct moved:          # a value of an action
    uint16_t begin          # as it came
    uint16_t to             # in the row's instructions
    uint16_t size


cdef class TailPlan:
    """From instructions that differ in values only to those of another version."""
    cdef bytes tail
    cdef moved values[MOST_VALUES]
    cdef int n_values

    cdef bytes fill(self, const uint8_t *raw):
        cdef bytes made = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.tail), len(self.tail))
        cdef uint8_t *out = <uint8_t *> PyBytes_AS_STRING(made)
        cdef int i
        for i in range(self.n_values):
            memcpy(out + self.values[i].to, raw + self.values[i].begin, self.values[i].size)
        return made


cdef class FlowRows:
    """For one reply.  `whole(rule)` makes a row by the codec."""
    cdef int version
    cdef bint nxm
    cdef int64_t now
    cdef object whole
    cdef dict plans                     # Shape -> [RowPlan, or None for a row without, ...]

    def __init__(self, int version, bint nxm, int64_t now, whole):
        self.version = version
        self.nxm = nxm
        self.now = now
        self.whole = whole
        self.plans = {}

    def row(self, Rule rule):
        """A rule's bytes."""
        cdef uint64_t key[KEY_WORDS]
        cdef RowPlan plan
        cdef uint32_t i
        cdef list plans = self.plans.get(rule.shape)
        memset(key, 0, sizeof(key))
        for i in range(rule.shape.n):
            key[rule.shape.index[i]] = rule.node.values[i]
        if plans is not None:
            for plan in plans:
                if plan is not None and plan.fits(rule.shape, rule.node.values, <const uint8_t *> key):
                    return self.planned(plan, rule, <const uint8_t *> key)
        row = self.whole(rule)
        if plans is None or len(plans) < MOST_PLANS:
            self.learn(rule, row, key)
        return row

    cdef int learn(self, Rule rule, bytes row, const uint64_t *key) except -1:
        """What has no plan is tried as often as there may be plans, and no more."""
        cdef RowPlan plan = None
        if rule.shape not in self.plans and len(self.plans) >= MOST_SHAPES:
            return 0
        copies = value_places.of_row(row, self.version, self.nxm)
        if copies is not None and len(copies) <= MOST_COPIES:
            plan = _planned(row, copies, self.head_size(row), key)
        self.plans.setdefault(rule.shape, []).append(plan)
        return 0

    cdef Py_ssize_t head_size(self, const uint8_t *row):
        """Bytes before the instructions."""
        if self.version == C_OF10 and not self.nxm:
            return ROW_10
        if self.version == C_OF10:
            return ROW_12 + (row[18] << 8 | row[19]) + 7 & ~7
        return ROW_12 + (row[ROW_12 + 2] << 8 | row[ROW_12 + 3]) + 7 & ~7

    cdef bytes planned(self, RowPlan plan, Rule rule, const uint8_t *key):
        cdef bytes row
        cdef uint8_t *out
        cdef int c
        cdef Py_ssize_t size
        cdef bytes tail = self.tail_of(plan, rule)
        if tail is None:
            row = self.whole(rule)
            self.keep(plan, rule, row[plan.head_size:])
            return row
        size = plan.head_size + len(<bytes> tail)
        row = PyBytes_FromStringAndSize(NULL, size)
        out = <uint8_t *> PyBytes_AS_STRING(row)
        memcpy(out, plan.head, plan.head_size)
        memcpy(out + plan.head_size, PyBytes_AS_STRING(<bytes> tail), len(<bytes> tail))
        for c in range(plan.n_copies):
            memcpy(out + plan.copies[c].begin, key + plan.copies[c].at, plan.copies[c].size)
        self.counters(rule, out, size)
        return row

    cdef bytes tail_of(self, RowPlan plan, Rule rule):
        """The bytes of a rule's instructions, where they are known."""
        cdef RawInstructions raw
        if type(rule.said) is RawInstructions:
            raw = rule.said
            if raw.version == self.version:
                return raw.data
            known = plan.kinds.get(id(raw.kind))
            if known is not None and (<tuple> known)[1] is not None:
                return (<TailPlan> (<tuple> known)[1]).fill(raw.data)
        kept = plan.tails.get(id(rule.said))
        return None if kept is None else <bytes> (<tuple> kept)[1]

    cdef int keep(self, RowPlan plan, Rule rule, bytes tail) except -1:
        """What the codec has made of a rule's instructions."""
        cdef RawInstructions raw
        if type(rule.said) is RawInstructions:
            raw = rule.said
            if id(raw.kind) not in plan.kinds:
                if len(plan.kinds) >= MOST_TAILS:
                    plan.kinds.clear()
                plan.kinds[id(raw.kind)] = (raw.kind, _tail_plan(raw, tail, self.version, rule.match))
        if len(plan.tails) >= MOST_TAILS:
            plan.tails.clear()
        plan.tails[id(rule.said)] = (rule.said, tail)
        return 0

    cdef void counters(self, Rule rule, uint8_t *out, Py_ssize_t size) noexcept:
        """What stands around a row's match and instructions: see the layouts in messages/flow."""
        cdef int64_t age = max(<int64_t> 0, self.now - rule.created)
        cdef uint32_t seconds = <uint32_t> (age // 1000)
        cdef uint32_t rest = <uint32_t> (age % 1000 * 1000000)
        put16(out, <uint16_t> size)
        out[2] = rule.table_id
        if self.version == C_OF10 and not self.nxm:
            put32(out + 44, seconds)
            put32(out + 48, rest)
            put16(out + 52, <uint16_t> rule.priority)
            put16(out + 54, rule.idle_timeout)
            put16(out + 56, rule.hard_timeout)
            put_counters(rule, out + 64)
            return
        put32(out + 4, seconds)
        put32(out + 8, rest)
        put16(out + 12, <uint16_t> rule.priority)
        put16(out + 14, rule.idle_timeout)
        put16(out + 16, rule.hard_timeout)
        if self.nxm and self.version == C_OF10:
            put16(out + 20, one_more(self.now - rule.used))
            put16(out + 22, one_more(self.now - rule.modified))
        else:
            put16(out + 18, <uint16_t> rule.flags if self.version >= C_OF13 else 0)
            put16(out + 20, rule.importance if self.version >= C_OF14 else 0)
        put_counters(rule, out + 24)


cdef enum:
    ROW_10 = 88             # a row of 1.0 without actions
    ROW_12 = 48             # where the match of the others begins


cdef inline uint16_t one_more(int64_t ms) noexcept:
    """An age as NXST_FLOW has it: see messages/flow."""
    cdef int64_t seconds = max(<int64_t> 0, ms) // 1000
    return <uint16_t> min(seconds + 1, <int64_t> 0xffff)


cdef inline void put16(uint8_t *at, uint16_t value) noexcept:
    value = htons(value)
    memcpy(at, &value, 2)


cdef inline void put32(uint8_t *at, uint32_t value) noexcept:
    value = htonl(value)
    memcpy(at, &value, 4)


cdef inline void put64(uint8_t *at, uint64_t value) noexcept:
    put32(at, <uint32_t> (value >> 32))
    put32(at + 4, <uint32_t> value)


cdef inline void put_counters(Rule rule, uint8_t *at) noexcept:
    put64(at, rule.cookie)
    put64(at + 8, rule.n_packets)
    put64(at + 16, rule.n_bytes)


cdef RowPlan _planned(bytes row, copies, Py_ssize_t head_size, const uint64_t *key):
    """The plan of a row; None where it does not say the row itself."""
    cdef RowPlan plan = RowPlan()
    cdef const uint8_t *data = row
    cdef Py_ssize_t begin, end, to
    cdef bint is_port
    if not ROW_12 <= head_size <= min(<Py_ssize_t> MOST_HEAD, len(row)):
        return None
    memcpy(plan.head, data, head_size)
    plan.head_size = head_size
    plan.tails = {}
    plan.kinds = {}
    memcpy(plan.key, key, sizeof(plan.key))
    memset(plan.care, 0xff, sizeof(plan.care))
    for begin, end, to, _mask, is_port in copies:
        if row[begin:end] != (<const uint8_t *> key)[to:to + end - begin]:
            return None
        plan.copies[plan.n_copies] = copied(<uint16_t> begin, <uint16_t> (end - begin),
                                            <uint16_t> to, is_port)
        plan.n_copies += 1
        memset(<uint8_t *> plan.care + to, 0, end - begin)
    return plan


cdef TailPlan _tail_plan(RawInstructions raw, bytes tail, int version, match):
    """How such instructions become those of a version; None where their values are not among those
    that can be copied: tried with others, too."""
    cdef TailPlan plan = TailPlan()
    before = action_places.of_instructions(raw.data, 0, raw.version)
    after = action_places.of_instructions(tail, 0, version)
    if len(before) != len(after) or len(before) > MOST_VALUES:
        return None
    plan.tail = tail
    for a, b in zip(before, after):
        size = min(a.end - a.begin, b.end - b.begin)
        plan.values[plan.n_values] = moved(a.end - size, b.end - size, size)
        plan.n_values += 1
    other = action_places.with_others(raw.data, before)
    try:
        decoded = decode_instructions(other, raw.version)
    except OFError:
        return None
    made = encode_instructions(decoded, version, match, lossy=True)
    return plan if plan.fill(raw.data) == tail and plan.fill(other) == made else None
