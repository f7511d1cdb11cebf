"""Meters of a bridge on a real datapath: METER_MOD, flows through meters, who outlives whom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.actions.text import odp_text
from ofproto.codec import messages as m
from ofproto.codec.instructions import Meter
from ofproto.codec.match_text import TextError
from ofproto.flows.odp import meters as dp_meters
from ofproto.flows.odp.meters import DatapathMeters
from ofproto.ofproto import Ofproto
from ofproto.text import meter_text
from pyvs import clock
from tests.of_client import Client
from tests.ofproto.bridge_world import dump, flow, frame

OFPM_MAX, SLOWPATH, CONTROLLER = 0xFFFF0000, 0xFFFFFFFD, 0xFFFFFFFE
KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8


@pytest.fixture
def client(world):
    return world.client(4)


def add(text, command=m.METER_ADD):
    return meter_text.parse_meter(text, command)


def modify(text):
    return add(text, m.METER_MODIFY)


def delete(number=m.OFPM_ALL):
    return m.MeterMod(m.METER_DELETE, 0, number)


def drops(*rates):
    return [m.Band(m.BAND_DROP, rate) for rate in rates]


def datapath_meters(world):
    """{owner: (number, rates)} in the datapath process."""
    found = world.backer.dpif.meter_dump()
    return {each.owner: (each.meter, [rate for rate, _ in each.bands]) for each in found}


def datapath_actions(world):
    """The actions of the datapath's flows, as text."""
    return sorted(odp_text.format_actions(info.actions) for info in world.backer.dpif.flow_dump())


def later(world):
    """What the daemon does when the time has come to let go of deleted meters."""
    world.until(lambda: world.backer.revalidator.current, "revalidation")
    world.backer.meters.run(True, clock.msec() + dp_meters.GRACE_MS)


# --- METER_MOD


def test_add_modify_delete(world, client):
    client.do(add("meter=7,kbps,burst,stats,band=type=drop,rate=100,burst_size=5"))
    client.do(add("meter=3,pktps,bands=type=drop,rate=10,type=drop,rate=20"))
    first, second = client.ask(m.MeterConfigRequest()).meters
    assert second == m.MeterConfig(7, KBPS | BURST | STATS, [m.Band(m.BAND_DROP, 100, 5)])
    assert first == m.MeterConfig(3, PKTPS, drops(10, 20))
    assert client.ask(m.MeterConfigRequest(7)).meters == [second]
    assert datapath_meters(world) == {"br0:7": (0, [100]), "br0:3": (1, [10, 20])}
    client.do(modify("meter=7,pktps,band=type=drop,rate=4"))
    assert datapath_meters(world)["br0:7"] == (0, [4])
    assert client.ask(m.MeterConfigRequest(7)).meters[0].flags == PKTPS
    client.do(delete(7), delete(99), delete(0))
    assert [each.meter_id for each in client.ask(m.MeterConfigRequest()).meters] == [3]
    client.do(delete())
    assert client.ask(m.MeterConfigRequest()).meters == []
    later(world)
    assert datapath_meters(world) == {}


REFUSED = [
    (m.MeterMod(m.METER_ADD, KBPS, 1, drops(1)), "OFPMMFC_METER_EXISTS"),
    (m.MeterMod(m.METER_ADD, KBPS, 0, drops(1)), "OFPMMFC_INVALID_METER"),
    (m.MeterMod(m.METER_ADD, KBPS, OFPM_MAX + 1, drops(1)), "OFPMMFC_INVALID_METER"),
    (m.MeterMod(m.METER_ADD, KBPS, m.OFPM_ALL, drops(1)), "OFPMMFC_INVALID_METER"),
    (m.MeterMod(m.METER_ADD, KBPS | PKTPS, 2, drops(1)), "OFPMMFC_BAD_FLAGS"),
    (m.MeterMod(m.METER_ADD, 0, 2, drops(1)), "OFPMMFC_BAD_FLAGS"),
    (m.MeterMod(m.METER_ADD, 16, 2, drops(1)), "OFPMMFC_BAD_FLAGS"),
    (m.MeterMod(m.METER_ADD, KBPS, 2, drops(0)), "OFPMMFC_BAD_RATE"),
    (m.MeterMod(m.METER_ADD, KBPS, 2, []), "OFPMMFC_OUT_OF_BANDS"),
    (m.MeterMod(m.METER_ADD, KBPS, 2, drops(*range(1, 10))), "OFPMMFC_OUT_OF_BANDS"),
    (m.MeterMod(m.METER_ADD, KBPS, 2, [m.Band(m.BAND_DSCP_REMARK, 1)]), "OFPMMFC_BAD_BAND_VALUE"),
    (m.MeterMod(m.METER_MODIFY, KBPS, 2, drops(1)), "OFPMMFC_UNKNOWN_METER"),
    (m.MeterMod(m.METER_MODIFY, KBPS, 1, drops(1, 0)), "OFPMMFC_BAD_RATE"),
    (m.MeterStatsRequest(5), "OFPMMFC_UNKNOWN_METER"),
    (m.MeterConfigRequest(0), "OFPMMFC_UNKNOWN_METER"),
    (flow("in_port=1,actions=meter:2,2"), "OFPMMFC_INVALID_METER"),
    (flow("actions=2", instructions=[Meter(CONTROLLER)]), "OFPMMFC_INVALID_METER"),
    (flow("actions=2", instructions=[Meter(0)]), "OFPMMFC_INVALID_METER"),
]  # fmt: skip


def test_bands_are_told_as_they_were_sent(world, client):
    """A burst that the flags do not speak of, too; the datapath's bucket holds a second's worth."""
    bands = [m.Band(m.BAND_DROP, 9), m.Band(m.BAND_DSCP_REMARK, 5, 0, 2)]
    client.do(m.MeterMod(m.METER_ADD, PKTPS, 1, bands))
    assert client.ask(m.MeterConfigRequest(1)).meters == [m.MeterConfig(1, PKTPS, bands)]
    [found] = world.backer.dpif.meter_dump()
    assert found.bands == [(9, 9), (5, 5, 2)]


@pytest.mark.parametrize(("message", "error"), REFUSED, ids=lambda each: str(each)[:70])
def test_refusals_change_nothing(world, client, message, error):
    client.do(add("meter=1,kbps,band=type=drop,rate=100"))
    client.do(add("meter=controller,kbps,band=type=drop,rate=100"))
    before = client.ask(m.MeterConfigRequest())
    assert client.refused(message) == error
    assert client.ask(m.MeterConfigRequest()) == before
    assert len(datapath_meters(world)) == 2


def test_features(client):
    reply = client.ask(m.MeterFeaturesRequest())
    bands = 1 << m.BAND_DROP | 1 << m.BAND_DSCP_REMARK
    wanted = (1 << 18, bands, KBPS | PKTPS | BURST | STATS, 8, 0)
    assert (
        reply.max_meter, reply.band_types, reply.capabilities, reply.max_bands, reply.max_color,
    ) == wanted  # fmt: skip
    tables = client.ask(m.TableFeaturesRequest()).tables
    assert all(6 in each.properties["instructions"] for each in tables)


def test_a_slave_may_read_meters_only(world):
    client = world.controller()
    client.ask(m.RoleRequest("slave", 1))
    assert client.refused(add("meter=1,kbps,band=type=drop,rate=1")) == "OFPBRC_IS_SECONDARY"
    assert client.ask(m.MeterConfigRequest()).meters == []


# --- flows


def test_a_meter_takes_its_flows_along(world, client):
    """FLOW_REMOVED says deleted, which is what 1.3 has for it."""
    controller = world.controller()
    controller.do(add("meter=1,pktps,band=type=drop,rate=10"))
    controller.do(add("meter=2,pktps,band=type=drop,rate=10"))
    controller.do(
        flow("in_port=1,actions=meter:1,2", flags=m.SEND_FLOW_REM),
        flow("in_port=2,actions=meter:1,goto_table:5", flags=m.SEND_FLOW_REM),
        flow("in_port=3,actions=meter:2,1"),
        flow("table=5,actions=3"),
    )
    counts = {each.meter_id: each.flow_count for each in client.ask(m.MeterStatsRequest()).meters}
    assert counts == {1: 2, 2: 1}
    # Changed, replaced and deleted flows are followed.
    controller.do(flow("in_port=3,actions=meter:1,1", m.MODIFY))
    controller.do(flow("in_port=2,actions=meter:2,1"))
    counts = {each.meter_id: each.flow_count for each in client.ask(m.MeterStatsRequest()).meters}
    assert counts == {1: 2, 2: 1}
    controller.do(flow("in_port=1", m.DELETE))
    controller.wait_for(m.FlowRemoved)
    assert client.ask(m.MeterStatsRequest(1)).meters[0].flow_count == 1
    controller.do(flow("in_port=1,actions=meter:1,2", flags=m.SEND_FLOW_REM))
    controller.do(delete(1))
    removed = controller.wait_for(m.FlowRemoved)
    assert (removed.reason, removed.match.get("in_port")) == (m.OFPRR_DELETE, (1, 0xFFFF))
    assert dump(client) == ["in_port=2 actions=meter:2,output:1", "table=5, actions=output:3"]


def test_packets_are_metered(world, client):
    client.do(add("meter=5,pktps,burst,stats,band=type=drop,rate=1,burst_size=3"))
    client.do(flow("in_port=1,actions=meter:5,set_field:00:00:00:00:00:05->eth_dst,2"))
    for _ in range(100):
        world.send(1, frame(100))
    frames = []

    def all_counted():
        frames.extend(world.received(2))
        return client.ask(m.MeterStatsRequest(5)).meters[0].n_packets == 100

    world.until(all_counted, "the packets")
    frames += world.received(2)
    [stats] = client.ask(m.MeterStatsRequest(5)).meters
    assert (stats.n_bytes, stats.flow_count) == (10000, 1)
    assert stats.bands == [(100 - len(frames), 100 * (100 - len(frames)))]
    assert 3 <= len(frames) < 100 and frames[0][:6] == bytes((0, 0, 0, 0, 0, 5))
    assert datapath_actions(world)[0].startswith("meter(0),")
    # Counters begin anew with other rates, the duration does not.
    client.do(modify("meter=5,pktps,band=type=drop,rate=1000"))
    [fresh] = client.ask(m.MeterStatsRequest(5)).meters
    assert (fresh.n_packets, fresh.bands) == (0, [(0, 0)])
    assert (fresh.duration_sec, fresh.duration_nsec) >= (stats.duration_sec, stats.duration_nsec)


def test_the_controllers_meter(world):
    """It drops what would go to the controllers, and nothing else."""
    controller = world.controller()
    controller.do(add("meter=controller,pktps,burst,band=type=drop,rate=1,burst_size=2"))
    controller.do(flow("in_port=1,actions=controller,2"))
    for _ in range(50):
        world.send(1, frame())
    seen = []

    def all_there():
        seen.extend(world.received(2))
        return len(seen) == 50

    world.until(all_there, "the frames")
    [stats] = controller.ask(m.MeterStatsRequest(CONTROLLER)).meters
    came = [each for each in controller.barrier() if isinstance(each, m.PacketIn)]
    assert (stats.n_packets, stats.flow_count) == (50, 0)
    assert len(came) == 50 - stats.bands[0][0] and 2 <= len(came) < 50
    [actions] = datapath_actions(world)
    assert actions.startswith("sample(sample=100.0%,actions(meter(0),userspace(")
    controller.do(delete(CONTROLLER))
    world.until(lambda: datapath_actions(world)[0].startswith("userspace("), "revalidation")


def test_a_meter_in_each_table(world, client):
    client.do(*(add(f"meter={number},pktps,band=type=drop,rate=1000") for number in (1, 2)))
    client.do(flow("in_port=1,actions=meter:1,write_actions(output:2),goto_table:1"))
    client.do(flow("table=1,actions=meter:2"))
    world.send(1, frame())
    world.expect({2: [frame()]})
    assert datapath_actions(world) == ["meter(0),meter(1),2"]


def test_two_bridges_have_meters_of_their_own(world, client):
    other = Ofproto("br1", world.backer, 5)
    try:
        text = "meter=1,pktps,band=type=drop,rate="
        client.do(add(text + "10"))
        path = world.process.directory / "br1.mgmt"
        second = Client.unix(path, 4, lambda: (world.turn(), other.run()))
        world.clients.append(second)
        second.hello()
        second.do(add(text + "20"))
        assert datapath_meters(world) == {"br0:1": (0, [10]), "br1:1": (1, [20])}
        client.do(delete())
        assert len(second.ask(m.MeterConfigRequest()).meters) == 1
    finally:
        other.destroy()
    later(world)
    assert datapath_meters(world) == {}


def test_flushing_deletes_meters(world, client):
    """As in Open vSwitch: with the first controller, other rules are made."""
    client.do(add("meter=1,pktps,band=type=drop,rate=10"), flow("actions=meter:1,2"))
    world.controller()
    assert client.ask(m.MeterConfigRequest()).meters == []


# --- who outlives whom


def test_vswitchd_comes_back(world, client):
    """Meters are there before the flows, and those of the datapath go on counting."""
    client.do(add("meter=1,pktps,band=type=drop,rate=1000"))
    client.do(add("meter=2,pktps,band=type=drop,rate=10"))
    client.do(add("meter=3,pktps,band=type=drop,rate=10"))
    client.do(flow("in_port=1,actions=meter:2,2"), flow("in_port=2,actions=meter:3,1"))
    client.do(modify("meter=2,kbps,band=type=drop,rate=777"), delete(1), delete(3))
    later(world)
    world.send(1, frame())
    world.expect({2: [frame()]})
    wanted = dump(client), client.ask(m.MeterConfigRequest())
    before = world.backer.dpif.meter_get(1)
    assert before.packets == 1
    world.stop()
    world.start()
    client = world.client(4)
    assert (dump(client), client.ask(m.MeterConfigRequest())) == wanted
    assert world.backer.dpif.meter_dump() == [before]
    [stats] = client.ask(m.MeterStatsRequest()).meters
    assert (stats.n_packets, stats.flow_count) == (1, 1)
    world.until(lambda: world.backer.revalidator.current, "revalidation")
    assert datapath_actions(world) == ["meter(1),2"]


def test_what_the_configuration_lost_goes(world, client):
    """A meter whose bridge lost its journal stays until its flows are gone."""
    client.do(add("meter=1,pktps,band=type=drop,rate=1000"))
    client.do(flow("in_port=1,actions=meter:1,2"))
    world.send(1, frame())
    world.expect({2: [frame()]})
    world.stop()
    (world.process.directory / "br0.flows").unlink()
    world.start()
    assert datapath_meters(world) == {"br0:1": (0, [1000])}
    # Its number is nobody's yet.
    client = world.client(4)
    client.do(add("meter=9,pktps,band=type=drop,rate=5"))
    assert datapath_meters(world) == {"br0:1": (0, [1000]), "br0:9": (1, [5])}
    later(world)
    assert datapath_meters(world) == {"br0:9": (1, [5])}
    assert not any("meter" in each for each in datapath_actions(world))


def test_a_changed_meter_is_set_again(world, client):
    """vswitchd was killed between writing to the journal and telling the datapath."""
    client.do(add("meter=1,pktps,band=type=drop,rate=1000"))
    world.backer.dpif.meter_set(0, PKTPS, [(5, 5)], "br0:1")
    world.stop()
    world.start()
    assert datapath_meters(world) == {"br0:1": (0, [1000])}


def test_a_new_datapath_gets_the_meters(world, client):
    client.do(add("meter=1,pktps,band=type=drop,rate=1000"))
    client.do(add("meter=2,pktps,band=type=drop,rate=10"), delete(1))
    client.do(flow("in_port=1,actions=meter:2,2"))
    world.process.kill()
    world.until(lambda: world.backer.dpif is None, "the loss")
    # Without a datapath they may be changed, too.
    client.do(modify("meter=2,pktps,band=type=drop,rate=20"))
    client.do(add("meter=3,pktps,band=type=drop,rate=30"))
    assert client.ask(m.MeterStatsRequest(2)).meters[0].n_packets == 0
    world.process.start()
    world.until(lambda: world.backer.dpif is not None, "the new datapath")
    found = datapath_meters(world)
    assert {owner: rates for owner, (_, rates) in found.items()} == {
        "br0:2": [20], "br0:3": [30],
    }  # fmt: skip
    world.send(1, frame())
    world.expect({2: [frame()]})
    assert client.ask(m.MeterStatsRequest(2)).meters[0].n_packets == 1


def test_the_journal_is_shortened(world, client):
    client.do(add("meter=1,pktps,band=type=drop,rate=1000"))
    client.do(flow("in_port=1,actions=meter:1,2"))
    log = world.bridge.log
    log._start(clock.msec())
    client.do(modify("meter=1,pktps,band=type=drop,rate=5"))  # meanwhile
    while log._journal.rewriting:
        log.run(clock.msec())
    wanted = dump(client), client.ask(m.MeterConfigRequest())
    world.stop()
    world.start()
    client = world.client(4)
    assert (dump(client), client.ask(m.MeterConfigRequest())) == wanted
    assert client.ask(m.MeterStatsRequest()).meters[0].flow_count == 1


# --- numbers in the datapath


class FakeDatapath:
    """Meters as the process keeps them."""

    def __init__(self):
        self.meters = {}

    def meter_dump(self):
        return [
            type("Info", (), {"meter": n, "owner": o, "flags": f, "bands": b})()
            for n, (o, f, b) in sorted(self.meters.items())
        ]

    def meter_set(self, number, flags, bands, owner):
        self.meters[number] = (owner, flags, bands)

    def meter_del(self, number):
        del self.meters[number]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "add", "remove", "change", "run", "restart", "replace")),
        st.integers(0, 5),
        st.integers(1, 9),
    ),
    max_size=40,
)


@settings(max_examples=600, deadline=None)
@given(STEPS)
def test_numbers(steps):
    """No number means two things at once, and the datapath has what is wanted."""
    datapath, now = FakeDatapath(), 0
    meters = DatapathMeters()
    meters.attach(datapath)
    wanted = {}  # owner -> (number, rate)
    for what, owner, rate in steps:
        now += 300
        owner = f"br0:{owner}"
        there = owner in wanted
        if what == "add" and not there:
            number = meters.add(owner, PKTPS, [(rate, 0)])
            assert number not in [taken for taken, _ in wanted.values()]
            wanted[owner] = (number, rate)
        elif what == "remove" and there:
            number, rate = wanted.pop(owner)
            meters.remove(number, now)
            assert datapath.meters[number] == (owner, PKTPS, [(rate, rate)])
        elif what == "change" and there:
            number, _ = wanted[owner]
            meters.change(number, PKTPS, [(rate, rate)])
            wanted[owner] = (number, rate)
        elif what == "run":
            meters.run(True, now)
        elif what == "restart":  # vswitchd, and the bridges ask for their meters again
            meters = DatapathMeters()
            meters.attach(datapath)
            for each, (number, rate) in list(wanted.items()):
                assert meters.add(each, PKTPS, [(rate, 0)]) == number
            meters.forget_found(now)
        elif what == "replace":  # another datapath process
            meters.detach()
            datapath = FakeDatapath()
            meters.attach(datapath)
        present = {owner: (n, bands[0][0]) for n, (owner, _, bands) in datapath.meters.items()}
        assert wanted.items() <= present.items()
    meters.run(True, now + dp_meters.GRACE_MS)
    present = {owner: (n, bands[0][0]) for n, (owner, _, bands) in datapath.meters.items()}
    assert present == wanted


# --- text


@pytest.mark.parametrize(
    "text",
    ["meter=1 kbps bands=\ntype=drop rate=5\n",
     "meter=controller pktps burst stats bands=\ntype=drop rate=5 burst_size=7\n",
     "meter=slowpath kbps bands=\ntype=dscp_remark rate=5 prec_level=3\ntype=drop rate=9\n",
     "meter=all kbps bands=\ntype=drop rate=4294967295\n"],
)  # fmt: skip
def test_text_round_trip(text):
    assert meter_text.format_meter(meter_text.parse_meter(text)) == text


@given(st.text(st.sampled_from("meter=bands,kpytd rop15 x"), max_size=40))
def test_any_text_is_refused_or_read(text):
    try:
        mod = meter_text.parse_meter(text)
    except TextError:
        return
    assert mod.encode(4)
