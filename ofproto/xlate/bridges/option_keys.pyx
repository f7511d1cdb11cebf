"""Tunnel options in keys: as the datapath has them, and as tables see them.

Only packets with options come here, so that others do not pay for them.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from datapath.key.flow cimport KEY_SIZE, NO_KEY, flow_key

cdef extern from "<endian.h>" nogil:
    uint64_t htobe64(uint64_t)
    uint64_t be64toh(uint64_t)

cdef enum:
    SPACE = 256             # sizeof(flow_key.tun_metadata)


cdef int to_tables(object layout, flow_key *key) except -1:
    cdef bytes space
    space, present = layout.unpack((<char *> key.tun_metadata)[:key.tun_opts_size])
    memcpy(key.tun_metadata, <const char *> space, SPACE)
    key.tun_present = htobe64(<uint64_t> present)
    key.tun_opts_size = 0
    return 0


cdef int to_datapath(object layout, flow_key *key) except -1:
    cdef bytes raw = packed(layout, key, NULL)
    memset(key.tun_metadata, 0, SPACE)
    memcpy(key.tun_metadata, <const char *> raw, len(raw))
    key.tun_opts_size = <uint8_t> len(raw)
    key.tun_present = 0
    return 0


cdef bytes packed(object layout, const flow_key *key, flow_key *wc):
    cdef bytes raw
    cdef uint64_t present = be64toh(key.tun_present)
    if not present:
        return b""
    raw = layout.pack((<char *> key.tun_metadata)[:SPACE], present)
    if len(raw) >= SPACE:
        raise ValueError(f"{len(raw)} bytes of options")
    if wc is not NULL:
        wc.tun_present |= key.tun_present
        for offset, length in layout.spans(present):
            memset(wc.tun_metadata + <int> offset, 0xff, <int> length)
    return raw


cdef int mask_to_datapath(object layout, const flow_key *raw, flow_key *wc) except -1:
    cdef bytes mask
    if raw.tun_opts_size:
        mask = layout.mask((<char *> raw.tun_metadata)[:raw.tun_opts_size],
                           (<char *> wc.tun_metadata)[:SPACE])
        memset(wc.tun_metadata, 0, SPACE)
        memcpy(wc.tun_metadata, <const char *> mask, len(mask))
        wc.tun_opts_size = 0xff
    elif wc.tun_present or memcmp(wc.tun_metadata, NO_KEY.tun_metadata, SPACE):
        memset(wc.tun_metadata, 0, SPACE)
        wc.tun_opts_size = 0xff         # there is none
    wc.tun_present = 0
    return 0


def seen_by_tables(layout, bytes key):
    """A key of KEY_SIZE bytes whose options may be as the datapath has them, as tables see it."""
    cdef flow_key made
    if len(key) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes")
    memcpy(&made, <const char *> key, KEY_SIZE)
    if not made.tun_opts_size:
        return key
    to_tables(layout, &made)
    return (<char *> &made)[:KEY_SIZE]
