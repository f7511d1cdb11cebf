"""Network address translation; see nat.pxd.

A connection that is translated has in way[1] the tuple with which answers come in.  So a packet of
one direction leaves with the other direction's tuple, reversed, and nothing else has to be kept.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport *
from datapath.actions.offload cimport complete_checksum, csum_add, csum_finish
from datapath.actions.rewrite cimport rewrite
from datapath.base.hashing cimport hash_finish, hash_word
from datapath.base.packet cimport *
from datapath.base.protocols cimport *
from datapath.conntrack.keys cimport has_ports, l4_size, tuple_reverse
from datapath.conntrack.nat cimport *
from datapath.conntrack.table cimport *
from datapath.key.flow cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef enum:
    MAX_TRIES = 128             # ports in one row,
    LEAST_TRIES = 16            # and in the last of the rows from other beginnings
    MAX_ADDRESSES = 16
    EPHEMERAL = 1024            # ports from here on are as good as each other

cdef struct port_range:
    uint16_t first
    uint16_t last
    uint16_t begin              # where to start looking

cdef uint64_t PERSISTENT = 0x70657273


# ---- Choosing ----

cdef uint64_t _seed(const tracker *t, const conn *c, const ct_action *a,
                    uint64_t random) noexcept nogil:
    """Where in the range to begin.  Persistent: by the source's address alone, whoever asks."""
    cdef const uint64_t *src = <const uint64_t *> c.way[0].src
    if a.flags & CT_RANDOM:
        return hash_finish(random)
    if a.flags & CT_PERSISTENT:
        return hash_finish(hash_word(src[0], PERSISTENT) + hash_word(src[1], PERSISTENT + 1))
    return tuple_hash(t, &c.way[0])


cdef uint64_t _low64(const uint8_t *address) noexcept nogil:
    return <uint64_t> get32(address + 8) << 32 | get32(address + 12)


cdef uint64_t _n_addresses(const ct_action *a) noexcept nogil:
    """In the range; of IPv6 2**32 are told apart at most."""
    cdef uint64_t n
    if not a.flags & CT_IPV6:
        return <uint64_t> get32(a.addr_max) - get32(a.addr_min) + 1
    if memcmp(a.addr_min, a.addr_max, 8) != 0:
        return <uint64_t> 1 << 32
    n = _low64(a.addr_max) - _low64(a.addr_min)
    return min(n, <uint64_t> 0xffffffff) + 1


cdef void _address(const ct_action *a, uint64_t index, uint8_t *address) noexcept nogil:
    """Number `index` of the range."""
    cdef uint64_t low
    memset(address, 0, 16)
    if not a.flags & CT_IPV6:
        put32(address, <uint32_t> (get32(a.addr_min) + index))
        return
    memcpy(address, a.addr_min, 16)
    low = _low64(a.addr_min) + index
    put32(address + 8, <uint32_t> (low >> 32))
    put32(address + 12, <uint32_t> low)


cdef bint _is_zero(const uint8_t *address) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> address
    return (words[0] | words[1]) == 0


cdef void _source_ports(const ct_action *a, const conn *c, uint64_t seed,
                        port_range *r) noexcept nogil:
    """Ports that the source may get: those of the range, else its own, and those like it."""
    cdef uint16_t own = ntohs(c.way[0].src_port)
    if a.flags & CT_SRC and a.port_min:
        r.first = a.port_min
        r.last = max(a.port_min, a.port_max)
        r.begin = <uint16_t> (r.first + seed % (<uint32_t> r.last - r.first + 1))
        return
    r.begin = own
    if own < 512:
        r.first, r.last = 1, 511
    elif own < EPHEMERAL:
        r.first, r.last = 600, 1023
        r.begin = max(own, <uint16_t> 600)
    else:
        r.first, r.last = EPHEMERAL, 65535


cdef nat_result _try(tracker *t, conn *c, uint64_t now) noexcept nogil:
    if ct_insert(t, c, now):
        return NAT_DONE
    return NAT_KNOWN if ct_exists(t, &c.way[0], now) else NAT_EXHAUSTED


cdef nat_result _try_ports(tracker *t, conn *c, uint16_t *port, const port_range *r,
                           uint64_t random, uint64_t now) noexcept nogil:
    """Ports one after the other from where the range says; of a large one, then from elsewhere."""
    cdef uint32_t n = <uint32_t> r.last - r.first + 1
    cdef uint32_t tries = min(n, <uint32_t> MAX_TRIES)
    cdef uint32_t i, at = r.begin - r.first
    cdef nat_result result
    while True:
        for i in range(tries):
            port[0] = htons(<uint16_t> (r.first + (at + i) % n))
            result = _try(t, c, now)
            if result != NAT_EXHAUSTED:
                return result
        if tries >= n or tries < LEAST_TRIES:
            return NAT_EXHAUSTED
        tries //= 2
        random = hash_word(random, tries)
        at = <uint32_t> (random % n)


cdef nat_result _try_address(tracker *t, conn *c, const ct_action *a, uint64_t seed,
                             uint64_t random, uint64_t now) noexcept nogil:
    """With the addresses of c.way[1]."""
    cdef port_range r
    cdef nat_result result
    if not has_ports(&c.way[0]):
        return _try(t, c, now)
    c.way[1].src_port = c.way[0].dst_port
    c.way[1].dst_port = c.way[0].src_port
    if a.flags & CT_DST and a.port_min:
        r.first = a.port_min
        r.last = max(a.port_min, a.port_max)
        r.begin = <uint16_t> (r.first + seed % (<uint32_t> r.last - r.first + 1))
        result = _try_ports(t, c, &c.way[1].src_port, &r, random, now)
        if result != NAT_EXHAUSTED:
            return result
    _source_ports(a, c, seed, &r)
    return _try_ports(t, c, &c.way[1].dst_port, &r, random, now)


cdef nat_result nat_insert(tracker *t, conn *c, const ct_action *a, uint64_t random,
                           uint64_t now) noexcept nogil:
    cdef uint64_t seed = _seed(t, c, a, random)
    cdef uint64_t n = _n_addresses(a)
    cdef bint keep = _is_zero(a.addr_min)       # all-zero: the address that it has
    cdef uint8_t *at
    cdef nat_result result
    cdef uint32_t i
    c.flags |= CONN_SNAT if a.flags & CT_SRC else CONN_DNAT
    tuple_reverse(&c.way[0], &c.way[1])
    at = &c.way[1].dst[0] if a.flags & CT_SRC else &c.way[1].src[0]
    for i in range(<uint32_t> min(n, <uint64_t> MAX_ADDRESSES) if not keep else 1):
        if not keep:
            _address(a, (seed + i) % n, at)
        result = _try_address(t, c, a, seed // n, random + i, now)
        if result != NAT_EXHAUSTED:
            return result
    return NAT_EXHAUSTED


# ---- Rewriting ----

cdef uint32_t nat_state(const conn *c, int way) noexcept nogil:
    cdef bint src = (c.flags & CONN_SNAT) != 0
    if not c.flags & (CONN_SNAT | CONN_DNAT):
        return 0
    return CS_SNAT if src != (way == 1) else CS_DNAT


cdef void _set(packet *p, flow_key *key, uint16_t member, const void *value,
               uint32_t size) noexcept nogil:
    cdef uint8_t ones[16]
    memset(ones, 0xff, 16)
    rewrite(p, key, member, <const uint8_t *> value, ones)


cdef void _set_outer(packet *p, flow_key *key, const ct_tuple *found, const ct_tuple *wanted,
                     bint ports) noexcept nogil:
    cdef bint v6 = found.family == 6
    if memcmp(found.src, wanted.src, 16) != 0:
        _set(p, key, MEMBER_ipv6_src if v6 else MEMBER_nw_src, wanted.src, 16)
    if memcmp(found.dst, wanted.dst, 16) != 0:
        _set(p, key, MEMBER_ipv6_dst if v6 else MEMBER_nw_dst, wanted.dst, 16)
    if ports and has_ports(found):
        _set(p, key, MEMBER_tp_src, &wanted.src_port, 2)
        _set(p, key, MEMBER_tp_dst, &wanted.dst_port, 2)


cdef void _adjust(uint8_t *sum, const uint8_t *old, const uint8_t *new, uint32_t n) noexcept nogil:
    """A checksum after n (even) of the bytes it covers changed (RFC 1624)."""
    cdef uint64_t total = <uint16_t> ~get16(sum)
    cdef uint32_t i
    for i in range(0, n, 2):
        total += <uint16_t> ~get16(old + i)
        total += get16(new + i)
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    put16(sum, <uint16_t> ~total)


cdef void _replace(uint8_t *at, const uint8_t *new, uint32_t n, uint8_t *ip_sum,
                   uint8_t *l4_sum) noexcept nogil:
    if ip_sum != NULL:
        _adjust(ip_sum, at, new, n)
    if l4_sum != NULL:
        _adjust(l4_sum, at, new, n)
    memcpy(at, new, n)


cdef uint8_t *_inner_l4(uint8_t *ip, uint32_t left, uint8_t family, uint8_t *proto) noexcept nogil:
    """Over IPv6's extension headers, which extraction has walked."""
    cdef uint8_t *at
    cdef uint32_t size
    if family == 4:
        proto[0] = ip[9]
        return ip + (ip[0] & 15) * 4
    proto[0] = ip[6]
    at = ip + 40
    while (proto[0] == PROTO_HOPOPTS or proto[0] == PROTO_ROUTING or proto[0] == PROTO_DSTOPTS
           or proto[0] == PROTO_FRAGMENT) and at + 8 <= ip + left:
        size = 8 if proto[0] == PROTO_FRAGMENT else (at[1] + 1) * 8
        proto[0] = at[0]
        at += size
    return at


cdef void _set_inner(packet *p, uint32_t inner, const ct_tuple *wanted) noexcept nogil:
    """The packet inside of an ICMP error, whose own checksums change, too."""
    cdef uint8_t *ip = p.data + inner
    cdef uint8_t *end = p.data + p.l3 + p.l3_size
    cdef uint32_t left = <uint32_t> (end - ip)
    cdef uint32_t size = 4 if wanted.family == 4 else 16
    cdef uint32_t at = 12 if wanted.family == 4 else 8
    cdef uint8_t proto
    cdef uint8_t *l4 = _inner_l4(ip, left, wanted.family, &proto)
    cdef uint8_t *l4_sum = NULL
    cdef uint8_t *ip_sum = ip + 10 if wanted.family == 4 else NULL
    if proto == PROTO_TCP and l4 + 18 <= end:
        l4_sum = l4 + 16
    elif proto == PROTO_UDP and l4 + 8 <= end and get16(l4 + 6):
        l4_sum = l4 + 6
    elif proto == PROTO_ICMPV6 and wanted.family == 6 and l4 + 4 <= end:
        l4_sum = l4 + 2
    _replace(ip + at, wanted.src, size, ip_sum, l4_sum)
    _replace(ip + at + size, wanted.dst, size, ip_sum, l4_sum)
    if has_ports(wanted) and l4 + 4 <= end:
        _replace(l4, <const uint8_t *> &wanted.src_port, 2, NULL, l4_sum)
        _replace(l4 + 2, <const uint8_t *> &wanted.dst_port, 2, NULL, l4_sum)


cdef void _sum_icmp(packet *p, uint8_t family) noexcept nogil:
    cdef uint8_t *l4 = p.data + p.l4
    cdef uint8_t *ip = p.data + p.l3
    cdef uint32_t size = l4_size(p)
    cdef uint64_t sum = 0
    if p.vnet.flags & VNET_NEEDS_CSUM:
        complete_checksum(p)
    if family == 6:
        sum = csum_add(PROTO_ICMPV6 + <uint64_t> size, ip + 8, 32)
    put16(l4 + 2, 0)
    put16(l4 + 2, csum_finish(csum_add(sum, l4, size)))


cdef void nat_packet(packet *p, flow_key *key, const conn *c, int way, const ct_tuple *found,
                     uint32_t inner) noexcept nogil:
    cdef ct_tuple wanted
    tuple_reverse(&c.way[1 - way], &wanted)
    _set_outer(p, key, found, &wanted, inner == 0)
    if inner:
        _set_inner(p, inner, &c.way[1 - way])
        _sum_icmp(p, found.family)
