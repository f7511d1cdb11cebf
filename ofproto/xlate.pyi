"""Translation: a flow key through the OpenFlow tables into datapath actions and a mask."""

from typing import Any

from ofproto.program import Program
from ofproto.xbridge import XBridge

class XlateResult:
    """What translation found out about a flow."""

    actions: bytes
    mask: bytes  # KEY_SIZE bytes: the bits the result depends on
    slow: bool  # userspace must see each packet of the flow
    error: str | None  # why the packet is dropped, for trace
    final_key: bytes
    trace: list[str]

def translate(
    bridge: XBridge,
    key: bytes,
    *,
    packet: bytes | None = None,
    program: Program | None = None,
    side_effects: bool = False,
    now: int = 0,
    trace: bool = False,
) -> XlateResult:
    """Translates `key` (KEY_SIZE bytes, in_port as OpenFlow port); for tests and trace.

    With `program`, runs that instead of table 0 (packet-out).
    """
