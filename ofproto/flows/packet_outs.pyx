"""PACKET_OUTs that differ in port and packet only from one that was executed: most of a controller's.

The way through codec, checks and compiler leads from a list of actions to its program; from then on
the list's bytes do.  What a switch's groups or options of tunnels have a say in goes the whole way,
and 1.5's do, whose packets come with more than a port.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ofproto.codec.numbers cimport OFPP_MAX
from ofproto.rules.program cimport Program

from ofproto.codec.match import Match
from ofproto.codec.numbers import OF10, OF11, OF14

cdef enum:
    BUFFER_AT = 8           # of a whole message, as what follows
    PORT_AT = 12
    LENGTH_AT_10 = 14       # of the actions, in 1.0
    ACTIONS_AT_10 = 16
    LENGTH_AT_11 = 16       # from 1.1 on
    ACTIONS_AT_11 = 24
    LEAST_PACKET = 14       # an Ethernet header
    MOST_PROGRAMS = 256
    MOST_ACTIONS = 1024     # bytes

cdef int C_OF10 = OF10, C_OF11 = OF11, C_OF14 = OF14
NOTHING_SENT = Match().key_bytes    # what 1.5 can say of a packet


cdef inline uint32_t number(const uint8_t *at, int size) noexcept:
    cdef uint32_t found = 0
    cdef int i
    for i in range(size):
        found = found << 8 | at[i]
    return found


cdef class PacketOuts:
    """`port` and `packet` are those of the message that find() was asked for last."""
    cdef dict programs                          # (version, bytes of actions) -> Program
    cdef readonly int port
    cdef readonly bytes packet

    def __init__(self):
        self.programs = {}

    def find(self, bytes raw not None):
        """The Program of a whole PACKET_OUT; None: it has to go the whole way."""
        cdef const uint8_t *data = raw
        cdef Py_ssize_t begin, end, size = len(raw)
        cdef Program program
        if not place_of(data, size, &begin, &end):
            return None
        program = self.programs.get((data[0], raw[begin:end]))
        if program is not None:
            self.port = port_of(data)
            self.packet = raw[end:]
        return program

    def learn(self, bytes raw not None, actions):
        """To be called with PACKET_OUTs that were executed otherwise, and their list of actions."""
        cdef Py_ssize_t begin, end
        cdef Program program = getattr(actions, "program", None)
        if program is None or program.groups or program.options:
            return
        if not place_of(raw, len(raw), &begin, &end) or end - begin > MOST_ACTIONS:
            return
        if len(self.programs) >= MOST_PROGRAMS:
            self.programs.clear()
        self.programs[raw[0], raw[begin:end]] = program


cdef uint32_t port_of(const uint8_t *data) noexcept:
    return number(data + PORT_AT, 2 if data[0] == C_OF10 else 4)


cdef bint place_of(const uint8_t *data, Py_ssize_t size, Py_ssize_t *begin, Py_ssize_t *end) noexcept:
    """Where a PACKET_OUT's actions are; false where there is more to it than a packet of an ordinary
    port."""
    cdef Py_ssize_t length_at
    if size < ACTIONS_AT_11 or data[0] < C_OF10 or data[0] > C_OF14:
        return False
    length_at, begin[0] = LENGTH_AT_11, ACTIONS_AT_11
    if data[0] < C_OF11:
        length_at, begin[0] = LENGTH_AT_10, ACTIONS_AT_10
    end[0] = begin[0] + number(data + length_at, 2)
    if end[0] + LEAST_PACKET > size or number(data + BUFFER_AT, 4) != <uint32_t> 0xffffffff:
        return False
    return 0 < port_of(data) < OFPP_MAX
