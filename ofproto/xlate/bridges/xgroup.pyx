"""OpenFlow groups as translation and statistics see them.  xgroup.pyi has the Python view."""

from ofproto.rules.action_set cimport order_action_set
from ofproto.codec.numbers cimport OFPP_NONE

cdef enum:
    LEAST_SLOTS = 16
    # Each slot is a flow of the datapath: more of them for the sake of even shares up to here.
    FAIR_SLOTS = 64
    FAIRNESS = 20

globals()["MAX_SLOTS"] = 256    # the C name is taken


cdef class XBucket:
    def __init__(self, source, Program program, int number=0):
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
            weighted = [bucket for bucket in self.buckets if bucket.weight]
            self.total = sum([bucket.weight for bucket in weighted])
            if len(weighted) == 1:
                self.sole = weighted[0]
            elif selection[0] != "hash":      # of headers, which the datapath does not hash so
                self.slots = spread([bucket.weight for bucket in self.buckets])

    def __repr__(self):
        return f"<XGroup {self.group_id} type={self.type} buckets={len(self.buckets)}>"


def spread(weights):
    """Shares slots out among buckets by their weights: a power of two of bucket numbers, such that
    the lightest bucket gets a slot, and each about the share that is due to it as far as
    FAIR_SLOTS reach; b"" when MAX_SLOTS are not enough, or there is nobody to give one to."""
    cdef uint64_t total = 0, least = 0xffff, n = LEAST_SLOTS
    for weight in weights:
        total += weight
        if 0 < weight < least:
            least = weight
    while n * least < total:
        n *= 2
    if not total or n > MAX_SLOTS:
        return b""
    slots = share_out(weights, n)
    while n < FAIR_SLOTS and not is_fair(weights, total, slots):
        n *= 2
        slots = share_out(weights, n)
    return slots


cdef bint is_fair(weights, uint64_t total, bytes slots) except -1:
    """Each bucket's share is right to one part in FAIRNESS."""
    cdef int64_t due, n = len(slots)
    for i, weight in enumerate(weights):
        due = <int64_t> weight * n
        if abs(slots.count(i) * <int64_t> total - due) * FAIRNESS > due:
            return False
    return True


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
