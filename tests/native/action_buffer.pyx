"""Fills an ActionBuffer as translation does from C, for tests of what comes out."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from datapath.actions.odp cimport ActionBuffer

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)


cdef class Writer:
    """Actions by the names of the buffer's C methods: see action_buffer.pyi."""
    cdef ActionBuffer buffer

    def __cinit__(self):
        self.buffer = ActionBuffer()

    def __bytes__(self):
        return bytes(self.buffer)

    def __len__(self):
        return len(self.buffer)

    def output(self, uint32_t port):
        self.buffer.output(port)

    def push_vlan(self, uint16_t tpid, uint16_t tci):
        self.buffer.push_vlan(htons(tpid), htons(tci))

    def pop_vlan(self):
        self.buffer.pop_vlan()

    def set(self, uint16_t member, bytes value, bytes mask):
        self.buffer.set(member, <const char *> value, <const char *> mask)

    def push_mpls(self, uint32_t lse, uint16_t ethertype):
        self.buffer.push_mpls(htonl(lse), htons(ethertype))

    def pop_mpls(self, uint16_t ethertype):
        self.buffer.pop_mpls(htons(ethertype))

    def push_pbb(self, uint32_t itag):
        self.buffer.push_pbb(htonl(itag))

    def pop_pbb(self):
        self.buffer.pop_pbb()

    def hash(self, algorithm, basis):
        self.buffer.hash(algorithm, basis)

    def userspace(self, reason, bytes data):
        self.buffer.userspace(reason, <const char *> data, <uint32_t> len(data))

    def recirc(self, uint32_t number):
        self.buffer.recirc(number)

    def drop(self, reason):
        self.buffer.drop(reason)

    def trunc(self, uint32_t size):
        self.buffer.trunc(size)

    def meter(self, uint32_t number):
        self.buffer.meter(number)

    def start_nested(self, action, uint32_t probability):
        return self.buffer.start_nested(action, probability)

    def end_nested(self, uint32_t at):
        self.buffer.end_nested(at)

    def append(self, bytes actions):
        self.buffer.append(<const uint8_t *> <const char *> actions, <uint32_t> len(actions))

    def truncate(self, uint32_t size):
        self.buffer.truncate(size)
