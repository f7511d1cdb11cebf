"""What the log tells of peers: conversations while somebody asks for them, and flow mods."""

from ofproto.codec import messages as m
from ofproto.codec.hello import encode_hello
from ofproto.peers import vconn_log
from ofproto.peers.connection import OFConnection
from ofproto.peers.flow_mod_report import FIRST_MS, NEXT_MS, FlowModReport


class Lines(list):
    """Takes what a LimitedLog would."""

    def dbg(self, text):
        self.append(text() if callable(text) else text)

    @staticmethod
    def dbg_is_enabled():
        return True


def test_a_conversation(monkeypatch):
    assert vconn_log.of("unix#7") is None  # nobody asks
    told = Lines()
    monkeypatch.setattr(vconn_log, "vlog", told)
    monkeypatch.setattr(vconn_log, "_lines", told)
    connection = OFConnection((1, 4), vconn_log.of("unix#7"))
    connection.receive(encode_hello((1, 2, 3, 4)))
    connection.receive(m.BarrierRequest().encode(4, 9))
    connection.receive(b"\4\x63\0\x08\0\0\0\1")  # of no type that there is
    while connection.next_message():
        pass
    connection.send(m.BarrierReply().encode(4, 9))
    assert told[0].startswith("unix#7: sent (Success): OFPT_HELLO (OF1.3) (xid=0x0):\n version bit")
    assert told[1].startswith("unix#7: received: OFPT_HELLO (OF1.3)")
    assert told[2] == (
        "unix#7: negotiated OpenFlow version 0x04"
        " (we support versions 0x01, 0x04, peer supports version 0x04 and earlier)"
    )
    assert told[3] == "unix#7: received: OFPT_BARRIER_REQUEST (OF1.3) (xid=0x9):"
    assert "OFPBRC_BAD_TYPE" in told[4]
    assert told[5] == "unix#7: sent (Success): OFPT_BARRIER_REPLY (OF1.3) (xid=0x9):"
    assert len(told) == 6


ADD, MODIFY, _, DELETE, DELETE_STRICT = range(5)


def test_flow_mods_are_told_soon_and_then_each_minute():
    report = FlowModReport()
    assert report.due(0) is None
    for now, command in ((1000, ADD), (1500, ADD), (4200, DELETE_STRICT)):
        report.note(command, now)
    assert report.due(1000 + FIRST_MS - 1) is None
    first = 1000 + FIRST_MS
    assert report.due(first) == "3 flow_mods in the 3 s starting 9 s ago (2 adds, 1 deletes)"
    report.note(MODIFY, first + 1)
    report.note(DELETE, first + NEXT_MS - 1)
    assert report.due(first + NEXT_MS - 1) is None
    told = report.due(first + NEXT_MS)
    assert told == "2 flow_mods in the last 59 s (1 deletes, 1 modifications)"
    assert report.due(first + 2 * NEXT_MS) is None  # nothing since: the next is told soon again
    later = first + 3 * NEXT_MS
    report.note(ADD, later)
    assert report.due(later + FIRST_MS) == "1 flow_mods in the 0 s starting 10 s ago (1 adds)"
    report.note(ADD, later + FIRST_MS + 5)
    assert report.text(later + FIRST_MS + 5) == "1 flow_mods in the last 0 s (1 adds)"  # it goes
