"""The table of tunnel options, with the errors that Open vSwitch 3.1 answers."""

import pytest

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.messages.nx import TLV_ADD, TLV_CLEAR, TLV_DELETE
from ofproto.tables.tlv_table import TlvTable
from tests.ofproto.bridge_world import World


def tlv(kind, length, index, option_class=0xFFFF):
    return m.TlvMap(option_class, kind, length, index)


def test_maps_come_and_go():
    table = TlvTable()

    def do(command, *maps):
        before = dict(table.maps)
        try:
            table.modify(m.TlvTableMod(command, list(maps)))
        except OFError as error:
            assert table.maps == before
            return error.name
        return None

    assert do(TLV_ADD, tlv(0, 4, 0)) is None
    assert do(TLV_ADD, tlv(2, 124, 5), tlv(1, 8, 1)) is None
    assert [each.index for each in table.reply().maps] == [0, 1, 5]
    assert do(TLV_ADD, tlv(0, 4, 9)) == "NXTTMFC_DUP_ENTRY"
    assert do(TLV_ADD, tlv(0, 4, 9, 0xFFFE)) is None
    assert do(TLV_ADD, tlv(9, 4, 0)) == "NXTTMFC_ALREADY_MAPPED"
    assert do(TLV_ADD, tlv(9, 4, 20), tlv(9, 4, 21)) == "NXTTMFC_DUP_ENTRY"
    assert do(TLV_ADD, tlv(9, 4, 20), tlv(10, 4, 20)) == "NXTTMFC_ALREADY_MAPPED"
    assert do(TLV_ADD, tlv(9, 120, 20)) == "NXTTMFC_TABLE_FULL"
    assert do(TLV_ADD, tlv(9, 116, 20)) is None
    assert do(TLV_DELETE, tlv(77, 4, 7), tlv(77, 4, 0)) is None
    assert sorted(table.maps) == [1, 5, 9, 20]
    assert do(TLV_CLEAR) is None and not table.reply().maps


@pytest.mark.parametrize("version", [1, 4, 6])
def test_over_the_wire(version):
    world = World()
    try:
        world.bridge.set_protocols({1, 4, 6})
        client = world.client(version)
        client.do(m.TlvTableMod(TLV_ADD, [tlv(0, 4, 3)]))
        reply = client.ask(m.TlvTableRequest())
        assert (reply.space, reply.fields, reply.maps) == (256, 64, [tlv(0, 4, 3)])
        again = m.TlvTableMod(TLV_ADD, [tlv(0, 4, 4)])
        assert client.refused(again) == "NXTTMFC_DUP_ENTRY"
    finally:
        world.close()


def test_options_that_flows_use_stay_where_they_are():
    used = set()
    table = TlvTable(lambda: used)
    add = [tlv(0, 4, 0), tlv(1, 8, 1), tlv(2, 124, 2), tlv(3, 4, 3), tlv(4, 112, 4)]
    for each in add:
        table.modify(m.TlvTableMod(TLV_ADD, [each]))
    table.modify(m.TlvTableMod(TLV_DELETE, [add[0], add[3]]))
    before = table.layout.places
    used |= {1, 2, 4}
    with pytest.raises(OFError, match="FULL"):  # two pieces of 4 bytes
        table.modify(m.TlvTableMod(TLV_ADD, [tlv(5, 8, 5)]))
    for command, maps in ((TLV_DELETE, [add[1]]), (TLV_CLEAR, [])):
        with pytest.raises(OFError, match="INVALID_TLV_DEL"):
            table.modify(m.TlvTableMod(command, maps))
    assert table.layout.places == before and sorted(table.maps) == [1, 2, 4]
    used -= {1, 4}
    table.modify(m.TlvTableMod(TLV_ADD, [tlv(5, 8, 5)]))
    assert table.layout.places[2] == before[2] and sorted(table.layout.places) == [1, 2, 4, 5]
    table.modify(m.TlvTableMod(TLV_DELETE, [add[1], add[4]]))
    assert sorted(table.maps) == [2, 5]
