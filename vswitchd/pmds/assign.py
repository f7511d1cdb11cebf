"""Which worker polls which receive queue: the ways of pmd-rxq-assign, as pure functions.

As Open vSwitch's documentation (topics/dpdk/pmd) has them.  First come the queues that an interface
pins to a core; that core is then for pinned ones only, unless it is said otherwise.  The others go
to workers of their port's NUMA node where there are some, else to those of any:

- roundrobin: in the ports' order, to one worker after the other;
- cycles: those that took the most processor time first, to one worker after the other and back;
- group: those first, each to the worker that has the least to do by then.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from vswitchd.pmds.cpus import Cores

ALGORITHMS = ("cycles", "roundrobin", "group")


class Queue(NamedTuple):
    port: str
    port_no: int  # the datapath's
    id: int
    numa: int
    pinned: int | None  # to this core
    cycles: int = 0  # what its packets took lately

    @property
    def key(self) -> tuple[int, int]:
        return self.port_no, self.id


@dataclass
class Plan:
    """`cores`: of each queue, by its key; `notes`: what the log is to have, (level, text)."""

    cores: dict[tuple[int, int], int] = field(default_factory=dict)
    isolated: set[int] = field(default_factory=set)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def give(self, queue: Queue, core: int, numa: int, measured: bool = False) -> None:
        self.cores[queue.key] = core
        cost = f" (measured processing cycles {queue.cycles})" if measured else ""
        self.notes.append(
            (
                "info",
                f"Core {core:2d} on numa node {numa} assigned port '{queue.port}'"
                f" rx queue {queue.id}{cost}",
            )
        )


class _There:
    """One after the other, without end."""

    def __init__(self, cores: list[int]):
        self._order = self._turns(cores)

    @staticmethod
    def _turns(cores: list[int]) -> Iterator[int]:
        while True:
            yield from cores

    def next(self, _loads: object) -> int:
        return next(self._order)


class _ThereAndBack(_There):
    @staticmethod
    def _turns(cores: list[int]) -> Iterator[int]:
        while True:
            yield from cores
            yield from reversed(cores)


class _Idlest:
    """Who has the fewest cycles, then the fewest queues, by now."""

    def __init__(self, cores: list[int]):
        self._cores = cores

    def next(self, loads: dict[int, tuple[int, int]]) -> int:
        return min(self._cores, key=lambda core: (loads[core], core))


CHOOSERS = {"roundrobin": _There, "cycles": _ThereAndBack, "group": _Idlest}


class _Nodes:
    """The workers of each NUMA node, and whose turn is next."""

    def __init__(self, cores: Cores, algorithm: str):
        by_node: dict[int, list[int]] = {}
        for core in sorted(cores):
            by_node.setdefault(cores[core], []).append(core)
        chooser = CHOOSERS[algorithm]
        self._choosers = {node: chooser(found) for node, found in sorted(by_node.items())}
        # Where a queue has to go to another node, they take turns; the idlest is that of all.
        self._away = chooser(sorted(cores)) if algorithm == "group" else None
        self._turns = _There(sorted(by_node))

    def core_for(self, queue: Queue, loads: dict[int, tuple[int, int]]) -> int:
        chooser = self._choosers.get(queue.numa)
        if chooser is None:
            chooser = self._away or self._choosers[self._turns.next(loads)]
        return chooser.next(loads)


def assign(queues: Iterable[Queue], cores: Cores, algorithm: str, isolate: bool) -> Plan:
    """`cores`: those that have a worker; with none of them, a queue gets none."""
    plan = Plan()
    free = []
    for queue in queues:
        if queue.pinned is None:
            free.append(queue)
        elif queue.pinned in cores:
            plan.give(queue, queue.pinned, cores[queue.pinned])
            if isolate:
                plan.isolated.add(queue.pinned)
        else:
            plan.notes.append(
                (
                    "warn",
                    f"Core {queue.pinned} cannot be pinned with port '{queue.port}' rx queue"
                    f" {queue.id}. Use pmd-cpu-mask to enable core {queue.pinned}.",
                )
            )
            free.append(queue)
    if free:
        given = [queue for queue in queues if queue.key in plan.cores]
        _spread(plan, free, given, cores, algorithm)
    return plan


def _spread(
    plan: Plan, free: list[Queue], given: list[Queue], cores: Cores, algorithm: str
) -> None:
    """Queues that are pinned to no core."""
    rest = {core: node for core, node in cores.items() if core not in plan.isolated}
    plan.notes.append(
        ("info", f"Performing pmd to rx queue assignment using {algorithm} algorithm.")
    )
    measured = algorithm != "roundrobin"
    if measured:
        free = sorted(free, key=lambda queue: -queue.cycles)
    loads = dict.fromkeys(rest, (0, 0))
    for queue in given:
        _add(loads, plan.cores[queue.key], queue)
    nodes = _Nodes(rest, algorithm)
    for queue in free:
        if not rest:
            text = f"No non-isolated pmd on any numa available for port '{queue.port}' rx queue"
            plan.notes.append(("warn", f"{text} {queue.id}. This queue will not be polled."))
            continue
        core = nodes.core_for(queue, loads)
        _add(loads, core, queue)
        if queue.numa not in rest.values():
            plan.notes.append(("info", _far(queue, rest[core])))
        plan.give(queue, core, rest[core], measured)


def _add(loads: dict[int, tuple[int, int]], core: int, queue: Queue) -> None:
    if core in loads:
        cycles, n_queues = loads[core]
        loads[core] = cycles + queue.cycles, n_queues + 1


def _far(queue: Queue, node: int) -> str:
    return (
        f"There's no available (non-isolated) pmd thread on numa node {queue.numa}. Port"
        f" '{queue.port}' rx queue {queue.id} will be assigned to a pmd on numa node {node}."
        " This may lead to reduced performance."
    )


def crosses_nodes(queues: Iterable[Queue], cores: Cores, plan: Plan) -> bool:
    """Whether a queue that is pinned to no core is polled from another node than its port's."""
    for queue in queues:
        core = plan.cores.get(queue.key)
        if queue.pinned is None and core in cores and cores[core] != queue.numa:
            return True
    return False


def variance(queues: Iterable[Queue], cores: Iterable[int], plan: Plan, total: int) -> int:
    """Of the workers' loads in percent, `total` cycles being the whole of one."""
    loads = dict.fromkeys(cores, 0)
    for queue in queues:
        core = plan.cores.get(queue.key)
        if core in loads:
            loads[core] += queue.cycles
    shares = [load * 100 // total if total else 0 for load in loads.values()]
    if not shares:
        return 0
    mean = sum(shares) // len(shares)
    return sum((share - mean) ** 2 for share in shares) // len(shares)
