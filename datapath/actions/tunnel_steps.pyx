"""Steps of a list that put a tunnel's header on a packet, or take it off; see tunnel_steps.pxd."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from datapath.actions.encap cimport ENCAP_DONE, ENCAP_NO_ROOM, encap_result
from datapath.actions.executor cimport *
from datapath.actions.odp cimport ACT_OUTPUT, attr
from datapath.actions.offload cimport complete_checksum, segment
from datapath.actions.tunnel_answer cimport TUNNEL_ANSWER, tunnel_answer, tunnel_outer_size
from datapath.actions.tunnel_pop cimport tunnel_decapsulate
from datapath.actions.tunnel_push cimport (
    TUNNEL_HEADER, tunnel_cut, tunnel_encapsulate, tunnel_may_be_cut,
)
from datapath.base.drops cimport *
from datapath.base.packet cimport *
from datapath.base.protocols cimport ETH_IP, ETH_IPV6
from datapath.key.flow cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)


# What is to be done with each segment of a frame, or with a copy that has more room.
cdef struct again:
    execution *e
    const uint8_t *actions      # from the one on that could not be done
    uint32_t length


cdef void _one_again(void *owner, packet *p) noexcept nogil:
    cdef again *a = <again *> owner
    cdef execution inner = a.e[0]
    cdef flow_key key
    memcpy(&key, a.e.key, KEY_SIZE)
    inner.p = p
    inner.key = &key
    inner.stale = True          # the offsets, of another packet
    inner.run(&inner, a.actions, a.length, True)
    a.e.accounted = a.e.accounted or inner.accounted


cdef void _run_again(execution *e, const uint8_t *actions, uint32_t length) noexcept nogil:
    """These and all further actions for each segment of the packet, or for a copy of what is none,
    with room for any tunnel's header."""
    cdef again a
    cdef packet p
    if not take_buffer(e, &p, TUNNEL_HEADER + 64):
        return
    a.e = e
    a.actions = actions
    a.length = length
    e.x.depth += 1
    if e.p.vnet.gso_type == GSO_NONE:
        packet_copy(&p, e.p, PACKET_HEADROOM)
        _one_again(&a, &p)
    elif segment(e.p, &p, _one_again, &a) < 0:
        drop(e, DROP_BAD_OFFLOAD)
    e.x.depth -= 1


cdef uint32_t _entropy(execution *e) noexcept nogil:
    """A hash of the flow, for the outer header's source port."""
    refresh(e)
    if e.key.eth_type == htons(ETH_IP) or e.key.eth_type == htons(ETH_IPV6):
        return flow_hash_5tuple(e.key, 0)
    return flow_hash_symmetric_ip(e.key, 0, True)


cdef inline uint32_t _padded(const uint8_t *at, uint32_t length) noexcept nogil:
    """Of an action: where the next one stands."""
    return min(<uint32_t> ((<const attr *> at).length + 3) & ~<uint32_t> 3, length)


cdef uint32_t _mtu_behind(execution *e, const uint8_t *at, uint32_t length, uint32_t size) noexcept nogil:
    """Of the port that these actions output to first, 0: unknown."""
    cdef const attr *a
    cdef uint32_t own
    if e.x.port_mtu == NULL:
        return 0
    while length >= sizeof(attr):
        a = <const attr *> at
        if a.length < sizeof(attr) or a.length > length:
            return 0
        if a.type == ACT_OUTPUT and a.length == sizeof(attr) + 4:
            return e.x.port_mtu(e.x.owner, (<const uint32_t *> (at + sizeof(attr)))[0], size)
        own = _padded(at, length)
        at += own
        length -= own
    return 0


cdef uint32_t _too_narrow(execution *e, const uint8_t *at, uint32_t length) noexcept nogil:
    """The MTU of the port behind the tunnel's header, where that cannot take the packet; or 0.
    `at`: the tnl_push and what stands behind it."""
    cdef uint32_t own = (<const attr *> at).length, behind = _padded(at, length)
    cdef uint32_t size = tunnel_outer_size(e.p, at + sizeof(attr), own - <uint32_t> sizeof(attr))
    cdef uint32_t mtu = _mtu_behind(e, at + behind, length - behind, size)
    return mtu if size > mtu else 0


cdef void _tell(execution *e, const uint8_t *payload, uint32_t size, uint32_t mtu) noexcept nogil:
    """The packet's sender, that it is too big."""
    cdef packet answer
    cdef flow_key key
    refresh(e)
    if e.x.told:                # of a flood's other tunnels
        return
    if e.x.depth >= MAX_EXECUTE_DEPTH or not take_buffer(e, &answer, TUNNEL_HEADER + TUNNEL_ANSWER):
        return
    if tunnel_answer(e.p, e.key, payload, size, mtu, &answer, &key):
        e.x.told = True
        e.x.depth += 1
        e.x.recirculate(e.x.owner, &answer, &key)
        e.x.depth -= 1


cdef void _run_cut(execution *e, const uint8_t *actions, uint32_t length, uint32_t mtu) noexcept nogil:
    """All further actions for each fragment of a packet behind its tunnel's header."""
    cdef again a
    cdef packet p
    if not take_buffer(e, &p, ROOM):
        return
    a.e = e
    a.actions = actions
    a.length = length
    e.x.depth += 1
    if not tunnel_cut(e.p, &p, mtu, _one_again, &a):
        drop(e, DROP_MTU_EXCEEDED)
    e.x.depth -= 1


cdef int push_tunnel(execution *e, const uint8_t *at, uint32_t length) noexcept nogil:
    cdef const uint8_t *payload = at + sizeof(attr)
    cdef uint32_t size = (<const attr *> at).length - <uint32_t> sizeof(attr)
    cdef uint32_t mtu = 0 if e.max_len else _too_narrow(e, at, length)
    cdef uint32_t behind = _padded(at, length)
    cdef vnet_hdr whole
    cdef encap_result result
    if mtu and not tunnel_may_be_cut(payload):
        _tell(e, payload, size, mtu)
        return -1 - DROP_MTU_EXCEEDED
    if e.p.vnet.gso_type == GSO_NONE or e.max_len:
        truncate(e, &whole)    # of the packet, not of what it will be in
        e.max_len = 0
        if mtu and not complete_checksum(e.p):
            return -1 - DROP_BAD_OFFLOAD
        result = tunnel_encapsulate(e.p, payload, size, _entropy(e))
        e.stale = True
        if result == ENCAP_DONE and mtu:
            _run_cut(e, at + behind, length - behind, mtu)
            return 2
        if result == ENCAP_DONE:
            return 0
        if result != ENCAP_NO_ROOM:
            return -1 - DROP_TUNNEL_PUSH
        if packet_headroom(e.p) >= TUNNEL_HEADER:
            return -1 - DROP_NO_HEADROOM
    _run_again(e, at, length)
    return 2


cdef bint _holds_datagrams(const packet *p) noexcept nogil:
    """A GSO frame of UDP datagrams, each of which is in a tunnel."""
    return (p.vnet.gso_type & ~GSO_ECN == GSO_UDP_L4
            and p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start == p.l4)


cdef int pop_tunnel(execution *e, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    """As push_tunnel()."""
    cdef execution inner = e[0]
    cdef packet p
    cdef flow_key key
    cdef uint32_t port = (<const uint32_t *> (at + sizeof(attr)))[0]
    cdef uint32_t kind = 0 if e.x.tunnel_kind == NULL else e.x.tunnel_kind(e.x.owner, port)
    if kind == 0:
        return -1 - DROP_NO_SUCH_PORT
    refresh(e)
    if _holds_datagrams(e.p):
        _run_again(e, at, length)
        return 2
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        return -1 - DROP_RECIRC_TOO_DEEP
    if not last and not copy_packet(e, &inner, &p, &key):
        return 0
    _leave_tunnel(e, inner.p, inner.key, port, kind)
    return 0


cdef void _leave_tunnel(execution *e, packet *p, flow_key *key, uint32_t port, uint32_t kind) noexcept nogil:
    """Below MAX_EXECUTE_DEPTH."""
    e.accounted = e.x.wrote_tunnel = True
    if not tunnel_decapsulate(p, key, kind):
        drop(e, DROP_TUNNEL_POP)
        return
    p.in_port = htonl(port)
    p.recirc_id = p.dp_hash = 0
    p.ct.state = 0
    e.x.depth += 1
    e.x.recirculate(e.x.owner, p, key)
    e.x.depth -= 1


cdef int defragment_tunnel(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef packet whole
    cdef flow_key key
    cdef uint32_t port = 0, kind
    cdef int verdict
    if e.x.defragment == NULL:
        return -1 - DROP_BAD_ACTION
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        return -1 - DROP_RECIRC_TOO_DEEP
    refresh(e)
    if not take_buffer(e, &whole, 1 << 16):
        return 0
    verdict = e.x.defragment(e.x.owner, e.p, e.key, payload, length, &whole, &key, &port)
    e.accounted = True
    if verdict == CT_DONE:
        kind = 0 if e.x.tunnel_kind == NULL else e.x.tunnel_kind(e.x.owner, port)
        if kind == 0:
            drop(e, DROP_NO_SUCH_PORT)
        else:
            _leave_tunnel(e, &whole, &key, port, kind)
    elif verdict >= 0:
        drop(e, verdict)
    return 0
