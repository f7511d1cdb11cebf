# Tunnel options in keys: as the datapath has them, and as tables see them (tun_options.py).

from datapath.key.flow cimport flow_key

# Of a packet that came through a tunnel with options (tun_opts_size), in place.
cdef int to_tables(object layout, flow_key *key) except -1
# The other way round.  An option that is mapped to no field is lost; -> ValueError: more than a
# header has room for.
cdef int to_datapath(object layout, flow_key *key) except -1
# The mask of a translation as one of the packet's key `raw` as the datapath has it.
cdef int mask_to_datapath(object layout, const flow_key *raw, flow_key *wc) except -1
# The options that a packet has, as they stand in a header.  `wc`, if any: where bits are to be set,
# since they are what the packet came with.
cdef bytes packed(object layout, const flow_key *key, flow_key *wc)
