"""The actions multipath, bundle and bundle_load (ovs-actions(7)), and the scores of a select group's
buckets: one of several, by a hash of header fields.

What is hashed is matched by the megaflow; where a port's state decides, the flow is translated
again when that changes, as for groups.  Hashes and choices are those of Open vSwitch: each
packet goes the way that it goes there.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.base.known_hashes cimport (
    lookup3_bytes, murmur_add64, murmur_bytes, murmur_finish, murmur_pair,
)
from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_hash_symmetric_ip, flow_key
from ofproto.codec.numbers cimport (
    OFPP_ALL, OFPP_FLOOD, OFPP_IN_PORT, OFPP_NONE, OFPP_NORMAL, OFPP_TABLE, OFPPC_PORT_DOWN,
)
from ofproto.rules.program cimport Program, op, read_slot, slot, write_slot
from ofproto.xlate.state.commit cimport is_ip_any
from ofproto.xlate.actions.headers cimport prereq, report_now, write_field
from ofproto.xlate.bridges.xbridge cimport XBridge, XPort
from ofproto.xlate.bridges.xgroup cimport XGroup


cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)

cdef enum:              # what is hashed, by the number of the action's "fields"
    H_ETH_SRC
    H_L4                # addresses of both sides, type, VLANs, ports of TCP and SCTP
    H_L3L4
    H_L3L4_UDP          # ports of UDP, too
    H_NW_SRC
    H_NW_DST
    H_L3

cdef enum:              # of multipath
    MODULO_N
    HASH_THRESHOLD
    HRW
    ITER_HASH

cdef enum:
    VALUE = 16
    MAX_HRW = 64        # links; above it iter_hash takes its place
    ROUNDS = 64         # of iter_hash; each one ends it with a chance of a half at least
    MEMBERS_PER_WORK = 16


# --- what is hashed

ctypedef struct l4_fields:      # of both sides, one XORed with the other
    uint64_t ip[2]
    uint16_t eth_type
    uint16_t vid
    uint16_t ports
    uint8_t eth[6]
    uint8_t proto
    uint8_t zero[3]

cdef enum:
    L3_FIELDS = 20      # bytes of it that symmetric_l3 has: addresses and type, and two of 0


cdef uint32_t hash_fields(const flow_key *key, int fields, uint32_t basis) noexcept nogil:
    if fields == H_ETH_SRC:
        return lookup3_bytes(key.eth_src, 6, basis)
    if fields == H_L4:
        return hash_symmetric_l4(key, basis)
    if fields == H_L3L4 or fields == H_L3L4_UDP:
        return flow_hash_symmetric_ip(key, basis, fields == H_L3L4_UDP)
    if fields == H_L3:
        return hash_symmetric_l3(key, basis)
    return hash_address(key, fields == H_NW_SRC, basis)


cdef uint32_t hash_address(const flow_key *key, bint src, uint32_t basis) noexcept nogil:
    cdef const uint8_t *v4 = <const uint8_t *> &key.nw_src
    cdef const uint8_t *v6 = key.ipv6_src
    if not src:
        v4, v6 = <const uint8_t *> &key.nw_dst, key.ipv6_dst
    if key.eth_type == htons(ETH_IP):
        return lookup3_bytes(v4, 4, basis)
    if key.eth_type == htons(ETH_IPV6):
        return lookup3_bytes(v6, 16, basis)
    return basis


cdef uint32_t hash_symmetric_l3(const flow_key *key, uint32_t basis) noexcept nogil:
    cdef l4_fields f
    fill_l3(key, &f)
    return lookup3_bytes(<const uint8_t *> &f, L3_FIELDS, basis)


cdef uint32_t hash_symmetric_l4(const flow_key *key, uint32_t basis) noexcept nogil:
    cdef l4_fields f
    cdef int i
    fill_l3(key, &f)
    for i in range(6):
        f.eth[i] = key.eth_src[i] ^ key.eth_dst[i]
    f.vid = (key.vlan[0].tci ^ key.vlan[1].tci) & htons(0x0fff)
    if key.eth_type == htons(ETH_IP) or key.eth_type == htons(ETH_IPV6):
        f.proto = key.nw_proto
    if f.proto == PROTO_TCP or f.proto == PROTO_SCTP:
        f.ports = key.tp_src ^ key.tp_dst
    return lookup3_bytes(<const uint8_t *> &f, sizeof(f), basis)


cdef void fill_l3(const flow_key *key, l4_fields *f) noexcept nogil:
    cdef const uint64_t *src = <const uint64_t *> key.ipv6_src
    cdef const uint64_t *dst = <const uint64_t *> key.ipv6_dst
    memset(f, 0, sizeof(l4_fields))
    f.eth_type = key.eth_type
    if key.eth_type == htons(ETH_IP):
        f.ip[0] = key.nw_src ^ key.nw_dst
    elif key.eth_type == htons(ETH_IPV6):
        f.ip[0] = src[0] ^ dst[0]
        f.ip[1] = src[1] ^ dst[1]


cdef void match_fields(XlateContext x, int fields) noexcept:
    """Unwildcards what hash_fields() reads; the Ethertype is matched always."""
    if fields == H_ETH_SRC or fields == H_L4 or (not is_ip_any(&x.flow) and fields in (H_L3L4, H_L3L4_UDP)):
        memset(x.wc.eth_src, 0xff, 6)
        if fields != H_ETH_SRC:
            memset(x.wc.eth_dst, 0xff, 6)
            x.wc.vlan[0].tci |= htons(0x1fff)
            x.wc.vlan[1].tci |= htons(0x1fff)
    if fields == H_ETH_SRC or not is_ip_any(&x.flow):
        return
    match_addresses(x, fields != H_NW_DST, fields != H_NW_SRC)
    if fields in (H_L4, H_L3L4, H_L3L4_UDP):
        x.wc.nw_proto = 0xff
        if has_ports(&x.flow, fields) or (fields == H_L4 and is_icmp(&x.flow)):
            x.wc.tp_src = x.wc.tp_dst = 0xffff


cdef void match_addresses(XlateContext x, bint src, bint dst) noexcept:
    if x.flow.eth_type == htons(ETH_IP):
        if src:
            x.wc.nw_src = 0xffffffff
        if dst:
            x.wc.nw_dst = 0xffffffff
        return
    if src:
        memset(x.wc.ipv6_src, 0xff, 16)
    if dst:
        memset(x.wc.ipv6_dst, 0xff, 16)


cdef bint is_icmp(const flow_key *key) noexcept nogil:
    """Whose type and code Open vSwitch matches, too."""
    return key.nw_proto == (PROTO_ICMP if key.eth_type == htons(ETH_IP) else PROTO_ICMPV6)


cdef bint has_ports(const flow_key *key, int fields) noexcept nogil:
    if key.nw_frag and fields != H_L4:
        return False
    return (key.nw_proto == PROTO_TCP or key.nw_proto == PROTO_SCTP
            or (key.nw_proto == PROTO_UDP and fields == H_L3L4_UDP))


cdef int write_number(XlateContext x, const slot *to, uint32_t number, destination) except -1:
    """Puts a number into the field that an action names."""
    cdef uint8_t value[VALUE]
    cdef int i
    memset(value, 0, VALUE)
    for i in range(4):
        value[VALUE - 1 - i] = <uint8_t> (number >> 8 * i)
    write_field(x, to, value)
    if x.trace is not None:
        report_now(x, destination, number)
    return 0


# --- multipath

cdef int multipath(XlateContext x, Program program, const op *o) except -1:
    cdef uint32_t hash = hash_fields(&x.flow, o.aux, o.arg >> 16), argument
    cdef object action = program.actions[o.action]
    memcpy(&argument, &program.pool[o.data], 4)
    match_fields(x, o.aux)
    return write_number(x, &o.dst, choose_link(hash, o.arg & 0xffff, o.port, argument),
                        (action.field, action.start, action.n_bits))


cdef uint32_t choose_link(uint32_t hash, int algorithm, uint32_t links,
                          uint32_t argument) noexcept nogil:
    if links == 1:
        return 0
    if algorithm == MODULO_N:
        return hash % links
    if algorithm == HASH_THRESHOLD:
        return hash // (<uint32_t> 0xffffffff // links + 1)
    if algorithm == HRW and links <= MAX_HRW:
        return highest_weight(hash, links)
    return iterate(hash, links, argument if algorithm == ITER_HASH else 0)


cdef uint32_t highest_weight(uint32_t hash, uint32_t links) noexcept nogil:
    cdef uint32_t i, weight, best = 0, best_weight = 0
    for i in range(links):
        weight = murmur_pair(hash, i)
        if weight > best_weight:
            best = i
            best_weight = weight
    return best


cdef uint32_t iterate(uint32_t hash, uint32_t links, uint32_t modulo) noexcept nogil:
    """Hashes again until the number is one of a link; RFC 2992 has the idea."""
    cdef uint32_t i
    if modulo < links or modulo // 2 > links:
        modulo = 1
        while modulo < links:
            modulo *= 2
    for i in range(ROUNDS):
        if murmur_pair(hash, i) % modulo < links:
            return murmur_pair(hash, i) % modulo
    return hash % links


# --- bundle

cdef int bundle(XlateContext x, Program program, const op *o) except -2:
    cdef const uint16_t *members = <const uint16_t *> &program.pool[o.data]
    cdef uint32_t port
    x.spend(o.port // MEMBERS_PER_WORK)
    if o.arg & 0xffff == 0:
        port = first_up(x.bridge, members, o.port)
    else:
        if o.port > 1:
            match_fields(x, o.aux)
        port = heaviest_up(x.bridge, members, o.port,
                           hash_fields(&x.flow, o.aux, o.arg >> 16))
    if o.dst.n_bits:
        write_number(x, &o.dst, port, program.actions[o.action].destination)
        return -1
    return <int> port


cdef uint32_t first_up(XBridge bridge, const uint16_t *members, uint32_t n) except? 0xffffffff:
    cdef uint32_t i
    for i in range(n):
        if is_up(bridge, members[i]):
            return members[i]
    return OFPP_NONE


cdef uint32_t heaviest_up(XBridge bridge, const uint16_t *members, uint32_t n,
                          uint32_t hash) except? 0xffffffff:
    """Only packets of a member that goes down change theirs."""
    cdef uint32_t i, weight, best = OFPP_NONE
    cdef int64_t best_weight = -1
    for i in range(n):
        weight = murmur_pair(i, hash)
        if <int64_t> weight > best_weight and is_up(bridge, members[i]):
            best = members[i]
            best_weight = weight
    return best


cdef bint is_up(XBridge bridge, uint16_t number) except -1:
    cdef XPort port
    if number in (OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_NONE):
        return True
    port = bridge.ports.get(number)
    return port is not None and port.up and port.live and not port.config & OFPPC_PORT_DOWN


# --- groups

cdef uint32_t hash_connection(XlateContext x) noexcept:
    match_fields(x, H_L4)
    return hash_symmetric_l4(&x.flow, 0)


cdef uint32_t hash_group_fields(XlateContext x, XGroup group) noexcept:
    cdef Program fields = group.fields
    cdef uint32_t hash = murmur_finish(murmur_add64(0, group.parameter), 8), i
    cdef uint64_t words[2]
    cdef uint64_t seen[2]
    cdef const uint64_t *mask
    cdef const op *o
    for i in range(fields.n_ops):
        o = &fields.ops[i]
        if o.prereq and not prereq(x, o.prereq):
            continue
        mask = <const uint64_t *> &fields.pool[o.data]
        read_slot(<const uint8_t *> &x.flow, &o.src, <uint8_t *> words)
        read_slot(<const uint8_t *> &x.wc, &o.src, <uint8_t *> seen)
        words[0] &= mask[0]
        words[1] &= mask[1]
        hash = murmur_bytes(<const uint8_t *> words + VALUE - o.aux, o.aux, hash)
        seen[0] |= mask[0]
        seen[1] |= mask[1]
        write_slot(<uint8_t *> &x.wc, &o.src, <const uint8_t *> seen)
    return hash


cdef uint32_t bucket_score(uint32_t bucket, uint32_t weight, uint32_t hash) noexcept nogil:
    return (murmur_pair(bucket, hash) & 0xffff) * weight
