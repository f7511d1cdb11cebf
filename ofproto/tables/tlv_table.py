"""The tunnel options of a bridge: which one tun_metadataN is (NXT_TLV_TABLE_MOD).

Lives as long as the process, as in Open vSwitch.  Sources: ovs-fields(7), "Tunnel Fields";
ovs-ofctl(8), "add-tlv-map".
"""

from typing import Any

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.messages.nx import MAX_TLV_FIELDS, TLV_ADD, TLV_CLEAR

MAX_SPACE = 256  # bytes of all options together


class TlvTable:
    """`maps`: N of tun_metadataN -> messages.TlvMap."""

    def __init__(self) -> None:
        self.maps: dict[int, Any] = {}

    def modify(self, mod: Any) -> None:
        """Execute a messages.TlvTableMod.  Raises OFError; then nothing is changed."""
        if mod.command == TLV_CLEAR:
            self.maps.clear()
        elif mod.command == TLV_ADD:
            self._add(mod.maps)
        else:
            for each in mod.maps:
                self.maps.pop(each.index, None)

    def _add(self, maps: list[Any]) -> None:
        options = {(each.option_class, each.option_type) for each in maps}
        if len(options) < len(maps) or len({each.index for each in maps}) < len(maps):
            raise OFError("NXTTMFC_DUP_ENTRY", "twice in the message")
        taken = {(each.option_class, each.option_type) for each in self.maps.values()}
        for each in maps:
            if each.index in self.maps:
                raise OFError("NXTTMFC_ALREADY_MAPPED", f"tun_metadata{each.index}")
            if (each.option_class, each.option_type) in taken:
                raise OFError("NXTTMFC_DUP_ENTRY", f"tun_metadata{each.index}")
        if sum(each.length for each in (*self.maps.values(), *maps)) > MAX_SPACE:
            raise OFError("NXTTMFC_TABLE_FULL")
        self.maps.update({each.index: each for each in maps})

    def reply(self) -> Any:
        """messages.TlvTableReply."""
        maps = [self.maps[index] for index in sorted(self.maps)]
        return m.TlvTableReply(MAX_SPACE, MAX_TLV_FIELDS, maps)


def tlv_table_mod(ofproto: Any, _peer: Any, mod: Any, _now: int) -> None:
    """A handler, see handlers."""
    ofproto.tlv_table.modify(mod)


def tlv_table_request(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    """A handler, see handlers."""
    peer.reply(request, ofproto.tlv_table.reply())


HANDLERS = {m.TlvTableMod: tlv_table_mod, m.TlvTableRequest: tlv_table_request}
