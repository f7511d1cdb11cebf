"""Receive queues and the workers that poll them: shared out, moved, and their workers ended."""

import socket
import threading

import pytest

from datapath.ipc.dpif import DpifError
from datapath.ipc.upcall_rings import answer_upcall, take_upcall
from tests.daemons import wait_until
from tests.datapath.dp_process import frame
from tests.datapath.netdev.test_veth import A, B, join
from tests.datapath.wire import Host, neighbours, socket_in, transfer

FLOWS = 64


def owners(port):
    return [owner for owner, _packets, _busy in port.queues]


def test_a_queue_is_polled_by_who_has_it(datapath):
    """Each worker's own packets, flows and upcalls; a worker that goes leaves its counters."""
    dpif = datapath.dpif
    dpif.upcall_register()
    datapath.add("p1", "dummy-pmd", 1, n_rxq="3")
    datapath.add("p2", "dummy", 2, n_rxq="3")
    assert owners(datapath.port("p1")) == [0, 0, 0] and owners(datapath.port("p2")) == [0]
    one, two = dpif.workers_add(iter([4, 7]), False)
    with pytest.raises(DpifError, match="already"):
        dpif.workers_add([7], False)
    dpif.queues_move([(1, 1, one), (1, 2, two)])
    assert owners(datapath.port("p1")) == [0, one, two]
    for queue in (1, 1, 2, 0):
        dpif.port_inject(1, frame(src=queue), queue)
    with pytest.raises(DpifError, match="no queue 3"):
        dpif.port_inject(1, frame(), 3)
    upcalls = [take_upcall(dpif) for _ in range(4)]
    assert sorted(each.worker for each in upcalls) == sorted([0, one, one, two])
    # The flow of a packet is its worker's; those for no core have theirs together.
    first = next(each for each in upcalls if each.worker == one)
    mask = bytes(8) + b"\xff" * 4 + bytes(len(first.key) - 12)
    assert answer_upcall(dpif, first, b"", first.key, mask)
    dpif.sync()
    assert [len(list(dpif.flow_dump(core=core))) for core in (4, 7, -1, None)] == [1, 0, 0, 1]
    dpif.flow_flush()
    datapath.flow("in_port(1)", "2")
    for queue in (0, 1, 1, 2):
        dpif.port_inject(1, frame(), queue)
    assert len(dpif.port_drain(2)) == 4
    packets = [sum(f.packets for f in dpif.flow_dump(core=core)) for core in (4, 7, -1)]
    assert packets == [2, 1, 1]
    before = dpif.stats()
    assert [count for _owner, count, _busy in datapath.port("p1").queues] == [2, 4, 2]
    assert all(busy for _owner, _packets, busy in datapath.port("p1").queues)
    dpif.workers_del([one])
    assert owners(datapath.port("p1")) == [0, 0, two]
    assert sum(packets) == sum(info.packets for info in dpif.flow_dump())
    assert dpif.stats()["hits"] == before["hits"] and dpif.stats()["misses"] == before["misses"]
    for word in ([0], [one]):
        with pytest.raises(DpifError):
            dpif.workers_del(word)
    # Another handler meets the workers that there are; nobody else may change them.
    other = datapath.client()
    with pytest.raises(DpifError, match="handler"):
        other.workers_add([9], False)
    other.upcall_register()
    dpif.flow_flush()
    other.port_inject(1, frame(), 2)
    assert take_upcall(other).worker == two


@pytest.fixture
def queues(net):
    """Two containers on ports 1 and 2, the first with four queues."""
    made = []
    try:
        for name, address in (("pa", A), ("pb", B)):
            made.append(Host(net, name, f"{address}/24"))
            net.add(name, "system", None, n_rxq="4" if name == "pa" else "1")
        yield net, *made
    finally:
        for each in made:
            each.close()


def test_the_kernel_shares_out_connections_and_nothing_twice(queues):
    net, a, b = queues
    join(net, 1, 2)
    neighbours(a, b)
    if len(net.port("pa").queues) == 1:
        pytest.skip("this kernel does not share out frames without giving back what is sent")
    taker = socket_in(b, socket.AF_INET, socket.SOCK_DGRAM)
    givers = [socket_in(a, socket.AF_INET, socket.SOCK_DGRAM) for _ in range(FLOWS)]
    with taker:
        taker.bind((B, 9000))
        for number, giver in enumerate(givers):
            giver.sendto(bytes([number]), (B, 9000))
            giver.sendto(bytes([number]), (B, 9000))
            giver.close()
        got = sorted(taker.recv(10) for _ in range(2 * FLOWS))
    assert got == sorted([bytes([number]) for number in range(FLOWS)] * 2)

    def shared_out():  # what the hosts say of themselves may come between the two looks
        port = net.port("pa")
        counts = [count for _owner, count, _busy in port.queues]
        assert sum(map(bool, counts)) > 1
        return sum(counts) == port.stats["rx_packets"] == net.port("pb").stats["tx_packets"]

    wait_until(shared_out, what="as many packets sent as received")
    assert a.ping(B) == 3 and b.ping(A) == 3


def test_workers_come_and_go_under_traffic(queues):
    """TCP goes on, and the datapath discards nothing."""
    net, a, b = queues
    join(net, 1, 2)
    neighbours(a, b)
    n_queues = len(net.port("pa").queues)
    ended = threading.Event()
    failed = []

    def change():
        dpif = net.client()
        try:
            while not ended.is_set():
                workers = [0, *dpif.workers_add([0, 1], False)]
                for match, actions in (("in_port(1)", "2"), ("in_port(2)", "1")):
                    net.flow(match, actions, dpif)  # no vswitchd is there to answer upcalls
                for shift in range(6):
                    dpif.queues_move([(1, q, workers[(q + shift) % 3]) for q in range(n_queues)])
                    dpif.queues_move([(2, 0, workers[shift % 3])])
                dpif.workers_del(workers[1:])
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        transfer(a, b, B, size=8 << 20)
        transfer(b, a, A, size=8 << 20)
    finally:
        ended.set()
        thread.join()
    assert not failed
    wait_until(lambda: set(owners(net.port("pa"))) == {0}, what="the queues at the first worker")
    assert net.drops() == {}


def test_what_iterations_cost(datapath):
    """other_config:pmd-perf-metrics: of each worker, also of those that come later."""
    dpif = datapath.dpif
    dpif.upcall_register()
    datapath.add("p1", "dummy-pmd", 1, n_rxq="2")
    datapath.add("p2", "dummy", 2)
    assert dpif.perf_get(0, 3, 3) is None
    dpif.perf_set(True)
    (later,) = dpif.workers_add([4], False)
    dpif.queues_move([(1, 1, later)])
    dpif.port_inject(1, frame(), 1)
    take_upcall(dpif)
    datapath.flow("in_port(1)", "2")
    for _ in range(3):
        dpif.port_inject(1, frame(), 1)

    def found(worker):
        return dpif.perf_get(worker, 1 << 60, 1 << 60)

    assert wait_until(lambda: found(later).total.packets == 4)
    total, iterations, ms, bins, walls = found(later)
    assert (total.batches, total.upcalls) == (4, 1) and total.upcall_cycles > 0
    assert sum(total[2:4]) > 0 and found(0).total.packets == 0
    assert [each.at for each in iterations] == sorted((e.at for e in iterations), reverse=True)
    for rows in (iterations, ms):
        assert sum(row.packets for row in rows) == 4 and len(rows) <= 1000
    assert [sum(histogram) for histogram in bins[:2]] == [total.iterations] * 2
    assert sum(bins[3]) == 4 and bins[3][1] == 4 and sum(bins[6]) == 1
    assert bins[1][walls[1].index(1)] == 4
    assert all(len(each) == 31 and sorted(set(each)) == each for each in walls)
    refused = ({"on": 1}, {"us": 1 << 32}, {"after": -1}, {"x": 1})
    for given in refused:
        with pytest.raises(DpifError, match=r"out of range|no such"):
            dpif.perf_log_set(**given)
    assert dpif.perf_log_set(before=990, after=20)[1:3] == (990, 8)
    assert dpif.perf_log_set(on=True, us=0, before=2, after=3, extend=True)[4] == 0
    dpif.perf_clear([later])
    assert found(later).total.packets == 0
    with pytest.raises(DpifError, match="no worker"):
        dpif.perf_get(9, 1, 1)
    dpif.workers_del([later])
    dpif.perf_set(False)
    assert found(0) is None
