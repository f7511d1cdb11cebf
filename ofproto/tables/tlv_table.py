"""The tunnel options of a bridge: which one tun_metadataN is (NXT_TLV_TABLE_MOD).

The journal keeps it, with the flows that use it.  Sources: ovs-fields(7), "Tunnel Fields";
ovs-ofctl(8), "add-tlv-map".
"""

from collections.abc import Callable, Iterable
from typing import Any

from ofproto.codec import messages as m
from ofproto.codec.actions.placed import options_of
from ofproto.codec.errors import OFError
from ofproto.codec.fields import OPTION_SPACE
from ofproto.codec.messages.nx import MAX_TLV_FIELDS, TLV_ADD, TLV_CLEAR
from ofproto.xlate.bridges.tun_options import Layout, Place, fit

from .group import describe


class TlvTable:
    """`maps`: N of tun_metadataN -> messages.TlvMap; `layout`: where their values stand.

    `used` tells which fields flows and groups refer to: these neither go nor are moved.
    `changed` is called with each new layout.  `adds_again`: who adds what is mapped alike already
    puts it back, which is no error."""

    def __init__(
        self,
        used: Callable[[], set[int]] = set,
        changed: Callable[[Layout], None] = lambda layout: None,
    ) -> None:
        self.maps: dict[int, Any] = {}
        self.layout = Layout()
        self.adds_again = False
        self._used = used
        self._changed = changed

    def modify(self, mod: Any) -> None:
        """Execute a messages.TlvTableMod.  Raises OFError; then nothing is changed."""
        if mod.command == TLV_CLEAR:
            self._remove(self.maps)
        elif mod.command == TLV_ADD:
            self._add(mod.maps)
        else:
            self._remove({each.index for each in mod.maps} & self.maps.keys())
        self._changed(self.layout)

    def _remove(self, indexes: Iterable[int]) -> None:
        gone = set(indexes)
        in_use = gone & self._used()
        if in_use:
            raise OFError("NXTTMFC_INVALID_TLV_DEL", f"tun_metadata{min(in_use)} is in use")
        self.maps = {index: each for index, each in self.maps.items() if index not in gone}
        self.layout = Layout(p for p in self.layout.places.values() if p.index in self.maps)

    def _add(self, maps: list[Any]) -> None:
        if self.adds_again:
            maps = [each for each in maps if self.maps.get(each.index) != each]
        wanted = dict(self.maps)
        taken = {(each.option_class, each.option_type) for each in wanted.values()}
        for each in maps:
            if each.index in wanted:
                raise OFError("NXTTMFC_ALREADY_MAPPED", f"tun_metadata{each.index}")
            option = each.option_class, each.option_type
            if option in taken:
                raise OFError("NXTTMFC_DUP_ENTRY", f"tun_metadata{each.index}")
            taken.add(option)
            wanted[each.index] = each
        self.layout = self._laid_out(wanted)
        self.maps = wanted

    def _laid_out(self, maps: dict[int, Any]) -> Layout:
        """With as few places changed as can be: none, or those that no flow uses."""
        for kept in (self.layout.places.keys(), self.layout.places.keys() & self._used()):
            places = [self.layout.places[index] for index in kept]
            lengths = {index: each.length for index, each in maps.items() if index not in kept}
            offsets = fit(lengths, places)
            if offsets is not None:
                return Layout([*places, *(_place(maps[i], at) for i, at in offsets.items())])
        raise OFError("NXTTMFC_TABLE_FULL")

    def as_mod(self) -> Any:
        """messages.TlvTableMod that makes an empty table this one; None: it is empty."""
        return m.TlvTableMod(TLV_ADD, list(self.maps.values())) if self.maps else None

    def reply(self) -> Any:
        """messages.TlvTableReply."""
        maps = [self.maps[index] for index in sorted(self.maps)]
        return m.TlvTableReply(OPTION_SPACE, MAX_TLV_FIELDS, maps)


def _place(option: Any, offset: int) -> Place:
    return Place(option.index, option.option_class, option.option_type, offset, option.length)


def of_bridge(tables: Any, plans: Any) -> TlvTable:
    """The table for a bridge's FlowTables and ModPlans."""

    def used() -> set[int]:
        groups = [describe(group).buckets for group in tables.xbridge.groups.values()]
        of_groups = {
            field.option
            for buckets in groups
            for bucket in buckets
            for field in options_of(bucket.actions)
        }
        return of_groups | {index for index, n in tables.option_users.items() if n}

    def changed(layout: Layout) -> None:
        tables.xbridge.options = layout
        tables.xbridge.touch()
        plans.clear()

    return TlvTable(used, changed)


def tlv_table_mod(ofproto: Any, _peer: Any, mod: Any, _now: int) -> None:
    """A handler, see handlers."""
    ofproto.tlv_table.modify(mod)


def tlv_table_request(ofproto: Any, peer: Any, request: Any, _now: int) -> None:
    """A handler, see handlers."""
    peer.reply(request, ofproto.tlv_table.reply())


HANDLERS = {m.TlvTableMod: tlv_table_mod, m.TlvTableRequest: tlv_table_request}
