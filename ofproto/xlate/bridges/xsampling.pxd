# Which packets of a bridge the exporters are told of.

from libc.stdint cimport uint32_t


cdef class XSampling:
    cdef readonly uint32_t number       # of the bridge, in what the datapath sends up
    cdef public uint32_t sflow          # probability, of 2**32 - 1; 0: none
    cdef public uint32_t ipfix
    cdef public bint ipfix_input, ipfix_output
    cdef public bint collectors         # sample actions have somebody to tell
    # Of those who tell of a packet's tunnel, too: whether the bridge's does, and the numbers of collector
    # sets; and which kinds of tunnels they know.
    cdef public bint ipfix_tunnels
    cdef public frozenset tunnel_sets
    cdef public frozenset tunnel_kinds
    cdef public dict ifindexes          # datapath port -> sFlow's number of its interface
    # receive(reason, packet, key with the datapath's port, userdata)
    cdef public object receive
