"""Mirrors as translation and statistics see them."""

from collections.abc import Iterable
from typing import Any

MAX_MIRRORS: int

class XMirror:
    name: str
    bit: int  # in XBundle.mirror_src, mirror_dst, mirror_out
    out: Any  # XBundle, or None
    n_packets: int
    n_bytes: int
    def __init__(self, name: str, number: int) -> None:
        """Mirror `number` of its bridge, from 0 on."""

    def set(
        self,
        out: Any = None,
        out_vlan: int = -1,
        vlans: Iterable[int] = (),
        snaplen: int = 0,
    ) -> None:
        """`snaplen` 0: whole packets.  No `vlans`: all."""

    def shares_output_with(self, other: XMirror) -> None: ...
