"""pmd-auto-lb: when another assignment of the queues would share out the work more evenly."""

import ovs.vlog

from vswitchd.pmds.assign import Plan, Queue, assign, crosses_nodes, variance
from vswitchd.pmds.cpus import Cores
from vswitchd.pmds.history import History
from vswitchd.pmds.tuning import MINUTE, Tuning

vlog = ovs.vlog.Vlog("dpif_netdev")


class Balance:
    """Looks each interval; at the same configuration that could not be improved, once."""

    def __init__(self) -> None:
        self._looked: int | None = None  # ms
        self._is_new = True

    def renewed(self, now: int) -> None:
        """Workers, queues or settings are others than before."""
        self._looked = now
        self._is_new = True

    def due(self, now: int, tuning: Tuning) -> bool:
        if self._looked is None:
            self._looked = now
        if now < self._looked + tuning.interval * MINUTE:
            return False
        self._looked = now
        return True

    def would_improve(
        self, tuning: Tuning, queues: list[Queue], cores: Cores, plan: Plan, history: History
    ) -> bool:
        """Whether to assign anew; `queues` with what they cost lately."""
        if not self._is_loaded(tuning, cores, history) or not self._may_help(tuning, cores, plan):
            return False
        vlog.dbg("PMD auto load balance performing dry run.")
        better = assign(queues, cores, tuning.algorithm, tuning.isolate)
        if crosses_nodes(queues, cores, better) and len(set(cores.values())) > 1:
            vlog.dbg(
                "PMD auto load balance detected cross-numa polling with multiple numa nodes."
                " Unable to accurately estimate."
            )
            return False
        total = max((history.sum(("total", core)) for core in cores), default=0)
        now, then = (variance(queues, cores, each, total) for each in (plan, better))
        vlog.dbg(f"Current variance {now} Estimated variance {then}.")
        improvement = (now - then) * 100 // now if then < now else 0
        vlog.dbg(f"Variance improvement {improvement}%.")
        met = bool(then < now and improvement >= tuning.improvement)
        state = "met" if met else "not met"
        vlog.dbg(f"PMD load variance improvement threshold {tuning.improvement}% is {state}.")
        return met

    @staticmethod
    def _is_loaded(tuning: Tuning, cores: Cores, history: History) -> bool:
        for core in cores:
            total = history.sum(("total", core))
            load = history.sum(("busy", core)) * 100 // total if total else 0
            if load >= tuning.load:
                return True
        return False

    def _may_help(self, tuning: Tuning, cores: Cores, plan: Plan) -> bool:
        if not self._is_new:
            reason = "no configuration changes since last check."
        elif tuning.algorithm == "roundrobin":
            reason = "pmd-rxq-assign=roundrobin assignment type configured."
        elif not self._is_divisible(cores, plan):
            reason = "not enough non-isolated PMDs or RxQs."
        else:
            return True
        self._is_new = False
        vlog.dbg(f"PMD auto load balance nothing to do, {reason}")
        return False

    @staticmethod
    def _is_divisible(cores: Cores, plan: Plan) -> bool:
        """There are two workers, and one has more than one queue."""
        free = [core for core in cores if core not in plan.isolated]
        polled = list(plan.cores.values())
        return len(free) > 1 and any(polled.count(core) > 1 for core in free)
