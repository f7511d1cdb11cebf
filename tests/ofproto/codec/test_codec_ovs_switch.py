"""The codec as a controller of Open vSwitch: what we add is there, and what the switch sends is
understood so well that encoding it again gives the same bytes."""

import socket
import tempfile
from pathlib import Path

import pytest

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.codec.instructions import format_instructions, parse_instructions
from ofproto.codec.match_text import parse_match
from tests.ofproto.action_samples import FLOWS
from tests.ofproto.fake_switch import read_messages
from tests.ofproto.ovs_peer import Ovs, peer_marks

pytestmark = peer_marks
VERSIONS = "OpenFlow10,OpenFlow13"
# Their dumps of 1.0 put actions behind write_metadata, which nobody takes, and pad properties by
# their place in the message, where nobody, they included, can tell the padding from a property.
UNREADABLE = ("write_metadata:0x5,goto", "userdata=", "pause", "meter_id=")
ADDED = [flow for flow in FLOWS if not any(each in flow[1] for each in UNREADABLE)]


class Client:
    """A connection of one version; ask() gives what comes back before the answer to an echo."""

    def __init__(self, path, version):
        self.version = version
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.messages = read_messages(self.socket)
        self.socket.sendall(m.Hello(frozenset({version})).encode())
        assert type(m.decode(next(self.messages))) is m.Hello

    def ask(self, *requests):
        raws = [request.encode(self.version, 9) for request in requests]
        self.socket.sendall(b"".join(raws) + m.EchoRequest(b"end").encode(self.version, 10))
        replies = []
        for raw in self.messages:
            if raw[1] == 3:  # ECHO_REPLY
                return replies
            replies.append(raw)
        raise AssertionError("closed")


@pytest.fixture(scope="module")
def switch():
    with tempfile.TemporaryDirectory() as directory:
        peer = Ovs(Path(directory))
        try:
            peer.start()
            peer.vsctl(
                *["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"],
                *[f"protocols={VERSIONS}", "fail-mode=secure", "--", "add-port", "br0", "p1"],
                *["--", "set", "interface", "p1", "type=dummy", "ofport_request=1"],
            )
            clients = {v: Client(Path(directory) / "br0.mgmt", v) for v in (1, 4)}
            fill(clients[4])
            yield clients
            for client in clients.values():
                client.socket.close()
        finally:
            peer.stop()


def fill(client):
    """A group, a meter, and each action in a flow of its own; cookies are their numbers."""
    bucket = m.Bucket(1, actions=parse_instructions("output:1")[0].actions)
    answers = client.ask(
        m.MeterMod(m.METER_ADD, 1, 5, [m.Band(m.BAND_DROP, 7, 8)]),
        *(m.GroupMod(m.GROUP_ADD, m.GROUP_SELECT, number, [bucket]) for number in (2, 5)),
        *(m.FlowMod(m.ADD, parse_match(match), cookie + 1, cookie, table_id=cookie % 3,
                    idle_timeout=3000 + cookie, flags=m.SEND_FLOW_REM,
                    instructions=parse_instructions(actions))
          for cookie, (match, actions) in enumerate(ADDED)),
    )  # fmt: skip
    assert [m.decode(raw) for raw in answers] == []


BOTH = [
    m.FeaturesRequest(), m.GetConfigRequest(), m.BarrierRequest(), m.RoleRequest("other"),
    m.DescRequest(), m.FlowStatsRequest(table_id=0), m.AggregateRequest(), m.TableStatsRequest(),
    m.PortStatsRequest(), m.QueueStatsRequest(), m.PortDescRequest(), m.QueueGetConfigRequest(1),
]  # fmt: skip
NEWER = [
    m.GroupStatsRequest(), m.GroupDescRequest(), m.GroupFeaturesRequest(), m.MeterStatsRequest(),
    m.MeterConfigRequest(), m.MeterFeaturesRequest(), m.TableFeaturesRequest(),
    m.GetAsyncRequest(), m.QueueGetConfigRequest(), m.FlowStatsRequest(parse_match("tcp")),
]  # fmt: skip
OLDER = [m.FlowStatsRequest(table_id=0, nxm=True), m.AggregateRequest(nxm=True)]
CASES = [(v, r) for v in (1, 4) for r in BOTH + (NEWER if v == 4 else OLDER)]


@pytest.mark.parametrize(("version", "request_"), CASES, ids=str)
def test_replies(switch, version, request_):
    replies = switch[version].ask(request_)
    assert replies
    for raw in replies:
        message = m.decode(raw)
        assert type(message).__name__ == type(request_).__name__.removesuffix("Request") + "Reply"
        assert message.encode(version, 9).hex() == raw.hex()


def test_flows_are_there(switch):
    """Each by its cookie, with the match and the actions that were sent."""
    found = {
        flow.cookie: flow
        for raw in switch[4].ask(m.FlowStatsRequest())
        for flow in m.decode(raw).flows
    }
    assert set(found) == set(range(len(ADDED)))
    for cookie, (match, actions) in enumerate(ADDED):
        flow, match = found[cookie], parse_match(match)
        sent = m.FlowMod(match=match, table_id=0, instructions=parse_instructions(actions))
        again = m.decode(sent.encode(4))
        assert flow.match == match
        assert format_instructions(flow.instructions) == format_instructions(again.instructions)


ERRORS = [
    (m.FlowMod(m.ADD, table_id=0, instructions=parse_instructions("set_field:1->tcp_src")),
     "OFPBAC_MATCH_INCONSISTENT"),
    (m.FlowMod(m.ADD, table_id=0, instructions=parse_instructions("group:99")),
     "OFPBAC_BAD_OUT_GROUP"),
    (m.FlowMod(m.ADD, table_id=0, instructions=parse_instructions("meter:99")),
     "OFPMMFC_INVALID_METER"),
    (m.FlowMod(m.ADD, table_id=9, instructions=parse_instructions("goto_table:3")),
     "OFPBIC_BAD_TABLE_ID"),
    (m.PortMod(99), "OFPPMFC_BAD_PORT"),
    (m.SetConfig(9), "OFPSCFC_BAD_FLAGS"),
    (m.QueueGetConfigRequest(99), "OFPQOFC_BAD_PORT"),
    (m.MeterMod(m.METER_MODIFY, 1, 77), "OFPMMFC_UNKNOWN_METER"),
    (m.Experimenter(0x1234, 5), "OFPBRC_BAD_VENDOR"),
    (m.Experimenter(0x2320, 999), "OFPBRC_BAD_SUBTYPE"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "name"), ERRORS, ids=[name for _r, name in ERRORS])
def test_errors(switch, request_, name):
    """Its errors are read by name; ours for the same request is the same bytes."""
    (raw,) = switch[4].ask(request_)
    sent = request_.encode(4, 9)
    assert m.decode(raw) == m.Error(name, sent)
    assert m.error(OFError(name), sent, 4) == raw
