"""What vswitchd does with protocols of ports and interfaces: rows in, frames and verdicts out."""

import random
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest

from datapath.actions import odp
from ofproto.port import are_sound
from ofproto.protocols import bpdu, cfm
from pyvs.kept import Recalled
from vswitchd.database import settings
from vswitchd.database.config import InterfaceConfig, PortConfig
from vswitchd.devices.iface import Iface
from vswitchd.protocols import cfm as registry_cfm
from vswitchd.protocols import protocols as registry
from vswitchd.protocols.base import Protocol
from vswitchd.protocols.per_interface import SLICE
from vswitchd.protocols.protocols import Protocols

SLOW = {odp.LACP: 0x8809, odp.CFM: 0x8902, odp.BFD: 0x0800}


class XPort:
    def __init__(self):
        self.receivers = {}

    def listen(self, slow, receive, **_which):
        self.receivers[slow] = receive

    def unlisten(self, slow):
        self.receivers.pop(slow, None)


class Ofproto:
    """A bridge whose ports have cables: number -> (the other bridge's, its number)."""

    def __init__(self):
        self.ports, self.cables, self.verdicts, self.sent = {}, {}, {}, []

    def add(self, number):
        mac = bytes([2, 0, 0, 0, 0, number])
        self.ports[number] = SimpleNamespace(xport=XPort(), hw_addr=mac)

    def send_frame(self, number, frame, now, oam=False):
        self.sent.append((number, frame))
        if number in self.cables:
            other, there = self.cables[number]
            kind = int.from_bytes(frame[12:14], "big")
            for slow, receive in list(other.ports[there].xport.receivers.items()):
                if SLOW[slow] == kind:
                    receive(frame, now)

    def port_verdict(self, number, who, live):
        self.verdicts[number, who] = live

    def port_stats(self, number):
        return {"rx_packets": 0}


class Side:
    def __init__(self, name):
        self.ofproto = Ofproto()
        self.protocols = Protocols(self.ofproto, name)
        trees = {"stp_enable": False, "rstp_enable": False, "auto_attach": None}
        config = SimpleNamespace(uuid=uuid4(), other_config={}, **trees)
        self.protocols.configure(config, bytes.fromhex(f"0200000001{name}"), 0)
        self.ifaces = {}

    def iface(self, number, **more):
        config = InterfaceConfig(uuid4(), f"e{number}", "system", {}, None, None, None, {})
        found = self.ifaces.get(number)
        if found is None:
            found = self.ifaces[number] = Iface(config, "system", None)
            found.ofp_port = number
            self.ofproto.add(number)
        found.config = found.config._replace(**more)
        return found

    def port(self, name, numbers, now, **columns):
        base = settings.local_port(name)
        columns = {"other_config": {"lacp-time": "fast"}, **columns}
        port = PortConfig(*base)._replace(uuid=uuid4(), **columns)
        self.protocols.set_port(port, [self.ifaces[number] for number in numbers], now)

    def rows(self):
        found = self.protocols.rows(uuid4(), True)
        names = {iface.config.uuid: iface.name for iface in self.ifaces.values()}
        return {names[uuid]: each for (table, uuid), each in found.items() if table == "Interface"}

    def sound(self, number):
        return are_sound(self.ifaces[number].verdicts)


@pytest.fixture
def sides():
    random.seed(2)
    made = Side("01"), Side("02")
    for number in (1, 2):
        made[0].ofproto.cables[number] = made[1].ofproto, number
        made[1].ofproto.cables[number] = made[0].ofproto, number
        for i, side in enumerate(made):
            side.iface(
                number,
                cfm_mpid=10 * i + number,
                bfd={"enable": "true", "min_rx": "100"},
                other_config={"cfm_interval": "100"},
            )
    return made


def run(sides, now, ms):
    for _ in range(ms // 50):
        now += 50
        for side in sides:
            side.protocols.run(now)
    return now


def test_rows_frames_and_verdicts(sides):
    for side in sides:
        side.port("bond", [1, 2], 0, lacp="active")
        assert side.protocols.has_news and side.protocols.take_judged() == {"e1", "e2"}
        assert not sides[0].sound(1) or side is sides[1]
    now = run(sides, 0, 6000)
    for side in sides:
        row = side.rows()["e1"]
        assert row["lacp_current"] == [True] and row["cfm_fault"] == [False]
        assert row["bfd_status"]["state"] == "up" and len(row["cfm_remote_mpids"]) == 1
        assert side.sound(1) and side.sound(2)
        assert side.protocols.lacp.of_bond("bond").is_negotiated
        assert not side.protocols.has_news
    a, b = sides
    # One cable carries nothing any more.
    del a.ofproto.cables[1], b.ofproto.cables[1]
    a.protocols.take_judged()
    now = run(sides, now, 7000)
    assert "e1" in a.protocols.take_judged() and not a.sound(1) and a.sound(2)
    assert a.ofproto.verdicts[1, "lacp"] is False and a.ofproto.verdicts[1, "bfd"] is False
    assert a.rows()["e1"]["cfm_fault_status"] == ["recv"]
    # An interface that leaves has no columns and no verdicts; its packets are nobody's.
    a.protocols.leave(a.ifaces[1], now)
    row = a.rows()["e1"]
    assert row["lacp_current"] == [] and row["cfm_fault"] == [] and row["bfd_status"] == {}
    assert not a.ifaces[1].verdicts and a.ofproto.verdicts[1, "cfm"] is None
    assert not a.ofproto.ports[1].xport.receivers and "e1" not in a.rows()
    a.protocols.drop_port("bond", now)
    assert not a.protocols.lacp.aggregates and not a.ofproto.ports[2].xport.receivers


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_an_interface_that_moves_to_another_port_is_that_ones(sides, order):
    a = sides[0]
    a.port("old", [1, 2], 0, lacp="active")
    for name in order:
        a.port(name, [1] if name == "old" else [2], 0, lacp="active")
    assert a.protocols.lacp.of_bond("new").members.keys() == {"e2"}
    assert a.ofproto.ports[2].xport.receivers.keys() == SLOW.keys()
    assert a.ifaces[2].verdicts.keys() == {"lacp", "cfm", "bfd"}
    before = len(a.ofproto.sent)
    run([a], 0, 3000)
    kinds = {frame[12:14].hex() for number, frame in a.ofproto.sent[before:] if number == 2}
    assert kinds == {"8809", "8902", "0800"}


def test_a_fault_of_one_protocol_is_none_of_the_others(sides, monkeypatch):
    class Broken(Protocol):
        name = "broken"

        def run(self, now):
            raise ValueError("broken")

        set_port = rows = run

    monkeypatch.setattr(registry, "REGISTRY", (Broken, *registry.REGISTRY))
    bugs = []
    monkeypatch.setattr(registry.containment, "caught", lambda *place: bugs.append(place))
    side = Side("03")
    side.iface(1, cfm_mpid=4)
    side.port("e1", [1], 0)
    side.protocols.run(10)
    assert side.rows()["e1"]["cfm_fault"] == [False]
    assert bugs and all(whose == "broken of 03" for _, whose in bugs)


def test_what_any_ccm_says_can_be_written(sides):
    a = sides[0]
    a.iface(1, cfm_mpid=1, other_config={"cfm_extended": "true"})
    a.port("e1", [1], 0)
    for mpid in (5, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        payload = cfm.compose(cfm.Ccm(0, 1, 1, cfm.MAID, 1000, mpid, False))
        a.ofproto.ports[1].xport.receivers[odp.CFM](bytes(12) + b"\x89\x02" + payload, 100)
    run([a], 0, 4000)
    told = a.rows()["e1"]["cfm_remote_mpids"]
    assert told == [-(1 << 63), -1, 5, (1 << 63) - 1]  # as in Open vSwitch


def test_a_check_that_finds_what_was_known_is_no_news(sides):
    a = sides[0]
    a.iface(1, cfm_mpid=1, bfd={}, other_config={"cfm_interval": "3"})
    a.port("e1", [1], 0)
    now = run([a], 0, 1000)
    a.rows()
    a.protocols.take_judged()
    run([a], now, 1000)
    assert not a.protocols.has_news and not a.protocols.take_judged()


def test_a_flood_asks_the_datapath_once(sides):
    a, b = sides
    for side in sides:
        side.iface(1, cfm_mpid=None, bfd={"enable": "true", "decay_min_rx": "2000"})
        side.port("e1", [1], 0)
    asked = []
    a.ofproto.port_stats = lambda number: asked.append(number) or {"rx_packets": 9}
    frame = next(frame for number, frame in b.ofproto.sent if frame[12:14] == b"\x08\x00")
    for now in (500, 501):
        for _ in range(50):
            a.ofproto.ports[1].xport.receivers[odp.BFD](frame, now)
    assert len(asked) == 2


def test_many_that_are_due_at_once_are_not_all_of_one_turn(monkeypatch):
    """A turn ends with its time, here that of 100 frames."""
    side = Side("03")
    for number in range(1, 181):
        side.iface(number, lldp={"enable": "true"})
        side.port(f"e{number}", [number], 0)
    side.protocols.run(0)
    sent = side.ofproto.sent
    frame_seconds = SLICE / 99.5
    monkeypatch.setattr(time, "monotonic", lambda: len(sent) * frame_seconds)
    for now in (5000, 10_000):
        sent.clear()
        turns = 0
        while side.protocols.next_run() <= now:
            before = len(sent)
            side.protocols.run(now)
            assert 0 < len(sent) - before <= 100
            turns += 1
        assert turns == 2 and sorted(number for number, _ in sent) == list(range(1, 181))


def test_packets_that_wait_when_a_bridge_goes_are_nobodys(sides):
    a = sides[0]
    a.port("bond", [1, 2], 0, lacp="active")
    a.protocols.close()
    assert not any(port.xport.receivers for port in a.ofproto.ports.values())
    a.ofproto.sent.clear()
    run([a], 0, 3000)
    assert not a.ofproto.sent and a.protocols.next_run() is None


def tree_of(numbers, kind, options=None, recalled=None):
    """A side whose ports of these numbers are in a tree.  `options`: other_config of ports,
    `recalled`: what the tree before it kept."""
    side = Side("07")
    ofproto = side.ofproto
    side.forgotten = []
    ofproto.forget_stations = side.forgotten.append
    ofproto.set_spanning = ofproto.set_tree_state = lambda *_state: None
    if recalled is not None:
        side.protocols.by_name["spanning tree"].recall(Recalled(recalled, 20_000))
    for number in numbers:
        side.iface(number)
        more = {"name": f"e{number}", "may_forward": True, "is_patch": False, "curr_speed": 0}
        ofproto.ports[number].__dict__.update(more)
        ofproto.ports[number].xport.learns = True
        port_options = {"rstp-port-auto-edge": "false", **(options or {}).get(number, {})}
        side.port(f"e{number}", [number], 0, other_config=port_options)
    trees = {"stp_enable": False, "rstp_enable": False, kind: True}
    config = SimpleNamespace(uuid=uuid4(), name="br", other_config={}, **trees)
    side.protocols.configure(config, bytes(6), 0)
    return side


def test_a_change_of_topology_has_stations_looked_for_once():
    """The table may have a million of them, and the bridge many ports."""
    side = tree_of(range(1, 31), "rstp_enable")
    ofproto, forgotten = side.ofproto, side.forgotten
    now = 0
    for _ in range(40):
        now += 1000
        side.protocols.run(now)
    forgotten.clear()
    flags = bpdu.TC | bpdu.ROLE_DESIGNATED << bpdu.ROLE_SHIFT
    change = bpdu.Bpdu(bpdu.RST, flags, 1, 0, 1, 0x8001, 0, 5120, 512, 3840)
    for _ in range(2):
        ofproto.ports[1].xport.receivers[odp.STP](bpdu.encode(change, bytes(6)), now)
    assert 1 <= len(forgotten) <= 2 and len(set().union(*forgotten)) >= 29, forgotten


@pytest.mark.parametrize("kind", ["stp", "rstp"])
@pytest.mark.parametrize(
    "options", [{1: {"stp-port-num": "3"}}, {2: {"stp-enable": "false", "rstp-enable": "false"}}]
)
def test_ports_that_left_the_tree_while_nobody_was_there(kind, options):
    """A tree that is revived has the ports that the rows have now."""
    before = tree_of((1, 2, 3), f"{kind}_enable")
    before.protocols.run(1000)
    kept = before.protocols.by_name["spanning tree"].kept(1000)
    assert set(kept[kind][2]) == {"e1", "e2", "e3"}
    side = tree_of((1, 2, 3), f"{kind}_enable", options, kept)
    spanning = side.protocols.by_name["spanning tree"]
    for now in (0, 1000):
        side.protocols.run(now)
        assert set(spanning.tree.ports if spanning.tree else ()) == set(spanning.names)
        kept = spanning.kept(now).get(kind, [0, 0, {}])
        assert set(kept[2]) == set(spanning.names.values())


def test_an_mpid_that_is_none_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(registry_cfm.vlog, "warn", told.append)
    side = Side("04")
    for mpid in (8192, 8192, -1):
        side.iface(1, cfm_mpid=mpid)
        side.port("e1", [1], 0)
    assert [text.split()[4] for text in told] == ["8192", "-1"]
    assert "cfm_fault" not in side.rows().get("e1", {})
    side.iface(1, cfm_mpid=8192, other_config={"cfm_extended": "true"})
    side.port("e1", [1], 0)
    assert len(told) == 2 and side.rows()["e1"]["cfm_fault"] == [False]
