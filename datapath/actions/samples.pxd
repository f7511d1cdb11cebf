# Packets that the datapath sends up for exporters: reasons of ACT_USERSPACE, and their userdata.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    USERSPACE_SFLOW = 4         # apart from the bit that means the slow path
    USERSPACE_IPFIX = 8
    USERSPACE_FLOW_SAMPLE = 16  # a sample action's
    USERSPACE_SAMPLES = 28
    NO_OUTPUT = 0xffffffff

    SAMPLE_INGRESS = 1          # sample_data.direction
    SAMPLE_EGRESS = 2

# Host order, but for the tag.
ctypedef struct sample_data:
    uint32_t bridge             # XSampling.number
    uint32_t output             # datapath port, NO_OUTPUT: none; sFlow: an interface as its records have it
    uint32_t collector_set
    uint32_t domain
    uint32_t point
    uint32_t tunnel_out         # datapath port of the tunnel that it leaves by, NO_OUTPUT: by none
    uint16_t probability        # of 65535
    uint16_t tci                # sFlow: the tag that the packet leaves with
    uint8_t direction
    uint8_t pad[3]
