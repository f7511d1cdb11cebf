"""Which worker gets which queue: the examples of Open vSwitch's documentation and suite."""

import random

import pytest

from vswitchd.pmds import cpus, tuning
from vswitchd.pmds.assign import ALGORITHMS, Queue, assign, crosses_nodes, variance


def queues(n, numa=0, pinned=None, cycles=()):
    pinned = pinned or {}
    return [Queue("p0", 1, i, numa, pinned.get(i), cycles[i] if cycles else 0) for i in range(n)]


def by_core(plan):
    found = {}
    for (_port, queue), core in sorted(plan.cores.items()):
        found.setdefault(core, []).append(queue)
    return found


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("roundrobin", {0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}),
        ("cycles", {0: [0, 3, 4, 7], 1: [1, 2, 5, 6]}),
        ("group", {0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}),
    ],
)
def test_of_queues_that_cost_nothing_yet(algorithm, expected):
    assert by_core(assign(queues(8), {0: 0, 1: 0}, algorithm, True)) == expected
    # From another node, where the port's own has no worker:
    far = assign(queues(8, numa=1), {2: 0, 3: 0}, algorithm, True)
    assert by_core(far) == {2: expected[0], 3: expected[1]}
    assert (
        sum("no available (non-isolated) pmd thread on numa node 1" in t for _, t in far.notes) == 8
    )
    assert by_core(assign(queues(8, numa=1), {1: 1, 2: 0}, algorithm, True)) == {1: list(range(8))}
    # Four workers on two nodes that are not the port's: each gets one.
    assert len(by_core(assign(queues(4), {0: 1, 1: 2, 2: 1, 3: 2}, algorithm, True))) == 4


def test_what_costs_most_is_shared_out_first():
    costs = (10, 80, 20, 90, 50)
    assert by_core(assign(queues(5, cycles=costs), {0: 0, 1: 0}, "cycles", True)) == {
        0: [0, 2, 3], 1: [1, 4]}  # fmt: skip
    plan = assign(queues(5, cycles=costs), {0: 0, 1: 0}, "group", True)
    loads = [sum(costs[queue] for queue in found) for found in by_core(plan).values()]
    assert sorted(loads) == [120, 130]


def test_pinned_queues_isolate_their_core():
    cores = {1: 0, 2: 0}
    pinned = {0: 3, 1: 7, 2: 2, 3: 8}
    plan = assign(queues(4, pinned=pinned), cores, "cycles", True)
    assert by_core(plan) == {1: [0, 1, 3], 2: [2]} and plan.isolated == {2}
    assert sum(level == "warn" for level, _ in plan.notes) == 3
    plan = assign(queues(4, pinned={0: 1}), cores, "group", False)
    assert by_core(plan) == {1: [0, 2], 2: [1, 3]} and not plan.isolated
    # Nobody is left for the others.
    plan = assign(queues(2, pinned={0: 1}), {1: 0}, "cycles", True)
    assert plan.cores == {(1, 0): 1}
    assert ("warn", "No non-isolated pmd on any numa available for port 'p0' rx queue 1."
            " This queue will not be polled.") in plan.notes  # fmt: skip
    assert assign(queues(2), {}, "group", True).cores == {}


def test_any_assignment_is_whole_and_group_is_never_far_from_even():
    random.seed(5)
    for _ in range(200):
        cores = {core: random.randrange(3) for core in range(random.randrange(1, 6))}
        some = [
            Queue(f"p{i}", i, 0, random.randrange(3), random.choice([None, None, 2]),
                  random.randrange(1000))
            for i in range(random.randrange(12))
        ]  # fmt: skip
        for algorithm in ALGORITHMS:
            plan = assign(some, cores, algorithm, isolate=False)
            assert plan.cores.keys() == {queue.key for queue in some}
            assert set(plan.cores.values()) <= cores.keys()
            for queue in some:
                core = plan.cores[queue.key]
                if queue.pinned in cores:
                    assert core == queue.pinned
                elif queue.numa in cores.values():
                    assert cores[core] == queue.numa
            one_node = dict.fromkeys(cores, 0)
            free = [queue._replace(numa=0, pinned=None) for queue in some]
            even = assign(free, one_node, "group", True)
            assert not crosses_nodes(free, one_node, even)
            loads = [sum(q.cycles for q in free if even.cores[q.key] == core) for core in cores]
            assert max(loads) - min(loads) <= max((q.cycles for q in free), default=0)
            assert variance(free, one_node, even, 1000) >= 0


def test_masks_lists_and_settings(tmp_path):
    assert cpus.parse_mask("0x1fe") == set(range(1, 9)) and cpus.parse_mask("7e") == {
        1,
        2,
        3,
        4,
        5,
        6,
    }
    assert cpus.parse_mask("0x") is None and cpus.parse_mask("1g") is None
    assert cpus.parse_mask("f" * 5000) is None
    assert cpus.parse_list("0-2,8\n") == {0, 1, 2, 8}
    assert cpus.of_text("0,1,8") == {0: 0, 1: 1, 2: 8}
    assert cpus.of_machine(tmp_path) == dict.fromkeys(sorted(cpus.os.sched_getaffinity(0)), 0)
    options = {
        "pmd-rxq-isolate": "false",
        "pmd-auto-lb-rebal-interval": "20001",
        "pmd-maxsleep": "10001",
    }
    wanted = tuning.read(options)
    assert wanted.isolate and wanted.interval == 1 and wanted.sleep == 10000
    assert not tuning.read({**options, "pmd-rxq-assign": "group"}).isolate
    assert tuning.affinity("0:3, 1:7,x,2:", "p") == {0: 3, 1: 7}
