"""Workers for processor cores ("PMD threads"), made and ended as the configuration asks, and the
queues that each polls.

Ports of types afxdp and dummy-pmd always have such workers; interfaces of the kernel do where
there is a pmd-cpu-mask, and else belong to the workers that the datapath process has from its
start.  A queue
changes its worker between two bursts, and a worker ends when it has no queue any more and its
upcalls are answered: no frame is lost.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import ovs.vlog

from pyvs import clock
from vswitchd.pmds import tuning
from vswitchd.pmds.assign import Plan, Queue, assign
from vswitchd.pmds.balance import Balance
from vswitchd.pmds.cpus import Cores
from vswitchd.pmds.history import INTERVAL, LENGTH, History
from vswitchd.pmds.tuning import Tuning

vlog = ovs.vlog.Vlog("dpif_netdev")

ALWAYS = ("afxdp", "dummy-pmd")  # types of ports
WITH_MASK = ("system", "internal", "tap")
MAIN = 0  # number of a worker that is for no core
SETTLING = 16  # rounds of upcalls before a worker ends
LOG = {"info": vlog.info, "warn": vlog.warn}


class PolledPort(NamedTuple):
    """A port of the datapath, as far as it matters here."""

    name: str
    number: int
    type: str
    numa: int
    affinity: str


class Pmds:
    """`cores`: of the machine; `pinned`: workers run on them only (they are real)."""

    def __init__(self, cores: Cores, pinned: bool):
        self.cores = cores
        self.workers: dict[int, int] = {}  # core -> number of its worker
        self.plan = Plan()
        self.queues: list[Queue] = []
        self.history = History()
        self.tuning: Tuning | None = None
        self._complaints: list[str] = []  # that were told
        self.pinned = pinned
        self._balance = Balance()
        self._dpif: Any = None
        self._known: Any = None  # what the present plan was made for
        self._sampled = 0  # ms

    # --- the configuration

    def configure(self, options: dict[str, str]) -> None:
        """Open_vSwitch's other_config."""
        now = tuning.read(options)
        complaints = tuning.complaints(options)
        for text in complaints:
            if text not in self._complaints or now != self.tuning:
                vlog.warn(text)
        self._complaints = complaints
        if now != self.tuning:
            tuning.tell(self.tuning, now)
            self.tuning = now
            self._balance.renewed(clock.msec())

    def follow(self, backer: Any, ports: Iterable[PolledPort]) -> None:
        """Have workers and queues as is configured for these ports.  Raises OSError."""
        if backer.dpif is None:
            return  # lost while ports were made: all is asked for again when it is back
        if backer.dpif is not self._dpif:
            self._take_over(backer.dpif)
        polled = [port for port in ports if self._is_polled(port)]
        if not polled and not self.workers:
            return
        counts = {each.port_no: len(each.queues) for each in backer.dpif.port_dump()}
        known = (polled, {each.number: counts.get(each.number) for each in polled}, self.tuning[:3])
        if known != self._known:
            self._reassign(backer, polled)
            self._known = known
        else:
            self._move_queues(backer)  # of a port that was made anew

    def _is_polled(self, port: PolledPort) -> bool:
        masked = self.tuning is not None and self.tuning.mask is not None
        return port.type in ALWAYS or (masked and port.type in WITH_MASK)

    def _take_over(self, dpif: Any) -> None:
        """A datapath process that is new to us may have workers that another vswitchd made."""
        self._dpif, self._known = dpif, None
        self.history.clear()
        workers = dpif.stats()["workers"]
        self.workers = {each["core"]: each["id"] for each in workers if each["core"] is not None}

    def rebalance(self, backer: Any) -> None:
        """Assign the queues anew, by what they cost lately.  Raises OSError."""
        if self._known is not None and backer.dpif is self._dpif:
            self._reassign(backer, self._known[0])

    # --- workers and queues

    def _reassign(self, backer: Any, ports: list[PolledPort]) -> None:
        wanted = self._wanted_cores() if ports else {}
        self._add_workers(backer, wanted)
        self.queues = self._read_queues(backer, ports)
        self.plan = assign(self.queues, wanted, self.tuning.algorithm, self.tuning.isolate)
        for level, text in self.plan.notes:
            LOG[level](text)
        self._move_queues(backer)
        self._end_workers(backer, wanted)
        self.history.clear()
        self._sampled = 0
        self._balance.renewed(clock.msec())

    def _wanted_cores(self) -> Cores:
        mask = self.tuning.mask
        if mask is not None:
            return {core: node for core, node in self.cores.items() if core in mask}
        return self.usual_cores()

    def usual_cores(self) -> Cores:
        """Those that have workers without a pmd-cpu-mask, one of each NUMA node, with the nodes."""
        first: dict[int, int] = {}
        for core, node in sorted(self.cores.items()):
            first.setdefault(node, core)
        return {core: node for node, core in first.items()}

    def _add_workers(self, backer: Any, wanted: Cores) -> None:
        new = sorted(wanted.keys() - self.workers.keys())
        if not new:
            return
        for core in new:
            # One at a time, for an answer about many comes too late, and then all begins anew.
            (self.workers[core],) = backer.dpif.workers_add([core], self.pinned)
            vlog.info(f"PMD thread on numa_id: {wanted[core]}, core id: {core:2d} created.")
        self._tell_workers(wanted)

    def _tell_workers(self, wanted: Cores) -> None:
        for node in sorted(set(wanted.values())):
            count = list(wanted.values()).count(node)
            vlog.info(f"There are {count} pmd threads on numa node {node}")

    def _read_queues(self, backer: Any, ports: list[PolledPort]) -> list[Queue]:
        counts = {each.port_no: len(each.queues) for each in backer.dpif.port_dump()}
        found = []
        for port in sorted(ports, key=lambda each: each.number):
            pinned = tuning.affinity(port.affinity, port.name)
            found += [
                Queue(port.name, port.number, queue, port.numa, pinned.get(queue))
                for queue in range(counts.get(port.number, 0))
            ]
        return [
            queue._replace(cycles=self.history.sum((queue.port_no, queue.id))) for queue in found
        ]

    def _move_queues(self, backer: Any) -> None:
        """To whom the plan says; those that are not in it leave the workers for cores."""
        of_cores = set(self.workers.values())
        moves = []
        for port in backer.dpif.port_dump():
            for queue, (owner, _packets, _busy) in enumerate(port.queues):
                core = self.plan.cores.get((port.port_no, queue))
                worker = self.workers[core] if core is not None else MAIN
                if owner != worker and (core is not None or owner in of_cores):
                    moves.append((port.port_no, queue, worker))
        if moves:
            backer.dpif.queues_move(moves)

    def _end_workers(self, backer: Any, wanted: Cores) -> None:
        gone = sorted(self.workers.keys() - wanted.keys())
        if not gone:
            return
        for _ in range(SETTLING):  # their upcalls are answered first
            backer.dpif.sync()
            if not backer.handler.run(clock.msec()):
                break
        backer.revalidator.sync(clock.msec())  # and what their flows counted is credited
        for core in gone:
            backer.dpif.workers_del([self.workers[core]])
            del self.workers[core]
            vlog.info(
                f"PMD thread on numa_id: {self.cores.get(core, 0)}, core id: {core:2d} destroyed."
            )
        self._tell_workers(wanted)

    # --- what they cost

    def run(self, backer: Any, now: int) -> None:
        """Raises OSError."""
        if not self._are_there(backer):
            return
        if now >= self._sampled + INTERVAL:
            self._sampled = now
            self._sample(backer.dpif)
        if self.tuning.balance and self._balance.due(now, self.tuning) and self._uneven(now):
            vlog.info("PMD auto load balance dry run. Requesting datapath reconfigure.")
            self.rebalance(backer)

    def wait(self, backer: Any, poller: Any) -> None:
        if self._are_there(backer):
            poller.timer_wait_until(self._sampled + INTERVAL)

    def _are_there(self, backer: Any) -> bool:
        """Whether there are workers, and the datapath process that has them answers."""
        if not self.workers or backer is None or backer.dpif is None:
            return False
        return bool(backer.dpif is self._dpif)

    def _sample(self, dpif: Any) -> None:
        counters: dict[Any, int] = {}
        for each in dpif.stats()["workers"]:
            counters["total", each["core"]] = each["cycles"]
            counters["busy", each["core"]] = each["busy"]
        for port in dpif.port_dump():
            for queue, (_owner, _packets, busy) in enumerate(port.queues):
                counters[port.port_no, queue] = busy
        self.history.add(counters)

    def _uneven(self, now: int) -> bool:
        cores = {core: self.cores.get(core, 0) for core in self.workers}
        measured = [
            queue._replace(cycles=self.history.sum((queue.port_no, queue.id)))
            for queue in self.queues
        ]
        return self._balance.would_improve(self.tuning, measured, cores, self.plan, self.history)

    def usage(self, core: int, queue: tuple[int, int] | None, seconds: int) -> int | None:
        """Percent of a worker's time that a queue took (its Queue.key), or all that it did; None:
        not known."""
        n = min(LENGTH, seconds * 1000 // INTERVAL)
        total = self.history.sum(("total", core), n)
        if not total:
            return None
        name = ("busy", core) if queue is None else queue
        return min(100, self.history.sum(name, n) * 100 // total)
