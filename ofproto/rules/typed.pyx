"""The packet type that a match on headers implies: see typed.pxd."""

from libc.stdint cimport uint8_t

from datapath.key.flow cimport (
    KEY_PACKET_SIZE, MEMBER_packet_type, NO_KEY, flow_key, key_at, key_members,
)

cdef size_t AT_ETHERNET = key_at(NO_KEY.eth_dst)
cdef bytes TYPE_0 = b"\0\0\0\0"
cdef bytes EXACT = b"\xff\xff\xff\xff"


cdef bytes typed_mask(bytes mask):
    cdef const uint8_t *m = <const uint8_t *> <const char *> mask
    cdef size_t i
    if (<const flow_key *> m).packet_type:
        return mask
    for i in range(AT_ETHERNET, KEY_PACKET_SIZE):
        if m[i]:
            return with_bytes(mask, EXACT)
    return mask


cdef bytes said_mask(bytes key, bytes mask):
    if ((<const flow_key *> <const char *> key).packet_type
            or not (<const flow_key *> <const char *> mask).packet_type):
        return mask
    return with_bytes(mask, TYPE_0)


cdef bytes with_bytes(bytes mask, bytes care):
    cdef Py_ssize_t at = key_members[MEMBER_packet_type].offset
    return mask[:at] + care + mask[at + 4:]
