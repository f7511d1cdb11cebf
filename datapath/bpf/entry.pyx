"""From a packet and its megaflow to an entry of the kernel cache; see entry.pxd."""

from libc.string cimport memcmp, memcpy, memset

from datapath.actions.odp cimport (
    ACT_DROP, ACT_OUTPUT, ACT_POP_VLAN, ACT_PUSH_VLAN, ACT_SET, attr,
)
from datapath.base.packet cimport NO_OFFSET, packet, packet_init
from datapath.base.protocols cimport *
from datapath.bpf.entry cimport *
from datapath.key.flow cimport *

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)

cdef enum:
    IPV4_HEADER = 20            # the programs read no options,
    IPV6_HEADER = 40            # and no extension headers
    ETHERNET = 14
    TAG = 4


# ---- The key ----

cdef inline bint _transport(const flow_key *key, bint v6) noexcept nogil:
    """Whether the programs read this protocol's header."""
    cdef uint8_t proto = key.nw_proto
    if not v6:
        return proto != PROTO_IGMP
    if proto == PROTO_ICMPV6:
        return not (key.tp_dst == 0
                    and (key.tp_src == htons(ND_SOLICIT) or key.tp_src == htons(ND_ADVERT)))
    return proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP


cdef inline bint _taken_off(const flow_key *key) noexcept nogil:
    """Whether the kernel takes the tag, if there is one, off a frame that it receives."""
    cdef uint16_t tpid = key.vlan[0].tpid
    return tpid == 0 or tpid == htons(ETH_VLAN) or tpid == htons(ETH_QINQ)


cdef bint cache_key_of(const packet *p, const flow_key *key, uint32_t ifindex,
                       cache_key *c) noexcept nogil:
    cdef bint v6 = key.eth_type == htons(ETH_IPV6)
    if not v6 and key.eth_type != htons(ETH_IP):
        return False
    if key.vlan[1].tpid or p.l4 == NO_OFFSET or p.packet_type or not _taken_off(key):
        return False
    if p.l3 != (ETHERNET + TAG if key.vlan[0].tpid else ETHERNET):
        return False            # 802.3, with LLC and SNAP
    if p.l4 - p.l3 != (IPV6_HEADER if v6 else IPV4_HEADER) or not _transport(key, v6):
        return False
    memset(c, 0, sizeof(cache_key))
    c.ifindex = ifindex
    c.vlan_tpid = key.vlan[0].tpid
    c.vlan_tci = key.vlan[0].tci
    memcpy(c.eth_dst, key.eth_dst, 6)
    memcpy(c.eth_src, key.eth_src, 6)
    c.eth_type = key.eth_type
    c.nw_frag = key.nw_frag
    c.nw_proto = key.nw_proto
    c.nw_tos = key.nw_tos
    c.nw_ttl = key.nw_ttl
    c.tp_src = key.tp_src
    c.tp_dst = key.tp_dst
    if v6:
        memcpy(c.addresses, key.ipv6_src, 32)
    else:
        memcpy(c.addresses, &key.nw_src, 8)
    return True


cdef bint cache_mask_fits(const flow_key *mask) noexcept nogil:
    # All else is in the cache_key, or 0 in every packet that has one: it came from a port, and is
    # IP without extension headers.  One slot counts for one port.
    return mask.tcp_flags == 0 and mask.ipv6_label == 0 and mask.in_port == <uint32_t> 0xffffffff


# ---- The actions ----

cdef struct outcome:
    flow_key key                # as it is after the actions so far
    bint tagged                 # the frame has a tag then,
    bint kept                   # which is the one that it came with,
    bint retagged               # with another TCI or TPID


cdef bint _set(outcome *o, const uint8_t *payload, uint32_t length) noexcept nogil:
    """A field that the programs can write."""
    cdef const uint16_t *head = <const uint16_t *> payload
    cdef uint16_t member = head[0]
    cdef uint8_t *at
    cdef const uint8_t *value = payload + 4
    cdef const uint8_t *mask
    cdef uint32_t size = head[1], i
    if length != 4 + 2 * size:
        return False
    if member == MEMBER_vlan0_tci:
        if not o.tagged:
            return False
        o.retagged = True
    elif member != MEMBER_eth_dst and member != MEMBER_eth_src and member != MEMBER_nw_ttl:
        return False
    at = <uint8_t *> &o.key + key_members[member].offset
    mask = value + size
    if size != key_members[member].size:
        return False
    for i in range(size):
        at[i] = (at[i] & ~mask[i]) | (value[i] & mask[i])
    return True


cdef bint _push(outcome *o, const uint16_t *words) noexcept nogil:
    if o.tagged:
        return False
    o.tagged = True
    o.kept = False
    o.key.vlan[0].tpid = words[0]
    o.key.vlan[0].tci = words[1] & htons(0xefff)
    return words[0] == htons(ETH_VLAN) or words[0] == htons(ETH_QINQ)


cdef bint _change(outcome *o, uint16_t kind, const uint8_t *payload, uint32_t length) noexcept nogil:
    if kind == ACT_SET and length >= 4:
        return _set(o, payload, length)
    if kind == ACT_PUSH_VLAN and length >= 4:
        return _push(o, <const uint16_t *> payload)
    if kind == ACT_POP_VLAN and o.tagged:
        o.tagged = False
        return True
    return False


cdef void _describe(const outcome *o, const flow_key *before, cache_entry *e) noexcept nogil:
    cdef bint had = before.vlan[0].tpid != 0
    if had and (not o.tagged or not o.kept or o.retagged):
        e.flags |= ENTRY_POP
    if o.tagged and (not o.kept or o.retagged):
        e.flags |= ENTRY_PUSH
        e.vlan_tpid = o.key.vlan[0].tpid
        e.vlan_tci = ntohs(o.key.vlan[0].tci) & 0xefff
        if o.kept:
            e.flags |= ENTRY_KEEP_DEI
    if memcmp(o.key.eth_dst, before.eth_dst, 12) != 0:
        e.flags |= ENTRY_SET_MACS
        memcpy(e.macs, o.key.eth_dst, 12)
    if o.key.nw_ttl != before.nw_ttl:
        e.flags |= ENTRY_SET_TTL6 if before.eth_type == htons(ETH_IPV6) else ENTRY_SET_TTL4
        e.ttl = o.key.nw_ttl


cdef bint cache_actions(const uint8_t *at, uint32_t left, const flow_key *key, cache_entry *e,
                        uint32_t *port, int32_t *grows) noexcept nogil:
    cdef outcome o
    cdef uint32_t size
    cdef const attr *a
    memset(e, 0, sizeof(cache_entry))
    port[0] = 0
    grows[0] = 0
    memcpy(&o.key, key, sizeof(flow_key))
    o.tagged = o.kept = key.vlan[0].tpid != 0
    o.retagged = False
    while left >= sizeof(attr):
        a = <const attr *> at
        size = (a.length + 3) & ~<uint32_t> 3
        if size > left or size < sizeof(attr):
            return False
        if a.type == ACT_DROP:
            return True
        if a.type == ACT_OUTPUT:
            if left > size or size < 8:
                return False    # something comes behind
            port[0] = (<const uint32_t *> (at + sizeof(attr)))[0]
            _describe(&o, key, e)
            grows[0] = TAG * (<int32_t> o.tagged - <int32_t> (key.vlan[0].tpid != 0))
            return True
        if not _change(&o, a.type, at + sizeof(attr), a.length - sizeof(attr)):
            return False
        at += size
        left -= size
    return True                 # no output: a drop


# ---- For the programs and for tests ----

def prepare(bytes frame, uint32_t ifindex, bytes actions):
    """(cache_key, cache_entry, port, bytes that the frame gains): what a packet makes of actions.

    cache_key is None where the programs do not read the packet, cache_entry where they cannot do
    the actions."""
    cdef packet p
    cdef flow_key key
    cdef cache_key c
    cdef cache_entry e
    cdef uint32_t port
    cdef int32_t grows
    memset(&key, 0, sizeof(key))
    packet_init(&p, <uint8_t *> <const char *> frame, <uint32_t> len(frame), 0, <uint32_t> len(frame))
    flow_extract(&p, &key)
    read = cache_key_of(&p, &key, ifindex, &c)
    done = cache_actions(<const uint8_t *> <const char *> actions, <uint32_t> len(actions), &key, &e,
                         &port, &grows)
    return ((<char *> &c)[: sizeof(c)] if read else None, (<char *> &e)[: sizeof(e)] if done else None,
            port, grows)


def mask_fits(bytes mask):
    """Whether the kernel cache can tell apart what a megaflow of this mask does."""
    cdef flow_key whole
    memset(&whole, 0, sizeof(whole))
    memcpy(&whole, <const char *> mask, min(<size_t> len(mask), <size_t> KEY_DP_SIZE))
    return bool(cache_mask_fits(&whole))


cdef inline size_t _at(const void *start, const void *member) noexcept:
    return <size_t> (<const uint8_t *> member - <const uint8_t *> start)


def offsets():
    """{structure: {member or "size": offset}} of what the maps hold."""
    cdef cache_key k
    cdef cache_entry e
    cdef cache_counters c
    cdef cache_verdict v
    return {
        "key": {
            "size": sizeof(cache_key), "ifindex": _at(&k, &k.ifindex),
            "vlan_tpid": _at(&k, &k.vlan_tpid), "vlan_tci": _at(&k, &k.vlan_tci),
            "eth_dst": _at(&k, &k.eth_dst), "eth_type": _at(&k, &k.eth_type),
            "nw_frag": _at(&k, &k.nw_frag), "nw_proto": _at(&k, &k.nw_proto),
            "nw_tos": _at(&k, &k.nw_tos), "nw_ttl": _at(&k, &k.nw_ttl),
            "tp_src": _at(&k, &k.tp_src), "tp_dst": _at(&k, &k.tp_dst),
            "addresses": _at(&k, &k.addresses),
        },
        "entry": {
            "size": sizeof(cache_entry), "slot": _at(&e, &e.slot),
            "generation": _at(&e, &e.generation), "ifindex": _at(&e, &e.ifindex),
            "flags": _at(&e, &e.flags), "ttl": _at(&e, &e.ttl),
            "vlan_tpid": _at(&e, &e.vlan_tpid), "vlan_tci": _at(&e, &e.vlan_tci),
            "macs": _at(&e, &e.macs),
        },
        "counters": {
            "size": sizeof(cache_counters), "n_packets": _at(&c, &c.n_packets),
            "n_bytes": _at(&c, &c.n_bytes), "used": _at(&c, &c.used),
            "tcp_flags": _at(&c, &c.tcp_flags),
        },
        "verdict": {
            "size": sizeof(cache_verdict), "skb": _at(&v, &v.skb),
            "ifindex": _at(&v, &v.ifindex), "frame": _at(&v, &v.size),
            "state": _at(&v, &v.state), "tcp_flags": _at(&v, &v.tcp_flags),
            "entry": _at(&v, &v.entry),
        },
    }


FLAGS = {
    "pop": ENTRY_POP, "push": ENTRY_PUSH, "keep_dei": ENTRY_KEEP_DEI, "set_macs": ENTRY_SET_MACS,
    "set_ttl4": ENTRY_SET_TTL4, "set_ttl6": ENTRY_SET_TTL6,
}
VERDICTS = {"none": VERDICT_NONE, "miss": VERDICT_MISS, "hit": VERDICT_HIT}
SLOTS = CACHE_SLOTS
ENTRIES = CACHE_ENTRIES
ETHERTYPES = {"ipv4": ETH_IP, "ipv6": ETH_IPV6}
