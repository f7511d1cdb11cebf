"""Ethernet around the payloads of protocols."""

import struct

from datapath.base.protocols import ETH_VLAN, VLAN_TPIDS

SMALLEST = 60  # bytes, without FCS


def ethernet(
    destination: bytes, source: bytes, kind: int, payload: bytes, tci: int | None = None
) -> bytes:
    """A frame; `tci`: with a VLAN tag (PCP, VID)."""
    tag = b"" if tci is None else struct.pack("!HH", ETH_VLAN, tci)
    frame = destination + source + tag + struct.pack("!H", kind) + payload
    return frame.ljust(SMALLEST + len(tag), b"\0")


def payload_of(frame: bytes) -> bytes:
    """What is behind the Ethertype, or behind that of one or two tags."""
    at = 12
    while at < 20 and int.from_bytes(frame[at : at + 2], "big") in VLAN_TPIDS:
        at += 4
    return frame[at + 2 :]
