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
    assert do(TLV_ADD, tlv(9, 4, 20), tlv(10, 4, 20)) == "NXTTMFC_DUP_ENTRY"
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
