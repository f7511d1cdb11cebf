"""Packets that the datapath sends up for exporters: reasons of USERSPACE, and their userdata."""

SFLOW: int
IPFIX: int
FLOW_SAMPLE: int
NONE: int
INGRESS: int
EGRESS: int
DATA_SIZE: int
DATA_FORMAT: str
