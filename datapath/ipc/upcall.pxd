# The records of the rings between a worker and vswitchd: what a packet that comes up looks like,
# and what goes back down.  Host byte order where nothing else is said; the two processes run on
# one machine.  Each record is the struct and then its variable parts, every part padded to 8.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from datapath.base.packet cimport vnet_hdr

cdef enum:
    UPCALL_MISS = 0             # no megaflow for the packet
    UPCALL_ACTION = 1           # a USERSPACE action
    DOWN_INSTALL = 1            # bits of down_record.what
    DOWN_EXECUTE = 2
    MAX_UPCALL_PACKET = 65535 + 64

# up: upcall_record, KEY_DP_SIZE bytes of key, userdata, packet
cdef struct upcall_record:
    uint32_t packet_size
    uint32_t userdata_size
    uint32_t reason             # of USERSPACE
    uint8_t type
    uint8_t pad
    vnet_hdr vnet               # 10 bytes; csum_start counts from the Ethernet header

# down: down_record, KEY_DP_SIZE bytes of key, with INSTALL as many of mask, actions, packet
cdef struct down_record:
    uint32_t packet_size        # 0 without EXECUTE
    uint32_t actions_size
    uint16_t what
    vnet_hdr vnet
    uint32_t pad
    uint8_t ufid[16]

cdef inline uint32_t padded(uint32_t size) noexcept nogil:
    return (size + 7) & ~<uint32_t> 7
