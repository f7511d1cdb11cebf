"""Runs datapath actions on a packet.

The order of things is what a reader of the actions expects: an output sends the packet as it is
then; SAMPLE, CLONE and RECIRC leave the packet behind them unchanged, for which it is copied,
but only where something follows and something inside could change it.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.base.clock cimport clock_ns
from datapath.base.drops cimport *
from datapath.actions.execute cimport *
from datapath.key.flow cimport *
from datapath.actions.lb cimport LB_NONE
from datapath.actions.meter cimport METER_DROP, METER_PASS, METER_REMARK, meter_verdict
from datapath.actions.odp cimport *
from datapath.actions.offload cimport complete_checksum, count_segments, largest_segment, segment
from datapath.base.packet cimport *
from datapath.base.protocols cimport ETH_IP, ETH_IPV6
from datapath.actions.encap cimport (
    ENCAP_DONE, ENCAP_NO_ROOM, encap_result, packet_add_mpls, packet_pop_eth, packet_pop_mpls,
    packet_pop_nsh, packet_pop_pbb, packet_push_eth, packet_push_mpls, packet_push_nsh, packet_push_pbb,
)
from datapath.actions.rewrite cimport changes_parsing, copy_ttl, is_writable, rewrite
from datapath.actions.tunnel_answer cimport TUNNEL_ANSWER, tunnel_answer, tunnel_outer_size
from datapath.actions.tunnel_pop cimport tunnel_decapsulate
from datapath.actions.tunnel_push cimport (
    TUNNEL_HEADER, tunnel_cut, tunnel_encapsulate, tunnel_may_be_cut,
)

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)

cdef enum:
    DSCP_MASK = 0xfc            # of the key's nw_tos

# One packet's way through one list of actions (nested ones included).
cdef struct execution:
    executor *x
    packet *p
    flow_key *key
    bint stale                  # the packet's structure changed: key and offsets did not follow
    bint accounted              # somebody got the packet, or its loss was counted
    uint32_t max_len            # of TRUNC, for the next output; 0: whole


cdef void executor_init(executor *x) noexcept nogil:
    x.random = (clock_ns() << 20 ^ <uint64_t> <size_t> x) | 1
    x.depth = x.work = 0
    x.last = x.wrote_tunnel = x.told = False
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


cdef inline void _drop(execution *e, uint32_t reason) noexcept nogil:
    e.accounted = True
    e.x.dropped(e.x.owner, reason)


cdef inline void _refresh(execution *e) noexcept nogil:
    if e.stale:
        flow_extract(e.p, e.key)
        e.stale = False


# ---- Copies ----

cdef bint _take_buffer(execution *e, packet *p, uint32_t room=64) noexcept nogil:
    """Gives `p` the buffer of this depth, with room for the packet and `room` bytes more; false,
    and counted, where that fails."""
    cdef executor *x = e.x
    cdef uint32_t size = PACKET_HEADROOM + e.p.size + room
    if x.scratch_size[x.depth] < size:
        free(x.scratch[x.depth])
        size = max(size, <uint32_t> 2048)
        x.scratch[x.depth] = <uint8_t *> malloc(size)
        x.scratch_size[x.depth] = size if x.scratch[x.depth] != NULL else 0
        if x.scratch[x.depth] == NULL:
            _drop(e, DROP_NO_MEMORY)
            return False
    p.base = x.scratch[x.depth]
    p.capacity = x.scratch_size[x.depth]
    return True


cdef bint _copy(execution *e, execution *copy, packet *p, flow_key *key) noexcept nogil:
    """A second packet in the buffer of this depth; false, and counted, where that fails."""
    if not _take_buffer(e, p):
        return False
    packet_copy(p, e.p, PACKET_HEADROOM)
    memcpy(key, e.key, KEY_SIZE)
    copy[0] = e[0]
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
        _drop(e, DROP_RECIRC_TOO_DEEP)
        return
    inner = e[0]
    if not last and _changes(at, length):
        _refresh(e)
        if not _copy(e, &inner, &p, &key):
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
        _drop(e, DROP_RECIRC_TOO_DEEP)
        return
    if not last and not _copy(e, &inner, &p, &key):
        return
    e.accounted = True
    inner.p.recirc_id = htonl(recirc_id)
    e.x.depth += 1
    e.x.recirculate(e.x.owner, inner.p, inner.key)
    e.x.depth -= 1


# ---- What leaves the packet path ----

cdef uint32_t _truncate(execution *e, vnet_hdr *vnet) noexcept nogil:
    """Cuts the packet for one output; returns the size to put back."""
    cdef uint32_t size = e.p.size
    vnet[0] = e.p.vnet
    if e.max_len and e.max_len < size:
        e.p.size = e.max_len
        # A cut frame has no whole payload to segment or to sum up.
        memset(&e.p.vnet, 0, sizeof(vnet_hdr))
    return size


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
        _drop(e, DROP_PACKET_TYPE)
        e.max_len = 0
        return
    if e.max_len == 0:
        e.x.output(e.x.owner, e.p, port)
        return
    size = _truncate(e, &vnet)
    e.x.output(e.x.owner, e.p, port)
    _untruncate(e, size, &vnet)


cdef void _lb_output(execution *e, uint32_t bond, bint last) noexcept nogil:
    cdef uint32_t port = LB_NONE
    _refresh(e)
    if e.x.bond_port != NULL:
        port = e.x.bond_port(e.x.owner, bond, e.key, e.p.size)
    if port == <uint32_t> LB_NONE:
        _drop(e, DROP_NO_MEMBER)
        e.max_len = 0
        return
    _output(e, port, last)


cdef void _userspace(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef vnet_hdr vnet
    cdef uint32_t size
    e.accounted = True
    _refresh(e)
    size = _truncate(e, &vnet)
    e.x.userspace(e.x.owner, e.p, e.key, (<const uint32_t *> payload)[0], payload + 8, length - 8)
    _untruncate(e, size, &vnet)


# ---- Changes ----

cdef void _hash(execution *e, uint32_t algorithm, uint32_t basis) noexcept nogil:
    cdef uint32_t value
    _refresh(e)
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
    _refresh(e)
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
    _refresh(e)     # it goes by the places of the headers
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
    _refresh(e)
    packet_pop_pbb(e.p)
    e.stale = True
    _refresh(e)     # an output asks by l2_5 whether the kernel understands the frame


# ---- Tunnels ----

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
    _run(&inner, a.actions, a.length, True)
    a.e.accounted = a.e.accounted or inner.accounted


cdef void _run_again(execution *e, const uint8_t *actions, uint32_t length) noexcept nogil:
    """These and all further actions for each segment of the packet, or for a copy of what is none,
    with room for any tunnel's header."""
    cdef again a
    cdef packet p
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(e, DROP_RECIRC_TOO_DEEP)
        return
    if not _take_buffer(e, &p, TUNNEL_HEADER + 64):
        return
    a.e = e
    a.actions = actions
    a.length = length
    e.x.depth += 1
    if e.p.vnet.gso_type == GSO_NONE:
        packet_copy(&p, e.p, PACKET_HEADROOM)
        _one_again(&a, &p)
    elif segment(e.p, &p, _one_again, &a) < 0:
        _drop(e, DROP_BAD_OFFLOAD)
    e.x.depth -= 1


cdef uint32_t _entropy(execution *e) noexcept nogil:
    """A hash of the flow, for the outer header's source port."""
    _refresh(e)
    if e.key.eth_type == htons(ETH_IP) or e.key.eth_type == htons(ETH_IPV6):
        return flow_hash_5tuple(e.key, 0)
    return flow_hash_symmetric_ip(e.key, 0, True)


cdef uint32_t _mtu_behind(execution *e, const uint8_t *at, uint32_t length, uint32_t size) noexcept nogil:
    """Of the port that these actions output to first, 0: unknown."""
    cdef const attr *a
    if e.x.port_mtu == NULL:
        return 0
    while length >= sizeof(attr):
        a = <const attr *> at
        if a.length < sizeof(attr) or a.length > length:
            return 0
        if a.type == ACT_OUTPUT and a.length == sizeof(attr) + 4:
            return e.x.port_mtu(e.x.owner, (<const uint32_t *> (at + sizeof(attr)))[0], size)
        at += min(<uint32_t> (a.length + 3) & ~<uint32_t> 3, length)
        length -= min(<uint32_t> (a.length + 3) & ~<uint32_t> 3, length)
    return 0


cdef inline uint32_t _padded(const uint8_t *at, uint32_t length) noexcept nogil:
    """Of an action: where the next one stands."""
    return min(<uint32_t> ((<const attr *> at).length + 3) & ~<uint32_t> 3, length)


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
    _refresh(e)
    if e.x.told:                # of a flood's other tunnels
        return
    if e.x.depth >= MAX_EXECUTE_DEPTH or not _take_buffer(e, &answer, TUNNEL_HEADER + TUNNEL_ANSWER):
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
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(e, DROP_RECIRC_TOO_DEEP)
        return
    if not _take_buffer(e, &p):
        return
    a.e = e
    a.actions = actions
    a.length = length
    e.x.depth += 1
    if not tunnel_cut(e.p, &p, mtu, _one_again, &a):
        _drop(e, DROP_MTU_EXCEEDED)
    e.x.depth -= 1


cdef int _push_tunnel(execution *e, const uint8_t *at, uint32_t length) noexcept nogil:
    """`at`: the action and what stands behind it.  As _track() returns."""
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
        _truncate(e, &whole)    # of the packet, not of what it will be in
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


cdef int _pop_tunnel(execution *e, const uint8_t *at, uint32_t length, bint last) noexcept nogil:
    """As _push_tunnel()."""
    cdef execution inner = e[0]
    cdef packet p
    cdef flow_key key
    cdef uint32_t port = (<const uint32_t *> (at + sizeof(attr)))[0]
    cdef uint32_t kind = 0 if e.x.tunnel_kind == NULL else e.x.tunnel_kind(e.x.owner, port)
    if kind == 0:
        return -1 - DROP_NO_SUCH_PORT
    _refresh(e)
    if _holds_datagrams(e.p):
        _run_again(e, at, length)
        return 2
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        return -1 - DROP_RECIRC_TOO_DEEP
    if not last and not _copy(e, &inner, &p, &key):
        return 0
    _leave_tunnel(e, inner.p, inner.key, port, kind)
    return 0


cdef void _leave_tunnel(execution *e, packet *p, flow_key *key, uint32_t port, uint32_t kind) noexcept nogil:
    """Below MAX_EXECUTE_DEPTH."""
    e.accounted = e.x.wrote_tunnel = True
    if not tunnel_decapsulate(p, key, kind):
        _drop(e, DROP_TUNNEL_POP)
        return
    p.in_port = htonl(port)
    p.recirc_id = p.dp_hash = 0
    p.ct.state = 0
    e.x.depth += 1
    e.x.recirculate(e.x.owner, p, key)
    e.x.depth -= 1


cdef int _defragment(execution *e, const uint8_t *payload, uint32_t length) noexcept nogil:
    """As _step() returns."""
    cdef packet whole
    cdef flow_key key
    cdef uint32_t port = 0, kind
    cdef int verdict
    if e.x.defragment == NULL:
        return -1 - DROP_BAD_ACTION
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        return -1 - DROP_RECIRC_TOO_DEEP
    _refresh(e)
    if not _take_buffer(e, &whole, 1 << 16):
        return 0
    verdict = e.x.defragment(e.x.owner, e.p, e.key, payload, length, &whole, &key, &port)
    e.accounted = True
    if verdict == CT_DONE:
        kind = 0 if e.x.tunnel_kind == NULL else e.x.tunnel_kind(e.x.owner, port)
        if kind == 0:
            _drop(e, DROP_NO_SUCH_PORT)
        else:
            _leave_tunnel(e, &whole, &key, port, kind)
    elif verdict >= 0:
        _drop(e, verdict)
    return 0


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
    _refresh(e)
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
        _drop(&inner, DROP_RECIRC_TOO_DEEP)
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
        _drop(&inner, DROP_ACTION)


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
        _drop(e, DROP_METER)
    else:
        _split(e, meter, rest, length)
    return False


cdef void _remark(execution *e, uint32_t levels) noexcept nogil:
    """Raises the drop precedence of an assured-forwarding DSCP (RFC 2597 section 6); the others
    have none, and packets that are not IP no DSCP."""
    cdef uint8_t value, mask = DSCP_MASK
    cdef uint32_t dscp, precedence
    _refresh(e)
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
    if e.x.depth >= MAX_EXECUTE_DEPTH:
        _drop(e, DROP_RECIRC_TOO_DEEP)
        return
    if not _take_buffer(e, &p):
        return
    s.e = e
    s.meter = meter
    s.rest = rest
    s.length = length
    e.x.depth += 1
    if segment(e.p, &p, _one_segment, &s) < 0:
        _drop(e, DROP_BAD_OFFLOAD)
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
        _drop(&inner, DROP_METER)
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
        _refresh(e)
        packet_pop_mpls(e.p, (<const uint16_t *> payload)[0])
        e.stale = True
    elif kind == ACT_POP_PBB:
        _pop_pbb(e)
    elif kind == ACT_CT_CLEAR:
        if e.p.ct.state:
            e.p.ct.state = 0
            e.stale = True
    elif kind == ACT_COPY_TTL:
        _refresh(e)
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
        return _defragment(e, payload, length)
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
            _drop(e, DROP_TOO_MANY_ACTIONS)
            return
        e.x.work -= 1
        a = <const attr *> at
        if length < sizeof(attr) or a.length < sizeof(attr) or a.length > length:
            _drop(e, DROP_BAD_ACTION)
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
            result = _push_tunnel(e, at, length)
        elif a.type == ACT_TUNNEL_POP and a.length == sizeof(attr) + 4:
            result = _pop_tunnel(e, at, length, last and ends)
        else:
            result = _step(e, a.type, at + sizeof(attr), a.length - sizeof(attr), last and ends)
        if result == 2:
            return
        if result:
            _drop(e, DROP_ACTION if result == 1 else -1 - result)
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
    _run(&e, actions, length, True)
    if not e.accounted:
        _drop(&e, DROP_ACTION)
