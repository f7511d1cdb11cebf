"""Room for headers in a packet's buffer: opening, closing and copying with all offsets kept right."""

from datapath.base.packet cimport *
from datapath.base.protocols cimport is_vlan_tpid


cdef inline uint16_t _moved(uint16_t offset, uint32_t at, int by) noexcept nogil:
    return <uint16_t> (offset + by) if offset != NO_OFFSET and offset >= at else offset


cdef void _move_offsets(packet *p, uint32_t at, int by) noexcept nogil:
    p.l2_5 = _moved(p.l2_5, at, by)
    p.l3 = _moved(p.l3, at, by)
    p.l4 = _moved(p.l4, at, by)
    if p.vnet.flags & VNET_NEEDS_CSUM and p.vnet.csum_start >= at:
        p.vnet.csum_start = <uint16_t> (p.vnet.csum_start + by)
    if p.vnet.gso_type != GSO_NONE and p.vnet.hdr_len >= at:
        p.vnet.hdr_len = <uint16_t> (p.vnet.hdr_len + by)


cdef bint packet_open(packet *p, uint32_t at, uint32_t n) noexcept nogil:
    cdef uint32_t shift
    if at > p.size:
        return False
    if packet_headroom(p) < n:
        # Rare: whoever made the packet left too little; take from the tail what it has.
        if packet_headroom(p) + packet_tailroom(p) < n:
            return False
        shift = n - packet_headroom(p)
        memmove(p.data + shift, p.data, p.size)
        p.data += shift
    memmove(p.data - n, p.data, at)
    p.data -= n
    p.size += n
    _move_offsets(p, at, <int> n)
    return True


cdef void packet_close(packet *p, uint32_t at, uint32_t n) noexcept nogil:
    memmove(p.data + n, p.data, at)
    p.data += n
    p.size -= n
    _move_offsets(p, at + n, -<int> n)


cdef bint packet_copy(packet *dst, const packet *src, uint32_t headroom) noexcept nogil:
    cdef uint8_t *base = dst.base
    cdef uint32_t capacity = dst.capacity
    if capacity < headroom or capacity - headroom < src.size:
        return False
    dst[0] = src[0]
    dst.base = base
    dst.capacity = capacity
    dst.data = base + headroom
    memcpy(dst.data, src.data, src.size)
    return True


cdef bint packet_push_vlan(packet *p, uint16_t tpid, uint16_t tci) noexcept nogil:
    if p.size < 14 or p.packet_type or not packet_open(p, 12, 4):
        return False
    memcpy(p.data + 12, &tpid, 2)
    memcpy(p.data + 14, &tci, 2)
    return True


cdef void packet_pop_vlan(packet *p) noexcept nogil:
    if p.size >= 18 and not p.packet_type and is_vlan_tpid(get16(p.data + 12)):
        packet_close(p, 12, 4)
