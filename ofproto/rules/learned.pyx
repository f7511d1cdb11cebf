"""What a learn action says (LearnSpec), and the flow that it makes of a packet (Learned).

The same values make the same flow: translation asks for it each time that a datapath flow is looked
at again, so the last ones are kept, and built when somebody wants more than their name.
"""

from libc.stdlib cimport free, realloc

from ofproto.rules.program cimport Program, slot

from ofproto.codec.actions.extended import FinTimeout
from ofproto.codec.actions.learn import LOAD, MATCH, SEND_FLOW_REM
from ofproto.codec.actions.output import Output
from ofproto.codec.actions.set import RegLoad
from ofproto.codec.instructions import ApplyActions, format_instructions
from ofproto.codec.match import Match
from ofproto.codec.match_text import format_match
from ofproto.codec.numbers import OFPP_ALL, OFPP_FLOOD, OFPP_IN_PORT, OFPP_LOCAL

cdef enum:
    VALUE = 16              # bytes
    KEPT = 1024             # flows of an action that are known still

OFPP_MAX = 0xFF00
PORTS = frozenset((OFPP_IN_PORT, OFPP_FLOOD, OFPP_ALL, OFPP_LOCAL))     # above it


cdef class LearnSpec:
    def __cinit__(self, action, compile):
        self.action = action
        self.compile = compile
        self.made = {}

    def __dealloc__(self):
        free(self.sources)

    cdef int add_source(self, slot source) except -1:
        cdef slot *grown = <slot *> realloc(self.sources, (self.n_sources + 1) * sizeof(slot))
        if grown is NULL:
            raise MemoryError
        self.sources = grown
        self.sources[self.n_sources] = source
        self.n_sources += 1
        return 0

    cdef Learned learned(self, bytes values):
        found = self.made.get(values)
        if found is None:
            if len(self.made) >= KEPT:
                self.made.clear()
            found = self.made[values] = Learned(self, values)
        return <Learned> found


cdef class Learned:
    def __cinit__(self, LearnSpec spec, bytes values):
        self.spec = spec
        self.values = values

    @property
    def match(self):
        if self._match is None:
            self.build()
        return self._match

    @property
    def instructions(self):
        if self._match is None:
            self.build()
        return self._instructions

    @property
    def program(self):
        if self._match is None:
            self.build()
        return self._program

    cdef int build(self) except -1:
        action = self.spec.action
        fields, actions = {}, []
        if action.fin_idle_timeout or action.fin_hard_timeout:
            actions.append(FinTimeout(action.fin_idle_timeout, action.fin_hard_timeout))
        at = 0
        for clause in action.clauses:
            value = clause.source
            if not isinstance(value, int):
                value = int.from_bytes(self.values[at:at + VALUE], "big")
                at += VALUE
            if clause.kind == MATCH:
                old, mask = fields.get(clause.field, (0, 0))
                own = ((1 << clause.n_bits) - 1) << clause.start
                fields[clause.field] = (old & ~own | value << clause.start, mask | own)
            elif clause.kind == LOAD:
                actions += loads(clause, value)
            elif value < OFPP_MAX or value in PORTS:
                actions.append(Output(value, 0))
        match = Match()
        for field, (value, mask) in fields.items():
            match.set(field, value, mask)
        self._instructions = [ApplyActions(actions)] if actions else []
        self._program = self.spec.compile((), self._instructions)
        self._match = match
        return 0

    def text(self):
        """As ofproto/trace shows it."""
        action = self.spec.action
        match = format_match(self.match)
        words = [f"table={action.table}" + (f" {match}" if match else "")]
        words.append(f"priority={action.priority}")
        if action.cookie:
            words.append(f"cookie={action.cookie:#x}")
        if action.idle_timeout:
            words.append(f"idle={action.idle_timeout}")
        if action.hard_timeout:
            words.append(f"hard={action.hard_timeout}")
        if action.flags & SEND_FLOW_REM:
            words.append("send_flow_rem")
        return " ".join(words) + " actions=" + format_instructions(self.instructions)


def loads(clause, value):
    """A load for each 64 bits, as the action has room for."""
    for first in range(0, clause.n_bits, 64):
        n_bits = min(64, clause.n_bits - first)
        part = value >> first & (1 << n_bits) - 1
        yield RegLoad(clause.field, clause.start + first, n_bits, part)
