"""PACKET_OUTs that are like an earlier one: see packet_outs.pyx."""

from typing import Any

NOTHING_SENT: bytes

class PacketOuts:
    port: int
    packet: bytes
    def find(self, raw: bytes) -> Any: ...
    def learn(self, raw: bytes, actions: Any) -> None: ...
