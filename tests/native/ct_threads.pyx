"""The table of connections under several threads: packets through the tracker as workers give them to it,
and a look at the whole afterwards."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport PACKET_HEADROOM, packet, packet_init
from datapath.conntrack.connections cimport Connections
from datapath.conntrack.table cimport *
from datapath.conntrack.track cimport ct_track
from datapath.key.flow cimport flow_extract, flow_key

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t ntohl(uint32_t)

cdef enum:
    MOST = 256                  # frames, and actions
    FRAME = 512                 # bytes of the longest
    STATES = 256

cdef struct work:
    tracker *t
    uint32_t n_frames
    uint32_t sizes[MOST]
    uint8_t frames[MOST][FRAME]
    uint32_t n_actions
    ct_action actions[MOST]
    uint64_t now                # ms at the beginning
    uint64_t step               # ms that a packet takes
    uint64_t counts[STATES]     # packets by ct_state
    uint64_t lost


cdef inline uint64_t draw(uint64_t *seed) noexcept nogil:
    seed[0] ^= seed[0] << 13
    seed[0] ^= seed[0] >> 7
    seed[0] ^= seed[0] << 17
    return seed[0]


cdef void run(work *w, uint64_t rounds, uint64_t seed) noexcept nogil:
    cdef uint8_t buffer[FRAME + 2 * PACKET_HEADROOM]
    cdef packet p
    cdef flow_key key
    cdef uint64_t i, number
    cdef uint32_t frame
    for i in range(rounds):
        number = draw(&seed)
        frame = <uint32_t> (number >> 8) % w.n_frames
        packet_init(&p, buffer, sizeof(buffer), PACKET_HEADROOM, w.sizes[frame])
        memcpy(p.data, w.frames[frame], w.sizes[frame])
        memset(&key, 0, sizeof(key))
        flow_extract(&p, &key)
        if ct_track(w.t, &p, &key, &w.actions[<uint32_t> (number >> 40) % w.n_actions], number,
                    w.now + i * w.step) < 0:
            w.counts[ntohl(p.ct.state) % STATES] += 1
        else:
            w.lost += 1


def hammer(Connections table not None, frames, actions, uint64_t rounds, uint64_t seed, uint64_t now,
           uint64_t step):
    cdef work w
    cdef bytes data
    if not 0 < len(frames) <= MOST or not 0 < len(actions) <= MOST or not seed:
        raise ValueError("too few or too many")
    memset(&w, 0, sizeof(w))
    w.t = &table.t
    w.now, w.step, w.n_frames, w.n_actions = now, step, len(frames), len(actions)
    for i, each in enumerate(frames):
        data = each[:FRAME]
        w.sizes[<int> i] = <uint32_t> len(data)
        memcpy(w.frames[<int> i], <const char *> data, len(data))
    for i, each in enumerate(actions):
        data = each
        memcpy(&w.actions[<int> i], <const char *> data, sizeof(ct_action))
    with nogil:
        run(&w, rounds, seed)
    return {state: w.counts[<int> state] for state in range(STATES) if w.counts[<int> state]}, w.lost


def whole(Connections table not None):
    """Asserts, while nobody else uses it, that index, records, counts and locks agree; how many
    connections there are."""
    cdef tracker *t = &table.t
    cdef conn *c
    cdef uint32_t i, at, way
    linked, used, free, zones = 0, 0, 0, {}
    for i in range(t.mask + 1):
        at = t.buckets[i]
        while at:
            c, way = &t.conns[(at - 1) // 2], (at - 1) % 2
            assert c.used and c.bucket[way] == i
            assert <uint32_t> tuple_hash(t, &c.way[way]) & t.mask == i
            linked += 1
            at = c.next[way]
    for i in range(t.head.high):
        c = &t.conns[i]
        assert not c.lock
        if c.used:
            used += 1
            zones[c.way[0].zone] = zones.get(c.way[0].zone, 0) + 1
    at = t.free
    while at != <uint32_t> NO_CONN:
        assert not t.conns[at].used
        free += 1
        at = t.conns[at].next[0]
    for i in range(CT_STRIPES):
        assert not t.stripes[i * 16]
    assert linked == 2 * used and used == t.count and used + free == t.head.high
    for i in range(CT_ZONES):
        assert t.zone_count[i] == zones.get(i, 0)
    return used
