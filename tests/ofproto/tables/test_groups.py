"""Groups of a bridge on a real datapath: GROUP_MODs and their errors, statistics, flows that go
with their group, and where packets go."""

import pytest
from scapy.all import IP, UDP, Ether

from datapath.actions.text import odp_text
from ofproto.codec import messages as m
from ofproto.codec.actions import Group, Output
from ofproto.codec.numbers import OFPP_CONTROLLER
from ofproto.tables import group as group_table
from ofproto.tables import sizes
from ofproto.text.group_text import parse_group
from ofproto.text.message_text import Style, format_message
from tests.ofproto.bridge_world import dump, flow, frame

OF10, OF13 = 1, 4
PACKET = frame(1, 2)


@pytest.fixture
def client(world):
    return world.client(OF13)


def group(text, command=m.GROUP_ADD):
    return parse_group(text, command)


def groups(client):
    """What GROUP_DESC tells, as lines of text."""
    reply = client.ask(m.GroupDescRequest())
    text = format_message(reply, reply.encode(OF13), Style())
    return [line.strip() for line in text.splitlines()[1:]]


def stats(client, number=m.OFPG_ALL):
    return client.ask(m.GroupStatsRequest(number)).groups


# --- GROUP_MOD


def test_add_modify_delete(client):
    lines = [
        "group_id=1,type=all,bucket=actions=output:1,bucket=actions=set_field:5->ip_dscp,output:2",
        "group_id=2,type=select,bucket=weight:3,watch_port:2,actions=output:1,bucket=actions=drop",
        "group_id=3,type=indirect,bucket=actions=group:2",
        "group_id=4,type=ff,bucket=watch_port:1,watch_group:3,actions=output:2",
        "group_id=5,type=all",
    ]
    client.do(*map(group, lines))
    assert groups(client) == lines
    changed = "group_id=2,type=ff,bucket=watch_group:77,actions=output:3"
    client.do(group(changed, m.GROUP_MODIFY))
    assert groups(client)[1] == changed
    client.do(
        group("group_id=4", m.GROUP_DELETE),
        group("group_id=4", m.GROUP_DELETE),
        group("group_id=5,type=all,bucket=output:1", m.GROUP_ADD_OR_MODIFY),
        group("group_id=6,type=all,bucket=output:1", m.GROUP_ADD_OR_MODIFY),
    )
    assert [line.partition(",")[0] for line in groups(client)] == [
        f"group_id={number}" for number in (1, 2, 3, 5, 6)
    ]
    client.do(group("", m.GROUP_DELETE))
    assert groups(client) == []


ALL, SELECT, INDIRECT, FF = range(4)
ADD, MODIFY, DELETE = range(3)
OUT = [Output(1)]
REFUSED = {
    "there already": ((ADD, ALL, 1), "OFPGMFC_GROUP_EXISTS"),
    "not there": ((MODIFY, ALL, 2), "OFPGMFC_UNKNOWN_GROUP"),
    "reserved number": ((ADD, ALL, 0xFFFFFF01), "OFPGMFC_INVALID_GROUP"),
    "all": ((ADD, ALL, m.OFPG_ALL), "OFPGMFC_INVALID_GROUP"),
    "indirect, none": ((ADD, INDIRECT, 2), "OFPGMFC_INVALID_GROUP"),
    "indirect, two": ((ADD, INDIRECT, 2, [m.Bucket(), m.Bucket()]), "OFPGMFC_INVALID_GROUP"),
    "weight": ((ADD, ALL, 2, [m.Bucket(1)]), "OFPGMFC_INVALID_GROUP"),
    "all, watching": ((ADD, ALL, 2, [m.Bucket(watch_port=1)]), "OFPGMFC_WATCH_UNSUPPORTED"),
    "indirect, watching": (
        (ADD, INDIRECT, 2, [m.Bucket(watch_group=1)]),
        "OFPGMFC_WATCH_UNSUPPORTED",
    ),
    "ff, not watching": ((ADD, FF, 2, [m.Bucket(0, 1), m.Bucket()]), "OFPGMFC_INVALID_GROUP"),
    "deleting with weights": ((DELETE, ALL, 1, [m.Bucket(5)]), "OFPGMFC_INVALID_GROUP"),
    "no port": ((ADD, ALL, 2, [m.Bucket(actions=[Output(0xFFFF)])]), "OFPBAC_BAD_OUT_PORT"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(client, name):
    client.do(group("group_id=1,type=all,bucket=output:1"))
    (command, kind, number, *buckets), error = REFUSED[name]
    mod = m.GroupMod(command, kind, number, *buckets)
    assert client.refused(mod) == error
    assert groups(client) == ["group_id=1,type=all,bucket=actions=output:1"]


def test_malformed(client):
    raw = m.GroupMod(ADD, SELECT, 5, [m.Bucket(1, actions=OUT)]).encode(OF13)
    assert client.refused(raw[:8] + b"\0\3" + raw[10:]) == "OFPGMFC_BAD_COMMAND"
    assert client.refused(raw[:10] + b"\4" + raw[11:]) == "OFPGMFC_BAD_TYPE"
    assert client.refused(raw[:16] + b"\0\x08" + raw[18:]) == "OFPGMFC_BAD_BUCKET"
    assert client.refused(raw[:20] + b"\0\1\0\0" + raw[24:]) == "OFPGMFC_BAD_WATCH"
    assert client.refused(raw[:32] + b"\0\x63" + raw[34:]) == "OFPBAC_BAD_TYPE"
    assert groups(client) == []


def numbers(client, group=1):
    (found,) = client.ask(m.GroupDescRequest(group)).groups
    return [bucket.bucket_id for bucket in found.buckets]


def test_buckets_with_numbers(world, client):
    """Nicira's messages of 1.0, as ovs-ofctl sends them without -O."""
    old = world.client(OF10)
    insert, remove = m.GROUP_INSERT_BUCKET, m.GROUP_REMOVE_BUCKET

    def change(command, where, *ids):
        return m.GroupMod(command, ALL, 1, [m.Bucket(actions=OUT, bucket_id=i) for i in ids], where)

    client.do(group("group_id=1,type=select,bucket=output:1,bucket=output:2"))
    assert numbers(old) == [0, 1]
    old.do(flow("in_port=1 actions=group:1"), nxm=True)
    old.do(change(insert, m.BUCKET_FIRST, 7), change(insert, 0, 8, 9), change(insert, 1, 5))
    assert numbers(old) == [7, 0, 8, 9, 1, 5]
    assert old.refused(change(insert, 77, 20)) == "OFPGMFC_UNKNOWN_BUCKET"
    assert old.refused(change(insert, m.BUCKET_LAST, 20, 9)) == "OFPGMFC_BUCKET_EXISTS"
    assert old.refused(change(remove, 77)) == "OFPGMFC_UNKNOWN_BUCKET"
    assert old.refused(change(insert, m.BUCKET_ALL, 20)) == "OFPGMFC_BAD_BUCKET"
    unknown = m.GroupMod(remove, ALL, 2, [], 1)
    assert old.refused(unknown) == "OFPGMFC_UNKNOWN_GROUP"
    assert old.refused(change(m.GROUP_MODIFY, m.BUCKET_ALL, 3, 3)) == "OFPGMFC_BAD_BUCKET"
    old.do(change(remove, m.BUCKET_LAST), change(remove, 8), change(remove, m.BUCKET_FIRST))
    assert numbers(old) == [0, 9, 1]
    kept = groups(client), old.ask(m.GroupDescRequest()).groups
    world.bridge.log._start(0)
    world.until(lambda: not world.bridge.log._journal.rewriting, "a shorter journal")
    world.stop()
    world.start()
    client, old = world.client(OF13), world.client(OF10)
    assert (groups(client), old.ask(m.GroupDescRequest()).groups) == kept
    assert old.ask(m.GroupStatsRequest(1)).groups[0].ref_count == 1
    old.do(change(remove, m.BUCKET_ALL))
    assert numbers(old) == [] and old.ask(m.GroupDescRequest(2)).groups == []
    assert old.ask(m.GroupFeaturesRequest()).actions == (0xFFF,) * 4


def selection(method, parameter=0):
    """A GROUP_MOD of 1.0 that says how to select."""
    raw = m.GroupMod(ADD, SELECT, 5, [m.Bucket(1, actions=OUT)]).encode(OF10)
    head = b"\xff\xff\0\x28\0\0\x15\x4d\0\0\0\1\0\0\0\0"
    raw += head + method.ljust(16, b"\0") + parameter.to_bytes(8, "big")
    return raw[:2] + len(raw).to_bytes(2, "big") + raw[4:]


def test_selection_method(world):
    old = world.client(OF10)
    for method in (b"nosuch", b"\xff"):
        assert old.refused(selection(method)) == "OFPBPC_BAD_VALUE"
    assert old.refused(selection(b"", 5)) == "OFPBPC_BAD_VALUE"
    for parameter in (0, 5, 1 << 32, 3 << 32):  # as Open vSwitch 3.1; OVN has 1 << 32 for ECMP
        old.do(selection(b"dp_hash", parameter))
        assert numbers(old, 5) == [0]
        old.do(group("group_id=5", m.GROUP_DELETE))


def test_features(client):
    reply = client.ask(m.GroupFeaturesRequest())
    assert (reply.types, reply.capabilities) == (0xF, 7)
    assert reply.max_groups == (0xFFFFFF00,) * 4
    assert all(bits >> 22 & 1 and bits & 1 for bits in reply.actions)
    table = client.ask(m.TableFeaturesRequest(None)).tables[0]
    assert 22 in table.properties["apply_actions"] and 22 in table.properties["write_actions"]


def test_a_slave_changes_nothing(world):
    controller = world.controller()
    controller.ask(m.RoleRequest("slave", 1))
    mod = group("group_id=1,type=all,bucket=output:1")
    assert controller.refused(mod) == "OFPBRC_IS_SECONDARY"


# --- flows and groups


def test_a_flow_names_groups_that_exist(client):
    client.do(group("group_id=1,type=all,bucket=group:9"))  # a bucket may name what comes later
    for actions in ("group:2", "group:1,group:2", "write_actions(group:2)", "clone(group:2)"):
        assert client.refused(flow(f"actions={actions}")) == "OFPBAC_BAD_OUT_GROUP"
    out = m.PacketOut(PACKET, OFPP_CONTROLLER, [Group(2)])
    assert client.refused(out) == "OFPBAC_BAD_OUT_GROUP"
    client.do(flow("in_port=1 actions=group:1"))
    assert client.refused(flow("in_port=1 actions=group:2", m.MODIFY)) == "OFPBAC_BAD_OUT_GROUP"


def test_references(client):
    """ref_count, out_group, and flows that end with their group."""
    client.do(group("group_id=1,type=all"), group("group_id=2,type=all,bucket=group:1"))
    client.do(
        flow("in_port=1 actions=group:1,group:1"),
        flow("in_port=2,send_flow_rem,cookie=7 actions=clone(group:1),output:1"),
        flow("in_port=3 actions=write_actions(group:2)"),
        flow("in_port=3,priority=9 actions=group:2"),
        flow("in_port=4 actions=output:1"),
    )

    def counts():
        return [each.ref_count for each in stats(client)]

    assert counts() == [2, 2]
    assert dump(client, "out_group=2") == [
        "in_port=3 actions=write_actions(group:2)",
        "priority=9,in_port=3 actions=group:2",
    ]
    request = m.AggregateRequest(out_group=1)
    assert client.ask(request).n_flows == 2
    client.do(flow("in_port=1 actions=group:2", m.MODIFY))
    assert counts() == [1, 3]
    client.do(flow("in_port=3", m.DELETE, out_group=2))
    assert counts() == [1, 1]
    client.do(flow("in_port=2,cookie=9,send_flow_rem actions=group:1"))  # in the other's place
    assert counts() == [1, 1]


def test_deletion_of_a_group_deletes_its_flows(world):
    controller = world.controller()
    controller.do(
        group("group_id=1,type=all,bucket=output:1"),
        group("group_id=2,type=all,bucket=group:1"),
        flow("in_port=1,cookie=7,send_flow_rem actions=output:3,group:1"),
        flow("in_port=2 actions=write_actions(group:1)"),
        flow("in_port=3 actions=group:2"),
        group("group_id=1", m.GROUP_DELETE),
    )
    gone = controller.wait_for(m.FlowRemoved)
    assert (gone.cookie, gone.reason) == (7, m.OFPRR_GROUP_DELETE)
    assert dump(controller) == ["in_port=3 actions=group:2"]
    controller.do(group("", m.GROUP_DELETE))
    assert dump(controller) == []
    assert [each for each in controller.unasked if isinstance(each, m.FlowRemoved)] == []


# --- packets


def test_all_and_indirect(world, client):
    client.do(
        group("group_id=1,type=all,bucket=set_field:00:00:00:00:00:77->eth_dst,output:2,"
              "bucket=output:3"),
        group("group_id=2,type=indirect,bucket=group:1"),
        flow("in_port=1 actions=group:2"),
    )  # fmt: skip
    other = bytes.fromhex("000000000077") + PACKET[6:]
    for _ in range(3):
        world.send(1, PACKET)
        world.expect({2: [other], 3: [PACKET]})
    size = len(PACKET)
    world.until(lambda: stats(client)[0].n_packets == 3, "the counters")
    one, two = stats(client)
    assert (one.n_packets, one.n_bytes) == (two.n_packets, two.n_bytes) == (3, 3 * size)
    assert one.buckets == [(3, 3 * size)] * 2 and two.buckets == [(3, 3 * size)]
    client.do(group("group_id=1,type=all,bucket=output:3", m.GROUP_MODIFY))
    until_flows(world, 3)
    world.send(1, PACKET)
    world.expect({3: [PACKET]})
    wanted = [[(1, size)], [(4, 4 * size)]]
    world.until(lambda: [each.buckets for each in stats(client)] == wanted, "the counters")


def flows_of(world):
    return [odp_text.format_actions(each.actions) for each in world.backer.dpif.flow_dump()]


def until_flows(world, *outputs):
    """Waits until the datapath has these flows only: an OpenFlow port each, or None."""
    ports = world.bridge.ports
    wanted = [str(ports[number].odp_port) if number else "drop" for number in outputs]
    world.until(lambda: flows_of(world) == wanted, f"flows {wanted}")


def test_a_bucket_with_an_i_tag_leaves_the_others_alone(world, client):
    """What a bucket puts in front of the frame or takes off is not there for the next one."""
    client.do(
        group(
            "group_id=1,type=all,bucket=output:2,push_pbb:0x88e7,set_field:5->pbb_isid,"
            "bucket=set_field:1->ip_dscp,output:3,bucket=pop_pbb,dec_ttl,output:2"
        ),
        group("group_id=2,type=all,bucket=pop_pbb,output:2,bucket=push_pbb:0x88e7,output:2"),
        flow("in_port=1 actions=set_field:00:00:00:00:00:09->eth_src,group:1,output:3"),
        flow("in_port=3,dl_type=0x88e7 actions=push_pbb:0x88e7,group:2,output:1"),
    )
    (packet,) = connections(1)
    changed = packet[:6] + bytes.fromhex("000000000009") + packet[12:]
    marked, older = Ether(changed), Ether(changed)
    marked[IP].tos = 4
    older[IP].ttl = 63
    del marked[IP].chksum, older[IP].chksum

    def tagged(frame):
        return frame[:12] + b"\x88\xe7\0\0\0\5" + frame[:12] + frame[12:]

    world.send(1, packet)
    world.expect({2: [tagged(changed), bytes(older)], 3: [bytes(marked), changed]})
    once = tagged(changed)
    world.send(3, once)
    world.expect({2: [once, tagged(tagged(once))], 1: [tagged(once)]})


def test_packet_out(world, client):
    client.do(
        group("group_id=1,type=all,bucket=output:2"),
        group("group_id=2,type=select,bucket=output:3,bucket=output:3"),
    )
    client.do(m.PacketOut(PACKET, OFPP_CONTROLLER, [Group(1), Group(2)]))
    world.expect({2: [PACKET], 3: [PACKET]})


def connections(n):
    for number in range(n):
        ether = Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02")
        ip = IP(src="10.0.0.1", dst=f"10.0.1.{number % 200 + 1}")
        yield bytes(ether / ip / UDP(sport=1000 + number, dport=53))


def where_to(world, packets):
    """Sends them to port 1; which ones came out of ports 2 and 3."""
    seen = {2: [], 3: []}
    for packet in packets:
        world.send(1, packet)

    def all_there():
        for port, found in seen.items():
            found += world.received(port)
        return sum(map(len, seen.values())) == len(packets)

    world.until(all_there, "all packets")
    return {port: set(found) for port, found in seen.items()}


def test_select_spreads_connections_over_few_flows(world, client):
    client.do(
        group("group_id=1,type=select,bucket=weight:3,output:2,bucket=output:3"),
        flow("in_port=1 actions=group:1"),
    )
    packets = list(connections(400))
    went = [where_to(world, packets) for _ in range(2)]
    assert went[0] == went[1]  # a connection stays with its bucket
    assert 250 < len(went[0][2]) < 350
    world.until(lambda: stats(client)[0].n_packets == 800, "the counters")
    (one,) = stats(client)
    assert one.buckets[0][0] == 2 * len(went[0][2]) and one.buckets[1][0] == 2 * len(went[0][3])
    assert len(flows_of(world)) <= 17  # the hash, and 16 slots


def test_weights_too_uneven_for_slots(world, client):
    client.do(
        group("group_id=1,type=select,bucket=weight:65535,output:2,bucket=output:3"),
        flow("in_port=1 actions=group:1"),
    )
    packets = list(connections(20))
    assert where_to(world, packets) == {2: set(packets), 3: set()}
    assert "hash" not in "".join(flows_of(world))


def links(world, *up):
    for number in (1, 2, 3):
        world.bridge.port_update(f"p{number}", link_up=number in up)


def test_fast_failover_follows_the_links(world, client):
    client.do(
        group("group_id=9,type=ff,bucket=watch_port:3,output:2"),
        group("group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_group:9,output:3"),
        flow("in_port=1 actions=group:1"),
    )
    world.send(1, PACKET)
    world.expect({2: [PACKET]})
    for up, wanted in (((1, 3), 3), ((1, 2), 2), ((1,), None), ((2, 3), 2)):
        links(world, *up)
        until_flows(world, wanted)
        world.send(1, PACKET)
        world.expect({wanted: [PACKET]} if wanted else {})


def test_select_leaves_dead_buckets_out(world, client):
    client.do(
        group("group_id=1,type=select,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3"),
        flow("in_port=1 actions=group:1"),
    )
    links(world, 1, 3)
    packets = list(connections(20))
    assert where_to(world, packets) == {2: set(), 3: set(packets)}
    world.until(lambda: stats(client)[0].buckets[1][0] == 20, "the counters")


def test_groups_of_a_controller_end_with_its_rule(world, client):
    client.do(group("group_id=1,type=all,bucket=output:1"))
    controller = world.controller()
    assert groups(controller) == []
    controller.do(group("group_id=1,type=all,bucket=output:1"))
    world.bridge.set_controllers([])
    assert groups(client) == []


# --- over a restart


def test_groups_come_back_before_their_flows(world, client):
    client.do(
        group("group_id=1,type=all,bucket=output:1"),
        group("group_id=2,type=select,bucket=weight:5,watch_port:1,output:2,bucket=group:1"),
        group("group_id=3,type=indirect,bucket=output:3"),
        group("group_id=3,type=all", m.GROUP_MODIFY),
        flow("in_port=1 actions=group:2"),
        flow("in_port=2 actions=group:3"),
        group("group_id=3", m.GROUP_DELETE),
    )
    told, flows = groups(client), dump(client)
    for compact in (False, True):
        if compact:
            log = world.bridge.log
            log._start(0)
            world.until(lambda log=log: not log._journal.rewriting, "a shorter journal")
        world.stop()
        world.start()
        client = world.client(OF13)
        assert (groups(client), dump(client)) == (told, flows)
        assert [each.ref_count for each in stats(client)] == [0, 1]


def test_one_bucket_more_is_no_work_for_those_before(world, client, monkeypatch):
    """Each is compiled once, and its size in each form looked at twice at most."""
    compiled, sized = [], []
    real_compile, real_sizes = group_table.compile_actions, sizes._bucket_sizes
    monkeypatch.setattr(
        group_table, "compile_actions", lambda actions: compiled.append(1) or real_compile(actions)
    )
    monkeypatch.setattr(sizes, "_bucket_sizes", lambda *a: sized.append(1) or real_sizes(*a))
    old = world.client(OF10)
    old.do(group("group_id=1,type=all"))
    for number in range(120):
        text = f"group_id=1,command_bucket_id=last,bucket=bucket_id:{number},actions=output:1"
        old.send(group(text, m.GROUP_INSERT_BUCKET))
    assert not old.barrier()
    (found,) = client.ask(m.GroupDescRequest()).groups
    assert len(found.buckets) == 120
    assert len(compiled) == 120 and len(sized) <= 240
