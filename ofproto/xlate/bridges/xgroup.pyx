"""OpenFlow groups as translation and statistics see them.  xgroup.pyi has the Python view."""

from datapath.actions.odp cimport HASH_L4, HASH_SYM_L4
from ofproto.rules.action_set cimport order_action_set
from ofproto.codec.numbers cimport OFPP_NONE

cdef enum:
    LEAST_SLOTS = 16

globals()["MAX_SLOTS"] = 256    # the C name is taken


cdef class XBucket:
    def __init__(self, source, Program program, uint32_t number=0):
        self.source = source
        self.number = number
        self.weight = source.weight
        self.watch_port = source.watch_port
        self.watch_group = NO_GROUP if source.watch_group is None else source.watch_group
        self.program = order_action_set([program])

    def __repr__(self):
        return f"<XBucket {self.number} weight={self.weight}>"


cdef class XGroup:
    def __init__(self, uint32_t group_id, int type, buckets, int64_t created=0, int version=4,
                 selection=("", 0, ()), Program fields=None):
        cdef XBucket bucket
        self.group_id = group_id
        self.type = type
        self.buckets = list(buckets)
        self.created = created
        self.version = version
        self.selection = selection
        self.fields = fields
        self.parameter = selection[1]
        self.slots = b""
        if type == GROUP_SELECT:
            self.total = sum([bucket.weight for bucket in self.buckets])
            if selection[0] != "hash":        # of headers, which the datapath does not hash so
                self.slots = spread([bucket.weight for bucket in self.buckets])

    @property
    def algorithm(self):
        """HASH_L4 or HASH_SYM_L4 of the datapath: the upper half of dp_hash's parameter."""
        cdef uint64_t wanted = self.parameter >> 32
        if self.selection[0] != "dp_hash":
            return HASH_SYM_L4
        return wanted if wanted <= HASH_SYM_L4 else HASH_L4

    @property
    def basis(self):
        """What is hashed beside the packet: the lower half."""
        return self.parameter & 0xffffffff if self.selection[0] == "dp_hash" else 0

    def __repr__(self):
        return f"<XGroup {self.group_id} type={self.type} buckets={len(self.buckets)}>"


def spread(weights):
    """Shares slots out among buckets by their weights: a power of two of bucket numbers, such that
    the lightest bucket gets a slot; b"" when MAX_SLOTS are not enough, when a bucket behind the
    first MAX_SLOTS has a weight, or there is nobody to give one to.  Each slot is a flow of the
    datapath: as in Open vSwitch there are no more of them for the sake of even shares."""
    cdef uint64_t total = 0, least = 0xffff, n = LEAST_SLOTS
    for weight in weights:
        total += weight
        if 0 < weight < least:
            least = weight
    while n * least < total:
        n *= 2
    if not total or n > MAX_SLOTS or any(weights[MAX_SLOTS:]):      # a slot is a byte
        return b""
    return share_out(weights[:MAX_SLOTS], n)


cdef bytes share_out(weights, uint64_t n):
    """By the method of Sainte-Laguë: each next slot goes to the bucket that is farthest behind, so
    that neighbours are mostly different ones, and the slots of a bucket that fails fall to several
    others."""
    cdef Py_ssize_t best, i
    cdef list given = [1] * len(weights)        # twice the slots that it has, and one
    slots = bytearray()
    while len(slots) < n:
        best = -1
        for i in range(len(weights)):
            # weight / given as a fraction, compared without dividing
            if weights[i] and (best < 0 or weights[i] * given[best] > weights[best] * given[i]):
                best = i
        given[best] += 2
        slots.append(best)
    return bytes(slots)
