"""What the datapath sends up for exporters, as text: userdata of USERSPACE.

Which bridge's exporter it is for is a number that vswitchd made, and not shown.
"""

import struct

from datapath.actions import samples
from datapath.key import key_text

_DATA = struct.Struct(samples.DATA_FORMAT)
_DIRECTIONS = {0: "", samples.INGRESS: "ingress", samples.EGRESS: "egress"}
_TUNNEL_OUT = "tunnel_out_port="
_FLOW_SAMPLE = ("probability", "collector_set_id", "obs_domain_id", "obs_point_id", "output_port")


def format_sample(reason: int, data: bytes) -> str | None:
    """None: it is something else."""
    if len(data) != _DATA.size:
        return None
    _, output, collectors, domain, point, tunnel, probability, tci, direction = _DATA.unpack(data)
    out = f",{_TUNNEL_OUT}{tunnel}" if tunnel != samples.NONE else ""
    if reason == samples.SFLOW:
        tag = int.from_bytes(struct.pack("=H", tci), "big")
        return f"sFlow(vid={tag & 0xFFF},pcp={tag >> 13},output={output}),actions"
    if reason == samples.IPFIX:
        return f"ipfix(output_port={output}){out}"
    if reason != samples.FLOW_SAMPLE:
        return None
    values = (probability, collectors, domain, point, output)
    parts = [f"{name}={value}" for name, value in zip(_FLOW_SAMPLE, values, strict=True)]
    return f"flow_sample({','.join(parts + [_DIRECTIONS[direction]] * bool(direction))}){out}"


def parse_sample(text: str) -> tuple[int, bytes] | None:
    """Reason and userdata; None: it is something else.  ValueError for what is malformed."""
    name, body = key_text.name_and_body(text) if "(" in text else (text, "")
    if name not in ("sFlow", "ipfix", "flow_sample"):
        return None
    given: dict[str, int] = {}
    direction = 0
    for part in key_text.split(body):
        key, equals, value = part.partition("=")
        if not equals:
            direction = {label: number for number, label in _DIRECTIONS.items()}[key]
        else:
            given[key] = int(value, 0)
    if name == "sFlow":
        tci = given.get("pcp", 0) << 13 | given.get("vid", 0)
        tci |= 0x1000 * bool(tci)
        tag = struct.unpack("=H", tci.to_bytes(2, "big"))[0]
        return samples.SFLOW, _DATA.pack(
            0, given.get("output", 0), 0, 0, 0, samples.NONE, 0, tag, 0
        )
    output = given.get("output_port", samples.NONE)
    if name == "ipfix":
        return samples.IPFIX, _DATA.pack(0, output, 0, 0, 0, samples.NONE, 0, 0, 0)
    probability, collectors, domain, point = (given.get(key, 0) for key in _FLOW_SAMPLE[:4])
    data = _DATA.pack(0, output, collectors, domain, point, samples.NONE, probability, 0, direction)
    return samples.FLOW_SAMPLE, data


def parse_tunnel_out(part: str, data: bytes) -> bytes | None:
    """The userdata with what `part` says of the tunnel that the packet leaves by; None: nothing."""
    if not part.startswith(_TUNNEL_OUT) or len(data) != _DATA.size:
        return None
    values = list(_DATA.unpack(data))
    values[5] = int(part.removeprefix(_TUNNEL_OUT), 0)
    return _DATA.pack(*values)
