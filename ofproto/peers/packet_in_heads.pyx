"""PACKET_INs without their packets, which are the same for many.

What a head is made of are some numbers and the pipeline's part of the flow key: what came with the
packet besides its headers, and what the tables wrote.  Most are for the same as the one before.
"""

from libc.string cimport memcmp

from datapath.key.flow cimport KEY_SIZE

from datapath.key import flow

cdef enum:
    MOST = 1024

MAX_HEADS = MOST

# Where in the key those parts are: pkt_mark, from ct_state to what the packet itself says, and from
# the tunnel to the end.
cdef Py_ssize_t MARK = flow.MEMBERS["pkt_mark"][0], TRACKED = flow.MEMBERS["ct_state"][0]
cdef Py_ssize_t L2 = flow.MEMBERS["eth_dst"][0], TUNNEL = flow.MEMBERS["tun_id"][0]
cdef Py_ssize_t MARK_SIZE = flow.MEMBERS["pkt_mark"][1]


cdef class Heads:
    cdef dict heads                 # (numbers, parts of the key) -> head
    cdef tuple numbers              # the latest one's
    cdef bytes key, head

    def __init__(self):
        self.heads = {}

    def __len__(self):
        return len(self.heads)

    def find(self, tuple numbers, bytes key):
        """The head for these numbers and this flow key, or None."""
        if self.head is not None and numbers == self.numbers and are_same(key, self.key):
            return self.head
        found = self.heads.get(name_of(numbers, key))
        if found is not None:
            self.numbers, self.key, self.head = numbers, key, found
        return found

    def keep(self, tuple numbers, bytes key, bytes head):
        """From here on find() gives this one."""
        if len(self.heads) >= MOST:
            self.heads.clear()
        self.heads[name_of(numbers, key)] = head
        self.numbers, self.key, self.head = numbers, key, head


cdef bint are_same(const char *key, const char *other) noexcept:
    return (memcmp(key + TUNNEL, other + TUNNEL, KEY_SIZE - TUNNEL) == 0
            and memcmp(key + TRACKED, other + TRACKED, L2 - TRACKED) == 0
            and memcmp(key + MARK, other + MARK, MARK_SIZE) == 0)


cdef tuple name_of(tuple numbers, bytes key):
    return numbers, key[MARK:MARK + MARK_SIZE], key[TRACKED:L2], key[TUNNEL:KEY_SIZE]
