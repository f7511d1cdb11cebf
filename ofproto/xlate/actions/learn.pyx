"""The actions learn and fin_timeout (ovs-actions(7)).

With side effects the flow is learned at once, so that the next lookup of the same packet finds it;
each packet that is counted later refreshes it (LearnEffect).
"""

from libc.stdint cimport uint8_t, uint64_t

from ofproto.rules.learned cimport Learned, LearnSpec
from ofproto.rules.program cimport Program, op, read_slot
from ofproto.xlate.actions.headers cimport unwildcard, write_field
from ofproto.xlate.state.learning cimport LearnEffect
from ofproto.xlate.state.xcache cimport X_FIN, X_FLOW

from ofproto.codec.actions.base import format_subfield

cdef enum:
    LEARN_WORK = 400        # a flow is put into a table: 40 us
    SOURCE_WORK = 3         # a value is taken
    CLAUSE_WORK = 10        # a part of a flow is made
    VALUE = 16


cdef int learn(XlateContext x, Program program, const op *o) except -1:
    cdef LearnSpec spec = <LearnSpec> program.specs[o.arg]
    cdef LearnEffect effect = LearnEffect()
    cdef bint there
    if x.spend(SOURCE_WORK * spec.n_sources):
        return 0
    effect.bridge = x.bridge
    effect.source = x.rule
    effect.learned = spec.learned(take_values(x, spec))
    if x.trace is not None:
        if not x.side_effects:
            return x.report("warn", "suppressing side effects, so learn action ignored")
        x.report("detail", effect.learned.text())
    there = make(x, effect)
    if spec.has_result:
        write_result(x, spec, there)
    if not there:
        x.report("detail", "Limit exceeded, learn failed")
    return x.cache.add(X_FLOW, effect)


cdef bytes take_values(XlateContext x, LearnSpec spec):
    cdef uint8_t value[VALUE]
    cdef list values = []
    cdef int i
    for i in range(spec.n_sources):
        read_slot(<uint8_t *> &x.flow, &spec.sources[i], value)
        unwildcard(x, &spec.sources[i])
        values.append((<char *> value)[:VALUE])
    return b"".join(values)


cdef bint make(XlateContext x, LearnEffect effect) except -1:
    """Whether the flow is there, or would be."""
    if x.side_effects:
        if x.spend(LEARN_WORK + CLAUSE_WORK * len(effect.learned.spec.action.clauses)):
            return False
        return effect.learn(x.now)
    if effect.learned.spec.has_result and x.bridge.learner is not None:
        return x.bridge.learner.would_learn(effect.learned)
    return True


cdef int write_result(XlateContext x, LearnSpec spec, bint there) except -1:
    cdef uint8_t value[VALUE]
    cdef int i
    for i in range(VALUE):
        value[i] = 0
    value[VALUE - 1] = there
    if x.trace is not None:
        name = format_subfield(*spec.action.result, 1)
        x.report("detail", f"{name} is now {'0x1' if there else '0'}")
    return write_field(x, &spec.result, value)


cdef int fin_timeout(XlateContext x, const op *o) except -1:
    if x.rule is not None:
        x.cache.add(X_FIN, x.bridge, x.rule, <uint64_t> o.arg)
    return 0
