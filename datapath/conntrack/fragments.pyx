"""Fragments of IP packets; see fragments.pxd."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memmove, memset

from datapath.actions.offload cimport csum_add, csum_finish
from datapath.base.drops cimport (
    DROP_FRAG_LIMIT, DROP_FRAG_MALFORMED, DROP_FRAG_TIMEOUT, DROP_FRAG_TOO_SMALL, DROP_NO_MEMORY,
)
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.conntrack.fragments cimport *
from datapath.key.flow cimport flow_key

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    MORE = 1                    # "more fragments", in a fragment_place
    FRAG_HEADER = 8             # of IPv6
    NOT_ECT = 0                 # of the bits of ECN,
    ECN_CE = 3                  # and "congestion experienced", which are all of them

# Where the fragment belongs.
cdef struct place:
    frag_key key
    uint32_t offset
    uint32_t size
    uint32_t payload            # offset in the frame
    bint last


# ---- Reading ----

cdef uint32_t _find_header6(const packet *p) noexcept nogil:
    """Offset of the fragment header; 0 where there is none."""
    cdef const uint8_t *ip = p.data + p.l3
    cdef uint8_t proto = ip[6]
    cdef uint32_t at = <uint32_t> p.l3 + 40, end = <uint32_t> p.l3 + p.l3_size
    while at + 8 <= end:
        if proto == PROTO_FRAGMENT:
            return at
        if proto != PROTO_HOPOPTS and proto != PROTO_ROUTING and proto != PROTO_DSTOPTS:
            return 0
        proto = p.data[at]
        at += (p.data[at + 1] + 1) * 8
    return 0


cdef bint _read(const packet *p, const flow_key *key, uint16_t zone, place *f) noexcept nogil:
    cdef const uint8_t *ip = p.data + p.l3
    cdef uint32_t at, field
    memset(f, 0, sizeof(place))
    f.key.zone = zone
    if key.eth_type == htons(ETH_IP):
        f.key.family = 4
        memcpy(f.key.src, ip + 12, 4)
        memcpy(f.key.dst, ip + 16, 4)
        f.key.id = get16(ip + 4)
        f.key.proto = ip[9]
        field = get16(ip + 6)
        f.offset = (field & 0x1fff) * 8
        f.last = not field & 0x2000
        f.payload = p.l3 + (ip[0] & 15) * 4
        if csum_finish(csum_add(0, ip, f.payload - p.l3)):
            return False
    else:
        at = _find_header6(p)
        if at == 0:
            return False
        f.key.family = 6
        memcpy(f.key.src, ip + 8, 32)       # src and dst
        f.key.id = get32(p.data + at + 4)
        field = get16(p.data + at + 2)
        f.offset = field & 0xfff8
        f.last = not field & 1
        f.payload = at + FRAG_HEADER
    f.size = p.l3 + p.l3_size - f.payload
    # Of all but the last the next one begins at a multiple of 8.
    return f.size > 0 and (f.last or f.size % 8 == 0) and f.offset + f.size <= 65535


# ---- Keeping ----

cdef void _uncount(frag_table *f, const waiting *slot) noexcept nogil:
    """Its fragments wait no longer."""
    cdef uint32_t i
    for i in range(slot.n):
        f.n_bytes -= slot.list[i].p.size
    f.n_fragments -= slot.n
    f.shares[slot.share].fragments -= slot.n


cdef void _clear(frag_table *f, waiting *slot) noexcept nogil:
    _uncount(f, slot)
    f.shares[slot.share].packets -= 1
    slot.n = 0
    slot.key.family = 0


cdef void frag_free(waiting *done) noexcept nogil:
    cdef uint32_t i
    for i in range(done.n):
        free(done.list[i])
    done.n = 0


cdef void frag_destroy(frag_table *f) noexcept nogil:
    cdef int i
    for i in range(FRAG_PACKETS):
        frag_free(&f.slots[i])


cdef void _drop_all(frag_table *f, waiting *slot, uint32_t reason, frag_lost_fn lost,
                    void *owner) noexcept nogil:
    cdef waiting gone = slot[0]
    cdef uint32_t i
    _clear(f, slot)
    for i in range(gone.n):
        lost(owner, reason)
    frag_free(&gone)


cdef waiting *_in_excess(frag_table *f, int share, bint of_fragments, const waiting *but) noexcept nogil:
    """What is to make room for one more packet, or fragment, of a sender: what has waited longest of
    the sender that has most, with that one more; NULL: nothing is.

    So who sends fragments of ever new packets pushes out his own."""
    cdef waiting *found = NULL
    cdef waiting *slot
    cdef uint32_t n, most = 0, own = 1
    cdef int i
    if share >= 0:
        own += f.shares[share].fragments if of_fragments else f.shares[share].packets
    for i in range(FRAG_PACKETS):
        slot = &f.slots[i]
        if not slot.key.family or slot == but or (of_fragments and not slot.n):
            continue
        n = f.shares[slot.share].fragments if of_fragments else f.shares[slot.share].packets
        n += slot.share == share
        if n > most or (n == most and slot.since < found.since):
            most = n
            found = slot
    return found if f.settings.evicts or most > own else NULL


cdef bint _has_room(frag_table *f, const waiting *own, uint32_t size, frag_lost_fn lost,
                    void *owner) noexcept nogil:
    """For one more fragment, of the packet `own`."""
    cdef waiting *loser
    while f.n_fragments >= f.settings.most or f.n_bytes + size > FRAG_BYTES:
        loser = _in_excess(f, own.share, True, own)
        if loser == NULL:
            return False
        _drop_all(f, loser, DROP_FRAG_LIMIT, lost, owner)
    return True


cdef void _time_out(frag_table *f, waiting *slot, frag_lost_fn lost, void *owner) noexcept nogil:
    f.expired[slot.key.family == 6] += slot.n
    _drop_all(f, slot, DROP_FRAG_TIMEOUT, lost, owner)


cdef inline bint _is_late(const frag_table *f, const waiting *slot, uint64_t now) noexcept nogil:
    return slot.key.family and now >= slot.since + f.settings.timeout


cdef void frag_expire(frag_table *f, uint64_t now, frag_lost_fn lost, void *owner) noexcept nogil:
    cdef int i
    for i in range(FRAG_PACKETS):
        if _is_late(f, &f.slots[i], now):
            _time_out(f, &f.slots[i], lost, owner)


cdef inline bint _same_sender(const frag_key *a, const frag_key *b) noexcept nogil:
    return a.family == b.family and memcmp(a.src, b.src, sizeof(a.src)) == 0


cdef uint8_t _free_share(const frag_table *f) noexcept nogil:
    """There is one where a slot is free: a sender with a share has a slot at least."""
    cdef uint8_t i = 0
    while f.shares[i].packets:
        i += 1
    return i


cdef waiting *_slot(frag_table *f, const frag_key *key, uint64_t now, frag_lost_fn lost,
                    void *owner) noexcept nogil:
    """The packet's, or a fresh one; what has waited too long is lost on the way.  NULL: all are in
    use."""
    cdef waiting *slot
    cdef waiting *empty = NULL
    cdef waiting *found = NULL
    cdef int i, share = -1
    for i in range(FRAG_PACKETS):
        slot = &f.slots[i]
        if _is_late(f, slot, now):
            _time_out(f, slot, lost, owner)
        if not slot.key.family:
            empty = slot
            continue
        if _same_sender(&slot.key, key):
            share = slot.share
        if memcmp(&slot.key, key, sizeof(frag_key)) == 0:
            found = slot
    if found == NULL and empty == NULL:
        empty = _in_excess(f, share, False, NULL)
        if empty != NULL:
            _drop_all(f, empty, DROP_FRAG_LIMIT, lost, owner)
    if found != NULL or empty == NULL:
        return found
    empty.key = key[0]
    empty.since = now
    empty.n = 0
    empty.bad = False
    empty.share = <uint8_t> share if share >= 0 else _free_share(f)
    f.shares[empty.share].packets += 1
    return empty


cdef fragment *_copy(const packet *p, const place *where) noexcept nogil:
    cdef uint32_t capacity = PACKET_HEADROOM + p.size + 64
    cdef fragment *made = <fragment *> malloc(sizeof(fragment) + capacity)
    if made == NULL:
        return NULL
    made.p.base = <uint8_t *> made + sizeof(fragment)
    made.p.capacity = capacity
    packet_copy(&made.p, p, PACKET_HEADROOM)
    made.offset = <uint16_t> where.offset
    made.size = <uint16_t> where.size
    made.payload = <uint16_t> where.payload
    made.last = where.last
    return made


cdef bint _fits(const waiting *slot, const place *where, uint32_t *at) noexcept nogil:
    """Whether it overlaps none, and lies before the last; `at`: its place in the list."""
    cdef const fragment *other
    cdef uint32_t i
    at[0] = slot.n
    for i in range(slot.n):
        other = slot.list[i]
        if where.offset < other.offset:
            at[0] = i
            return where.offset + where.size <= other.offset and not where.last
        if where.offset < <uint32_t> other.offset + other.size or other.last:
            return False
    return True


cdef bint _came_before(const waiting *slot, const place *where) noexcept nogil:
    """A copy of one that waits: the network made two of one (RFC 8200, section 4.5)."""
    cdef const fragment *other
    cdef uint32_t i
    for i in range(slot.n):
        other = slot.list[i]
        if where.offset == other.offset:
            return where.size == other.size and where.last == other.last
    return False


cdef bint _is_whole(const waiting *slot) noexcept nogil:
    cdef uint32_t i, end = 0
    for i in range(slot.n):
        if slot.list[i].offset != end:
            return False
        end += slot.list[i].size
    return slot.list[slot.n - 1].last


cdef int frag_take(frag_table *f, const packet *p, const flow_key *key, uint16_t zone, uint64_t now,
                   waiting *done, frag_lost_fn lost, void *owner) noexcept nogil:
    cdef place where
    cdef waiting *slot
    cdef fragment *made
    cdef uint32_t at, i
    cdef int v6
    if not _read(p, key, zone, &where):
        return DROP_FRAG_MALFORMED
    v6 = where.key.family == 6
    if not where.last and p.l3_size < (f.settings.min_v6 if v6 else f.settings.min_v4):
        f.too_small[v6] += 1
        return DROP_FRAG_TOO_SMALL
    slot = _slot(f, &where.key, now, lost, owner)
    if slot != NULL and _came_before(slot, &where):
        f.overlapping[v6] += 1
        return DROP_FRAG_MALFORMED
    if slot == NULL or slot.n == FRAG_EACH or not _has_room(f, slot, p.size, lost, owner):
        if slot != NULL and slot.n == 0 and not slot.bad:
            _clear(f, slot)
        return DROP_FRAG_LIMIT
    if slot.bad or not _fits(slot, &where, &at):
        # RFC 5722: the whole packet is lost, with what comes of it later.
        f.overlapping[v6] += 1
        for i in range(slot.n):
            lost(owner, DROP_FRAG_MALFORMED)
        _uncount(f, slot)
        frag_free(slot)
        slot.bad = True
        return DROP_FRAG_MALFORMED
    made = _copy(p, &where)
    if made == NULL:
        return DROP_NO_MEMORY
    memmove(&slot.list[at + 1], &slot.list[at], (slot.n - at) * sizeof(fragment *))
    slot.list[at] = made
    slot.n += 1
    f.n_fragments += 1
    f.shares[slot.share].fragments += 1
    f.n_bytes += p.size
    f.accepted[v6] += 1
    if not _is_whole(slot):
        return -1
    f.completed[v6] += slot.n
    done[0] = slot[0]
    _clear(f, slot)
    return -2


cdef uint32_t frag_list(const frag_table *f, frag_row *rows) noexcept nogil:
    cdef const waiting *slot
    cdef const fragment *one
    cdef frag_row *row
    cdef uint32_t n = 0
    cdef int i
    for i in range(FRAG_PACKETS):
        slot = &f.slots[i]
        if not slot.key.family or not slot.n:
            continue
        one = slot.list[0]
        row = &rows[n]
        row.key = slot.key
        row.recirc_id = ntohl(one.p.recirc_id)
        row.n = slot.n
        row.first = one.offset == 0
        row.last = slot.list[slot.n - 1].last
        if slot.key.family == 6:
            row.key.proto = one.p.data[one.payload - FRAG_HEADER]
        n += 1
    return n


# ---- The whole, and its pieces ----

cdef void _sum_ip(uint8_t *ip) noexcept nogil:
    put16(ip + 10, 0)
    put16(ip + 10, csum_finish(csum_add(0, ip, (ip[0] & 15) * 4)))


cdef void _unfragment6(packet *whole, uint32_t header) noexcept nogil:
    """Takes the fragment header out, at `header`."""
    cdef uint8_t *ip = whole.data + whole.l3
    cdef uint8_t *next = ip + 6
    cdef uint32_t at = <uint32_t> whole.l3 + 40
    while at < header:
        next = whole.data + at
        at += (whole.data[at + 1] + 1) * 8
    next[0] = whole.data[header]
    memmove(whole.data + header, whole.data + header + FRAG_HEADER,
            whole.size - header - FRAG_HEADER)
    whole.size -= FRAG_HEADER


cdef inline uint8_t _ecn(const packet *p, bint v6) noexcept nogil:
    cdef const uint8_t *ip = p.data + p.l3
    return ip[1] >> 4 & ECN_CE if v6 else ip[1] & ECN_CE


cdef int frag_ecn(const waiting *done) noexcept nogil:
    cdef bint v6 = done.key.family == 6
    cdef uint32_t i, seen = 0
    for i in range(done.n):
        seen |= 1U << _ecn(&done.list[i].p, v6)
    if seen & 1U << NOT_ECT:
        return NOT_ECT if seen == 1U << NOT_ECT else -1
    return ECN_CE if seen & 1U << ECN_CE else _ecn(&done.list[0].p, v6)


cdef void _put_ecn(uint8_t *ip, bint v6, int ecn) noexcept nogil:
    if ecn >= 0:
        ip[1] |= <uint8_t> (ecn << 4 if v6 else ecn)      # more bits than the first's, or the same


cdef bint frag_join(const waiting *done, packet *whole) noexcept nogil:
    cdef const fragment *first = done.list[0]
    cdef const fragment *last = done.list[done.n - 1]
    cdef uint32_t size = <uint32_t> first.payload + last.offset + last.size
    cdef uint8_t *base = whole.base
    cdef uint32_t capacity = whole.capacity
    cdef uint8_t *ip
    cdef uint32_t i
    if size - first.p.l3 > 65535 or PACKET_HEADROOM + size > capacity:
        return False
    whole[0] = first.p
    whole.base = base
    whole.capacity = capacity
    whole.data = base + PACKET_HEADROOM
    whole.size = size
    memset(&whole.vnet, 0, sizeof(vnet_hdr))
    memcpy(whole.data, first.p.data, first.payload)
    for i in range(done.n):
        memcpy(whole.data + first.payload + done.list[i].offset,
               done.list[i].p.data + done.list[i].payload, done.list[i].size)
    ip = whole.data + whole.l3
    _put_ecn(ip, done.key.family == 6, frag_ecn(done))
    if done.key.family == 4:
        put16(ip + 2, <uint16_t> (size - whole.l3))
        put16(ip + 6, 0)
        _sum_ip(ip)
    else:
        _unfragment6(whole, first.payload - FRAG_HEADER)
        put16(ip + 4, <uint16_t> (whole.size - whole.l3 - 40))
    return True


cdef void frag_split(waiting *done, const packet *whole) noexcept nogil:
    cdef bint v6 = done.key.family == 6
    cdef const uint8_t *payload = (whole.data + done.list[0].payload - (FRAG_HEADER if v6 else 0))
    cdef const uint8_t *from_ip = whole.data + whole.l3
    cdef fragment *f
    cdef uint8_t *ip
    cdef uint32_t i
    for i in range(done.n):
        f = done.list[i]
        ip = f.p.data + f.p.l3
        memcpy(f.p.data + f.payload, payload + f.offset, f.size)
        f.p.ct = whole.ct
        if v6:
            memcpy(ip + 8, from_ip + 8, 32)
        else:
            memcpy(ip + 12, from_ip + 12, 8)
            _sum_ip(ip)
