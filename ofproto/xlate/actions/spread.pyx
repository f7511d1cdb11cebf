"""The actions multipath, bundle and bundle_load (ovs-actions(7)), and the hash of a select group with
fields of its own: one of several, by a hash of header fields.

What is hashed is matched by the megaflow; where a port's state decides, the flow is translated
again when that changes, as for groups.  The hash is pyvs's own: shares are those of Open vSwitch,
which connection gets which is not.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.base.hashing cimport hash_finish, hash_word
from datapath.base.protocols cimport *
from datapath.key.flow cimport flow_key
from ofproto.codec.numbers cimport (
    OFPP_ALL, OFPP_FLOOD, OFPP_IN_PORT, OFPP_LOCAL, OFPP_NONE, OFPP_NORMAL, OFPP_TABLE,
    OFPPC_PORT_DOWN,
)
from ofproto.rules.program cimport Program, op, read_slot, slot, write_slot
from ofproto.xlate.state.commit cimport is_ip_any
from ofproto.xlate.actions.headers cimport prereq, write_field
from ofproto.xlate.bridges.xbridge cimport XBridge, XPort
from ofproto.xlate.bridges.xgroup cimport XGroup

from ofproto.codec.actions.base import format_subfield

cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t)

cdef enum:              # parts of a packet
    H_ETH_SRC = 1
    H_L2 = 2            # addresses of both sides, type, VLANs
    H_SRC = 4           # network addresses
    H_DST = 8
    H_BOTH = 16
    H_PORTS = 32        # of TCP and SCTP; and the protocol
    H_UDP = 64          # of UDP, too

# By the number of the action's "fields".
cdef enum:
    N_FIELDS = 7
cdef int PARTS[N_FIELDS]
PARTS[:] = [H_ETH_SRC, H_L2 | H_BOTH | H_PORTS, H_BOTH | H_PORTS, H_BOTH | H_PORTS | H_UDP,
            H_SRC, H_DST, H_BOTH]

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

cdef uint32_t hash_parts(const flow_key *key, int parts, uint32_t basis) noexcept nogil:
    cdef uint64_t sum = <uint64_t> basis << 8 | <uint64_t> parts, eth = 0
    cdef bint v4 = key.eth_type == htons(ETH_IP), v6 = key.eth_type == htons(ETH_IPV6)
    cdef const uint64_t *src = <const uint64_t *> key.ipv6_src
    cdef const uint64_t *dst = <const uint64_t *> key.ipv6_dst
    cdef int i
    if parts & (H_ETH_SRC | H_L2):
        for i in range(6):
            eth = eth << 8 | (key.eth_src[i] ^ (key.eth_dst[i] if parts & H_L2 else 0))
        sum += hash_word(eth, 0)
    if parts & H_L2:
        sum += hash_word(key.eth_type, 1)
        for i in range(2):
            sum += hash_word(key.vlan[i].tci & htons(0x0fff), 2 + i)
    if v4 and parts & H_BOTH:
        sum += hash_word(key.nw_src ^ key.nw_dst, 4)
    elif v4:
        sum += hash_word(key.nw_src if parts & H_SRC else 0, 4)
        sum += hash_word(key.nw_dst if parts & H_DST else 0, 5)
    elif v6 and parts & H_BOTH:
        sum += hash_word(src[0] ^ dst[0], 4) + hash_word(src[1] ^ dst[1], 5)
    elif v6 and parts & (H_SRC | H_DST):
        src = src if parts & H_SRC else dst
        sum += hash_word(src[0], 4) + hash_word(src[1], 5)
    if (v4 or v6) and parts & H_PORTS:
        sum += hash_word(key.nw_proto, 6)
        if has_ports(key, parts):
            sum += hash_word(key.tp_src ^ key.tp_dst, 7)
    return <uint32_t> (hash_finish(sum) >> 16)


cdef bint has_ports(const flow_key *key, int parts) noexcept nogil:
    return (key.nw_proto == PROTO_TCP or key.nw_proto == PROTO_SCTP
            or (key.nw_proto == PROTO_UDP and parts & H_UDP != 0))


cdef void match_parts(XlateContext x, int parts) noexcept:
    """Unwildcards what hash_parts() reads; the Ethertype is matched always."""
    if parts & (H_ETH_SRC | H_L2):
        memset(x.wc.eth_src, 0xff, 6)
    if parts & H_L2:
        memset(x.wc.eth_dst, 0xff, 6)
        x.wc.vlan[0].tci |= htons(0x1fff)
        x.wc.vlan[1].tci |= htons(0x1fff)
    if not is_ip_any(&x.flow):
        return
    if x.flow.eth_type == htons(ETH_IP):
        if parts & (H_SRC | H_BOTH):
            x.wc.nw_src = 0xffffffff
        if parts & (H_DST | H_BOTH):
            x.wc.nw_dst = 0xffffffff
    else:
        if parts & (H_SRC | H_BOTH):
            memset(x.wc.ipv6_src, 0xff, 16)
        if parts & (H_DST | H_BOTH):
            memset(x.wc.ipv6_dst, 0xff, 16)
    if parts & H_PORTS:
        x.wc.nw_proto = 0xff
        if has_ports(&x.flow, parts):
            x.wc.tp_src = x.wc.tp_dst = 0xffff


cdef inline uint32_t mixed(uint64_t a, uint64_t b) noexcept nogil:
    return <uint32_t> (hash_finish(hash_word(a, 0) + hash_word(b, 1)) >> 16)


cdef int write_number(XlateContext x, const slot *to, uint32_t number, destination) except -1:
    """Puts a number into the field that an action names."""
    cdef uint8_t value[VALUE]
    cdef int i
    memset(value, 0, VALUE)
    for i in range(4):
        value[VALUE - 1 - i] = <uint8_t> (number >> 8 * i)
    write_field(x, to, value)
    if x.trace is not None:
        text = f"{number:#x}" if number else "0"
        x.report("detail", f"{format_subfield(*destination)} is now {text}")
    return 0


# --- multipath

cdef int multipath(XlateContext x, Program program, const op *o) except -1:
    cdef int parts = PARTS[o.aux]
    cdef uint32_t hash = hash_parts(&x.flow, parts, o.arg >> 16), argument
    cdef object action = program.actions[o.action]
    memcpy(&argument, &program.pool[o.data], 4)
    match_parts(x, parts)
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
        weight = mixed(hash, i)
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
        if mixed(hash, i) % modulo < links:
            return mixed(hash, i) % modulo
    return hash % links


# --- bundle

cdef int bundle(XlateContext x, Program program, const op *o) except -2:
    cdef const uint16_t *members = <const uint16_t *> &program.pool[o.data]
    cdef int parts = PARTS[o.aux]
    cdef uint32_t port
    x.spend(o.port // MEMBERS_PER_WORK)
    if o.arg & 0xffff == 0:
        port = first_up(x.bridge, members, o.port)
    else:
        match_parts(x, parts)
        port = heaviest_up(x.bridge, members, o.port,
                           hash_parts(&x.flow, parts, o.arg >> 16))
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
        weight = mixed(hash, i)
        if <int64_t> weight > best_weight and is_up(bridge, members[i]):
            best = members[i]
            best_weight = weight
    return best


cdef bint is_up(XBridge bridge, uint16_t number) except -1:
    cdef XPort port
    if number in (OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_LOCAL):
        return True
    port = bridge.ports.get(number)
    return port is not None and port.up and port.live and not port.config & OFPPC_PORT_DOWN


# --- groups

cdef uint32_t hash_group_fields(XlateContext x, XGroup group) noexcept:
    cdef Program fields = group.fields
    cdef uint64_t sum = group.parameter
    cdef uint64_t words[2]
    cdef uint64_t seen[2]
    cdef const uint64_t *mask
    cdef const op *o
    cdef uint32_t i
    for i in range(fields.n_ops):
        o = &fields.ops[i]
        if o.prereq and not prereq(x, o.prereq):
            continue
        mask = <const uint64_t *> &fields.pool[o.data]
        read_slot(<const uint8_t *> &x.flow, &o.src, <uint8_t *> words)
        read_slot(<const uint8_t *> &x.wc, &o.src, <uint8_t *> seen)
        sum += hash_word(words[0] & mask[0], 2 * i) + hash_word(words[1] & mask[1], 2 * i + 1)
        seen[0] |= mask[0]
        seen[1] |= mask[1]
        write_slot(<uint8_t *> &x.wc, &o.src, <const uint8_t *> seen)
    return <uint32_t> (hash_finish(sum) >> 16)
