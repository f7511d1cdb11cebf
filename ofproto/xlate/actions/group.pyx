"""Which of a group's buckets a packet goes to: liveness (OpenFlow 1.3.5 6.5.1, 7.3.4.2) and select.

Select has the datapath hash the packet and send it round: then a flow per slot of the group is
enough for all connections, where a hash made here would have a flow for each.  Only groups whose
weights need more slots than that is worth are hashed here.
"""

from libc.stdint cimport int64_t, uint32_t

from ofproto.xlate.actions.spread cimport bucket_score, hash_connection, hash_group_fields
from ofproto.xlate.bridges.xbridge cimport XBridge, XPort
from ofproto.xlate.bridges.xgroup cimport NO_GROUP, XBucket, XGroup
from ofproto.codec.numbers cimport OFPP_NONE
from ofproto.xlate.state.context cimport XlateContext

cdef extern from "arpa/inet.h" nogil:
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)


cdef enum:
    BUCKETS_PER_WORK = 4    # that are looked at


# --- liveness

cdef bint is_live(XlateContext x, XBucket bucket) except -1:
    """A bucket that watches nothing is live; else a port or a group that it watches has to be."""
    if bucket.watch_port == OFPP_NONE and bucket.watch_group == NO_GROUP:
        return True
    if port_is_live(x.bridge, bucket) or group_is_live(x, bucket.watch_group):
        return True
    if x.trace is not None:
        what = []
        if bucket.watch_port != OFPP_NONE:
            what.append(f"port {bucket.watch_port}")
        if bucket.watch_group != NO_GROUP:
            what.append(f"group {bucket.watch_group}")
        x.report("detail", f"bucket {bucket.number}: not live due to " + " and ".join(what))
    return False


cdef bint port_is_live(XBridge bridge, XBucket bucket) except -1:
    cdef XPort port = bridge.ports.get(bucket.watch_port)
    return port is not None and port.up and port.live


cdef bint group_is_live(XlateContext x, int64_t group_id) except -1:
    """Whether a way leads from the group, by groups that its buckets watch, to a live bucket.
    Each group is looked at once, so a circle of them is no endless one."""
    cdef XBridge bridge = x.bridge
    cdef XGroup group
    cdef XBucket bucket
    cdef list todo
    cdef set seen
    if group_id == NO_GROUP:
        return False
    todo = [group_id]
    seen = {group_id}
    while todo:
        group = bridge.groups.get(todo.pop())
        if group is None:
            continue
        if x.spend(1 + len(group.buckets) // BUCKETS_PER_WORK):
            return False
        for bucket in group.buckets:
            if bucket.watch_port == OFPP_NONE and bucket.watch_group == NO_GROUP:
                return True
            if port_is_live(bridge, bucket):
                return True
            if bucket.watch_group != NO_GROUP and bucket.watch_group not in seen:
                seen.add(bucket.watch_group)
                todo.append(bucket.watch_group)
    return False


cdef XBucket first_live(XlateContext x, XGroup group):
    cdef XBucket bucket
    x.spend(len(group.buckets) // BUCKETS_PER_WORK)
    for bucket in group.buckets:
        if is_live(x, bucket):
            return bucket
    return None


# --- select

cdef bint needs_hash(XlateContext x, XGroup group) noexcept:
    return len(group.slots) != 0 and not x.hashed


cdef XBucket pick(XlateContext x, XGroup group):
    x.spend(len(group.buckets) // BUCKETS_PER_WORK)
    if group.slots:
        return pick_by_slot(x, group)
    return pick_by_headers(x, group)


cdef XBucket pick_by_slot(XlateContext x, XGroup group):
    """From the hash's slot on, the first one whose bucket is live: the packets of live buckets
    stay with them."""
    cdef const unsigned char[::1] slots = group.slots
    cdef uint32_t mask = <uint32_t> len(group.slots) - 1, start, i
    cdef XBucket bucket
    cdef set dead = set()
    start = ntohl(x.flow.dp_hash)
    x.wc.dp_hash |= htonl(mask)
    for i in range(mask + 1):
        number = slots[(start + i) & mask]
        if number in dead:
            continue
        bucket = <XBucket> group.buckets[number]
        if is_live(x, bucket):
            return bucket
        dead.add(number)
    return None


cdef XBucket pick_by_headers(XlateContext x, XGroup group):
    """By a hash of the fields that the group names, or of what makes a connection: the bucket that has
    most of it by its weight, so that a bucket that fails moves its own packets only."""
    cdef uint32_t hash, score, best_score = 0
    cdef XBucket bucket, best = None
    hash = hash_connection(x) if group.fields is None else hash_group_fields(x, group)
    for bucket in group.buckets:
        if not is_live(x, bucket):
            continue
        score = bucket_score(bucket.number, bucket.weight, hash)
        if score >= best_score:
            best, best_score = bucket, score
        if x.trace is not None:
            x.report("detail", f"bucket {bucket.number}: score {score}")
    return best
