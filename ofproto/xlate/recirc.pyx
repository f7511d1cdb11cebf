"""What translation knew when it sent a packet back to be parsed again, by recirculation id.

An id is a hash of the state, so a restarted daemon that translates the same flow gets the id that
the datapath's surviving flows have already.  The same table serves packets that the datapath
sends up for the controller: their state says with which registers.
"""

from hashlib import blake2b

from ofproto.rules.classifier cimport Rule, is_table_miss
from ofproto.rules.program cimport Program

cdef enum:
    LINGER = 30000      # ms that a state stays once no flow refers to it: packets may be on the way


cdef class FrozenState:
    """Immutable once interned; equal names make equal states."""

    def __init__(self, bridge, bytes pipeline, int in_port, list stack, list todo,
                 list action_set, int place):
        cdef Program program
        self.bridge = bridge
        self.pipeline = pipeline
        self.in_port = in_port
        self.stack = stack
        self.todo = todo
        self.action_set = action_set
        self.place = place
        steps = [(program.signature(), pc, table_id, name_rule(rule))
                 for program, pc, table_id, rule in todo]
        late = [program.signature() for program in action_set]
        self.name = (bridge.name, pipeline, in_port, tuple(stack), tuple(steps), tuple(late),
                     place)


cdef name_rule(Rule rule):
    """What of a rule a packet-in tells."""
    return None if rule is None else (rule.cookie, is_table_miss(rule))


cdef class RecircTable:
    def __cinit__(self):
        self.states = {}

    def __len__(self):
        return len(self.states)

    cdef FrozenState get(self, uint32_t id):
        """The state of an id, or None."""
        return <FrozenState> self.states.get(id)

    cdef FrozenState intern(self, FrozenState state, int64_t now):
        """The table's state that equals this one; it gets an id when it is new."""
        cdef FrozenState old
        digest = blake2b(repr(state.name).encode(), digest_size=4).digest()
        cdef uint32_t id = int.from_bytes(digest, "little")
        while True:
            id = id or 1
            old = self.states.get(id)
            if old is None:
                break
            if old.name == state.name and old.bridge is state.bridge:
                old.released = max(old.released, now)
                return old
            id += 1
        state.id = id
        state.released = now
        self.states[id] = state
        return state

    cdef void reference(self, FrozenState state):
        state.references += 1

    cdef void release(self, FrozenState state, int64_t now):
        state.references -= 1
        state.released = max(state.released, now)

    def expire(self, int64_t now):
        """Takes out the states that no flow has referred to for a while."""
        cdef FrozenState state
        for state in list(self.states.values()):
            if not state.references and now - state.released > LINGER:
                del self.states[state.id]

    def forget_bridge(self, bridge):
        """A bridge is gone: packets that come back to it find nothing."""
        cdef FrozenState state
        for state in list(self.states.values()):
            if state.bridge is bridge:
                del self.states[state.id]
