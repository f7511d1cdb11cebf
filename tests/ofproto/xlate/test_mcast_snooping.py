"""The table of multicast groups against a plain model, and how NORMAL goes by it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import IP, UDP, Dot1Q, Ether, IPv6, Raw

from datapath.actions.text import odp_text
from ofproto.protocols.membership import Message, parse
from ofproto.xlate.bridges.mcast_snooping import McastSnooping, SnoopingSettings
from ofproto.xlate.translate import translate
from tests.ofproto import group_messages as g
from tests.ofproto.bridge_world import World as BridgeWorld
from tests.ofproto.group_messages import packed
from tests.ofproto.xlate_world import NORMAL, World, key_of, output


class Port:
    """What a bundle is to the table."""

    def __init__(self, name, flood=False, reports=False):
        self.name, self.mcast_flood, self.mcast_flood_reports = name, flood, reports

    def __repr__(self):
        return self.name


PORTS = [Port("a"), Port("b"), Port("flood", flood=True), Port("reports", reports=True)]
LIMIT, AGING, ROUTER = 10, 20_000, 180_000


class Model:
    """Lists, searched from one end to the other."""

    def __init__(self):
        self.groups, self.routers = [], []  # [key, [[port, heard]]], [vlan, port, heard]; by use

    def member(self, key):
        return next((each for each in self.groups if each[0] == key), None)

    def hear(self, kind, vlan, group, port, now):
        router = next((each for each in self.routers if each[:2] == [vlan, port]), None)
        if port.mcast_flood:
            return
        if kind == "query":
            self.routers = [each for each in self.routers if each is not router][-LIMIT:]
            if router is None and len(self.routers) == LIMIT:
                self.routers.pop(0)
            self.routers.append([vlan, port, now])
        elif kind == "join" and router is None:
            found = self.member((vlan, group)) or [(vlan, group), []]
            if found in self.groups:
                self.groups.remove(found)
            elif len(self.groups) == LIMIT:
                self.groups.pop(0)
            found[1] = [each for each in found[1] if each[0] is not port] + [[port, now]]
            self.groups.append(found)
        elif kind == "leave" and not port.mcast_flood_reports:
            self.drop(lambda key, each: key == (vlan, group) and each[0] is port)

    def drop(self, which):
        for key, members in self.groups:
            members[:] = [each for each in members if not which(key, each)]
        self.groups = [each for each in self.groups if each[1]]

    def run(self, now):
        self.drop(lambda key, each: each[1] + AGING <= now)
        self.routers = [each for each in self.routers if each[2] + ROUTER > now]

    def forget(self, port):
        self.drop(lambda key, each: each[0] is port)
        self.routers = [each for each in self.routers if each[1] is not port]

    def rows(self, now):
        rows = [
            (port, vlan, group, (now - heard) // 1000)
            for (vlan, group), members in self.groups
            for port, heard in members
        ]
        return rows + [
            (port, vlan, None, (now - heard) // 1000) for vlan, port, heard in self.routers
        ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*["join"] * 5, "leave", "query", "run", "run", "forget", "flush"]),
        st.integers(0, 2),  # VLAN
        st.integers(0, 8),  # group
        st.integers(0, 3),  # port
        st.integers(0, 9_000),  # ms that pass before
    ),
    max_size=120,
)


def forwarding(table):
    """What translation sees of a table."""
    keys = [(vlan, bytes((224, 1, 1, i))) for vlan in range(3) for i in range(9)]
    return (
        [set(table.members(*key) or ()) for key in keys],
        [set(table.routers(vlan)) for vlan in range(3)],
    )


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_against_the_model(steps):
    table, model, now = McastSnooping(), Model(), 0
    table.configure(SnoopingSettings(AGING // 1000, LIMIT))
    for kind, vlan, number, at, passed in steps:
        now += passed
        group, port, before = bytes((224, 1, 1, number)), PORTS[at], forwarding(table)
        if kind in ("join", "leave", "query"):
            joined = ((group, kind == "join"),) if kind != "query" else ()
            changed = table.hear(Message(kind == "query", joined), vlan, port, now)
            model.hear(kind, vlan, group, port, now)
        elif kind == "run":
            changed = table.run(now)
            model.run(now)
        elif kind == "forget":
            changed = table.forget_ports([port])
            model.forget(port)
        else:
            changed = table.flush()
            model.__init__()
        assert list(table.rows(now)) == model.rows(now)
        assert changed == (forwarding(table) != before)
        assert {p for _, p in table.all_routers()} == {row[1] for row in model.routers}
    assert len(table) == len(model.groups) <= LIMIT


def test_a_smaller_table_and_another_age():
    table = McastSnooping()
    for i in range(20):
        table.hear(Message(False, ((bytes((224, 1, 1, i)), True),)), 0, PORTS[0], 1000 * i)
    table.configure(SnoopingSettings(15, 12))
    assert [row[2][3] for row in table.rows(20_000)] == list(range(8, 20))
    assert table.run(25_000)
    assert [row[2][3] for row in table.rows(25_000)] == list(range(11, 20))


# --- NORMAL


@pytest.fixture
def world():
    made = World(5)
    made.rule([output(NORMAL)], priority=0)
    made.bridge.snooping_set(McastSnooping())
    return made


def hear(world, port, frame, vlan=0):
    """Learn from a frame as if it had come in; upcalls do so."""
    assert world.bridge.snooping.hear(parse(frame), vlan, world.bundles[port], 0) in (True, False)
    world.bridge.touch()


def result(world, frame, in_port=1):
    return translate(world.bridge, key_of(frame, in_port), trace=True)


def ports(world, frame, in_port=1):
    """The datapath ports less 10: the OpenFlow ports."""
    text = odp_text.format_actions(result(world, frame, in_port).actions)
    return [] if text == "drop" else sorted(int(each) - 10 for each in text.split(","))


def data(group, vlan=None):
    made = Ether(dst="33:33:00:00:00:05" if ":" in group else "01:00:5e:01:01:01")
    if vlan is not None:
        made /= Dot1Q(vlan=vlan)
    made /= IPv6(src="fe80::9", dst=group) if ":" in group else IP(src="10.0.0.9", dst=group)
    return bytes(made / UDP(dport=5000) / Raw(b"x" * 20))


ALL = [2, 3, 4, 5]


def test_data_goes_to_members_and_routers(world):
    hear(world, 2, g.igmp(g.REPORT, "224.1.1.1"))
    hear(world, 3, g.mldv2((4, "ff0e::5", (), 0)))
    assert ports(world, data("224.1.1.1")) == [2]
    assert ports(world, data("ff0e::5")) == [3]
    assert ports(world, data("224.1.1.1"), 2) == []
    assert ports(world, data("224.1.1.2")) == ALL
    hear(world, 2, g.igmp(g.QUERY))  # a member and a router: one copy
    hear(world, 4, g.mld(g.MLD_QUERY))
    assert ports(world, data("224.1.1.1")) == [2, 4]
    world.bridge.snooping.configure(SnoopingSettings(flood_unregistered=False))
    assert ports(world, data("224.1.1.2")) == [2, 4]
    world.bundles[5].mcast_flood = True
    assert ports(world, data("224.1.1.2")) == [2, 4, 5]
    for group in ("224.0.0.5", "ff02::1"):
        assert ports(world, data(group)) == ALL
    hear(world, 3, g.igmp(g.REPORT, "224.1.1.1"))
    hear(world, 3, g.igmp(g.LEAVE, "224.1.1.1"))
    assert ports(world, data("224.1.1.1")) == [2, 4, 5]
    world.bridge.bundle_del(world.bundles[4])
    assert ports(world, data("224.1.1.1")) == [2, 5]


def test_reports_go_to_routers_only(world):
    for frame in (
        g.igmp(g.REPORT, "224.1.1.1"),
        g.igmpv3((4, "224.1.1.1", (), 0)),
        g.igmp(g.LEAVE, "224.1.1.1"),
        g.mld(g.MLD_REPORT, "ff0e::1"),
        g.mldv2((3, "ff0e::1", (), 0)),
    ):
        world.bridge.snooping.flush()
        world.bundles[5].mcast_flood_reports = False
        assert ports(world, frame) == []
        hear(world, 4, g.igmp(g.QUERY))
        world.bundles[5].mcast_flood_reports = True
        assert ports(world, frame) == [4, 5]
        assert result(world, frame).slow
    for frame in (g.igmp(g.QUERY), g.mld(g.MLD_QUERY), g.igmp(0x13, "224.0.0.4")):
        assert ports(world, frame) == ALL
        assert result(world, frame).slow
    assert not result(world, data("224.1.1.1")).slow
    # What translation sees, nobody learns from it: that is for upcalls.
    assert world.bridge.snooping.members(0, packed("224.1.1.1")) is None


def test_vlans_are_apart(world):
    world.bundles[2].set_vlan("access", 7)
    world.bundles[3].set_vlan("access", 8)
    hear(world, 2, g.igmp(g.REPORT, "224.1.1.1"), 7)
    hear(world, 5, g.igmp(g.REPORT, "224.1.1.1"), 8)
    world.bundles[3].mcast_flood = True
    text = odp_text.format_actions(result(world, data("224.1.1.1", 7)).actions)
    assert text == "pop_vlan,12"
    text = odp_text.format_actions(result(world, data("224.1.1.1", 8), 4).actions)
    assert text == "15,pop_vlan,13"
    world.bundles[2].set_vlan("access", 9)
    assert world.bridge.snooping.members(7, packed("224.1.1.1")) is None


def test_the_bits_that_were_looked_at(world):
    def wildcards(frame):
        mask = result(world, frame).mask
        same = [
            other
            for other in (
                data("224.1.1.1"),
                data("224.1.1.2"),
                data("ff0e::5"),
                g.igmp(g.REPORT, "224.1.1.1"),
                g.igmp(g.LEAVE, "224.1.1.1", "224.1.1.1"),
            )
            if all(
                (a ^ b) & m == 0
                for a, b, m in zip(key_of(frame, 1), key_of(other, 1), mask, strict=True)
            )
        ]
        return len(same)

    for frame in (data("224.1.1.1"), data("ff0e::5"), g.igmp(g.REPORT, "224.1.1.1")):
        assert wildcards(frame) == 1
    world.bridge.snooping_set(None)
    assert ports(world, g.igmp(g.REPORT, "224.1.1.1")) == ALL
    assert not result(world, g.igmp(g.REPORT, "224.1.1.1")).slow


def test_new_settings_keep_routers_where_there_is_no_group():
    world = BridgeWorld()
    try:
        bridge = world.bridge
        bridge.set_snooping(SnoopingSettings())
        snooping = bridge.xbridge.snooping
        snooping.hear(Message(from_router=True), 0, PORTS[0], 0)
        bridge.set_snooping(SnoopingSettings(flood_unregistered=False))
        assert list(bridge.xbridge.snooping.routers(0)) == [PORTS[0]]
        assert not bridge.xbridge.snooping.flood_unregistered
    finally:
        world.close()
