# What the kernel cache's programs and the workers have in common: the layout of keys, entries,
# counters and verdicts in the maps, and what of a packet and of a flow goes into them.
#
# The programs (programs.py) read OFFSETS of entry.pyx, which are these structs'.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.base.packet cimport packet
from datapath.key.flow cimport flow_key

cdef enum:
    CACHE_SLOTS = 8192          # megaflows that have entries, at most
    CACHE_ENTRIES = 65536       # microflows; the kernel forgets those not used lately

    # cache_entry.flags
    ENTRY_POP = 1               # the tag goes
    ENTRY_PUSH = 2              # a tag comes, after that
    ENTRY_KEEP_DEI = 4          # with the DEI bit that the tag had
    ENTRY_SET_MACS = 8
    ENTRY_SET_TTL4 = 16
    ENTRY_SET_TTL6 = 32

    VERDICT_NONE = 0
    VERDICT_MISS = 1
    VERDICT_HIT = 2

# An exact packet; multi-byte members in network order but ifindex.  Zero where not said.
cdef struct cache_key:
    uint32_t ifindex
    uint16_t vlan_tpid          # of the tag, 0: none; only one can be
    uint16_t vlan_tci           # as in flow_key: DEI always set
    uint8_t eth_dst[6]          # from here to eth_type as in the frame without tag
    uint8_t eth_src[6]
    uint16_t eth_type           # IPv4 or IPv6
    uint8_t nw_frag             # as in flow_key
    uint8_t nw_proto
    uint8_t nw_tos
    uint8_t nw_ttl
    uint16_t pad
    uint16_t tp_src             # as in flow_key
    uint16_t tp_dst
    uint8_t addresses[32]       # source, then destination, without gap

# What is done with it.
cdef struct cache_entry:
    uint32_t slot
    uint32_t generation         # void unless it is the slot's
    uint32_t ifindex            # where it leaves; 0: it is dropped
    uint8_t flags
    uint8_t ttl
    uint16_t vlan_tpid          # of the tag to push; network order,
    uint16_t vlan_tci           # and host order: so the helper function takes them
    uint16_t pad
    uint8_t macs[12]            # destination, source

# What one processor counted for one slot; a cache line, only that processor writes it.
cdef struct cache_counters:
    uint64_t n_packets
    uint64_t n_bytes            # as received, tag included
    uint64_t used               # ns, CLOCK_MONOTONIC
    uint64_t tcp_flags          # network order
    uint64_t pad[4]

# What one processor's socket filter leaves for the classifier; a cache line.
cdef struct cache_verdict:
    uint64_t skb                # the frame it is for: its address, device and length
    uint32_t ifindex
    uint32_t size
    uint32_t state              # VERDICT_*
    uint32_t tcp_flags
    cache_entry entry
    uint64_t pad

# Whether the programs read this packet, which came from a port of the kernel and has this key, as
# `c` says: then no packet with another flow_key, but for tcp_flags and ipv6_label, has the same.
cdef bint cache_key_of(const packet *p, const flow_key *key, uint32_t ifindex,
                       cache_key *c) noexcept nogil
# Whether packets of a megaflow may be told apart by their cache_keys, as far as it matters.
cdef bint cache_mask_fits(const flow_key *mask) noexcept nogil
# What the actions do with a packet of this key, to `e` (but slot, generation and ifindex), and the
# one port that it goes to, host order, to *port (0: none).  *grows: bytes that the frame gains.
# False where the programs cannot do it.
cdef bint cache_actions(const uint8_t *actions, uint32_t length, const flow_key *key,
                        cache_entry *e, uint32_t *port, int32_t *grows) noexcept nogil
