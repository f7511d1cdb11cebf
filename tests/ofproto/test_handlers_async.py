"""What a bridge says unasked: PACKET_IN, FLOW_REMOVED, PORT_STATUS, to whom and in which form."""

import time

import pytest
from scapy.all import IP, UDP, Ether

from ofproto.codec import messages as m
from ofproto.codec.actions import DecTtl, Output
from ofproto.codec.actions.base import parse_actions
from ofproto.codec.match_text import parse_match
from ofproto.codec.messages.core import INVALID_TTL_TO_CONTROLLER
from ofproto.codec.numbers import (
    OFPP_CONTROLLER,
    OFPP_NONE,
    OFPP_TABLE,
    OFPPC_NO_PACKET_IN,
    OFPPS_LINK_DOWN,
)
from pyvs import clock
from tests.ofproto.bridge_world import World, dump, flow, frame

OF10, OF12, OF13, OF15 = 1, 3, 4, 6
ALL_BITS = (0x3F, 0x3F)


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def asking(world, version=OF13, miss_send_len=128):
    """A tool's connection that asks for asynchronous messages, as ovs-ofctl monitor does."""
    client = world.client(version)
    client.do(m.SetConfig(0, miss_send_len))
    return client


def nothing(client, kind):
    """No such message has come by the time of a barrier."""
    return not [each for each in client.barrier() if isinstance(each, kind)]


# --- PACKET_IN


def test_table_miss_flow_of_1_3(world):
    client = world.controller()
    packet = frame(300)
    client.do(flow("cookie=9,priority=0 actions=CONTROLLER:100"))
    world.send(2, packet)
    message = client.wait_for(m.PacketIn)
    assert (message.packet, message.total_len, message.reason) == (
        packet,  # all of it: there are no buffers
        300,
        m.OFPR_NO_MATCH,
    )
    assert (message.in_port, message.table_id, message.cookie) == (2, 0, 9)
    assert message.buffer_id is None


def test_an_action_is_told_whatever_the_miss_send_len(world):
    """SET_CONFIG's length is for misses only (Faucet sets 0)."""
    client = world.controller()
    client.do(m.SetConfig(0, 0))
    packet = frame(300)
    client.do(flow("table=0,in_port=1 actions=goto_table:3"))
    whole = [Output(OFPP_CONTROLLER, 0xFFFF)]
    mod = flow("table=3,priority=7,cookie=5 actions=drop")
    mod.instructions = flow("actions=output:1").instructions
    mod.instructions[0].actions = whole
    client.do(mod)
    world.send(1, packet)
    message = client.wait_for(m.PacketIn)
    assert (message.packet, message.reason, message.table_id) == (packet, m.OFPR_ACTION, 3)


def test_implicit_miss_is_for_versions_before_1_3(world):
    old, new = world.controller(OF10, "old"), world.controller(OF13, "new")
    packet = frame(300)
    world.send(3, packet)
    message = old.wait_for(m.PacketIn)
    assert (message.packet, message.total_len) == (packet, 300)
    assert (message.reason, message.in_port) == (m.OFPR_NO_MATCH, 3)
    old.do(m.SetConfig(0, 60))
    world.send(2, packet)
    assert old.wait_for(m.PacketIn).packet == packet
    assert nothing(new, m.PacketIn)


def test_no_miss_where_nobody_wants_it(world):
    world.controller(OF13)
    world.send(1, frame())
    world.until(lambda: world.backer.dpif.stats()["misses"] == 1)
    world.turn()
    assert not world.bridge.xbridge.miss_to_controller


def test_services_ask_by_a_miss_send_len(world):
    silent, listening = world.client(), asking(world)
    listening.do(flow("actions=controller"))
    world.send(1, frame())
    listening.wait_for(m.PacketIn)
    assert nothing(silent, m.PacketIn)


def test_controller_ids(world):
    one, two = asking(world), asking(world)
    two.do(m.NxSetControllerId(7))
    two.do(flow("in_port=1 actions=controller(id=7)"), flow("in_port=2 actions=controller"))
    world.send(1, frame())
    assert two.wait_for(m.PacketIn).in_port == 1
    world.send(2, frame())
    assert one.wait_for(m.PacketIn).in_port == 2
    assert nothing(two, m.PacketIn)


@pytest.mark.parametrize("version", [OF10, OF13])
def test_nicira_packet_in(world, version):
    client = asking(world, version)
    client.do(m.NxSetPacketInFormat("nxt_packet_in"))
    mod = flow("table=0,cookie=3,priority=6 actions=load:5->NXM_NX_REG1[],controller")
    client.do(mod)
    packet = frame(80)
    world.send(1, packet)
    message = client.wait_for(m.PacketIn)
    assert message.format == "nxt_packet_in"
    assert (message.packet, message.cookie, message.match.get("reg1")) == (
        packet,
        3,
        (5, 0xFFFFFFFF),
    )


def test_pipeline_fields_of_a_packet_in(world):
    client = asking(world)
    client.do(flow("table=0 actions=write_metadata:0xabc/0xfff,goto_table:1"))
    client.do(flow("table=1 actions=controller"))
    world.send(3, frame())
    message = client.wait_for(m.PacketIn)
    assert message.match.get("metadata") == (0xABC, (1 << 64) - 1)
    assert message.match.get("in_port")[0] == 3


def test_invalid_ttl(world):
    client = world.controller()
    client.do(flow("ip actions=dec_ttl,output:2"))
    packet = bytes(Ether() / IP(ttl=1) / UDP())
    world.send(1, packet)
    assert nothing(client, m.PacketIn)
    client.do(m.SetAsync({"packet_in": ALL_BITS}))
    world.send(1, packet)
    assert client.wait_for(m.PacketIn).reason == m.OFPR_INVALID_TTL


def test_invalid_ttl_that_nobody_is_told_of(world):
    """dec_ttl with an empty list of controllers, as OVN has it for its routers."""
    client = world.controller()
    quiet = flow("ip actions=dec_ttl,output:2")
    quiet.instructions[0].actions[0] = DecTtl(())
    client.do(quiet)
    assert dump(client) == ["ip actions=dec_ttl(),output:2"]
    client.do(m.SetAsync({"packet_in": ALL_BITS}))
    world.send(1, bytes(Ether() / IP(ttl=1) / UDP()))
    world.send(1, bytes(Ether() / IP(ttl=2) / UDP()))
    world.until(lambda: world.received(2), what="the packet that lives")
    assert nothing(client, m.PacketIn)


def test_set_config_asks_invalid_ttl_for_a_master(world):
    """The flag is a bit of the master's mask: a later mask counts, a slave's is its own."""
    client = world.controller(OF12)
    client.do(flow("ip actions=dec_ttl,output:2"))
    packet = bytes(Ether() / IP(ttl=1) / UDP())
    client.do(m.SetConfig(INVALID_TTL_TO_CONTROLLER, 128))
    world.send(1, packet)
    assert client.wait_for(m.PacketIn).reason == m.OFPR_INVALID_TTL
    client.do(m.SetAsync({"packet_in": (0, 1 << m.OFPR_INVALID_TTL)}))
    world.send(1, packet)
    assert nothing(client, m.PacketIn)
    client.do(m.RoleRequest("slave", 1))
    world.send(1, packet)
    assert client.wait_for(m.PacketIn).reason == m.OFPR_INVALID_TTL


def test_an_action_that_says_no_match_is_no_miss(world):
    """1.3 has no implicit misses to tell, but what a rule's action says is told."""
    client = asking(world)
    packet = frame(90)
    client.do(m.PacketOut(packet, 1, parse_actions("controller(reason=no_match,max_len=50)")))
    message = client.wait_for(m.PacketIn)
    assert (message.packet, message.reason) == (packet, m.OFPR_NO_MATCH)


def test_a_port_whose_misses_are_not_told(world):
    client = world.controller(OF10)
    mac = world.bridge.ports[1].hw_addr
    client.do(m.PortMod(1, mac, OFPPC_NO_PACKET_IN, OFPPC_NO_PACKET_IN))
    world.send(1, frame())
    world.until(lambda: world.backer.dpif.stats()["misses"] == 1)
    world.send(2, frame(70))
    assert client.wait_for(m.PacketIn).in_port == 2
    assert nothing(client, m.PacketIn)


def test_packet_out_to_controller_and_through_the_table(world):
    client = asking(world)
    packet = frame(90)
    client.do(m.PacketOut(packet, 1, [Output(OFPP_CONTROLLER, 50)]))
    message = client.wait_for(m.PacketIn)
    assert (message.packet, message.total_len, message.in_port) == (packet, 90, 1)
    client.do(flow("in_port=1 actions=controller"))
    client.do(m.PacketOut(packet, 1, [Output(0xFFF9)]))
    assert client.wait_for(m.PacketIn).packet == packet


def test_rate_limit(world):
    """What comes too fast waits, then is lost; the peer is not flooded."""
    client = world.controller(OF13, controller_rate_limit=100, controller_burst_limit=5)
    client.do(flow("actions=controller"))
    clock.stop()
    try:
        for _ in range(50):
            world.send(1, frame())
        peer = world.bridge.connmgr.controllers[world._configs[0].target].peer
        limiter = peer.scheduler.by_kind["action"]
        world.until(lambda: limiter.waiting == 45, "packet-ins")
        told = world.bridge.connmgr.controllers[world._configs[0].target].status(clock.msec())
        counts = [told[f"packet-in-action-{what}"] for what in ("bypassed", "queued", "backlog")]
        assert counts == ["5", "45", "45"] and told["packet-in-miss-queued"] == "0"
        assert len(client.barrier()) == 5
        for ms, more in ((10, 1), (30, 3), (1000, 5)):
            clock.warp(ms)
            world.turn()
            assert len(client.barrier()) == more
    finally:
        clock._State.stopped_at = None


# --- where a PACKET_OUT comes from


@pytest.mark.parametrize("port", [OFPP_NONE, OFPP_CONTROLLER, 1])
def test_packet_out_comes_back_from_the_port_that_it_names(world, port):
    client = asking(world)
    client.do(m.PacketOut(frame(77), port, [Output(OFPP_CONTROLLER)]))
    assert client.wait_for(m.PacketIn).in_port == port


def test_pipeline_fields_of_a_packet_out(world):
    """1.5 says metadata and registers beside the port: tables see them, and so do packet-ins."""
    client = asking(world, OF15)
    client.do(flow("metadata=7,reg3=9,tun_id=5,in_port=1 actions=controller"))
    match = parse_match("metadata=7,reg3=9,tun_id=5")
    client.do(m.PacketOut(frame(77), 1, [Output(OFPP_TABLE)], match=match))
    told = client.wait_for(m.PacketIn).match
    assert [told.get(name)[0] for name in ("metadata", "reg3")] == [7, 9]
    other = m.PacketOut(frame(77), 1, [], match=parse_match("metadata=7,eth_src=1:2:3:4:5:6"))
    assert client.refused(other) == "OFPBRC_PIPELINE_FIELDS_ONLY"


# --- masks, roles


def test_set_async(world):
    client = world.controller()
    assert client.ask(m.GetAsyncRequest()).masks["port_status"] == (7, 7)
    masks = {"packet_in": (0, 1), "port_status": (4, 1), "flow_removed": (8, 0)}
    client.do(m.SetAsync(masks))
    assert client.ask(m.GetAsyncRequest()).masks == masks
    client.do(flow("priority=7 actions=controller", flags=m.SEND_FLOW_REM))
    world.add_port("p4", 4)  # ADD, then MODIFY, when it is live: only the second is wanted
    found = client.barrier()
    assert [each.reason for each in found if isinstance(each, m.PortStatus)] == [m.OFPPR_MODIFY]
    world.bridge.port_update("p4", link_up=False)
    found = client.barrier()
    assert {each.reason for each in found if isinstance(each, m.PortStatus)} == {m.OFPPR_MODIFY}
    world.send(1, frame())
    client.do(flow("", m.DELETE))
    assert nothing(client, (m.PacketIn, m.FlowRemoved))
    client.do(m.SetAsync({**masks, "flow_removed": (4, 0)}))
    client.do(flow("priority=7 actions=drop", flags=m.SEND_FLOW_REM), flow("", m.DELETE))
    assert client.wait_for(m.FlowRemoved).reason == m.OFPRR_DELETE


def test_what_a_slave_hears(world):
    master, slave = world.controller(OF13, "a"), world.controller(OF13, "b")
    assert master.ask(m.RoleRequest("master", 1)).role == "master"
    assert slave.ask(m.RoleRequest("slave", 1)).role == "slave"
    master.do(flow("actions=controller", flags=m.SEND_FLOW_REM))
    world.send(1, frame())
    master.wait_for(m.PacketIn)
    master.do(flow("", m.DELETE))
    master.wait_for(m.FlowRemoved)
    world.bridge.port_del(3)
    assert slave.wait_for(m.PortStatus).port.port_no == 3
    assert nothing(slave, (m.PacketIn, m.FlowRemoved))


def test_a_new_master_makes_a_slave_of_the_old(world):
    one, two = world.controller(OF13, "a"), world.controller(OF13, "b")
    one.ask(m.RoleRequest("master", 1))
    two.ask(m.RoleRequest("master", 2))
    assert one.refused(flow("actions=drop")) == "OFPBRC_IS_SECONDARY"
    roles = [each.role for each in world.bridge.controller_status()]
    assert roles == ["slave", "master"]
    two.do(flow("actions=drop"))
    two.close()
    world.until(lambda: not world.bridge.controller_status()[1].is_connected)
    assert one.ask(m.RoleRequest("nochange", 0)).role == "slave"


def test_async_messages_off(world):
    client = world.controller(OF13, enable_async_messages=False)
    client.do(flow("actions=controller", flags=m.SEND_FLOW_REM))
    world.send(1, frame())
    client.do(flow("", m.DELETE))
    world.bridge.port_del(3)
    assert client.barrier() == []


# --- FLOW_REMOVED


@pytest.mark.parametrize("version", [OF10, OF13])
def test_timeouts(world, version):
    client = asking(world, version)
    client.do(
        flow("cookie=1,priority=5,in_port=1,hard_timeout=2 actions=drop", flags=m.SEND_FLOW_REM),
        flow("cookie=2,priority=5,in_port=2,idle_timeout=1 actions=drop", flags=m.SEND_FLOW_REM),
        flow("cookie=3,in_port=3,hard_timeout=1 actions=drop"),
    )
    clock.warp(1700)
    idle = client.wait_for(m.FlowRemoved)
    assert (idle.reason, idle.cookie, idle.priority) == (m.OFPRR_IDLE_TIMEOUT, 2, 5)
    assert (idle.idle_timeout, idle.duration_sec) == (1, 1)
    clock.warp(500)
    hard = client.wait_for(m.FlowRemoved)
    assert (hard.reason, hard.cookie, hard.duration_sec) == (m.OFPRR_HARD_TIMEOUT, 1, 2)
    if version == OF13:
        assert (hard.hard_timeout, hard.table_id) == (2, 0)
    assert nothing(client, m.FlowRemoved)
    assert dump(client) == ["priority=0 actions=NORMAL"]


@pytest.fixture
def true_clock(monkeypatch):
    """The datapath's clock cannot be warped: neither is ours, from before there is a world."""
    monkeypatch.setattr(clock._State, "ahead", 0.0)


def test_packets_keep_an_idle_flow(true_clock, world):
    client = asking(world)
    client.do(flow("in_port=1,idle_timeout=1 actions=output:2", flags=m.SEND_FLOW_REM))
    packet, sent = frame(100), 0
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        world.send(1, packet)
        world.expect({2: [packet]})
        sent += 1
        pause = time.monotonic() + 0.2
        world.until(lambda pause=pause: time.monotonic() > pause)
    assert count(client) == sent
    removed = client.wait_for(m.FlowRemoved)
    assert (removed.reason, removed.n_packets) == (m.OFPRR_IDLE_TIMEOUT, sent)


def count(client):
    reply = client.ask(m.AggregateRequest(match=flow("in_port=1 actions=drop").match))
    return reply.n_packets


def test_removed_by_delete_and_not_by_replacement(world):
    client = asking(world)
    client.do(flow("cookie=1 actions=drop", flags=m.SEND_FLOW_REM))
    client.do(flow("cookie=2 actions=drop", flags=m.SEND_FLOW_REM))
    assert nothing(client, m.FlowRemoved)
    client.do(flow("", m.DELETE))
    assert client.wait_for(m.FlowRemoved).cookie == 2
    assert nothing(client, m.FlowRemoved)


# --- PORT_STATUS


@pytest.mark.parametrize("version", [OF10, OF13])
def test_port_status(world, version):
    client = asking(world, version)
    world.bridge.port_add("p4", "dummy", 4)
    status = client.wait_for(m.PortStatus)
    assert (status.reason, status.port.name, status.port.port_no) == (m.OFPPR_ADD, "p4", 4)
    world.bridge.port_update("p1", admin_up=True, link_up=False)
    status = client.wait_for(m.PortStatus)
    assert (status.reason, status.port.name) == (m.OFPPR_MODIFY, "p1")
    assert status.port.state & OFPPS_LINK_DOWN
    world.bridge.port_update("p1", admin_up=True, link_up=False)  # nothing new
    world.bridge.port_del(4)
    status = client.wait_for(m.PortStatus)
    assert (status.reason, status.port.name) == (m.OFPPR_DELETE, "p4")
    assert nothing(client, m.PortStatus)


def test_port_status_is_not_lost_in_the_handshake(world):
    """After HELLO, before FEATURES."""
    client = world.controller()
    world.bridge.port_del(2)
    xid = client.send(m.FeaturesRequest())
    client.reply(xid)
    assert client.wait_for(m.PortStatus).port.port_no == 2


# --- what one controller causes and others hear


@pytest.mark.parametrize("version", range(1, 7))
def test_who_loses_mastership_is_told(world, version):
    """From 1.3 on, by its own message there; and not when its masks are against it."""
    one, two = world.controller(version, "one"), world.controller(OF13, "two")
    one.ask(m.RoleRequest("master", 5 if version > 2 else None))
    two.ask(m.RoleRequest("master", 7))
    if version < OF13:
        assert nothing(one, m.RoleStatus)
        return
    told = one.wait_for(m.RoleStatus)
    assert told == m.RoleStatus("slave", m.R_MASTER_REQUEST, 7)
    assert nothing(two, m.RoleStatus)
    if version > OF13:
        one.do(m.SetAsync({"role_status": (None, 0)}))
        assert one.ask(m.GetAsyncRequest()).masks["role_status"] == (7, 0)
        one.ask(m.RoleRequest("master", 8))
        two.wait_for(m.RoleStatus)
        two.ask(m.RoleRequest("master", 9))
        assert nothing(one, m.RoleStatus)


@pytest.mark.parametrize("version", range(1, 7))
def test_requests_of_others_are_forwarded(world, version):
    source, hears = world.controller(OF13, "source"), world.controller(version, "hears")
    silent = world.controller(version, "silent")
    source.do(m.SetAsync({"requestforward": (3, 3)}, True))
    hears.do(m.SetAsync({"requestforward": (3, 0)}, True))
    bucket = m.Bucket(actions=[Output(2)])
    add = m.GroupMod(m.GROUP_ADD, m.GROUP_ALL, 7, [bucket])
    source.do(add)
    inner = m.decode(hears.wait_for(m.RequestForward).message)
    assert (inner.command, inner.group_id) == (m.GROUP_ADD, 7)
    assert inner.buckets[0].actions == [Output(2)]
    assert source.refused(add) == "OFPGMFC_GROUP_EXISTS"
    source.do(m.MeterMod(m.METER_ADD, 1, 3, [m.Band(m.BAND_DROP, 100, 10)]))
    if version >= OF13:
        assert m.decode(hears.wait_for(m.RequestForward).message).meter_id == 3
    assert nothing(hears, m.RequestForward)  # of what was refused, and in 1.2 of meters
    for client in (source, silent):
        assert nothing(client, m.RequestForward)
    hears.do(m.GroupMod(m.GROUP_DELETE, m.GROUP_ALL, m.OFPG_ALL, []))
    forwarded = m.decode(source.wait_for(m.RequestForward).message)
    assert (forwarded.command, forwarded.group_id) == (m.GROUP_DELETE, m.OFPG_ALL)
