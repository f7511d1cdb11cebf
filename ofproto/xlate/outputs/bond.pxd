# Packets out to bonds, and in from them.

from libc.stdint cimport uint16_t, uint64_t

from ofproto.xlate.state.context cimport XlateContext
from ofproto.xlate.state.recirc cimport FrozenState
from ofproto.xlate.bridges.xbridge cimport XBridge, XBundle, XPort

# Sends the packet, tagged as it is to be, out by the bond of `bundle`; `vlan` as in the switch.
cdef int output_bond(XlateContext x, XBundle bundle, uint16_t vlan) except -1
# Goes on with a packet that the datapath has hashed for a bond (a state with FOR_BOND).
cdef int output_hashed(XlateContext x, FrozenState state) except -1
# Why a packet may not come in by a member of a bond; None: it may.  `src`: its key in the MAC table.
cdef str refuse_of_bond(XlateContext x, XBundle bundle, XPort port, uint64_t src)
# A gratuitous ARP packet, which tells where a station is now.
cdef bint is_gratuitous(XlateContext x) noexcept
