"""What a worker does with frames of dummy ports; every discard has its name and its port."""

import errno
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.actions import lb
from datapath.actions.text import odp_text
from datapath.base import drops
from datapath.ipc.dpif import DpifError
from datapath.ipc.upcall_rings import answer_upcall, push_down
from datapath.key import flow
from tests.daemons import wait_until
from tests.datapath.dp_process import frame
from tests.datapath.ipc.test_dpif import take
from tests.datapath.sample_frames import frames
from tests.datapath.wire import sums_are_right

VNET = {
    "flags": 0, "gso_type": 0, "hdr_len": 0, "gso_size": 0, "csum_start": 0, "csum_offset": 0,
}  # fmt: skip
NEEDS_CSUM, GSO_TCPV4 = 1, 1


@pytest.fixture
def three(shared):
    yield shared
    shared.dpif.flow_flush()
    for number in (1, 2, 3):
        shared.dpif.port_drain(number)


def test_forwarding_and_counters(three):
    for here, there in ((1, "2,3"), (2, "1"), (3, "drop")):
        three.flow(f"in_port({here})", there)
    for number in range(50):
        three.dpif.port_inject(1, frame(size=60 + number))
    assert [len(each) for each in three.dpif.port_drain(2)] == list(range(60, 110))
    assert [len(each) for each in three.dpif.port_drain(3)] == list(range(60, 110))
    three.dpif.port_inject(2, frame())
    assert three.dpif.port_drain(1) == [frame()]
    one, two = three.port("d1"), three.port("d2")
    assert (one.stats["rx_packets"], one.stats["tx_packets"]) == (50, 1)
    assert (two.stats["tx_packets"], two.stats["tx_bytes"]) == (50, sum(range(60, 110)))
    counts = {info.packets: info.bytes for info in three.dpif.flow_dump()}
    assert counts == {50: sum(range(60, 110)), 1: 60, 0: 0}


def test_recirculation(three):
    three.flow("recirc_id(0),in_port(1)", "push_vlan(vid=5,pcp=0),recirc(0x1)")
    three.flow("recirc_id(0x1),in_port(1),eth_type(0x8100),vlan(vid=5)", "2,pop_vlan,recirc(0x2)")
    three.flow("recirc_id(0x2),in_port(1)", "3")
    three.dpif.port_inject(1, frame())
    assert three.dpif.port_drain(2) == [frame()[:12] + b"\x81\x00\x00\x05" + frame()[12:]]
    assert three.dpif.port_drain(3) == [frame()]
    assert {info.packets for info in three.dpif.flow_dump()} == {1}


def test_changed_actions_are_used_at_once(three):
    """The cache forgets what a flow said before, and a flow that was deleted."""
    for port in (2, 3, 2):
        ufid = three.flow("in_port(1)", str(port))
        three.dpif.port_inject(1, frame())
        assert three.dpif.port_drain(port) == [frame()]
    three.dpif.flow_del(ufid)
    three.dpif.port_inject(1, frame())
    assert three.dpif.port_drain(2) == []


def test_ports_of_several_workers_share_one(three):
    """Workers that send to the same port at once lose and mix up nothing."""
    import threading

    three.flow("in_port(1)", "3")
    three.flow("in_port(2)", "3")

    def send(port):
        client = three.client()
        for number in range(300):
            client.port_inject(port, frame(src=number, dst=port))

    threads = [threading.Thread(target=send, args=(port,)) for port in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = three.dpif.port_drain(3)
    for port in (1, 2):
        mine = [each for each in got if each[4:6] == port.to_bytes(2, "big")]
        assert mine == [frame(src=number, dst=port) for number in range(300)]


# --- discards by name


def deep(levels):
    return "1" if levels == 0 else f"clone({deep(levels - 1)})"


def drop_action(process, handler):
    process.flow("in_port(1)", "drop")
    process.dpif.port_inject(1, frame())


def no_such_port(process, handler):
    process.flow("in_port(1)", "99")
    process.dpif.port_inject(1, frame())


def tx_queue_full(process, handler):
    process.flow("in_port(1)", "2")
    for _ in range(1025):
        process.dpif.port_inject(1, frame())


def upcall_no_handler(process, _handler):
    process.dpif.port_inject(1, frame())  # there was none yet, for whose successor it would wait


def upcall_queue_full(process, handler):
    for _ in range(140):
        process.dpif.port_inject(1, frame(size=65535))


def recirc_too_deep(process, handler):
    process.flow("recirc_id(0),in_port(1)", "recirc(0x1)")
    process.flow("recirc_id(0x1),in_port(1)", "recirc(0x1)")
    process.dpif.port_inject(1, frame())


def bad_action(process, handler):
    push_down(handler, 0, b"\xff" * 700)


def no_headroom(process, handler):
    process.flow("in_port(1)", ",".join(["push_vlan(vid=1,pcp=0)"] * 400 + ["2"]))
    process.dpif.port_inject(1, frame(size=65535))


def bad_offload(process, handler):
    process.dpif.port_inject(1, frame())
    given = take(handler)._replace(vnet={**VNET, "flags": NEEDS_CSUM, "csum_start": 60000})
    assert answer_upcall(handler, given, odp_text.parse_actions("2"))


def meter_exceeded(process, handler):
    process.dpif.meter_set(1, 1, [(1, 1)])  # not even one of these, in kilobits
    process.flow("in_port(1)", "meter(1),2")
    process.dpif.port_inject(1, frame(size=1000))


def too_many_actions(process, handler):
    """Lists of recirculations multiply: without a bound the worker would not come back."""
    process.flow("in_port(1),recirc_id(0)", ",".join(["recirc(0x1)"] * 10))
    process.flow("in_port(1),recirc_id(0x1)", ",".join(["hash(l4(0))"] * 5000 + ["2"]))
    process.dpif.port_inject(1, frame())


def bond_no_member(process, handler):
    """A bond that is not there, and one whose buckets nobody carries."""
    process.dpif.bond_set(7, 0, [lb.NONE] * lb.BUCKETS)
    process.flow("in_port(1)", "lb_output(8),lb_output(7)")
    process.dpif.port_inject(1, frame())


CAUSES = {
    "action_drop": drop_action,
    **{
        function.__name__: function
        for function in (
            *(no_such_port, tx_queue_full, upcall_no_handler, upcall_queue_full),
            *(recirc_too_deep, bad_action, no_headroom, bad_offload, meter_exceeded),
            *(too_many_actions, bond_no_member),
        )
    },
}
# With real interfaces: test_veth.py and test_drops.py.
ELSEWHERE = {"rx_invalid_packet", "rx_oversize", "tx_error", "port_down", "mtu_exceeded"}
ELSEWHERE |= {"rx_queue_full", "no_memory"}
ELSEWHERE.add("wrong_packet_type")  # with the actions on headers: actions/test_encap.py
# With headers that lie: actions/test_tunnel.py.
ELSEWHERE |= {"tunnel_push_error", "tunnel_pop_error", "tunnel_no_header"}
# With the tracker: tests/datapath/conntrack.
ELSEWHERE |= {name for name in drops.NAMES if name.startswith(("ct_", "frag_"))}


def test_every_reason_is_tested():
    assert set(CAUSES) | ELSEWHERE == set(drops.NAMES)


@pytest.mark.parametrize("reason", CAUSES)
def test_reason(datapath, reason):
    """The discard counts under its reason, and pyvs-dpctl prints it, in all and by port."""
    datapath.add("d1")
    datapath.add("d2")
    handler = datapath.client()
    if reason != "upcall_no_handler":
        handler.upcall_register()
    CAUSES[reason](datapath, handler)
    counts = wait_until(datapath.drops, what=reason)
    assert set(counts) == {reason}
    assert f"{reason} " in datapath.dpctl("drops")
    if reason != "bad_action":  # that came from no port
        assert f"drops: {reason}:{counts[reason]}" in datapath.dpctl("show", "-s")


# --- offload state that comes by the down ring


def gso(size, mss):
    """A TCP frame of `size` bytes of data as a kernel with TSO gives it, with its header."""
    whole = frames()["tcp4"][:58]
    head = bytearray(whole)
    head[16:18] = (len(head) - 14 + size).to_bytes(2, "big")
    head[24:26] = bytes(2)
    total = sum(struct.unpack("!10H", head[14:34]))
    total = (total & 0xFFFF) + (total >> 16)
    head[24:26] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    vnet = {**VNET, "flags": NEEDS_CSUM, "gso_type": GSO_TCPV4, "hdr_len": 58, "gso_size": mss}
    return bytes(head) + random.Random(1).randbytes(size), {
        **vnet, "csum_start": 34, "csum_offset": 16,
    }  # fmt: skip


def test_segmentation_of_an_upcall(datapath):
    datapath.add("d1")
    datapath.add("d2")
    handler = datapath.client()
    handler.upcall_register()
    datapath.dpif.port_inject(1, frame())
    given = take(handler)
    whole, vnet = gso(60_000, 1448)
    sent = given._replace(packet=whole, vnet=vnet, key=flow.extract(whole, in_port=1))
    assert answer_upcall(handler, sent, odp_text.parse_actions("2"))
    wait_until(lambda: datapath.port("d2").stats["tx_packets"] == 42)
    segments = datapath.dpif.port_drain(2)
    assert b"".join(each[58:] for each in segments) == whole[58:]
    assert all(map(sums_are_right, segments))


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(frames())),
    numbers=st.tuples(*[st.integers(0, 255)] * 2, *[st.integers(0, 65535)] * 4),
)
def test_any_offload_header(shared, name, numbers):
    """Whatever the header says, the frame is sent or counted, and the process lives."""
    handler = test_any_offload_header.handlers.setdefault(id(shared), None)
    if handler is None:
        handler = test_any_offload_header.handlers[id(shared)] = shared.client()
        handler.upcall_register()
    shared.dpif.port_inject(1, frame())
    given = take(handler)._replace(
        packet=frames()[name], vnet=dict(zip(VNET, numbers, strict=True))
    )
    assert answer_upcall(handler, given, odp_text.parse_actions("2,push_vlan(vid=1,pcp=0),3"))
    shared.dpif.stats()


test_any_offload_header.handlers = {}


# --- nonsense


ACTIONS = (
    "2", "3,2", "push_vlan(vid=5,pcp=1),2", "pop_vlan,2", "pop_vlan,pop_vlan,recirc(0x1)",
    "set(ipv4(ttl=1)),2,set(eth(src=2:2:2:2:2:2)),3", "set(ipv6(label=0x12345,hlimit=3)),2",
    "push_mpls(label=3,tc=0,ttl=9,bos=1,eth_type=0x8847),2", "pop_mpls(eth_type=0x800),2",
    "set(tcp(dst=80)),2", "set(udp(src=80)),2", "set(icmp(type=1)),3", "set(arp(op=2)),2",
    "hash(sym_l4(0)),recirc(0x1)", "set(nd(target=::1)),2", "clone(pop_vlan,pop_vlan,2),3",
    "sample(sample=50%,actions(push_vlan(vid=1,pcp=0),2)),3",
    "trunc(14),2", "trunc(15),userspace(pid=1,userdata(00)),2",
)  # fmt: skip


@pytest.mark.parametrize("actions", ACTIONS)
def test_broken_frames(three, actions):
    """Each frame in a hundred is forwarded, sent up or counted; none of it ends the process."""
    three.flow("recirc_id(0),in_port(1)", actions)
    three.flow("recirc_id(0x1),in_port(1)", "2")
    data = random.Random(actions)
    samples = sorted(frames().values())
    for _ in range(100):
        whole = bytearray(data.choice(samples))
        if data.random() < 0.3:
            whole = bytearray(data.randbytes(data.randrange(14, 200)))
        whole[data.randrange(len(whole))] = data.randrange(256)
        three.dpif.port_inject(1, bytes(whole[: data.randrange(14, len(whole) + 1)]))
    total = three.dpif.stats()
    assert total["hits"] >= 100


@pytest.mark.parametrize("size", (0, 1, 13, 65536, 100_000))
def test_frames_of_no_size(three, size):
    with pytest.raises(DpifError, match="a frame of"):
        three.dpif.port_inject(1, bytes(size))
    with pytest.raises(DpifError, match="a frame of"):
        three.dpif.execute(bytes(size), b"")


@pytest.mark.parametrize("size", (14, 15, 59, 1514, 2047, 2048, 9000, 65535))
def test_frames_of_every_size(three, size):
    three.flow("in_port(1)", "2,push_vlan(vid=1,pcp=0),pop_vlan,3")
    three.dpif.port_inject(1, frame(size=size))
    assert three.dpif.port_drain(2) == three.dpif.port_drain(3) == [frame(size=size)]


def test_a_port_whose_flows_are_not_cached_exactly(datapath, tmp_path):
    """emc-enable: while the port stays, it is said of each packet anew; what is there stays."""
    for number in (1, 2, 3):
        datapath.add(
            f"d{number}", "dummy", number, **{"emc-enable": "false"} if number == 1 else {}
        )
    for number in (1, 2):
        datapath.flow(f"in_port({number})", "3")

    def hits(number):
        """How many of ten packets the exact-match cache served."""

        def counted():
            return sum(each["emc_hits"] for each in datapath.dpif.stats()["workers"])

        before = counted()
        for _ in range(10):
            datapath.dpif.port_inject(number, frame())
        assert len(datapath.dpif.port_drain(3)) == 10
        return counted() - before

    assert [hits(1), hits(2)] == [0, 9]
    datapath.dpif.port_set(1, {})
    datapath.dpif.port_set(2, {"emc-enable": "false"})
    assert [hits(1), hits(2)] == [9, 10]
    # Beside another option, that only a dummy's can be changed of.
    datapath.add("d4", "dummy", 4)
    datapath.flow("in_port(4)", "3")
    datapath.dpif.port_set(4, {"emc-enable": "false", "pcap": str(tmp_path / "frames")})
    assert hits(4) == 0
    with pytest.raises(OSError) as refused:
        datapath.dpif.port_set(1, {"emc-enable": "maybe", "n_rxq": "x" * 100_000})
    assert refused.value.errno == errno.EINVAL
