"""Requests against a dictionary, upcalls and their answers, with one worker and with three."""

import mmap
import os
import signal
import struct
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datapath.actions.text import odp_text
from datapath.ipc.dpif import Dpif, DpifError, DpifStalled
from datapath.ipc.upcall_rings import answer_upcall, take_upcall
from datapath.key import flow, key_text
from tests.daemons import wait_until
from tests.datapath.dp_process import Process, frame
from tests.datapath.sample_frames import frames

MISS, ACTION = 0, 1
UFIDS = [bytes([number]) * 16 for number in range(6)]
ACTIONS = (
    "drop",
    "1",
    "2,3",
    "push_vlan(vid=5,pcp=0),2,pop_vlan,1",
    "sample(sample=50.0%,actions(2))",
)


@pytest.fixture(scope="module", params=(1, 2, 4), ids=("worker", "2workers", "4workers"))
def process(request):
    made = Process(f"--workers={request.param}")
    made.n_workers = request.param
    try:
        yield made
        made.check()
    finally:
        made.close()


def test_flows_against_a_dictionary(process):
    class Flows(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            process.dpif.flow_flush()
            self.twin = {}

        @rule(number=st.integers(0, 5), port=st.integers(1, 9), actions=st.sampled_from(ACTIONS))
        def put(self, number, port, actions):
            ufid, raw = UFIDS[number], odp_text.parse_actions(actions)
            key, mask = key_text.parse_key(f"in_port({port}),eth_type(0x{0x700 + number:x})")
            if ufid in self.twin:  # a flow keeps its match: only the actions change
                key, mask, _ = self.twin[ufid]
            process.dpif.flow_put(key, mask, raw, ufid)
            size = flow.KEY_DP_SIZE
            self.twin[ufid] = (bytes(key[:size]), bytes(mask[:size]), raw)

        @rule(number=st.integers(0, 5))
        def delete(self, number):
            gone = process.dpif.flow_del(UFIDS[number])
            want = self.twin.pop(UFIDS[number], None)
            assert (gone and (gone.key, gone.mask, gone.actions)) == want

        @rule(number=st.integers(0, 5))
        def get(self, number):
            want = self.twin.get(UFIDS[number])
            if want is None:
                with pytest.raises(DpifError, match="no such flow"):
                    process.dpif.flow_get(UFIDS[number])
            else:
                got = process.dpif.flow_get(UFIDS[number])
                assert (got.key, got.mask, got.actions) == want

        @precondition(lambda self: len(self.twin) > 4)
        @rule()
        def flush(self):
            process.dpif.flow_flush()
            self.twin = {}

        @invariant()
        def dump(self):
            got = {
                each.ufid: (each.key, each.mask, each.actions) for each in process.dpif.flow_dump()
            }
            assert got == self.twin
            assert process.dpif.stats()["n_flows"] == len(self.twin)

    from hypothesis.stateful import run_state_machine_as_test

    shape = settings(max_examples=15, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(Flows, settings=shape)
    process.dpif.flow_flush()


def test_many_flows_come_whole(process):
    """More than one piece of a dump, while the table changes between pieces."""
    for number in range(3000):
        process.flow(f"in_port(1),eth_type(0x{0x600 + number:x})", "2")
    dump = process.dpif.flow_dump()
    first = next(dump)
    other = process.client()
    for number in range(0, 3000, 7):
        key, mask = key_text.parse_key(f"in_port(1),eth_type(0x{0x600 + number:x})")
        other.flow_del(flow.ufid(key, mask))
    stay = {each.ufid for each in other.flow_dump()}
    seen = [first.ufid, *(each.ufid for each in dump)]
    assert stay <= set(seen) and len(seen) == len(set(seen))
    process.dpif.flow_flush()
    assert not list(process.dpif.flow_dump())


def test_terse_dump_and_many_deletions(process):
    for number in range(600):
        process.flow(f"in_port(1),eth_type(0x{0x600 + number:x})", "2")
    flows = list(process.dpif.flow_dump())
    terse = list(process.dpif.flow_dump(terse=True))
    assert [each.ufid for each in terse] == [each.ufid for each in flows]
    assert {(each.key, each.mask, each.actions) for each in terse} == {(None, None, None)}
    ufids = [each.ufid for each in flows]
    gone = process.dpif.flow_del_many([*ufids[:300], b"x" * 16])
    assert {each.ufid for each in gone} == set(ufids[:300])
    assert {each.ufid for each in process.dpif.flow_dump()} == set(ufids[300:])


def test_a_dump_of_more_bytes_than_a_message(process):
    """4,000 flows with keys are 5 MB: the dump of several workers once was one answer."""
    for number in range(4000):
        process.flow(f"in_port(1),eth_type(0x{0x600 + number:x})", "2")
    assert len({each.ufid for each in process.dpif.flow_dump()}) == 4000
    assert len(process.dpif.flow_stats_sync()) == 4000
    process.dpif.flow_flush()


# --- upcalls


def test_a_request_that_is_too_long_is_refused_here(process):
    with pytest.raises(DpifError, match="port_add"):
        process.add("long", pcap="x" * 1_000_000)
    assert process.dpif.version()["pid"] == process.pid  # the connection goes on


@pytest.fixture
def ports(process):
    """Two dummy ports and a handler, gone afterwards."""
    numbers = [process.add("d1"), process.add("d2")]
    handler = process.client()
    handler.upcall_register()
    yield process, handler, numbers
    handler.close()
    wait_until(lambda: process.log().count("handler is gone") == process.log().count("new upcall"))
    for number in numbers:
        process.dpif.port_del(number)
    process.dpif.flow_flush()


def take(dpif):
    def some():
        dpif.upcall_awake()
        return take_upcall(dpif)

    return wait_until(some, what="an upcall")


@pytest.mark.parametrize("name", sorted(frames()))
def test_miss_brings_the_frame_and_its_key(ports, name):
    process, handler, (one, _) = ports
    sent = frames()[name]
    process.dpif.port_inject(one, sent)
    got = take(handler)
    assert (got.type, got.packet, got.userdata) == (MISS, sent, b"")
    assert got.key == flow.extract(sent, in_port=one)[: flow.KEY_DP_SIZE]
    assert take_upcall(handler) is None


def test_answer_installs_and_executes(ports):
    """The packet goes out once, the next ones without an upcall, on every worker."""
    process, handler, (one, two) = ports
    process.dpif.port_inject(one, frame())
    key, mask = key_text.parse_key(f"in_port({one})")
    assert answer_upcall(handler, take(handler), odp_text.parse_actions(str(two)), key, mask)
    assert wait_until(lambda: process.dpif.port_drain(two)) == [frame()]
    process.dpif.port_inject(one, frame(src=5))
    assert process.dpif.port_drain(two) == [frame(src=5)]
    assert take_upcall(handler) is None
    wait_until(lambda: {w["flows"] for w in process.dpif.stats()["workers"]} == {1})
    [info] = process.dpif.flow_dump()
    assert info.packets == 1  # that of the upcall is counted by who installs


def test_counters_are_exact_when_asked_for(ports):
    """What lies in the ring is done before, by each worker; packets belong to the actions that
    they met, whichever came by which worker."""
    _process, handler, (one, two) = ports
    handler.port_inject(one, frame())
    given = take(handler)
    key, mask = key_text.parse_key("eth_type(0x88b5)")
    assert not handler.flow_stats_sync()
    for number in range(100):
        assert answer_upcall(handler, given, odp_text.parse_actions(str(two)), key, mask), number
    [(ufid, info)] = handler.flow_stats_sync().items()
    assert (ufid, info.packets, info.actions) == (flow.ufid(key, mask), 0, None)
    for port, count in ((one, 3), (two, 4)):
        for _ in range(count):
            handler.port_inject(port, frame())
    [info] = handler.flow_stats_sync().values()
    assert (info.packets, info.bytes, info.earlier_packets) == (7, 7 * 60, 0)
    assert answer_upcall(handler, given, odp_text.parse_actions(str(one)), key, mask)
    handler.flow_stats_sync()
    for port in (one, two, two):
        handler.port_inject(port, frame(size=100))
    [info] = handler.flow_stats_sync().values()
    assert (info.packets, info.bytes) == (10, 7 * 60 + 300)
    assert (info.earlier_packets, info.earlier_bytes) == (7, 7 * 60)
    assert next(handler.flow_dump()).earlier_packets == 7
    assert handler.flow_del(ufid).earlier_packets == 7


def test_a_dump_in_pieces_has_what_the_rings_had_before_each(ports):
    """Where flows change between two pieces, it says of all workers' packets which came before."""
    process, handler, (one, two) = ports
    handler.port_inject(one, frame())
    given = take(handler)
    texts = [f"eth_type(0x{0x600 + number:x})" for number in range(1500)]  # three terse pieces
    made = {process.flow(text, str(two)): number for number, text in enumerate(texts)}
    last = [piece for piece in handler.flow_pieces(terse=True) if piece][-1]
    ufid = list(last)[-1].ufid
    number = made[ufid]
    sent = frame()[:12] + struct.pack("!H", 0x600 + number) + frame()[14:]
    given = given._replace(key=flow.extract(sent, in_port=one)[: flow.KEY_DP_SIZE])
    for port in (one, two) * 8:
        handler.port_inject(port, sent)
    pieces = handler.flow_pieces(terse=True)
    next(pieces)
    assert answer_upcall(handler, given, b"", *key_text.parse_key(texts[number]))
    [info] = [info for piece in pieces for info in piece if info.ufid == ufid]
    assert (info.packets, info.earlier_packets) == (16, 16)


def test_deletions_answered_late_count_with_what_followed(ports):
    """The flow came again, by an upcall, before they were asked for a second time."""
    process, handler, (one, two) = ports
    hasty = Dpif(handler.path, 0.1)
    pid = hasty.version()["pid"]
    flows = [process.flow(f"in_port({one}),eth_type(0x88b5)", str(two))]
    handler.port_inject(one, frame())
    handler.port_inject(one, frame())
    ufids = [info.ufid for info in handler.flow_dump()]
    assert len(ufids) == len(flows)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DpifStalled):
            hasty.flow_del_many(ufids)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(hasty.settled)
    process.flow(f"in_port({one}),eth_type(0x88b5)", str(two))
    for _ in range(5):
        handler.port_inject(one, frame())
    [gone] = hasty.flow_del_many(ufids)
    assert (gone.packets, gone.bytes, gone.earlier_packets) == (7, 7 * 60, 2)
    assert not list(handler.flow_dump())
    hasty.close()


def test_statistics_of_what_was_used_lately(ports):
    process, handler, (one, two) = ports
    for number in range(2000):
        process.flow(f"in_port({one}),eth_type(0x{0x8000 + number:x})", "drop")
    process.flow("eth_type(0x7001)", "drop")
    idle = process.flow("eth_type(0x7002)", "drop")
    handler.port_inject(two, frame(kind=0x7002))
    time.sleep(0.002)
    since = time.monotonic_ns() // 1_000_000
    assert handler.flow_stats_sync()[idle].packets == 1
    assert not handler.flow_stats_sync(since)
    for port, kind in ((one, 0x7001), (two, 0x7001), (one, 0x8005)):
        handler.port_inject(port, frame(kind=kind))
    found = handler.flow_stats_sync(since)
    assert sorted(info.packets for info in found.values()) == [1, 2]
    assert idle not in found
    for bad in (-1, (1 << 64) - 1, 1.5, "x"):
        with pytest.raises(DpifError, match="bad time"):
            handler.flow_stats_sync(bad)


def test_packets_of_the_handler_keep_their_order(ports):
    """And come after what it installed."""
    process, handler, (one, two) = ports
    recirculate = odp_text.parse_actions("recirc(7)")
    process.flow(f"in_port({one}),recirc_id(7)", str(two))
    wanted = [frame(src=number) for number in range(40)]
    for packet in wanted:
        assert handler.execute_soon(packet, recirculate, one)
    seen = []
    wait_until(lambda: seen.extend(process.dpif.port_drain(two)) or len(seen) == len(wanted))
    assert seen == wanted


def test_what_is_known_of_a_packet_goes_with_it(ports):
    """By the ring, and by the socket."""
    process, handler, (one, two) = ports
    recirculate = odp_text.parse_actions("recirc(7)")
    text = "ct_state(+new+trk),ct_zone(0x5),ct_mark(0x7),skb_mark(0x9),recirc_id(7)"
    process.flow(text, str(two))
    key = bytes(key_text.parse_key(text)[0])
    assert handler.execute_soon(frame(), recirculate, one, 0, key)
    process.dpif.execute(frame(), recirculate, one, pkt_mark=9, key=key)
    process.dpif.execute(frame(), recirculate, one, pkt_mark=9)
    seen = []
    wait_until(lambda: seen.extend(process.dpif.port_drain(two)) or len(seen) == 2)
    assert seen == [frame()] * 2
    with pytest.raises(DpifError):
        process.dpif._request("execute", frame(), packet_size=len(frame()), key="no")


def test_packets_that_the_ring_does_not_take(ports):
    process, handler, (_, two) = ports
    assert not process.dpif.execute_soon(frame(), odp_text.parse_actions(str(two)))  # has no rings
    assert not handler.execute_soon(bytes(1 << 20), b"")
    assert not handler.execute_soon(frame(), bytes(1 << 20))
    before = process.dpif.stats()["drops"].get("bad_action", 0)
    assert handler.execute_soon(frame(), b"no actions")
    wait_until(lambda: process.dpif.stats()["drops"].get("bad_action", 0) == before + 1)


def test_answer_that_only_executes(ports):
    process, handler, (one, two) = ports
    process.dpif.port_inject(one, frame())
    tag = odp_text.parse_actions(f"push_vlan(vid=9,pcp=2),{two},pop_vlan,{one}")
    assert answer_upcall(handler, take(handler), tag)
    [tagged] = wait_until(lambda: process.dpif.port_drain(two))
    assert tagged == frame()[:12] + struct.pack("!HH", 0x8100, 0x4009) + frame()[12:]
    assert process.dpif.port_drain(one) == [frame()]
    assert not list(process.dpif.flow_dump())


def test_userspace_action(ports):
    process, handler, (one, two) = ports
    process.flow(f"in_port({one})", f"userspace(pid=7,userdata(0102030405)),{two}")
    process.dpif.port_inject(one, frame(size=200))
    got = take(handler)
    assert (got.type, got.userdata, got.packet) == (ACTION, bytes((1, 2, 3, 4, 5)), frame(size=200))
    assert process.dpif.port_drain(two) == [frame(size=200)]


def test_sleeping_handler_is_woken(ports):
    """upcall_fd becomes readable after upcall_wait() said that the handler may sleep."""
    import select

    process, handler, (one, _) = ports
    assert handler.upcall_wait()
    poll = select.poll()
    poll.register(handler.upcall_fd, select.POLLIN)
    assert poll.poll(0) == []
    process.dpif.port_inject(one, frame())
    assert poll.poll(10_000)
    handler.upcall_awake()
    assert take_upcall(handler).packet == frame()
    assert poll.poll(0) == []
    process.dpif.port_inject(one, frame())
    wait_until(lambda: not handler.upcall_wait())


def test_full_ring_counts_and_lets_others_in(ports):
    """A handler that takes nothing: what has no room is counted, nothing else suffers."""
    process, handler, (one, two) = ports
    before = process.dpif.stats()
    big = frame(size=60_000)
    for _ in range(200):
        process.dpif.port_inject(one, big)
    stats = process.dpif.stats()
    lost = stats["lost"] - before["lost"]
    assert 0 < lost < 200
    assert process.port("d1").drops["upcall_queue_full"] == lost
    process.flow(f"in_port({two})", str(one))
    process.dpif.port_inject(two, frame())
    assert process.dpif.port_drain(one) == [frame()]
    taken = 0
    while take_upcall(handler):
        taken += 1
    assert taken + lost == 200
    process.dpif.port_inject(one, frame())
    assert take(handler).packet == frame()


def test_a_flood_leaves_room_for_others(ports):
    """A port has an eighth of the ring at most, whether its packets are large or small; others'
    first packets come up, and its own again when the handler has taken some."""
    process, handler, (one, two) = ports
    for size in (60, 60_000):
        before = process.dpif.stats()["lost"]
        for number in range(2500):
            process.dpif.port_inject(one, frame(size=size, src=number))
        flooded = process.dpif.stats()["lost"] - before
        assert flooded > 500
        for number in range(50):
            process.dpif.port_inject(two, frame(src=number, kind=0x9000))
        assert process.dpif.stats()["lost"] - before == flooded
        taken = []
        while upcall := take_upcall(handler):
            taken.append(upcall)
        of_two = [u for u in taken if u.packet[12:14] == b"\x90\0"]
        assert len(of_two) == 50 and len(taken) == 2500 - flooded + 50
        process.dpif.port_inject(one, frame())
        assert take(handler).packet == frame()


def test_flows_that_the_table_does_not_take(ports):
    """A flow that comes by the ring with another's ufid: counted and logged; its packet goes on."""
    process, handler, (one, two) = ports
    process.dpif.port_inject(one, frame())
    given = take(handler)
    key, mask = key_text.parse_key("eth_type(0x88b5)")
    process.dpif.flow_put(key, mask, b"", b"another ufid....")
    assert answer_upcall(handler, given, odp_text.parse_actions(str(two)), key, mask)
    assert wait_until(lambda: process.dpif.port_drain(two)) == [frame()]
    wait_until(lambda: "flows were not taken" in process.log())
    assert sum(each["refused_flows"] for each in process.dpif.stats()["workers"]) > 0


def test_a_broken_ring_ends_its_handler(process):
    """Whoever spoils the shared memory is disconnected, so that it comes again with fresh rings."""
    handler = process.client()
    descriptors = []
    handler._request("upcall_register", fds=descriptors)
    try:
        with mmap.mmap(descriptors[2], 8192) as ring:
            ring[0:8] = (12345).to_bytes(8, "little")  # the head, no multiple of 8
        os.write(descriptors[3], b"1")
        wait_until(lambda: not handler.alive())
        assert "broken" in process.log()
    finally:
        for fd in descriptors:
            os.close(fd)
        handler.close()
    again = process.client()
    again.upcall_register()
    assert again.alive()
    again.close()


@pytest.mark.parametrize(
    "options", ({"a": 1}, {"a": {}}, {"a": "x" * 2000}, {str(n): "" for n in range(100)}, [1])
)
def test_options_that_no_answer_could_carry(process, options):
    with pytest.raises(DpifError, match="option"):
        process.dpif.port_add("d7", "dummy", None, options)


# --- the end of the process


def test_killed_process_is_noticed():
    made = Process()
    try:
        client = made.client()
        client.upcall_register()
        assert client.alive()
        made.kill()
        assert not client.alive()
        with pytest.raises(ConnectionError):
            client.stats()
        with pytest.raises(OSError):
            client.stats()
        assert take_upcall(client) is None  # its rings are still mapped
        with pytest.raises(ConnectionRefusedError):
            Dpif(made.path)
    finally:
        made.close()


def test_key_and_mask_of_wrong_size(process):
    with pytest.raises(ValueError, match="bytes at least"):
        process.dpif.flow_put(b"short", b"short", b"")
    with pytest.raises(DpifError, match="16 bytes"):
        process.dpif.flow_get(b"short")
