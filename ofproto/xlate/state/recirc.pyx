"""What translation knew when it sent a packet back to be parsed again, by recirculation id.

An id is a hash of the state, so a restarted daemon that translates the same flow gets the id that
the datapath's surviving flows have already.  The same table serves packets that the datapath
sends up for the controller: their state says with which registers.
"""

from hashlib import blake2b

from libc.stdint cimport uint8_t

from pyvs import coverage

from datapath.key.flow cimport KEY_DP_SIZE, KEY_PACKET_SIZE, flow_key
from ofproto.rules.classifier cimport Rule, is_table_miss
from ofproto.rules.program cimport Program

cdef enum:
    LINGER = 30000      # ms that a state stays once no flow refers to it: packets may be on the way
    MAX_STATES = 65536  # registers are part of them, so packets can make as many as they like
    SEARCHED = 64       # states looked at for one that may go

NO_ROOM = coverage.counter("recirc_no_room")
DROPPED = coverage.counter("recirc_dropped_early")


cdef class FrozenState:
    """Immutable once interned; equal names make equal states."""

    def __init__(self, bridge, bytes pipeline, int in_port, list stack, list todo,
                 list action_set, int flags, bytes userdata=b"", int table_id=0,
                 uint32_t mirrors=0, bytes tunnel=b""):
        cdef Program program
        self.bridge = bridge
        self.pipeline = pipeline
        self.in_port = in_port
        self.stack = stack
        self.todo = todo
        self.action_set = action_set
        self.flags = flags
        self.userdata = userdata
        self.table_id = table_id
        self.mirrors = mirrors
        self.tunnel = tunnel
        steps = [(b"" if program is None else program.signature(), pc, table_id, name_rule(rule))
                 for program, pc, table_id, rule in todo]
        late = [program.signature() for program in action_set]
        self.name = (bridge.name, pipeline, in_port, tuple(stack), tuple(steps), tuple(late),
                     flags, userdata, table_id, *((mirrors,) if mirrors else ()),
                     *((tunnel,) if tunnel else ()))

    cdef bint take_tunnel(self, flow_key *key):
        """Whether all of it was replaced."""
        cdef uint8_t *at = <uint8_t *> key + KEY_PACKET_SIZE
        cdef const uint8_t *value = <const uint8_t *> <const char *> self.tunnel
        cdef size_t size = KEY_DP_SIZE - KEY_PACKET_SIZE, i
        cdef bint whole = True
        if <size_t> len(self.tunnel) != 2 * size:
            return False
        for i in range(size):
            at[i] = at[i] & ~value[size + i] | value[i]
            whole = whole and value[size + i] == 0xff
        return whole


cdef name_rule(Rule rule):
    """What of a rule a packet-in tells."""
    return None if rule is None else (rule.cookie, is_table_miss(rule))


cdef class RecircTable:
    def __cinit__(self):
        self.states = {}
        self.numbers = {}
        self.looking = iter(())

    def __len__(self):
        return len(self.states)

    cdef FrozenState get(self, uint32_t id):
        """The state of an id, or None."""
        return <FrozenState> self.states.get(id)

    cdef FrozenState intern(self, FrozenState state, int64_t now):
        """The table's state that equals this one; it gets an id when it is new.  None: there is no
        room for another."""
        cdef FrozenState old
        cdef uint32_t id = self.first_id(state, False)
        old = self.states.get(id) if self.counting else None
        if old is not None and old.over and not old.references:
            id = self.first_id(state, True)
        while True:
            id = id or 1
            old = self.states.get(id)
            if old is None:
                break
            if old.name == state.name and old.bridge is state.bridge:
                old.released = max(old.released, now)
                return old
            id += 1
        if len(self.states) >= MAX_STATES and not self.make_room():
            NO_ROOM.count += 1
            return None
        state.id = id
        state.released = now
        self.states[id] = state
        return state

    def id_of(self, FrozenState state, int64_t now):
        """The id of a state, which is to be there; 0: there is no room for another."""
        state = self.intern(state, now)
        return 0 if state is None else state.id

    cdef uint32_t first_id(self, FrozenState state, bint anew) except? 0:
        """Where to look for a state's id, or to give it one.  Where ids count, a state that comes
        again once nobody had it any more is another one (`anew`), as in Open vSwitch."""
        digest = blake2b(repr(state.name).encode(), digest_size=4).digest()
        if not self.counting:
            return int.from_bytes(digest, "little")
        if len(self.numbers) >= 2 * MAX_STATES:
            self.numbers.clear()
        if anew or digest not in self.numbers:
            self.counted += 1
            self.numbers[digest] = self.counted
        return self.numbers[digest]

    cdef bint make_room(self):
        """Takes out a state that no flow refers to, though packets may be on their way to it."""
        cdef FrozenState state
        for _ in range(SEARCHED):
            id = next(self.looking, None)
            if id is None:
                self.looking = iter(list(self.states))
                continue
            state = self.states.get(id)
            if state is not None and not state.references:
                del self.states[id]
                DROPPED.count += 1
                return True
        return False

    cdef void reference(self, FrozenState state):
        state.references += 1
        state.over = False
        self.states.setdefault(state.id, state)

    cdef void release(self, FrozenState state, int64_t now):
        state.references -= 1
        state.over = state.over or not state.references
        state.released = max(state.released, now)

    def end_trace(self):
        """What was traced holds its states no longer."""
        cdef FrozenState state
        for state in list(self.states.values()) if self.counting else ():
            state.over = state.over or not state.references

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
