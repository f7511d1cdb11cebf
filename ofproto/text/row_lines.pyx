"""Rows of flow statistics as lines of text, of dumps with many flows of few kinds.

The counters and ages of each row are printed by flow_text.format_head().  What stands behind them,
match and actions, is made by format_body() for the first rows of a kind; for the others a plan has
the text that is the same, and prints the values between, from where trials found them.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING
from ofproto.text.tokens cimport SHOWN_SIZE, VALUE_SIZE, show

from ofproto.codec import value_places
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import DEFAULT_PRIORITY
from ofproto.codec.messages.base import NX_REPLY
from ofproto.codec.messages.flow import read_row_head
from ofproto.text.flow_text import format_body, format_head


cdef enum:
    MOST_PLANS = 64             # of one length
    MOST_LENGTHS = 128
    MOST_SLOTS = 32
    MOST_ROW = 2048
    MOST_BODY = 4096            # bytes of text
    LEARN_EVERY = 24            # rows, that one plan is made for: it takes as long as these
    MOST_FAILURES = 64          # rows of a length that no plan could be made for


cdef struct slot:
    int form, zero_form         # how a value, and 0, is written
    uint16_t begin, size        # in the row
    uint16_t text_end           # of the literal text before it
    uint64_t least, most        # of a value of up to 8 bytes
    uint8_t keep[VALUE_SIZE]    # bits that are not the value's


cdef class RowPlan:
    cdef Py_ssize_t size
    cdef uint8_t fixed[MOST_ROW]
    cdef uint8_t care[MOST_ROW]     # bits that are the same in all
    cdef slot slots[MOST_SLOTS]
    cdef int n
    cdef bytes text                 # without the values
    cdef Py_ssize_t priority_at     # 0: the same in all

    cdef bint fits(self, const uint8_t *row) noexcept:
        cdef uint64_t a, b, c
        cdef Py_ssize_t i
        for i in range(self.size // 8):
            memcpy(&a, row + 8 * i, 8)
            memcpy(&b, self.fixed + 8 * i, 8)
            memcpy(&c, self.care + 8 * i, 8)
            if (a ^ b) & c:
                return False
        if self.priority_at and (
                row[self.priority_at] << 8 | row[self.priority_at + 1]) == DEFAULT_PRIORITY_:
            return False
        for i in range(self.n):
            if self.slots[i].size <= 8 and not (
                    self.slots[i].least <= number_of(&self.slots[i], row) <= self.slots[i].most):
                return False
        return True

    cdef str body(self, const uint8_t *row):
        """The text for a row that fits."""
        cdef char made[MOST_BODY]
        cdef uint8_t value[VALUE_SIZE]
        cdef const char *text = PyBytes_AS_STRING(self.text)
        cdef Py_ssize_t at = 0, done = 0, k
        cdef slot *s
        cdef int i
        cdef bint is_zero
        for i in range(self.n):
            s = &self.slots[i]
            memcpy(made + at, text + done, s.text_end - done)
            at += s.text_end - done
            done = s.text_end
            memset(value, 0, VALUE_SIZE)
            is_zero = True
            for k in range(s.size):
                value[VALUE_SIZE - s.size + k] = row[s.begin + k] & ~s.keep[k]
                is_zero &= value[VALUE_SIZE - s.size + k] == 0
            at += show(s.zero_form if is_zero else s.form, value, made + at)
        memcpy(made + at, text + done, len(self.text) - done)
        return made[:at + len(self.text) - done].decode()


cdef int DEFAULT_PRIORITY_ = DEFAULT_PRIORITY


cdef inline uint64_t number_of(const slot *s, const uint8_t *row) noexcept:
    cdef uint64_t number = 0
    cdef int k
    for k in range(s.size):
        number = number << 8 | (row[s.begin + k] & <uint8_t> ~s.keep[k])
    return number


cdef class RowLines:
    """Of one dump; `names` as format_flow() takes them."""
    cdef object names
    cdef dict plans                 # length of a row -> [RowPlan, ...]
    cdef dict failures              # length -> how often no plan could be made
    cdef int rows                   # since a plan was made

    def __init__(self, names=None, int first=LEARN_EVERY):
        """`first`: rows before a plan is made."""
        self.names = names
        self.plans = {}
        self.failures = {}
        self.rows = LEARN_EVERY - first

    def lines(self, bytes raw not None, form):
        """The texts of the flows in a FlowStatsReply of this form (messages.base.Form), as
        format_flow() makes them.  Raises OFError."""
        cdef const uint8_t *data = raw
        cdef Py_ssize_t at = form.head_size, end = len(raw), size, least = form.body.least
        cdef int version = form.version
        cdef bint nxm = form.place == NX_REPLY
        cdef list made = []
        while at < end:
            size = data[at] << 8 | data[at + 1] if at + 2 <= end else 0
            if size < least or at + size > end:
                raise OFError("OFPBRC_BAD_LEN", f"flow of {size} bytes")
            made.append(self.line(raw[at:at + size], form, version, nxm))
            at += size
        return made

    def body(self, bytes row not None, form):
        """What format_body() makes of a row.  Raises OFError."""
        cdef int version = form.version
        cdef RowPlan plan = self.find(row)
        if plan is not None:
            return plan.body(row)
        flow = form.body.read_item(row, version)
        self.learn(row, form, version, form.place == NX_REPLY)
        return format_body(flow, self.names)

    cdef RowPlan find(self, bytes row):
        cdef RowPlan plan
        cdef const uint8_t *data = row
        cdef list plans = self.plans.get(len(row))
        self.rows += 1
        if plans is not None:
            for plan in plans:
                if plan.fits(data):
                    return plan
        return None

    cdef str line(self, bytes row, form, int version, bint nxm):
        cdef RowPlan plan = self.find(row)
        if plan is not None:
            return format_head(read_row_head(row, version, nxm), names=self.names) + plan.body(row)
        flow = form.body.read_item(row, version)
        self.learn(row, form, version, nxm)
        return format_head(flow, names=self.names) + format_body(flow, self.names)

    cdef int learn(self, bytes row, form, int version, bint nxm) except -1:
        cdef Py_ssize_t size = len(row)
        cdef RowPlan plan
        if self.rows < LEARN_EVERY:
            return 0
        self.rows = 0
        if self.failures.get(size, 0) >= MOST_FAILURES or size % 8 or size > MOST_ROW:
            return 0
        names = self.names
        from ofproto.text import trials     # not above: most dumps are short

        def body(data):
            try:
                return format_body(form.body.read_item(data, version), names).encode()
            except OFError:
                return None

        found = trials.row_slots(row, body, version, nxm, bool(names))
        plan = None if found is None else _planned(row, found, version, nxm)
        if plan is None:
            self.failures[size] = self.failures.get(size, 0) + 1
            return 0
        if size not in self.plans and len(self.plans) >= MOST_LENGTHS:
            return 0
        plans = self.plans.setdefault(size, [])
        plans.insert(0, plan)
        del plans[MOST_PLANS:]
        return 0


cdef RowPlan _planned(bytes row, found, int version, bint nxm):
    """The plan of a row (trials.RowSlots)."""
    cdef RowPlan plan = RowPlan()
    cdef slot *s
    cdef Py_ssize_t begin, end, k
    cdef Py_ssize_t priority_at = value_places.row_priority_at(version, nxm)
    cdef bytes keep
    text = b"".join(found.literals)
    if len(text) + len(found.slots) * SHOWN_SIZE > MOST_BODY or len(found.slots) > MOST_SLOTS:
        return None
    plan.size = len(row)
    memcpy(plan.fixed, PyBytes_AS_STRING(row), plan.size)
    for begin, end in value_places.row_body(version, nxm, len(row)):
        memset(plan.care + begin, 0xFF, end - begin)
    plan.text = text
    done = 0
    for literal, (place, form, zero_form) in zip(found.literals, found.slots):
        done += len(literal)
        s = &plan.slots[plan.n]
        s.form, s.zero_form, s.begin, s.size, s.text_end = form, zero_form, place.begin, place.size, done
        s.least, s.most = (place.least, place.most) if place.size <= 8 else (0, 0)
        keep = (place.keep | ~place.mask).to_bytes(VALUE_SIZE + 1, "big", signed=True)[-place.size:]
        memcpy(s.keep, PyBytes_AS_STRING(keep), place.size)
        memcpy(plan.care + s.begin, s.keep, place.size)
        if s.begin == priority_at:
            plan.priority_at = priority_at
        plan.n += 1
    return plan
