# Mirrors as translation and statistics see them.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_MIRRORS = 32        # of a bridge: one bit each
    ALL_MIRRORS = 0xffffffff


cdef class XMirror:
    cdef readonly str name
    cdef readonly uint32_t bit          # of XBundle.mirror_src and the others there
    cdef readonly uint32_t same         # it and those that have the same output
    cdef readonly object out            # XBundle, or None: `out_vlan`
    cdef readonly int out_vlan
    cdef readonly uint16_t snaplen      # 0: whole packets
    cdef readonly bint has_vlans        # only packets of these VLANs
    cdef uint8_t vlan_bits[512]
    cdef public uint64_t n_packets, n_bytes
    cdef bint selects_vlan(self, int vlan) noexcept
