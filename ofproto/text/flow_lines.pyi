from collections.abc import Iterable

from ofproto.codec.match_text import PortNumbers
from ofproto.codec.messages import FlowMod

class FlowLine:
    text: str
    def mod(self) -> FlowMod: ...
    def encode(
        self, version: int, xid: int = 0, *, nxm: bool = False, table_id_in_command: bool = False
    ) -> bytes: ...

class FlowLines:
    def __init__(self, names: PortNumbers = None, first: int = ...): ...
    def read(self, text: str, command: int = ...) -> FlowMod | FlowLine: ...

def examples(flows: Iterable) -> list[FlowMod]: ...
