"""The tracker beside a naive one: random packets, actions and pauses, the same outcome."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import ICMP, IP, TCP, UDP, Ether

from datapath.actions.text import ct_text
from datapath.conntrack.connections import Connections
from tests.datapath.conntrack.naive_tracker import ANSWER, QUESTION, Action, Packet, Tracker

HOSTS = ["10.0.0.1", "10.0.0.2", "192.0.2.1"]
PORTS = [1000, 1001, 5000, 5001]
FLAGS = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x03, 0x29]
ETHER = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x800))

HOST, PORT = st.sampled_from(HOSTS), st.sampled_from(PORTS)
PACKETS = st.one_of(
    st.builds(Packet, st.sampled_from([6, 6, 17]), HOST, HOST, PORT, PORT, st.sampled_from(FLAGS)),
    st.builds(Packet, st.just(1), HOST, HOST, PORT, st.sampled_from([QUESTION, ANSWER])),
)
# NAT with few ports, so that they run out.
ACTIONS = st.sampled_from(
    [
        Action(),
        Action(nat=True),
        Action(commit=True),
        Action(commit=True, zone=1, mark=7),
        Action(commit=True, force=True),
        *[Action(commit=True, nat=True, kind="src", address="192.0.2.1", ports=range(5000, 5002))]
        * 3,
        *[Action(commit=True, nat=True, kind="dst", address="10.0.0.2", ports=range(5000, 5002))]
        * 2,
    ]
)
STEPS = st.lists(
    st.tuples(PACKETS, ACTIONS, st.sampled_from([0, 0, 0, 1, 31_000, 61_000, 1_000_000])),
    max_size=40,
)


def text(action):
    parts = ["force_commit" if action.force else "commit"] if action.commit else []
    parts += [f"zone={action.zone}"] if action.zone else []
    parts += [f"mark={action.mark}"] if action.mark is not None else []
    if action.kind:
        span = f"{action.ports[0]}-{action.ports[-1]}"
        parts.append(f"nat({action.kind}={action.address}:{span})")
    elif action.nat:
        parts.append("nat")
    return ct_text.parse_ct(",".join(parts))


def frame(p):
    if p.proto == 1:
        l4 = ICMP(type=p.dport >> 8, id=p.sport)
    elif p.proto == 6:
        l4 = TCP(sport=p.sport, dport=p.dport, flags=p.flags, seq=1, ack=1)
    else:
        l4 = UDP(sport=p.sport, dport=p.dport)
    return ETHER + bytes(IP(src=p.src, dst=p.dst) / l4)


def tuple_of(data):
    src, dst = (".".join(map(str, data[at : at + 4])) for at in (26, 30))
    if data[23] == 1:
        return (1, src, dst, struct.unpack_from("!H", data, 38)[0], data[34] << 8)
    return (data[23], src, dst, *struct.unpack_from("!HH", data, 34))


def is_to_itself(found):
    return found[1] == found[2] and (found[0] != 1 and found[3] == found[4])


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_same_as_the_naive_one(steps):
    table, twin, now = Connections(), Tracker(), 1000
    table.tcp_seq_chk = False
    for number, (packet, action, pause) in enumerate(steps):
        now += pause
        out, told, lost = table.track(frame(packet), text(action), now, None, None, number)
        got = None if lost else tuple_of(out)
        if is_to_itself(tuple_of(frame(packet))) or (got and is_to_itself(got)):
            return  # both directions look the same: which one is found is chance
        state, mark, wanted, gone = twin.track(packet, action, now, got)
        assert bool(lost) == gone
        if not gone:
            assert (told["state"], told["mark"], got) == (state, mark, wanted)
        if pause > 1:
            table.sweep(1000, now)
            twin.conns = [c for c in twin.conns if c.expires > now]
            assert len(table) == len(twin.conns)
