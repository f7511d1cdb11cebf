"""Runs datapath actions on a packet.

The order of things is what a reader of the actions expects: an output sends the packet as it is
then; SAMPLE, CLONE and RECIRC leave the packet behind them unchanged, for which it is copied,
but only where something follows and something inside could change it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.base.clock cimport clock_ns
from datapath.base.drops cimport *
from datapath.actions.execute cimport *
from datapath.key.flow cimport *
from datapath.actions.meter cimport METER_DROP, METER_PASS, Meters, meter_verdict, meter_weigh
from datapath.actions.odp cimport *
from datapath.actions.offload cimport count_segments, segment
from datapath.base.packet cimport *
from datapath.actions.rewrite cimport (
    changes_parsing, is_writable, packet_pop_mpls, packet_pop_pbb, packet_push_mpls,
    packet_push_pbb, rewrite,
)

from datapath.base import drops

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

# One packet's way through one list of actions (nested ones included).
cdef struct course:
    executor *x
    packet *p
    flow_key *key
    bint stale                  # the packet's structure changed: key and offsets did not follow
    bint accounted              # somebody got the packet, or its loss was counted
    uint32_t max_len            # of TRUNC, for the next output; 0: whole


cdef void executor_init(executor *x) noexcept nogil:
    x.random = (clock_ns() << 20 ^ <uint64_t> <size_t> x) | 1
    x.depth = 0
    memset(x.scratch, 0, sizeof(x.scratch))
    memset(x.scratch_size, 0, sizeof(x.scratch_size))


cdef void executor_free(executor *x) noexcept nogil:
    cdef int i
    for i in range(MAX_EXECUTE_DEPTH):
        free(x.scratch[i])
        x.scratch[i] = NULL
        x.scratch_size[i] = 0


cdef inline uint32_t _random(executor *x) noexcept nogil:
    x.random ^= x.random << 13
    x.random ^= x.random >> 7
    x.random ^= x.random << 17
    return <uint32_t> (x.random >> 32)


cdef inline void _drop(course *c, uint32_t reason) noexcept nogil:
    c.accounted = True
    c.x.dropped(c.x.owner, reason)


cdef inline void _refresh(course *c) noexcept nogil:
    if c.stale:
        flow_extract(c.p, c.key)
        c.stale = False


# ---- Copies ----

cdef bint _take_buffer(course *c, packet *p) noexcept nogil:
    """Gives `p` the buffer of this depth, with room for the packet; false, and counted, where
    that fails."""
    cdef executor *x = c.x
    cdef uint32_t size = PACKET_HEADROOM + c.p.size + 64
    if x.scratch_size[x.depth] < size:
        free(x.scratch[x.depth])
        size = max(size, <uint32_t> 2048)
        x.scratch[x.depth] = <uint8_t *> malloc(size)
        x.scratch_size[x.depth] = size if x.scratch[x.depth] != NULL else 0
        if x.scratch[x.depth] == NULL:
            _drop(c, DROP_NO_MEMORY)
            return False
    p.base = x.scratch[x.depth]
    p.capacity = x.scratch_size[x.depth]
    return True


cdef bint _copy(course *c, course *copy, packet *p, flow_key *key) noexcept nogil:
    """A second packet in the buffer of this depth; false, and counted, where that fails."""
    if not _take_buffer(c, p):
        return False
    packet_copy(p, c.p, PACKET_HEADROOM)
    memcpy(key, c.key, KEY_SIZE)
    copy[0] = c[0]
    copy.p = p
    copy.key = key
    return True


cdef bint _changes(const uint8_t *at, uint32_t length) noexcept nogil:
    """Whether these actions could change the packet."""
    cdef const attr *a
    cdef uint32_t size
    while length >= sizeof(attr):
        a = <const attr *> at
        if a.length < sizeof(attr) or a.length > length:
            return True
        if a.type == ACT_CLONE:
            if _changes(at + 4, a.length - 4):
                return True
        elif a.type == ACT_SAMPLE:
            if a.length < 8 or _changes(at + 8, a.length - 8):
                return True
        elif (a.type != ACT_OUTPUT and a.type != ACT_USERSPACE and a.type != ACT_DROP
              and a.type != ACT_METER):
            return True
        size = (a.length + 3) & ~3
        if size >= length:
            return False
        at += size
        length -= size
    return False


cdef void _nested(course *c, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    cdef course inner
    cdef packet p
    cdef flow_key key
    if c.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(c, DROP_RECIRC_TOO_DEEP)
        return
    inner = c[0]
    if not last and _changes(at, length):
        _refresh(c)
        if not _copy(c, &inner, &p, &key):
            return
    c.x.depth += 1
    _run(&inner, at, length, last)
    c.x.depth -= 1
    c.accounted = c.accounted or inner.accounted


cdef void _recirculate(course *c, uint32_t recirc_id, bint last) noexcept nogil:
    cdef course inner = c[0]
    cdef packet p
    cdef flow_key key
    if c.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(c, DROP_RECIRC_TOO_DEEP)
        return
    if not last and not _copy(c, &inner, &p, &key):
        return
    c.accounted = True
    inner.p.recirc_id = htonl(recirc_id)
    c.x.depth += 1
    c.x.recirculate(c.x.owner, inner.p, inner.key)
    c.x.depth -= 1


# ---- What leaves the packet path ----

cdef uint32_t _truncate(course *c, vnet_hdr *vnet) noexcept nogil:
    """Cuts the packet for one output; returns the size to put back."""
    cdef uint32_t size = c.p.size
    vnet[0] = c.p.vnet
    if c.max_len and c.max_len < size:
        c.p.size = c.max_len
        # A cut frame has no whole payload to segment or to sum up.
        memset(&c.p.vnet, 0, sizeof(vnet_hdr))
    return size


cdef inline void _untruncate(course *c, uint32_t size, const vnet_hdr *vnet) noexcept nogil:
    if c.p.size != size:
        c.p.size = size
        c.p.vnet = vnet[0]
    c.max_len = 0


cdef void _output(course *c, uint32_t port) noexcept nogil:
    cdef vnet_hdr vnet
    cdef uint32_t size
    c.accounted = True
    if c.max_len == 0:
        c.x.output(c.x.owner, c.p, port)
        return
    size = _truncate(c, &vnet)
    c.x.output(c.x.owner, c.p, port)
    _untruncate(c, size, &vnet)


cdef void _userspace(course *c, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef vnet_hdr vnet
    cdef uint32_t size
    c.accounted = True
    _refresh(c)
    size = _truncate(c, &vnet)
    c.x.userspace(c.x.owner, c.p, c.key, (<const uint32_t *> payload)[0], payload + 8, length - 8)
    _untruncate(c, size, &vnet)


# ---- Changes ----

cdef void _hash(course *c, uint32_t algorithm, uint32_t basis) noexcept nogil:
    cdef uint32_t value
    _refresh(c)
    if algorithm == HASH_SYM_L4:
        value = flow_hash_symmetric(c.key, basis)
    else:
        value = flow_hash_5tuple(c.key, basis)
    c.p.dp_hash = htonl(value if value else 1)      # 0 is "no hash"
    c.key.dp_hash = c.p.dp_hash


cdef bint _set(course *c, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef const uint16_t *head = <const uint16_t *> payload
    if not is_writable(head[0]) or head[1] != key_members[head[0]].size:
        return False
    if length != <uint32_t> 4 + 2 * head[1]:
        return False
    _refresh(c)
    rewrite(c.p, c.key, head[0], payload + 4, payload + 4 + head[1])
    c.stale = changes_parsing(c.key, head[0])
    return True


cdef bint _push_vlan(course *c, const uint8_t *payload) noexcept nogil:
    cdef const uint16_t *words = <const uint16_t *> payload
    c.stale = True
    # 0x1000 says "a tag" in a key; a pushed tag starts with DEI 0.
    return packet_push_vlan(c.p, words[0], words[1] & htons(0xefff))


cdef bint _push_mpls(course *c, const uint8_t *payload) noexcept nogil:
    c.stale = True
    return packet_push_mpls(c.p, (<const uint32_t *> payload)[0],
                            (<const uint16_t *> (payload + 4))[0])


cdef void _pop_pbb(course *c) noexcept nogil:
    _refresh(c)
    packet_pop_pbb(c.p)
    c.stale = True
    _refresh(c)     # an output asks by l2_5 whether the kernel understands the frame


# ---- Meters ----

# What is to be done for each segment of a frame that does not pass a meter whole.
cdef struct split:
    course *c
    uint32_t meter
    const uint8_t *rest         # the actions behind the meter
    uint32_t length


cdef bint _meter(course *c, uint32_t meter, const uint8_t *rest, uint32_t length) noexcept nogil:
    """Whether the packet goes on; if not it was dropped, or the rest was done for its segments."""
    cdef uint32_t n_bytes
    cdef uint32_t n_packets
    cdef meter_verdict verdict
    if c.x.meter == NULL:
        return True
    n_packets = count_segments(c.p, &n_bytes)
    verdict = c.x.meter(c.x.owner, meter, n_packets, n_bytes)
    if verdict == METER_PASS:
        return True
    if verdict == METER_DROP:
        _drop(c, DROP_METER)
    else:
        _split(c, meter, rest, length)
    return False


cdef void _split(course *c, uint32_t meter, const uint8_t *rest, uint32_t length) noexcept nogil:
    cdef split s
    cdef packet p
    if c.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(c, DROP_RECIRC_TOO_DEEP)
        return
    if not _take_buffer(c, &p):
        return
    s.c = c
    s.meter = meter
    s.rest = rest
    s.length = length
    c.x.depth += 1
    if segment(c.p, &p, _one_segment, &s) < 0:
        _drop(c, DROP_BAD_OFFLOAD)
    c.x.depth -= 1


cdef void _one_segment(void *owner, packet *p) noexcept nogil:
    cdef split *s = <split *> owner
    cdef course inner = s.c[0]
    cdef flow_key key
    memcpy(&key, s.c.key, KEY_SIZE)
    inner.p = p
    inner.key = &key
    inner.stale = True          # the offsets, of another packet
    if s.c.x.meter(s.c.x.owner, s.meter, 1, p.size) == METER_PASS:
        _run(&inner, s.rest, s.length, True)
    else:
        _drop(&inner, DROP_METER)
    s.c.accounted = s.c.accounted or inner.accounted


# ---- The list ----

cdef inline uint32_t _least(uint16_t kind) noexcept nogil:
    """Payload bytes without which an attribute cannot be read."""
    if kind == ACT_HASH or kind == ACT_USERSPACE:
        return 8
    if kind == ACT_PUSH_MPLS:
        return 6
    if kind == ACT_POP_MPLS:
        return 2
    if kind == ACT_POP_VLAN or kind == ACT_POP_PBB or kind == ACT_CLONE:
        return 0
    return 4


cdef int _step(course *c, uint16_t kind, const uint8_t *payload, uint32_t length,
               bint last) noexcept nogil:
    """One action; 0 to go on, 1 at an explicit drop, else minus the reason of a loss, minus 1."""
    cdef uint32_t number = 0
    if length < _least(kind):
        return -1 - DROP_BAD_ACTION
    if length >= 4:
        memcpy(&number, payload, 4)
    if kind == ACT_OUTPUT:
        _output(c, number)
    elif kind == ACT_SET:
        if not _set(c, payload, length):
            return -1 - DROP_BAD_ACTION
    elif kind == ACT_PUSH_VLAN:
        if not _push_vlan(c, payload):
            return -1 - DROP_NO_HEADROOM
    elif kind == ACT_POP_VLAN:
        packet_pop_vlan(c.p)
        c.stale = True
    elif kind == ACT_PUSH_MPLS:
        if not _push_mpls(c, payload):
            return -1 - DROP_NO_HEADROOM
    elif kind == ACT_POP_MPLS:
        _refresh(c)
        packet_pop_mpls(c.p, (<const uint16_t *> payload)[0])
        c.stale = True
    elif kind == ACT_PUSH_PBB:
        c.stale = True
        if not packet_push_pbb(c.p, (<const uint32_t *> payload)[0]):
            return -1 - DROP_NO_HEADROOM
    elif kind == ACT_POP_PBB:
        _pop_pbb(c)
    elif kind == ACT_RECIRC:
        _recirculate(c, number, last)
    elif kind == ACT_HASH:
        _hash(c, number, (<const uint32_t *> payload)[1])
    elif kind == ACT_SAMPLE:
        if _random(c.x) <= number and number:
            _nested(c, payload + 4, length - 4, last)
    elif kind == ACT_CLONE:
        _nested(c, payload, length, last)
    elif kind == ACT_USERSPACE:
        _userspace(c, payload, length)
    elif kind == ACT_TRUNC:
        c.max_len = number
    elif kind == ACT_DROP:
        return 1
    else:
        return -1 - DROP_BAD_ACTION
    return 0


cdef void _run(course *c, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    """`last`: nothing is done with the packet after this list."""
    cdef const attr *a
    cdef uint32_t size
    cdef int result
    cdef bint ends
    while length:
        a = <const attr *> at
        if length < sizeof(attr) or a.length < sizeof(attr) or a.length > length:
            _drop(c, DROP_BAD_ACTION)
            return
        size = min(<uint32_t> (a.length + 3) & ~<uint32_t> 3, length)
        ends = size == length
        if a.type == ACT_METER and a.length == sizeof(attr) + 4:
            if not _meter(c, (<const uint32_t *> (at + sizeof(attr)))[0], at + size,
                          length - size):
                return
            at += size
            length -= size
            continue
        result = _step(c, a.type, at + sizeof(attr), a.length - sizeof(attr), last and ends)
        if result:
            _drop(c, DROP_ACTION if result == 1 else -1 - result)
            return
        at += size
        length -= size


cdef void execute_actions(executor *x, packet *p, flow_key *key, const uint8_t *actions,
                          uint32_t length) noexcept nogil:
    cdef course c
    c.x = x
    c.p = p
    c.key = key
    c.stale = c.accounted = False
    c.max_len = 0
    _run(&c, actions, length, True)
    if not c.accounted:
        _drop(&c, DROP_ACTION)


# ---- For Python: tests, and whoever wants to know what actions do ----

cdef class Recorder:
    """Runs actions on a frame and notes what comes out: see execute.pyi."""
    cdef executor x
    cdef public list events
    cdef public object recirculated
    cdef readonly Meters meters
    cdef public uint64_t now
    cdef uint32_t levels

    def __cinit__(self, recirculated=None):
        executor_init(&self.x)
        self.x.owner = <void *> self
        self.x.output = _note_output
        self.x.userspace = _note_userspace
        self.x.recirculate = _note_recirculate
        self.x.dropped = _note_drop
        self.x.meter = _weigh
        self.meters = Meters()
        self.now = 0
        self.events = []
        self.recirculated = recirculated
        self.levels = 0

    def __dealloc__(self):
        executor_free(&self.x)

    def run(self, frame, bytes actions, uint32_t in_port=0, vnet=None, uint32_t headroom=128,
            uint32_t skb_priority=0, uint32_t pkt_mark=0):
        cdef const uint8_t[:] view = frame
        cdef bytes owned = bytes(view)
        cdef packet p
        cdef flow_key key
        cdef uint32_t size = <uint32_t> len(owned)
        cdef uint8_t *base = <uint8_t *> malloc(headroom + size + 1)
        if base == NULL:
            raise MemoryError
        memcpy(base + headroom, <const char *> owned, size)
        packet_init(&p, base, headroom + size, headroom, size)
        p.in_port = htonl(in_port)
        p.skb_priority = htonl(skb_priority)
        p.pkt_mark = htonl(pkt_mark)
        if vnet is not None:
            p.vnet = vnet
        memset(&key, 0, sizeof(key))
        self.events = []
        flow_extract(&p, &key)
        execute_actions(&self.x, &p, &key, <const uint8_t *> <const char *> actions,
                        <uint32_t> len(actions))
        free(base)
        return self.events


cdef bytes _bytes(const void *at, uint32_t n):
    return PyBytes_FromStringAndSize(<const char *> at, n)


cdef void _note_output(void *owner, packet *p, uint32_t port) noexcept nogil:
    with gil:
        (<Recorder> owner).events.append(("output", port, _bytes(p.data, p.size), p.vnet))


cdef void _note_userspace(void *owner, packet *p, const flow_key *key, uint32_t reason,
                          const uint8_t *userdata, uint32_t length) noexcept nogil:
    with gil:
        (<Recorder> owner).events.append((
            "userspace", reason, _bytes(userdata, length), _bytes(p.data, p.size),
            _bytes(key, KEY_SIZE)))


cdef void _again(Recorder recorder, packet *p, flow_key *key) noexcept:
    cdef bytes actions = recorder.recirculated
    flow_extract(p, key)
    recorder.events.append(("recirculate", ntohl(p.recirc_id), _bytes(p.data, p.size),
                            _bytes(key, KEY_SIZE)))
    if actions is not None:
        execute_actions(&recorder.x, p, key, <const uint8_t *> <const char *> actions,
                        <uint32_t> len(actions))


cdef void _note_recirculate(void *owner, packet *p, flow_key *key) noexcept nogil:
    with gil:
        _again(<Recorder> owner, p, key)


cdef meter_verdict _weigh(void *owner, uint32_t meter, uint32_t n_packets,
                          uint32_t n_bytes) noexcept nogil:
    with gil:
        recorder = <Recorder> owner
        return meter_weigh(recorder.meters.table, meter, n_packets, n_bytes, recorder.now)


cdef void _note_drop(void *owner, uint32_t reason) noexcept nogil:
    with gil:
        (<Recorder> owner).events.append(("drop", drops.NAMES[reason]))
