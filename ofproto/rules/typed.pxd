# The packet type that a match on headers implies (OpenFlow 1.5, section 7.2.3.11).

# The mask that a rule is looked up by.  A match on some header that says nothing of the packet
# type is one on Ethernet, type 0; a match on metadata only is one on all packets.
cdef bytes typed_mask(bytes mask)
# The mask without the type that typed_mask() added; a match never names type 0 itself.
cdef bytes said_mask(bytes key, bytes mask)
