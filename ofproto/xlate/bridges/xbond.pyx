"""What translation knows of a bond: its members' shares.  xbond.pyi has the Python view."""

from libc.string cimport memset


cdef class XBond:
    def __cinit__(self):
        self.buckets = ()
        memset(self.n_bytes, 0, sizeof(self.n_bytes))

    def set(self, int mode, active, buckets=(), uint32_t basis=0,
            bint all_members_active=False, accepting=None, uint32_t lb_id=0):
        """Takes over what the bond is to do now; who calls this calls XBridge.touch()."""
        if mode != BOND_ACTIVE_BACKUP and len(buckets) != N_BUCKETS:
            raise ValueError(f"a balancing bond has {N_BUCKETS} buckets")
        self.mode = mode
        self.active = active
        self.buckets = tuple(buckets)
        self.basis = basis
        self.lb_id = lb_id
        self.all_members_active = all_members_active
        self.accepting = None if accepting is None else frozenset(accepting)

    def loads(self):
        """Bytes that left by each bucket, since ever."""
        return [self.n_bytes[i] for i in range(N_BUCKETS)]


# --- MurmurHash3 (32 bits) of VLAN and address as one 64-bit word

cdef inline uint32_t rotate(uint32_t value, int by) noexcept nogil:
    return value << by | value >> (32 - by)


cdef inline uint32_t add_word(uint32_t found, uint32_t word) noexcept nogil:
    found ^= rotate(word * <uint32_t> 0xCC9E2D51, 15) * <uint32_t> 0x1B873593
    return rotate(found, 13) * 5 + <uint32_t> 0xE6546B64


cdef int source_bucket(const uint8_t *mac, uint16_t vlan, uint32_t basis) noexcept nogil:
    cdef uint32_t low, found
    low = <uint32_t> mac[2] << 24 | <uint32_t> mac[3] << 16 | <uint32_t> mac[4] << 8 | mac[5]
    found = add_word(basis, low)
    found = add_word(found, <uint32_t> vlan << 16 | <uint32_t> mac[0] << 8 | mac[1]) ^ 8
    found = (found ^ found >> 16) * <uint32_t> 0x85EBCA6B
    found = (found ^ found >> 13) * <uint32_t> 0xC2B2AE35
    return (found ^ found >> 16) & (N_BUCKETS - 1)


def bucket_of(bytes mac, uint16_t vlan, uint32_t basis):
    """The bucket of a balance-slb bond that a station's packets leave by."""
    if len(mac) != 6:
        raise ValueError("an address has 6 bytes")
    return source_bucket(<const uint8_t *> <const char *> mac, vlan, basis)
