"""Mirrors as translation and statistics see them.  xmirror.pyi has the Python view."""

from libc.string cimport memset

globals()["MAX_MIRRORS"] = 32    # the C name is taken


cdef class XMirror:
    def __init__(self, str name, int number):
        if not 0 <= number < MAX_MIRRORS:
            raise ValueError(f"mirror {name}: a bridge has {MAX_MIRRORS} at most")
        self.name = name
        self.bit = self.same = <uint32_t> 1 << number
        self.out_vlan = -1

    def set(self, object out=None, int out_vlan=-1, vlans=(), int snaplen=0):
        """What it does from now on; who calls has the bridge's flows checked."""
        self.same = self.bit
        self.out = out
        self.out_vlan = out_vlan
        self.snaplen = <uint16_t> snaplen
        self.has_vlans = False
        memset(self.vlan_bits, 0, sizeof(self.vlan_bits))
        for vlan in vlans:
            self.has_vlans = True
            self.vlan_bits[vlan >> 3 & 511] |= 1 << (vlan & 7)

    cdef bint selects_vlan(self, int vlan) noexcept:
        return self.vlan_bits[vlan >> 3] >> (vlan & 7) & 1

    def shares_output_with(self, XMirror other):
        """Of several that have one output, a packet goes through the first that selects it."""
        if self.out is other.out and (self.out is not None or self.out_vlan == other.out_vlan):
            self.same |= other.bit

    def __repr__(self):
        return f"<XMirror {self.name}>"
