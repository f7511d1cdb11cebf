"""Every OpenFlow message that a tool or a controller may send, over 1.0 to 1.5, against a
bridge on a real datapath.  (Client checks that replies carry the xid, errors the message.)"""

import struct

import pytest

from ofproto.codec import messages as m
from ofproto.codec.actions import Output
from ofproto.codec.instructions import ApplyActions, GotoTable, encode_instructions
from ofproto.codec.match import Match
from ofproto.codec.numbers import (
    OFPP_CONTROLLER,
    OFPP_LOCAL,
    OFPP_NONE,
    OFPPC_NO_FWD,
    OFPPC_NO_RECV,
    OFPPC_PORT_DOWN,
    OFPRR_EVICTION,
)
from ofproto.tables.table_config import TableSettings
from ofproto.tables.table_features import ALL_ONES
from pyvs import clock
from tests.ofproto.bridge_world import DATAPATH_ID, World, dump, flow, frame

OF10, OF11, OF12, OF13, OF14, OF15 = range(1, 7)
TESTED = (OF10, OF11, OF13, OF15)  # the others differ from these in the codec
ALL, FLOOD, IN_PORT, TABLE = 0xFFFC, 0xFFFB, 0xFFF8, 0xFFF9
NORMAL = "priority=0 actions=NORMAL"


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(params=TESTED, ids=[f"1.{version - 1}" for version in TESTED])
def client(world, request):
    return world.client(request.param)


@pytest.fixture
def new(world):
    """A client of 1.3."""
    return world.client(OF13)


def header(kind, version, body=b""):
    return m.HEADER.pack(version, kind, 8 + len(body), 0) + body


def multipart(kind, version, body=b"", request=True):
    number = (16 if version == OF10 else 18) + (not request)
    head = kind.to_bytes(2, "big") + bytes(2 if version == OF10 else 6)
    return header(number, version, head + body)


# --- the switch


def test_features(client):
    reply = client.ask(m.FeaturesRequest())
    assert (reply.datapath_id, reply.n_tables, reply.n_buffers) == (DATAPATH_ID, 254, 0)
    names = [port.name for port in reply.ports]
    assert names == (["p1", "p2", "p3"] if client.version < OF13 else [])
    wanted = m.C_FLOW_STATS | m.C_TABLE_STATS | m.C_PORT_STATS | m.C_QUEUE_STATS
    assert reply.capabilities & wanted == wanted
    assert bool(reply.capabilities & m.C_ARP_MATCH_IP) == (client.version <= OF11)
    assert reply.actions == (0xFFF if client.version == OF10 else 0)


def test_config(client, world):
    assert client.ask(m.GetConfigRequest()) == m.GetConfigReply(0, 0)  # a tool asks for nothing
    client.do(m.SetConfig(1, 99))
    assert client.ask(m.GetConfigRequest()) == m.GetConfigReply(1, 99)
    other = world.client()
    assert other.ask(m.GetConfigRequest()) == m.GetConfigReply(1, 0)  # fragments: the switch's


def test_desc(client, world):
    reply = client.ask(m.DescRequest())
    assert (reply.mfr, reply.hw, reply.dp) == ("Nicira, Inc.", "Open vSwitch", "None")
    assert reply.sw.startswith("2.") or reply.sw.startswith("3.")
    world.bridge.set_desc(mfr="m" * 300, dp_desc="äö" * 200)
    reply = client.ask(m.DescRequest())
    assert reply.mfr == "m" * 255 and reply.dp.startswith("äö")


def test_unknown_messages(client):
    version = client.version
    assert client.refused(header(0x63, version)) == "OFPBRC_BAD_TYPE"
    assert client.refused(header(6, version, bytes(24))) == "OFPBRC_BAD_TYPE"  # a reply's type
    assert client.refused(multipart(0x63, version)) == "OFPBRC_BAD_STAT"
    assert client.refused(header(4, version, b"\0\0\0\x63\0\0\0\1")) == "OFPBRC_BAD_VENDOR"
    assert client.refused(header(4, version, b"\0\0\x23\x20\0\0\x63\1")) == "OFPBRC_BAD_SUBTYPE"
    assert client.refused(multipart(0xFFFF, version, b"\0\0\0\x63\0\0\0\1")) == "OFPBRC_BAD_VENDOR"
    assert client.refused(header(5, version, b"x")) == "OFPBRC_BAD_LEN"
    assert client.refused(header(14, version, bytes(8))) == "OFPBRC_BAD_LEN"


def test_what_only_switches_send(client):
    """Nothing but the length is looked at: bodies that could not be read are refused alike."""
    version = client.version
    flows, junk = 1, b"\xff" * 40
    for raw in (
        multipart(flows, version, junk, request=False),
        header(12, version, b"\xff" * (56 if version == OF10 else 72)),  # PORT_STATUS
        header(4, version, b"\0\0\x23\x20\0\0\0\x1e" + b"\xff" * 8),  # NXT_PACKET_IN2
    ):
        assert client.refused(raw) == "OFPBRC_BAD_TYPE"
    zone = b"\0\0\x23\x20\0\0\0\x1d" + b"\0\0\0\1\0\0\0\7"  # NXT_CT_FLUSH_ZONE
    assert client.refused(header(4, version, zone)) == "NXBRC_MUST_BE_ZERO"
    stranger = multipart(0xFFFF, version, b"\0\0\0\x63")
    cut_off = "OFPBRC_BAD_VENDOR" if version == OF10 else "OFPBRC_BAD_LEN"
    assert client.refused(stranger) == cut_off
    onf = multipart(0xFFFF, version, b"ONF\0\0\0\0\1")
    unknown = "OFPBRC_BAD_VENDOR" if version == OF10 else "OFPBRC_BAD_SUBTYPE"
    assert client.refused(onf) == unknown
    port_and_length = b"\0\1\0\1" * (3 if version == OF10 else 4)  # what comes first is told
    told = "OFPBRC_BAD_LEN" if version == OF10 else "OFPBAC_BAD_OUT_PORT"
    if version < OF15:
        assert client.refused(header(13, version, port_and_length)) == told
    if version >= OF13:
        group = header(15, version, b"\xff" * 40)
        bucket = "OFPGMFC_BAD_BUCKET" if version < OF15 else "OFPBRC_BAD_LEN"
        assert client.refused(group) == bucket


def test_a_request_in_parts(client):
    """Put together from 1.3 on, when the last part has come; before, each is one."""
    version = client.version

    def part(xid, kind, more, body=b""):
        raw = bytearray(multipart(kind, version, body))
        raw[4:8] = xid.to_bytes(4, "big")
        raw[11] = more
        client.write(bytes(raw))

    def answers():
        return [type(each).__name__ for each in client.barrier()]

    part(1, 0, 1)
    part(2, 3, 0)
    part(1, 0, 0)
    in_parts = ["TableStatsReply", "DescReply"]
    assert answers() == (in_parts if version >= OF13 else ["DescReply", *in_parts])
    if version < OF13:
        return
    part(1, 0, 1)
    part(1, 3, 0)
    assert [each.name for each in client.barrier()] == ["OFPBRC_BAD_STAT"]
    part(1, 0, 1, b"12345678")  # DESC has no body
    assert [each.name for each in client.barrier()] == ["OFPBRC_BAD_LEN"]
    for xid in range(6):
        part(xid, 0, 1)
    overflow = "OFPBRC_MULTIPART_BUFFER_OVERFLOW"
    assert [each.name for each in client.barrier()] == [overflow] * 2


def test_errors_are_for_controllers(client):
    client.write(m.Error("OFPFMFC_OVERLAP", b"12345678").encode(client.version, 5))
    assert [each.name for each in client.barrier()] == ["OFPBRC_BAD_TYPE"]


# --- FLOW_MOD


def test_five_commands(client):
    client.do(flow("priority=5,in_port=1 actions=output:2"), flow("priority=6 actions=drop"))
    assert dump(client) == [
        NORMAL,
        "priority=5,in_port=1 actions=output:2",
        "priority=6 actions=drop",
    ]
    client.do(flow("in_port=1 actions=output:3", m.MODIFY))
    assert "priority=5,in_port=1 actions=output:3" in dump(client)
    client.do(flow("priority=6 actions=output:1", m.MODIFY_STRICT))
    assert "priority=6 actions=output:1" in dump(client)
    assert "priority=5,in_port=1 actions=output:3" in dump(client)
    client.do(flow("priority=9 ", m.DELETE_STRICT))
    client.do(flow("priority=6 ", m.DELETE_STRICT))
    assert dump(client) == [NORMAL, "priority=5,in_port=1 actions=output:3"]
    client.do(flow("in_port=1", m.DELETE))
    assert dump(client) == [NORMAL]
    client.do(flow("", m.DELETE))
    assert dump(client) == []


def test_modify_adds_only_in_old_versions(client):
    """Not when it keeps the cookies of what it finds."""
    client.do(flow("in_port=1 actions=output:3", m.MODIFY, new_cookie=7))
    client.do(flow("in_port=2 actions=output:3", m.MODIFY_STRICT, new_cookie=8))
    client.do(flow("in_port=3 actions=output:3", m.MODIFY, new_cookie=None, cookie=ALL_ONES))
    added = ["cookie=0x7, in_port=1 actions=output:3", "cookie=0x8, in_port=2 actions=output:3"]
    assert dump(client) == [*(added if client.version <= OF11 else []), NORMAL]


NICIRA_MOD = struct.Struct("!IIQHHHHIHHH6x")
NXM_IN_PORT, NXM_COOKIE = 0x00000002, 0x00013D10  # with a mask


def nicira_mod(version, command, cookie, match=b"", flags=0, instructions=()):
    """NXT_FLOW_MOD as a version above 1.0 has it: its own instructions behind a match of NXMs."""
    head = NICIRA_MOD.pack(
        0x2320, 13, cookie, command, 0, 0, 5, 0xFFFFFFFF, OFPP_NONE, flags, len(match)
    )
    rest = encode_instructions(list(instructions), version, Match())
    return header(4, version, head + match + bytes(-len(match) % 8) + rest)


def test_nicira_flow_mods_in_any_version(client):
    """As in Open vSwitch: the command's upper byte is the table, always, above 1.0."""
    if client.version == OF10:
        return
    port = struct.pack("!IH", NXM_IN_PORT, 1)

    def mod(command, cookie, match=port, to=(2,), flags=0):
        found = [ApplyActions([Output(number) for number in to])] if to else []
        client.do(nicira_mod(client.version, command, cookie, match, flags, found))

    for _again in range(3):  # none of them has a plan
        mod(0x300, 7)
        assert "cookie=0x7, table=3, priority=5,in_port=1 actions=output:2" in dump(client)
        mod(0x301, 8, to=(3,))
        assert "cookie=0x8, table=3, priority=5,in_port=1 actions=output:3" in dump(client)
        mod(0x301, ALL_ONES, to=(1,))
        assert "cookie=0x8, table=3, priority=5,in_port=1 actions=output:1" in dump(client)
        mod(0xFF03, 0, struct.pack("!IQQ", NXM_COOKIE, 8, ALL_ONES), to=())
        assert dump(client) == [NORMAL]
    mod(0x202, 9)
    assert dump(client, "table=2") == ["cookie=0x9, table=2, priority=5,in_port=1 actions=output:2"]
    for raw, error in (
        (nicira_mod(client.version, 9, 0, flags=0x8000), "OFPFMFC_BAD_COMMAND"),
        (nicira_mod(client.version, 0, 0, flags=0x8000), "OFPFMFC_BAD_FLAGS"),
        (nicira_mod(client.version, 0, 0, port[:-1]), "OFPBMC_BAD_LEN"),
    ):
        assert client.refused(raw) == error


def test_cookies(new):
    for number in range(4):
        new.do(flow(f"cookie={number},in_port={number + 1} actions=drop"))
    assert len(dump(new, "cookie=2/2")) == 2
    new.do(flow("cookie=1/-1 actions=output:1", m.MODIFY))
    assert dump(new, "cookie=1/-1") == ["cookie=0x1, in_port=2 actions=output:1"]
    new.do(flow("cookie=2/2", m.DELETE))
    assert len(dump(new)) == 3
    assert new.ask(m.AggregateRequest(cookie=1, cookie_mask=1)).n_flows == 1


def test_cookies_in_1_0(world):
    old = world.client(OF10)
    old.do(flow("cookie=7,in_port=1 actions=drop"))
    old.do(flow("in_port=1 actions=output:1", m.MODIFY, new_cookie=8))
    assert "cookie=0x8, in_port=1 actions=output:1" in dump(old)
    old.do(flow("cookie=8/-1", m.DELETE), nxm=True)
    assert dump(old, nxm=True) == [NORMAL]


def test_tables(new):
    new.do(
        flow("table=3 actions=drop"), flow("table=253 actions=drop"), flow("actions=goto_table:3")
    )
    assert dump(new, "table=3") == ["table=3, actions=drop"]
    new.do(flow("table=3", m.DELETE, table_id=3))
    assert len(dump(new)) == 3
    new.do(flow("", m.DELETE, table_id=None))
    assert dump(new) == []


def test_table_in_the_command(world):
    """NXT_FLOW_MOD_TABLE_ID: 1.0 with tables."""
    old = world.client(OF10)
    old.do(m.NxFlowModTableId(True))
    old.do(flow("table=4 actions=drop"), table_id_in_command=True)
    assert "table=4, actions=drop" in dump(old)
    old.do(m.NxFlowModTableId(False))
    assert old.refused(flow("table=4 actions=drop"), table_id_in_command=True) == (
        "OFPFMFC_BAD_COMMAND"
    )


def test_overlap(client):
    overlapping = flow("priority=5,dl_type=0x800 actions=drop", flags=m.CHECK_OVERLAP)
    client.do(flow("priority=5,in_port=1 actions=drop"))
    assert client.refused(overlapping) == "OFPFMFC_OVERLAP"
    client.do(flow("priority=6,dl_type=0x800 actions=drop", flags=m.CHECK_OVERLAP))
    client.do(flow("priority=5,in_port=2 actions=drop", flags=m.CHECK_OVERLAP))
    assert len(dump(client)) == 4


def refused_mod(client, text="actions=drop", command=m.ADD, **more):
    return client.refused(flow(text, command, **more))


def test_errors_of_flow_mods(client):
    before = dump(client)
    unknown = flow("actions=drop")
    unknown.command = 9
    assert client.refused(unknown) == "OFPFMFC_BAD_COMMAND"
    if client.version > OF10:
        raw = unknown.encode(client.version)
        of_all_tables = raw[:24] + b"\xff" + raw[25:]  # the header's 8 bytes, cookie and mask
        assert client.refused(of_all_tables) == "OFPFMFC_BAD_TABLE_ID"
    bad_port = [ApplyActions([Output(OFPP_NONE)])]
    assert refused_mod(client, instructions=bad_port) == "OFPBAC_BAD_OUT_PORT"
    if client.version == OF13:
        assert refused_mod(client, table_id=254) == "OFPBRC_EPERM"
        everywhere = bytearray(flow("actions=drop").encode(OF13))
        everywhere[24] = 0xFF
        assert client.refused(bytes(everywhere)) == "OFPFMFC_BAD_TABLE_ID"
        back = [GotoTable(3)]
        assert refused_mod(client, table_id=3, instructions=back) == "OFPBIC_BAD_TABLE_ID"
        assert refused_mod(client, "", m.DELETE, table_id=254) == "OFPBRC_EPERM"
    assert dump(client) == before


def test_bad_actions_and_matches(client):
    version = client.version
    good = flow("in_port=1 actions=output:2").encode(version)
    at = good.rindex(b"\0\2" if version == OF10 else b"\0\0\0\2") - 4
    for kind, size, name in ((0x63, 8, "BAD_TYPE"), (0, 4, "BAD_LEN"), (0, 0xFFF8, "BAD_LEN")):
        bad = bytearray(good)
        bad[at : at + 4] = kind.to_bytes(2, "big") + size.to_bytes(2, "big")
        assert client.refused(bytes(bad)) == f"OFPBAC_{name}"
    if version == OF13:
        raw = bytearray(good)
        raw[48:50] = b"\0\7"  # a match of an unknown type
        assert client.refused(bytes(raw)) == "OFPBMC_BAD_TYPE"
        twice = good[:50] + b"\0\x14" + good[52:60] * 2 + bytes(4) + good[64:]
        twice = twice[:2] + len(twice).to_bytes(2, "big") + twice[4:]
        assert client.refused(twice) == "OFPBMC_DUP_FIELD"


def test_max_len_of_an_output_comes_back_as_it_was_sent(client):
    """Ryu's tester compares it; with a port that is not the controller it means nothing."""
    sent = [Output(number, length) for number in (2, IN_PORT, FLOOD) for length in (0, 7, 0xFFFF)]
    sent += [Output(OFPP_CONTROLLER, length) for length in (0, 128, 0xFFFF)]
    mod = flow("priority=7 actions=drop")
    mod.instructions = [ApplyActions(sent)]
    client.do(mod)
    (found,) = (each for each in client.ask(m.FlowStatsRequest()).flows if each.priority == 7)
    (applied,) = found.instructions
    assert applied.actions == sent
    client.do(flow("priority=7 actions=output:2,CONTROLLER"))
    (found,) = (each for each in client.ask(m.FlowStatsRequest()).flows if each.priority == 7)
    assert [each.max_len for each in found.instructions[0].actions] == [0, 0xFFFF]


def test_buffers_do_not_exist(client):
    assert refused_mod(client, "in_port=1 actions=drop", buffer_id=5) == "OFPBRC_BUFFER_UNKNOWN"
    assert "in_port=1 actions=drop" not in dump(client)
    assert client.refused(m.PacketOut(b"", 1, [Output(2)], 7)) == "OFPBRC_BUFFER_UNKNOWN"
    client.do(flow("in_port=1 actions=drop"))
    client.do(m.FlowMod(m.DELETE, buffer_id=0))  # which sends none, as Open vSwitch takes it
    assert dump(client) == []


def test_a_stream_of_mods_and_barriers_keeps_its_order(client):
    for number in range(300):
        client.send(flow(f"priority={number + 10},in_port=1 actions=output:2"))
    first = client.send(m.BarrierRequest())
    listed = client.send(m.FlowStatsRequest())
    client.send(flow("", m.DELETE))
    last = client.send(m.BarrierRequest())
    empty = client.send(m.AggregateRequest())
    assert isinstance(client.reply(first), m.BarrierReply)
    assert len(client.reply(listed).flows) == 301
    assert isinstance(client.reply(last), m.BarrierReply)
    assert client.reply(empty).n_flows == 0
    assert client.unasked == []


def test_priorities_decide(client, world):
    packet = frame()
    client.do(flow("priority=5 actions=output:2"), flow("priority=9,in_port=1 actions=output:3"))
    world.send(1, packet)
    world.expect({3: [packet]})
    client.do(flow("priority=9,in_port=1", m.DELETE_STRICT))
    becomes(world, 1, [2])


def becomes(world, in_port, wanted):
    """Waits until packets that come in by a port leave by exactly these."""
    packet = frame(77)

    def there():
        world.send(in_port, packet)
        found = [number for number in (1, 2, 3) if world.received(number)]
        return found == wanted

    world.until(there, f"packets at {wanted}")


def test_counters(client, world):
    packet = frame(100)
    client.do(flow("in_port=1 actions=output:2"))
    for _ in range(3):
        world.send(1, packet)
    world.expect({2: [packet] * 3})
    clock.warp(1000)
    world.until(lambda: client.ask(m.AggregateRequest(match=of_port(1))).n_packets == 3)
    reply = client.ask(m.AggregateRequest(match=of_port(1)))
    assert (reply.n_packets, reply.n_bytes, reply.n_flows) == (3, 300, 1)
    stats = client.ask(m.FlowStatsRequest(match=of_port(1))).flows[0]
    assert (stats.n_packets, stats.n_bytes) == (3, 300) and stats.duration_sec >= 1
    world.until(lambda: table_of(client).lookups >= 1)
    assert table_of(client).active == 2


def of_port(number):
    match = Match()
    match.set("in_port", number)
    return match


def table_of(client, number=0):
    return client.ask(m.TableStatsRequest()).tables[number]


# --- PACKET_OUT


@pytest.mark.parametrize(
    ("in_port", "actions", "to"),
    [
        (OFPP_CONTROLLER, [Output(2)], [2]),
        (OFPP_NONE, [Output(2)], [2]),
        (1, [Output(1), Output(2)], [2]),  # not back by the way it came
        (1, [Output(IN_PORT)], [1]),
        (1, [Output(FLOOD)], [2, 3]),
        (1, [Output(ALL)], [2, 3]),
        (OFPP_CONTROLLER, [Output(ALL)], [1, 2, 3]),
        (1, [Output(TABLE)], [3]),
        (1, [], []),
    ],
)
def test_packet_out(client, world, in_port, actions, to):
    client.do(flow("priority=9,in_port=1 actions=output:3"))
    packet = frame(77)
    client.do(m.PacketOut(packet, in_port, actions))
    if to:
        world.expect({number: [packet] for number in to})
    marker = frame(78)
    client.do(m.PacketOut(marker, OFPP_CONTROLLER, [Output(ALL)]))
    world.expect({number: [marker] for number in (1, 2, 3)})


def test_errors_of_packet_out(client):
    packet = frame()
    assert client.refused(m.PacketOut(packet, 0xFFF9, [Output(1)])) == "OFPBRC_BAD_PORT"
    assert client.refused(m.PacketOut(packet, 0, [Output(1)])) == "OFPBRC_BAD_PORT"
    assert client.refused(m.PacketOut(packet, 1, [Output(OFPP_NONE)])) == "OFPBAC_BAD_OUT_PORT"
    assert client.refused(m.PacketOut(packet[:13], 1, [Output(1)])) == "OFPBRC_BAD_LEN"


# --- ports


def test_port_desc_and_stats(client, world):
    client.do(flow("actions=output:2"))
    packet = frame(100)
    world.send(1, packet)
    world.expect({2: [packet]})
    ports = client.ask(m.PortDescRequest()).ports
    assert [(port.port_no, port.name, port.hw_addr[5]) for port in ports] == [
        (1, "p1", 1),
        (2, "p2", 2),
        (3, "p3", 3),
    ]
    if client.version == OF13:
        assert ports[0].curr_speed == 10_000_000
    stats = client.ask(m.PortStatsRequest()).ports
    assert [each.port_no for each in stats] == [1, 2, 3]
    assert (stats[0].rx_packets, stats[0].rx_bytes) == (1, 100)
    assert (stats[1].tx_packets, stats[1].tx_bytes) == (1, 100)
    (one,) = client.ask(m.PortStatsRequest(2)).ports
    assert one.port_no == 2 and one.tx_packets == 1
    for missing in (9, OFPP_LOCAL):  # no error, as in Open vSwitch
        assert client.ask(m.PortStatsRequest(missing)).ports == []


def port(client, number=1):
    ports = client.ask(m.PortDescRequest()).ports
    return next(each for each in ports if each.port_no == number)


def test_port_mod(client, world):
    devices = []
    world.bridge.set_device_up = lambda name, up: devices.append((name, up))
    mac = port(client).hw_addr
    packet = frame()
    client.do(flow("actions=all"))
    client.do(m.PortMod(1, mac, OFPPC_NO_FWD, OFPPC_NO_FWD))
    assert port(client).config == OFPPC_NO_FWD
    world.send(2, packet)
    world.expect({3: [packet]})
    client.do(m.PortMod(1, mac, 0, OFPPC_NO_FWD))
    becomes(world, 2, [1, 3])
    if client.version == OF13:
        client.do(m.PortMod(2, port(client, 2).hw_addr, OFPPC_NO_RECV, OFPPC_NO_RECV))
        becomes(world, 2, [])
    client.do(m.PortMod(1, mac, OFPPC_PORT_DOWN, OFPPC_PORT_DOWN))
    assert devices == [("p1", False)] and port(client).config == OFPPC_PORT_DOWN
    client.do(m.PortMod(1, mac, 0, OFPPC_PORT_DOWN), m.PortMod(1, mac, OFPPC_PORT_DOWN, 0))
    assert devices == [("p1", False), ("p1", True)] and port(client).config == 0
    assert client.refused(m.PortMod(9, mac, 0, 0)) == "OFPPMFC_BAD_PORT"
    assert client.refused(m.PortMod(1, bytes(6), 0, 0)) == "OFPPMFC_BAD_HW_ADDR"


def test_a_device_that_is_down_loses_its_packets_itself(client, world):
    """Translation goes on as if it were up, as in Open vSwitch: what is traced from br0, which is
    down when it is new, is what will be."""
    client.do(flow("actions=all"))
    world.bridge.port_update("p1", admin_up=False)
    assert port(client).config == OFPPC_PORT_DOWN
    becomes(world, 2, [1, 3])
    becomes(world, 1, [2, 3])
    world.bridge.port_update("p1", admin_up=True)
    client.do(m.PortMod(1, port(client).hw_addr, OFPPC_PORT_DOWN, OFPPC_PORT_DOWN))
    becomes(world, 2, [3])  # its device does not know, or is away


def test_a_device_that_cannot_be_turned_is_no_error(client, world):
    def fails(name, up):
        raise PermissionError(1, "Operation not permitted")

    world.bridge.set_device_up = fails
    client.do(m.PortMod(1, port(client).hw_addr, OFPPC_PORT_DOWN, OFPPC_PORT_DOWN))


def test_queues(client):
    """A dummy has one; a device that QoS was not set for has none (see OfPort.queues)."""
    assert [each.port_no for each in client.ask(m.QueueStatsRequest()).queues] == [1, 2, 3]
    assert client.refused(m.QueueStatsRequest(9)) == "OFPQOFC_BAD_PORT"
    assert client.refused(m.QueueStatsRequest(1, 5)) == "OFPQOFC_BAD_QUEUE"
    if client.version < OF14:
        assert client.ask(m.QueueGetConfigRequest(1)).queues == [(0, None, None)]
        assert client.refused(m.QueueGetConfigRequest(9)) == "OFPQOFC_BAD_PORT"
        return
    assert client.ask(m.QueueDescRequest(2)).queues == [m.QueueDesc(2, 0)]
    assert len(client.ask(m.QueueDescRequest(None, 0)).queues) == 3
    assert client.refused(m.QueueDescRequest(9)) == "OFPQOFC_BAD_PORT"
    assert client.refused(m.QueueDescRequest(None, 1)) == "OFPQOFC_BAD_QUEUE"


# --- tables, groups


def test_table_stats(client):
    client.do(flow("actions=drop"))
    tables = client.ask(m.TableStatsRequest()).tables
    assert [each.table_id for each in tables] == [*range(254)]
    assert tables[0].active == 2 and tables[7].active == 0


def test_table_features(new, world):
    reply = new.ask(m.TableFeaturesRequest())
    assert [each.table_id for each in reply.tables] == [*range(254)]
    first, last = reply.tables[0], reply.tables[-1]
    assert first.properties["next_tables"] == [*range(1, 254)]
    assert last.properties["next_tables"] == [] and 1 not in last.properties["instructions"]
    matched = {field.name for field, _ in first.properties["match"]}
    assert {"eth_dst", "ip_dst", "ipv6_dst", "tcp_dst", "metadata", "mpls_label"} <= matched
    first.name = "classify"
    assert new.ask(m.TableFeaturesRequest([first])).tables[0].name == "classify"
    new.ask(m.TableFeaturesRequest([m.TableFeatures(2, "two")]))
    world.bridge.set_tables({0: TableSettings("main", 500)})
    found = new.ask(m.TableFeaturesRequest()).tables
    assert [(each.name, each.max_entries) for each in found[:3]] == [
        ("main", 500), ("", 1_000_000), ("two", 1_000_000),
    ]  # fmt: skip
    assert new.refused(m.TableFeaturesRequest([first])) == "OFPTFFC_EPERM"  # the database's
    last.properties["write_actions"] = []
    assert new.refused(m.TableFeaturesRequest([last])) == "OFPTFFC_EPERM"
    assert new.refused(m.TableFeaturesRequest([m.TableFeatures(254)])) == "OFPTFFC_BAD_TABLE"
    assert [each.name for each in world.client(OF10).ask(m.TableStatsRequest()).tables][:3] == [
        "main", "", "two",
    ]  # fmt: skip


@pytest.mark.parametrize("version", [OF11, OF12])
def test_what_becomes_of_a_miss(world, version):
    """TABLE_MOD of 1.1 and 1.2, and the features that statistics have there."""
    client = world.client(version)
    client.do(flow("", m.DELETE), flow("table=1 actions=output:2"))
    packet = frame()
    client.do(m.TableMod(0, m.MISS_CONTINUE))
    becomes(world, 1, [2])
    found = client.ask(m.TableStatsRequest()).tables
    assert [each.features["config"] for each in found[:2]] == [m.MISS_CONTINUE, m.MISS_CONTROLLER]
    assert found[0].features["match"] == found[0].wildcards != 0
    goto = 1 << GotoTable.TYPE
    assert (
        found[0].features["instructions"] & goto and not found[253].features["instructions"] & goto
    )
    client.do(m.TableMod(None, m.MISS_CONTROLLER), m.SetConfig(0, 128))

    def missed():
        world.send(1, packet)  # the datapath may still know better for a while
        return [each for each in client.barrier() if isinstance(each, m.PacketIn)]

    assert world.until(missed, "a packet-in")[0].reason == m.OFPR_NO_MATCH
    client.do(m.TableMod(0, m.MISS_DROP))
    becomes(world, 1, [])
    client.do(m.TableMod(0, 3))  # none of them is the first one, as in Open vSwitch
    refusal = "NXBRC_UNENCODABLE_ERROR" if version == OF11 else "OFPTMFC_EPERM"
    assert client.refused(m.TableMod(254)) == refusal


def test_table_mod_of_1_3_means_nothing(new):
    new.do(m.TableMod(3), m.TableMod(None, 3))
    assert new.refused(m.TableMod(254)) == "OFPTMFC_EPERM"


# --- full tables


@pytest.mark.parametrize("version", [OF10, OF13, OF15])
def test_a_table_that_is_full(world, version):
    client = world.client(version)
    client.do(flow("", m.DELETE))
    world.bridge.set_tables({0: TableSettings(limit=2)})
    one, two, three = (flow(f"in_port={number} actions=drop") for number in (1, 2, 3))
    client.do(one, two, one)
    assert client.refused(three) == "OFPFMFC_TABLE_FULL"
    client.do(flow("table=1 actions=drop") if version > OF10 else two)
    world.bridge.set_tables({0: TableSettings(limit=2, evict=True)})
    assert client.refused(three) == "OFPFMFC_TABLE_FULL"  # those there have no timeouts
    client.do(m.SetConfig(0, 128))
    client.do(flow("in_port=1,idle_timeout=60 actions=drop", flags=m.SEND_FLOW_REM), three)
    removed = client.wait_for(m.FlowRemoved)
    assert (removed.reason, removed.match.get("in_port")[0]) == (OFPRR_EVICTION, 1)


def test_who_is_evicted(world):
    """The least important, then who expires first, of the largest group by the fields of it."""
    client = world.client(OF14)
    client.do(flow("", m.DELETE), m.TableMod(0, m.TC_EVICTION))
    world.bridge.set_tables({0: TableSettings(limit=4)})
    for number, importance, seconds in ((1, 5, 10), (2, 1, 90), (3, 1, 50), (4, 9, 5)):
        text = f"in_port={number},importance={importance},hard_timeout={seconds} actions=drop"
        client.do(flow(text))

    def ports():
        return sorted(each.match.get("in_port")[0] for each in
                      client.ask(m.FlowStatsRequest()).flows)  # fmt: skip

    for new_one, left in ((5, [1, 2, 4, 5]), (6, [1, 4, 5, 6]), (7, [4, 5, 6, 7])):
        client.do(flow(f"in_port={new_one} actions=drop"))
        assert ports() == left
    client.do(flow("", m.DELETE), m.TableMod(0))
    world.bridge.set_tables({0: TableSettings(limit=4, evict=True, fields=(("eth_src", 0, 48),))})
    for number, mac in enumerate((1, 2, 2, 2), 1):
        client.do(flow(f"dl_src=02::{mac},in_port={number},idle_timeout={99 - number} actions=drop"
                       .replace("::", ":00:00:00:00:0")))  # fmt: skip
    for new_one, left in ((5, [1, 2, 3, 5]), (6, [1, 2, 5, 6])):
        client.do(flow(f"in_port={new_one} actions=drop"))
        assert ports() == left
    world.bridge.set_tables({0: TableSettings(limit=3, evict=True)})
    assert len(ports()) == 3  # what is too many goes when the limit is lowered


def test_table_desc_and_status(world):
    """Vacancy: told once each time that it passes a level, to who asked for it."""
    client, silent = world.controller(OF14), world.controller(OF14, "silent")
    client.do(m.SetAsync({"table_status": (0x18, 0)}))
    flags = m.EVICT_OTHER | m.EVICT_IMPORTANCE | m.EVICT_LIFETIME
    assert client.ask(m.TableDescRequest()).tables[253] == m.TableDesc(253, 0, flags)
    world.bridge.set_tables({0: TableSettings(limit=10)})
    client.do(flow("", m.DELETE))
    client.do(m.TableMod(0, m.TC_VACANCY_EVENTS | m.TC_EVICTION, None, (20, 70)))
    desc = m.TableDesc(0, m.TC_VACANCY_EVENTS | m.TC_EVICTION, flags, (20, 70, 100))
    assert client.ask(m.TableDescRequest()).tables[0] == desc
    for number in range(1, 10):
        client.do(flow(f"in_port={number} actions=drop"))
    told = client.wait_for(m.TableStatus)
    assert (told.reason, told.table.vacancy) == (m.VACANCY_DOWN, (20, 70, 10))
    client.do(flow("in_port=1", m.DELETE), flow("in_port=1 actions=drop"))
    assert client.unasked == []
    client.do(flow("", m.DELETE))
    told = client.wait_for(m.TableStatus)
    assert (told.reason, told.table.vacancy[2]) == (m.VACANCY_UP, 80)
    client.barrier()
    assert client.unasked == []
    client.do(m.TableMod(0))
    assert client.ask(m.TableDescRequest()).tables[0] == m.TableDesc(0, 0, flags)
    assert silent.barrier() == [] and silent.unasked == []
    bad = m.TableMod(0, m.TC_EVICTION, m.EVICT_LIFETIME)
    assert client.refused(bad) == "OFPTMFC_BAD_CONFIG"


# --- roles


def test_roles(world):
    """Of a 1.3 and a 1.0 peer (by Nicira's message), with generation ids and their wrap."""
    one, two = world.client(OF13), world.client(OF10)
    unset = (1 << 64) - 1
    reply = one.ask(m.RoleRequest("nochange"))
    assert reply.role == "other" and reply.generation_id in (None, unset)
    assert one.ask(m.RoleRequest("master", 5)).role == "master"
    assert one.ask(m.RoleRequest("nochange", 99)).generation_id == 5
    assert two.ask(m.RoleRequest("master")).role == "master"
    assert one.ask(m.RoleRequest("nochange", 0)).role == "slave"
    assert one.refused(m.RoleRequest("master", 4)) == "OFPRRFC_STALE"
    assert one.ask(m.RoleRequest("slave", 5)).generation_id == 5
    for generation in (1 << 62, 1 << 63, unset):
        assert one.ask(m.RoleRequest("master", generation)).role == "master"
    assert one.ask(m.RoleRequest("master", 0)).generation_id == 0
    assert one.refused(m.RoleRequest("slave", unset)) == "OFPRRFC_STALE"
    reply = one.ask(m.RoleRequest("slave", nicira=True))  # in any version, answered alike
    assert reply.role == "slave" and reply.nicira
    assert one.ask(m.RoleRequest("other", 77)).generation_id == 0
    raw = bytearray(m.RoleRequest("master", 9).encode(OF13))
    raw[11] = 9
    assert one.refused(bytes(raw)) == "OFPRRFC_BAD_ROLE"


@pytest.mark.parametrize("version", [OF10, OF13])
def test_a_slave_may_read_and_not_write(world, version):
    slave = world.client(version)
    role = m.RoleRequest("slave") if version == OF10 else m.RoleRequest("slave", 1)
    assert slave.ask(role).role == "slave"
    mac = port(slave).hw_addr
    writing = [flow("actions=drop"), m.PacketOut(frame(), 1, [Output(2)]), m.PortMod(1, mac, 0, 0)]
    if version == OF13:
        writing += [m.GroupMod(m.GROUP_DELETE), m.MeterMod(m.METER_DELETE), m.TableMod(3)]
    for message in writing:
        refusal = "OFPBRC_EPERM" if version == OF10 else "OFPBRC_IS_SECONDARY"
        assert slave.refused(message) == refusal, message
    assert dump(slave) == [NORMAL]
    slave.do(m.SetConfig(1, 50))
    assert slave.ask(m.GetConfigRequest()) == m.GetConfigReply(0, 50)
    slave.ask(m.FeaturesRequest())
    equal = "other"
    assert slave.ask(m.RoleRequest(equal, None if version == OF10 else 1)).role == equal
    slave.do(flow("actions=drop"))


# --- what a version cannot say


FLOWS = [
    "ipv6,ipv6_dst=2001:db8::1,actions=set_field:2001:db8::2->ipv6_dst,output:1",
    "mpls,mpls_label=5,actions=pop_mpls:0x800,output:1",
    "reg3=7/0xf,metadata=9,actions=load:5->NXM_NX_REG1[],resubmit(,4)",
    "tcp,tp_dst=80/0xfff0,tcp_flags=+syn,actions=controller(max_len=5,id=3)",
    "dl_src=02:00:00:00:00:01/ff:00:00:00:00:01,vlan_tci=0x1000/0x1000,actions=strip_vlan,NORMAL",
    "ip,nw_ecn=2,ip_frag=later,nw_ttl=5,actions=dec_ttl,mod_nw_tos:8,output:2",
    "arp,arp_sha=02:00:00:00:00:01,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT",
    "dl_vlan=5,actions=write_metadata:7/0xff",
    "dl_vlan=5,actions=output:1,goto_table:9",
    "udp,actions=clear_actions,write_actions(output:1,set_field:5->udp_dst)",
    "actions=push_vlan:0x8100,set_field:4100->vlan_vid,output:1",
    "tun_id=5,actions=note:01.02.03,clone(output:1),enqueue:1:2,output:NXM_NX_REG0[0..15]",
    "icmp6,icmp_type=135,nd_target=fe80::1,actions=push:NXM_NX_REG0[],pop:NXM_NX_REG1[]",
]


@pytest.mark.parametrize("by", ["1.0", "nxm", "1.3"])
@pytest.mark.parametrize("text", FLOWS)
def test_any_flow_shows_in_any_version(world, text, by):
    """Whoever made a flow, all can list it, aggregate it and delete it, and hear of its end."""
    maker = world.client(OF13 if by == "1.3" else OF10)
    mod = flow(f"table=0,{text}", flags=m.SEND_FLOW_REM)
    try:
        raw = mod.encode(maker.version, 1, nxm=by == "nxm")
    except (ValueError, m.OFError):
        pytest.skip("this version cannot say it")
    maker.send(raw)
    errors = maker.barrier()
    if errors:
        pytest.skip(f"refused: {errors[0].name}")
    watchers = [world.client(OF10), world.client(OF10), world.client(OF13)]
    watchers[1].do(m.NxSetFlowFormat("nxm"))
    for number, watcher in enumerate(watchers):
        watcher.do(m.SetConfig(0, 128))
        reply = watcher.ask(m.FlowStatsRequest(nxm=number == 1))
        assert len(reply.flows) == 2
        assert watcher.ask(m.AggregateRequest(nxm=number == 1)).n_flows == 2
    watchers[2].do(flow("", m.DELETE, table_id=None))
    for watcher in watchers:
        removed = watcher.wait_for(m.FlowRemoved)
        assert removed.reason == m.OFPRR_DELETE
    assert dump(watchers[2]) == []
