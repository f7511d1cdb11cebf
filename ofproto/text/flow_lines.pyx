"""Lines of flows that differ in values only from one that was read: most of a file's.

The first lines of a kind - a skeleton of text (tokens), and the values in it that are none for a
plan - are read by flow_text.parse_flow().  Then trials says where the other values stand in the
message, and a line is looked at no more closely than needed to copy its values there.  Each value
of such a line is one that the parser takes, so that there is nothing to say about it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from ofproto.text.tokens cimport MOST_TEXT, MOST_TOKENS, VALUE_SIZE, cut, token

from ofproto.codec import notes
from ofproto.codec.errors import OFError
from ofproto.codec.match_text import TextError
from ofproto.codec.numbers import OF10, OF14
from ofproto.text.flow_text import ADD, parse_flow


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef enum:
    MOST_KINDS = 1024
    MOST_PLANS = 1024           # of one kind
    MOST_TRIES = 8              # of a kind that no plan can be made for
    LEARN_EVERY = 24            # lines, that one plan is made for: it takes as long as these
    MOST_FROZEN = 512           # bytes of values that are none

# As which a kind's lines are tried first: (version, NXM, tables in commands)
_FORMS = ((OF14, False, False), (OF10, True, True))


cdef struct slot:
    int token
    uint8_t size                # bytes of the value at most
    uint64_t least, most        # of a value of up to 8 bytes


cdef struct placed:
    int token
    uint16_t begin, size
    uint8_t mask[VALUE_SIZE]    # of the value, from the beginning
    uint8_t keep[VALUE_SIZE]    # of the template


cdef class Template:
    """A message of one form."""
    cdef bytes raw
    cdef placed places[MOST_TOKENS]
    cdef int n

    cdef bytes fill(self, const token *tokens, uint32_t xid):
        cdef Py_ssize_t size = len(self.raw)
        cdef bytes made = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.raw), size)
        cdef uint8_t *out = <uint8_t *> PyBytes_AS_STRING(made)
        cdef const uint8_t *value
        cdef placed *p
        cdef int i, k
        for i in range(4):
            out[4 + i] = xid >> 8 * (3 - i) & 0xFF
        for i in range(self.n):
            p = &self.places[i]
            value = tokens[p.token].value + VALUE_SIZE - p.size
            for k in range(p.size):
                out[p.begin + k] = (value[k] & p.mask[k]) | (out[p.begin + k] & p.keep[k])
        return made


cdef class LinePlan:
    """What lines have in common.  `example`: the FlowMod of one of them."""
    cdef bytes line
    cdef int command
    cdef object names
    cdef readonly object example
    cdef slot slots[MOST_TOKENS]
    cdef int n
    cdef dict places                # of the form that was tried first: trials.LinePlaces
    cdef dict templates             # (version, NXM, tables in commands) -> Template or None

    cdef parse(self, str text):
        """The full way: text -> FlowMod.  Raises TextError."""
        return parse_flow(text, self.command, self.names)

    cdef bint takes(self, const token *tokens) noexcept:
        """Whether the values are such as the places have."""
        cdef const uint8_t *value
        cdef uint64_t number
        cdef int i, k
        for i in range(self.n):
            value = tokens[self.slots[i].token].value
            for k in range(VALUE_SIZE - self.slots[i].size):
                if value[k]:
                    return False
            if self.slots[i].size <= 8:
                number = 0
                for k in range(VALUE_SIZE - 8, VALUE_SIZE):
                    number = number << 8 | value[k]
                if not self.slots[i].least <= number <= self.slots[i].most:
                    return False
        return True

    cdef Template template(self, tuple form):
        found = self.templates.get(form, self)
        if found is not self:
            return found
        from ofproto.text import trials     # not above: most commands have one flow

        with notes.unheard():
            places = trials.line_places(self.line, self.encoder(form), form[2], self.places)
        found = None if places is None else _template(places)
        self.templates[form] = found
        return found

    def encoder(self, tuple form):
        """line -> message of this form; None for a line that is none."""
        version, nxm, table_id = form

        def encode(bytes line):
            try:
                with notes.collected() as told:
                    flow = self.parse(line.decode())
                    raw = flow.encode(version, 0, nxm=nxm, table_id_in_command=table_id)
            except (TextError, ValueError, OFError):
                return None         # what was told is why, and no line's that there is
            for text in told:
                notes.note("flow_lines", text)
            return raw

        return encode


cdef Template _template(places):
    cdef Template made = Template()
    made.raw = places.raw
    cdef placed *p
    for i, place in places.places.items():
        p = &made.places[made.n]
        p.token, p.begin, p.size = i, place.begin, place.size
        put_bits(p.mask, place.mask, p.size)
        put_bits(p.keep, place.keep, p.size)
        made.n += 1
    return made


cdef int put_bits(uint8_t *at, number, size) except -1:
    cdef bytes data = number.to_bytes(VALUE_SIZE + 1, "big", signed=True)[-size:]
    memcpy(at, PyBytes_AS_STRING(data), size)
    return 0


cdef class FlowLine:
    """A line that has a plan, in the place of its FlowMod."""
    cdef readonly str text
    cdef readonly LinePlan plan

    def mod(self):
        """Its FlowMod."""
        return self.plan.parse(self.text)

    def encode(self, int version, uint32_t xid=0, *, bint nxm=False, bint table_id_in_command=False):
        """As FlowMod.encode()."""
        cdef char skeleton[MOST_TEXT]
        cdef token tokens[MOST_TOKENS]
        cdef int n
        cdef Py_ssize_t size
        cdef const char *text
        cdef Template template = self.plan.template((version, nxm, table_id_in_command))
        if template is None:
            return self.mod().encode(
                version, xid, nxm=nxm, table_id_in_command=table_id_in_command)
        text = PyUnicode_AsUTF8AndSize(self.text, &size)
        cut(text, size, skeleton, tokens, &n)
        return template.fill(tokens, xid)


cdef class Kind:
    """Lines with the same skeleton.  `values`: tokens that are values for all plans."""
    cdef uint32_t values
    cdef int tries
    cdef dict plans                 # what the other tokens say -> LinePlan, or None


cdef class FlowLines:
    """Of one file; `names` as parse_flow() takes them."""
    cdef object names
    cdef dict kinds                 # skeleton and command -> Kind
    cdef int lines                  # since a plan was made

    def __init__(self, names=None, int first=LEARN_EVERY):
        """`first`: lines before a plan is made."""
        self.lines = LEARN_EVERY - first
        self.names = names
        self.kinds = {}

    cdef parse(self, str text, int command):
        """The full way."""
        return parse_flow(text, command, self.names)

    def read(self, str text not None, int command=ADD):
        """A line's FlowMod, or a FlowLine.  Raises TextError."""
        cdef char skeleton[MOST_TEXT + 1]
        cdef token tokens[MOST_TOKENS]
        cdef Py_ssize_t size, made
        cdef const char *data
        cdef int n = 0
        cdef Kind kind
        cdef LinePlan plan
        cdef FlowLine line
        self.lines += 1
        try:
            data = PyUnicode_AsUTF8AndSize(text, &size)
        except UnicodeEncodeError:
            return self.parse(text, command)    # bytes of standard input that are no UTF-8
        made = cut(data, size, skeleton, tokens, &n)
        if made < 0:
            return self.parse(text, command)
        skeleton[made] = <char> command
        name = skeleton[:made + 1]
        kind = self.kinds.get(name)
        if kind is None:
            flow = self.parse(text, command)
            if len(self.kinds) < MOST_KINDS:
                kind = self.kinds[name] = Kind()
                kind.plans = {}
            return flow
        frozen = _frozen(kind, data, tokens, n)
        plan = kind.plans.get(frozen) if frozen is not None else None
        if plan is not None and plan.takes(tokens):
            line = FlowLine.__new__(FlowLine)
            line.text = text
            line.plan = plan
            return line
        flow = self.parse(text, command)
        if plan is None and frozen is not None and kind.tries < MOST_TRIES and (
                self.lines >= LEARN_EVERY):
            self.lines = 0
            self.learn(kind, data[:size], command, flow, tokens, n)
        return flow

    cdef int learn(self, Kind kind, bytes text, int command, flow, const token *tokens, int n) except -1:
        """Have a plan made of a line."""
        cdef LinePlan plan
        if len(kind.plans) >= MOST_PLANS:
            return 0
        with notes.collected() as told:
            plan = self.planned(text, command, flow)
        if plan is None or told or not plan.n:
            kind.tries += 1
            return 0
        if not kind.plans:
            kind.values = 0
            for i in range(plan.n):
                kind.values |= <uint32_t> 1 << plan.slots[i].token
        elif not _has(plan, kind.values):
            kind.tries += 1
            return 0
        frozen = _frozen(kind, text, tokens, n)
        if frozen is not None:
            kind.plans[frozen] = plan
        return 0

    cdef LinePlan planned(self, bytes text, int command, flow):
        cdef LinePlan plan = LinePlan()
        cdef Py_ssize_t i
        from ofproto.text import trials

        plan.line = text
        plan.command = command
        plan.names = self.names
        plan.example = flow
        plan.templates = {}
        for form in _FORMS:
            places = trials.line_places(text, plan.encoder(form), form[2])
            if places is None:
                continue
            plan.places = places.places
            for i, place in places.places.items():
                plan.slots[plan.n] = slot(i, place.size, place.least,
                                          place.most if place.size <= 8 else 0)
                plan.n += 1
            plan.templates[form] = _template(places)
            return plan
        return None


cdef bint _has(LinePlan plan, uint32_t values) noexcept:
    """Whether a plan's values are these."""
    cdef uint32_t own = 0
    cdef int i
    for i in range(plan.n):
        own |= <uint32_t> 1 << plan.slots[i].token
    return own == values


cdef bytes _frozen(Kind kind, const char *text, const token *tokens, int n):
    """What the tokens say that are no values; None where that is too much."""
    cdef char said[MOST_FROZEN]
    cdef Py_ssize_t at = 0, size
    cdef int i
    for i in range(n):
        if kind.values >> i & 1:
            continue
        size = tokens[i].end - tokens[i].begin
        if at + size + 1 > MOST_FROZEN:
            return None
        memcpy(said + at, text + tokens[i].begin, size)
        said[at + size] = 0
        at += size + 1
    return said[:at]


def examples(flows) -> list:
    """Of FlowMods and FlowLines: what stands for all of them where only values differ."""
    found = {}
    others = []
    for flow in flows:
        if type(flow) is FlowLine:
            found[id((<FlowLine> flow).plan)] = (<FlowLine> flow).plan.example
        else:
            others.append(flow)
    return [*found.values(), *others]
