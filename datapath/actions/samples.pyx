"""Packets that the datapath sends up for exporters, as Python sees the numbers."""

from datapath.actions.samples cimport *

globals().update(
    SFLOW=<int> USERSPACE_SFLOW, IPFIX=<int> USERSPACE_IPFIX,
    FLOW_SAMPLE=<int> USERSPACE_FLOW_SAMPLE, NONE=<unsigned> NO_OUTPUT,
    INGRESS=<int> SAMPLE_INGRESS, EGRESS=<int> SAMPLE_EGRESS,
    DATA_SIZE=<int> sizeof(sample_data),
    # bridge, output, collector set, domain, point, tunnel out, probability, tci, direction
    DATA_FORMAT="=IIIIIIHHB3x",
)
