"""Runs datapath actions on a packet.

The order of things is what a reader of the actions expects: an output sends the packet as it is
then; SAMPLE, CLONE and RECIRC leave the packet behind them unchanged, for which it is copied,
but only where something follows and something inside could change it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from datapath.actions.encap cimport (
    ENCAP_DONE, ENCAP_NO_ROOM, encap_result, packet_add_mpls, packet_pop_eth, packet_pop_mpls,
    packet_pop_nsh, packet_pop_pbb, packet_push_eth, packet_push_mpls, packet_push_nsh, packet_push_pbb,
)
from datapath.actions.executor cimport *
from datapath.actions.lb cimport LB_NONE
from datapath.actions.meter cimport METER_DROP, METER_PASS, METER_REMARK, meter_verdict
from datapath.actions.odp cimport *
from datapath.actions.offload cimport count_segments, largest_segment, segment
from datapath.actions.rewrite cimport changes_parsing, copy_ttl, is_writable, rewrite
from datapath.actions.tunnel_steps cimport defragment_tunnel, pop_tunnel, push_tunnel
from datapath.base.drops cimport *
from datapath.base.packet cimport *
from datapath.base.protocols cimport ETH_IP, ETH_IPV6
from datapath.key.flow cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)

cdef enum:
    DSCP_MASK = 0xfc            # of the key's nw_tos


cdef inline uint32_t _random(executor *x) noexcept nogil:
    x.random ^= x.random << 13
    x.random ^= x.random >> 7
    x.random ^= x.random << 17
    return <uint32_t> (x.random >> 32)


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
        elif a.type == ACT_CHECK_PKT_LEN:
            # Its two lists stand in one run, for neither lacks its padding.
            if a.length < 12 or _changes(at + 12, a.length - 12):
                return True
        elif (a.type != ACT_OUTPUT and a.type != ACT_LB_OUTPUT and a.type != ACT_USERSPACE
              and a.type != ACT_TUNNEL_DEFRAG and a.type != ACT_DROP):
            return True         # a meter's band may re-mark
        size = (a.length + 3) & ~3
        if size >= length:
            return False
        at += size
        length -= size
    return False


cdef void _nested(execution *e, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    cdef execution inner
    cdef packet p
    cdef flow_key key
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        drop(e, DROP_RECIRC_TOO_DEEP)
        return
    inner = e[0]
    if not last and _changes(at, length):
        refresh(e)
        if not copy_packet(e, &inner, &p, &key):
            return
    e.x.depth += 1
    _run(&inner, at, length, last)
    e.x.depth -= 1
    e.accounted = e.accounted or inner.accounted


cdef bint _check_length(execution *e, const uint8_t *payload, uint32_t length,
                        bint last) noexcept nogil:
    cdef uint32_t head[2]
    memcpy(head, payload, 8)
    if head[1] > length - 8:
        return False
    if largest_segment(e.p) > head[0]:
        _nested(e, payload + 8, head[1], last)
    else:
        _nested(e, payload + 8 + head[1], length - 8 - head[1], last)
    return True


cdef void _recirculate(execution *e, uint32_t recirc_id, bint last) noexcept nogil:
    cdef execution inner = e[0]
    cdef packet p
    cdef flow_key key
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        drop(e, DROP_RECIRC_TOO_DEEP)
        return
    if not last and not copy_packet(e, &inner, &p, &key):
        return
    e.accounted = True
    inner.p.recirc_id = htonl(recirc_id)
    e.x.depth += 1
    e.x.recirculate(e.x.owner, inner.p, inner.key)
    e.x.depth -= 1


# ---- What leaves the packet path ----

cdef inline void _untruncate(execution *e, uint32_t size, const vnet_hdr *vnet) noexcept nogil:
    if e.p.size != size:
        e.p.size = size
        e.p.vnet = vnet[0]
    e.max_len = 0


cdef void _output(execution *e, uint32_t port, bint last) noexcept nogil:
    cdef vnet_hdr vnet
    cdef uint32_t size
    e.accounted = True
    e.x.last = last
    if e.p.packet_type:
        drop(e, DROP_PACKET_TYPE)
        e.max_len = 0
        return
    if e.max_len == 0:
        e.x.output(e.x.owner, e.p, port)
        return
    size = truncate(e, &vnet)
    e.x.output(e.x.owner, e.p, port)
    _untruncate(e, size, &vnet)


cdef void _lb_output(execution *e, uint32_t bond, bint last) noexcept nogil:
    cdef uint32_t port = LB_NONE
    refresh(e)
    if e.x.bond_port != NULL:
        port = e.x.bond_port(e.x.owner, bond, e.key, e.p.size)
    if port == <uint32_t> LB_NONE:
        drop(e, DROP_NO_MEMBER)
        e.max_len = 0
        return
    _output(e, port, last)


cdef void _userspace(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef vnet_hdr vnet
    cdef uint32_t size
    e.accounted = True
    refresh(e)
    size = truncate(e, &vnet)
    e.x.userspace(e.x.owner, e.p, e.key, (<const uint32_t *> payload)[0], payload + 8, length - 8)
    _untruncate(e, size, &vnet)


# ---- Changes ----

cdef void _hash(execution *e, uint32_t algorithm, uint32_t basis) noexcept nogil:
    cdef uint32_t value
    refresh(e)
    if algorithm == HASH_SYM_L4:
        value = flow_hash_symmetric_ip(e.key, basis, False)
    else:
        value = flow_hash_5tuple(e.key, basis)
    e.p.dp_hash = htonl(value if value else 1)      # 0 is "no hash"
    e.key.dp_hash = e.p.dp_hash


cdef bint _set(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef const uint16_t *head = <const uint16_t *> payload
    if not is_writable(head[0]) or head[1] != key_members[head[0]].size:
        return False
    if length != <uint32_t> 4 + 2 * head[1]:
        return False
    refresh(e)
    rewrite(e.p, e.key, head[0], payload + 4, payload + 4 + head[1])
    e.stale = changes_parsing(e.key, head[0])
    if head[0] >= MEMBER_tun_id:
        e.x.wrote_tunnel = True
    return True


cdef bint _push_vlan(execution *e, const uint8_t *payload) noexcept nogil:
    cdef const uint16_t *words = <const uint16_t *> payload
    e.stale = True
    # 0x1000 says "a tag" in a key; a pushed tag starts with DEI 0.
    return packet_push_vlan(e.p, words[0], words[1] & htons(0xefff))


cdef int _encap(execution *e, uint16_t kind, const uint8_t *payload,
                uint32_t length) noexcept nogil:
    """A header put on or taken off: what _step() returns."""
    cdef encap_result result
    refresh(e)     # it goes by the places of the headers
    if kind == ACT_PUSH_MPLS:
        result = packet_push_mpls(e.p, (<const uint32_t *> payload)[0],
                                  (<const uint16_t *> (payload + 4))[0])
    elif kind == ACT_ADD_MPLS:
        result = packet_add_mpls(e.p, (<const uint32_t *> payload)[0],
                                 (<const uint16_t *> (payload + 4))[0])
    elif kind == ACT_PUSH_PBB:
        result = packet_push_pbb(e.p, (<const uint32_t *> payload)[0])
    elif kind == ACT_PUSH_ETH:
        result = packet_push_eth(e.p, payload)
    elif kind == ACT_POP_ETH:
        result = packet_pop_eth(e.p)
    elif kind == ACT_PUSH_NSH:
        result = packet_push_nsh(e.p, payload, length)
    else:
        result = packet_pop_nsh(e.p)
    e.stale = True
    if result == ENCAP_DONE:
        return 0
    return -1 - (DROP_NO_HEADROOM if result == ENCAP_NO_ROOM else DROP_PACKET_TYPE)


cdef void _pop_pbb(execution *e) noexcept nogil:
    refresh(e)
    packet_pop_pbb(e.p)
    e.stale = True
    refresh(e)     # an output asks by l2_5 whether the kernel understands the frame


# ---- Connections ----

# What is to be done with each fragment of a packet that was tracked whole.
cdef struct pieces:
    execution *e
    const uint8_t *rest         # the actions behind the ct
    uint32_t length
    uint32_t max_len


cdef int _track(execution *e, const uint8_t *payload, const uint8_t *rest,
                uint32_t length) noexcept nogil:
    """0 to go on; 2 where the packet is kept elsewhere, or all is done for its pieces; else minus
    the reason of a loss, minus 1."""
    cdef int verdict
    cdef pieces rest_of
    if e.x.track == NULL:
        return -1 - DROP_CT_NO_TRACKER
    refresh(e)
    rest_of.e = e
    rest_of.rest = rest
    rest_of.length = length
    rest_of.max_len = e.max_len
    verdict = e.x.track(e.x.owner, e.p, e.key, <const ct_action *> payload, _one_piece, &rest_of)
    if verdict >= 0:
        return -1 - verdict
    e.stale = True
    if verdict == CT_TAKEN:
        e.accounted = True
        return 2
    return 0


cdef void _one_piece(void *arg, packet *p) noexcept nogil:
    cdef pieces *rest_of = <pieces *> arg
    cdef execution inner = rest_of.e[0]
    cdef flow_key key
    if inner.x.depth >= MAX_EXECUTE_DEPTH:
        drop(&inner, DROP_RECIRC_TOO_DEEP)
        return
    memcpy(&key, inner.key, KEY_SIZE)
    inner.p = p
    inner.key = &key
    inner.stale = True
    inner.accounted = False
    inner.max_len = rest_of.max_len
    inner.x.depth += 1
    _run(&inner, rest_of.rest, rest_of.length, True)
    inner.x.depth -= 1
    if not inner.accounted:
        drop(&inner, DROP_ACTION)


# ---- Meters ----

# What is to be done for each segment of a frame that does not pass a meter whole.
cdef struct split:
    execution *e
    uint32_t meter
    const uint8_t *rest         # the actions behind the meter
    uint32_t length


cdef bint _meter(execution *e, uint32_t meter, const uint8_t *rest, uint32_t length) noexcept nogil:
    """Whether the packet goes on; if not it was dropped, or the rest was done for its segments."""
    cdef uint32_t n_bytes
    cdef uint32_t n_packets
    cdef meter_verdict verdict
    if e.x.meter == NULL:
        return True
    n_packets = count_segments(e.p, &n_bytes)
    verdict = e.x.meter(e.x.owner, meter, n_packets, n_bytes)
    if verdict == METER_PASS:
        return True
    if verdict >= METER_REMARK:
        _remark(e, <uint32_t> verdict - METER_REMARK)
        return True
    if verdict == METER_DROP:
        drop(e, DROP_METER)
    else:
        _split(e, meter, rest, length)
    return False


cdef void _remark(execution *e, uint32_t levels) noexcept nogil:
    """Raises the drop precedence of an assured-forwarding DSCP (RFC 2597 section 6); the others
    have none, and packets that are not IP no DSCP."""
    cdef uint8_t value, mask = DSCP_MASK
    cdef uint32_t dscp, precedence
    refresh(e)
    if e.key.eth_type != htons(ETH_IP) and e.key.eth_type != htons(ETH_IPV6):
        return
    dscp = e.key.nw_tos >> 2
    precedence = dscp >> 1 & 3
    if not 1 <= dscp >> 3 <= 4 or dscp & 1 or precedence == 0:
        return
    precedence = min(precedence + levels, <uint32_t> 3)
    value = <uint8_t> ((dscp & 0x38 | precedence << 1) << 2)
    rewrite(e.p, e.key, MEMBER_nw_tos, &value, &mask)


cdef void _split(execution *e, uint32_t meter, const uint8_t *rest, uint32_t length) noexcept nogil:
    cdef split s
    cdef packet p
    if not take_buffer(e, &p, ROOM):
        return
    s.e = e
    s.meter = meter
    s.rest = rest
    s.length = length
    e.x.depth += 1
    if segment(e.p, &p, _one_segment, &s) < 0:
        drop(e, DROP_BAD_OFFLOAD)
    e.x.depth -= 1


cdef void _one_segment(void *owner, packet *p) noexcept nogil:
    cdef split *s = <split *> owner
    cdef execution inner = s.e[0]
    cdef flow_key key
    cdef meter_verdict verdict
    memcpy(&key, s.e.key, KEY_SIZE)
    inner.p = p
    inner.key = &key
    inner.stale = True          # the offsets, of another packet
    verdict = s.e.x.meter(s.e.x.owner, s.meter, 1, p.size)
    if verdict >= METER_REMARK:
        _remark(&inner, <uint32_t> verdict - METER_REMARK)
    if verdict == METER_DROP:
        drop(&inner, DROP_METER)
    else:
        _run(&inner, s.rest, s.length, True)
    s.e.accounted = s.e.accounted or inner.accounted


# ---- The list ----

cdef inline uint32_t _least(uint16_t kind) noexcept nogil:
    """Payload bytes without which an attribute cannot be read."""
    if kind == ACT_HASH or kind == ACT_USERSPACE or kind == ACT_CHECK_PKT_LEN:
        return 8
    if kind == ACT_PUSH_MPLS or kind == ACT_ADD_MPLS:
        return 6
    if kind == ACT_PUSH_ETH:
        return 12
    if kind == ACT_POP_MPLS:
        return 2
    if (kind == ACT_POP_VLAN or kind == ACT_POP_PBB or kind == ACT_CLONE
            or kind == ACT_CT_CLEAR or kind == ACT_POP_ETH or kind == ACT_POP_NSH):
        return 0
    return 4


cdef int _step(execution *e, uint16_t kind, const uint8_t *payload, uint32_t length,
               bint last) noexcept nogil:
    """One action; 0 to go on, 1 at an explicit drop, else minus the reason of a loss, minus 1."""
    cdef uint32_t number = 0
    if length < _least(kind):
        return -1 - DROP_BAD_ACTION
    if length >= 4:
        memcpy(&number, payload, 4)
    if kind == ACT_OUTPUT:
        _output(e, number, last)
    elif kind == ACT_LB_OUTPUT:
        _lb_output(e, number, last)
    elif kind == ACT_SET:
        if not _set(e, payload, length):
            return -1 - DROP_BAD_ACTION
    elif kind == ACT_PUSH_VLAN:
        if not _push_vlan(e, payload):
            return -1 - DROP_NO_HEADROOM
    elif kind == ACT_POP_VLAN:
        packet_pop_vlan(e.p)
        e.stale = True
    elif (kind == ACT_PUSH_MPLS or kind == ACT_PUSH_PBB
          or ACT_PUSH_ETH <= kind <= ACT_ADD_MPLS):
        return _encap(e, kind, payload, length)
    elif kind == ACT_POP_MPLS:
        refresh(e)
        packet_pop_mpls(e.p, (<const uint16_t *> payload)[0])
        e.stale = True
    elif kind == ACT_POP_PBB:
        _pop_pbb(e)
    elif kind == ACT_CT_CLEAR:
        if e.p.ct.state:
            e.p.ct.state = 0
            e.stale = True
    elif kind == ACT_COPY_TTL:
        refresh(e)
        copy_ttl(e.p, number == COPY_TTL_IN)
        e.stale = True
    elif kind == ACT_RECIRC:
        _recirculate(e, number, last)
    elif kind == ACT_HASH:
        _hash(e, number, (<const uint32_t *> payload)[1])
    elif kind == ACT_SAMPLE:
        if _random(e.x) <= number and number:
            _nested(e, payload + 4, length - 4, last)
    elif kind == ACT_CLONE:
        _nested(e, payload, length, last)
    elif kind == ACT_CHECK_PKT_LEN:
        if not _check_length(e, payload, length, last):
            return -1 - DROP_BAD_ACTION
    elif kind == ACT_USERSPACE:
        _userspace(e, payload, length)
    elif kind == ACT_TRUNC:
        e.max_len = number
    elif kind == ACT_DROP:
        return 1
    elif kind == ACT_TUNNEL_DEFRAG:
        return defragment_tunnel(e, payload, length)
    elif kind == ACT_SET_TUNNEL:
        pass                    # where it is to go, there is no header: that port counts it
    else:
        return -1 - DROP_BAD_ACTION
    return 0


cdef void _run(execution *e, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    """`last`: nothing is done with the packet after this list."""
    cdef const attr *a
    cdef uint32_t size
    cdef int result
    cdef bint ends
    while length:
        if e.x.work == 0:
            drop(e, DROP_TOO_MANY_ACTIONS)
            return
        e.x.work -= 1
        a = <const attr *> at
        if length < sizeof(attr) or a.length < sizeof(attr) or a.length > length:
            drop(e, DROP_BAD_ACTION)
            return
        size = min(<uint32_t> (a.length + 3) & ~<uint32_t> 3, length)
        ends = size == length
        if a.type == ACT_METER and a.length == sizeof(attr) + 4:
            if not _meter(e, (<const uint32_t *> (at + sizeof(attr)))[0], at + size,
                          length - size):
                return
            at += size
            length -= size
            continue
        if a.type == ACT_CT and a.length == sizeof(attr) + sizeof(ct_action):
            result = _track(e, at + sizeof(attr), at + size, length - size)
        elif a.type == ACT_TUNNEL_PUSH:
            result = push_tunnel(e, at, length)
        elif a.type == ACT_TUNNEL_POP and a.length == sizeof(attr) + 4:
            result = pop_tunnel(e, at, length, last and ends)
        else:
            result = _step(e, a.type, at + sizeof(attr), a.length - sizeof(attr), last and ends)
        if result == 2:
            return
        if result:
            drop(e, DROP_ACTION if result == 1 else -1 - result)
            return
        at += size
        length -= size


cdef void execute_actions(executor *x, packet *p, flow_key *key, const uint8_t *actions,
                          uint32_t length) noexcept nogil:
    cdef execution e
    if x.depth == 0:
        x.work = MAX_WORK
        x.told = False
    e.x = x
    e.p = p
    e.key = key
    e.stale = e.accounted = False
    e.max_len = 0
    e.run = _run
    _run(&e, actions, length, True)
    if not e.accounted:
        drop(&e, DROP_ACTION)
