"""Runs datapath actions on a frame, and notes what comes out."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.actions.execute cimport execute_actions
from datapath.actions.executor cimport CT_DONE, emit_fn, executor, executor_free, executor_init
from datapath.actions.meter cimport Meters, meter_verdict, meter_weigh
from datapath.actions.odp cimport ct_action
from datapath.base.packet cimport packet, packet_init
from datapath.key.flow cimport KEY_SIZE, flow_extract, flow_key, key_ct

from datapath.base import drops

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)


cdef class Recorder:
    """Runs actions on a frame and notes what comes out: see recorder.pyi."""
    cdef executor x
    cdef public list events
    cdef public object recirculated
    cdef public object tracker
    cdef readonly Meters meters
    cdef public uint64_t now
    cdef uint32_t levels
    cdef public dict tunnels
    cdef public dict mtus

    def __cinit__(self, recirculated=None, tracker=None):
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
        self.tracker = tracker
        if tracker is not None:
            self.x.track = _note_ct
        self.levels = 0
        self.tunnels = {}
        self.x.tunnel_kind = _kind_of
        self.mtus = {}
        self.x.port_mtu = _mtu_of

    def __dealloc__(self):
        executor_free(&self.x)

    def run(self, frame, bytes actions, uint32_t in_port=0, vnet=None, uint32_t headroom=128,
            uint32_t skb_priority=0, uint32_t pkt_mark=0, uint32_t packet_type=0):
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
        p.packet_type = htonl(packet_type)
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


cdef int _note_ct(void *owner, packet *p, const flow_key *key, const ct_action *a,
                  emit_fn emit, void *arg) noexcept nogil:
    with gil:
        recorder = <Recorder> owner
        told = recorder.tracker(_bytes(a, sizeof(ct_action)), _bytes(key, KEY_SIZE))
        key_ct(<const flow_key *> <const char *> (<bytes> told), &p.ct)
        recorder.events.append(("ct", _bytes(a, sizeof(ct_action))))
        return CT_DONE


cdef meter_verdict _weigh(void *owner, uint32_t meter, uint32_t n_packets,
                          uint32_t n_bytes) noexcept nogil:
    with gil:
        recorder = <Recorder> owner
        return meter_weigh(recorder.meters.table, meter, n_packets, n_bytes, recorder.now)


cdef uint32_t _mtu_of(void *owner, uint32_t port, uint32_t size) noexcept nogil:
    with gil:
        return (<Recorder> owner).mtus.get(port, 0)


cdef uint32_t _kind_of(void *owner, uint32_t port) noexcept nogil:
    with gil:
        return (<Recorder> owner).tunnels.get(port, 0)


cdef void _note_drop(void *owner, uint32_t reason) noexcept nogil:
    with gil:
        (<Recorder> owner).events.append(("drop", drops.NAMES[reason]))
