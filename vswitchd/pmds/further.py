"""Workers for processor cores of a datapath that dpctl/add-dp made: it has them as long as it has a
port of a type that always does.  Nobody answers upcalls there, and nothing is measured, so that
they are made and ended at once.  Neither is pmd-cpu-mask for them, as in Open vSwitch."""

import errno
from typing import Any

from datapath.ipc.dpif import DpifError
from pyvs import digits
from vswitchd.pmds.assign import ALGORITHMS, Plan, Queue, assign
from vswitchd.pmds.pmds import ALWAYS, MAIN, Pmds

TRIES = 4
# A worker is there already, or a port or worker is there no more: another command was faster.
OVERTAKEN = (errno.EEXIST, errno.ENODEV, errno.ENOENT, errno.EINVAL)


def follow(dpif: Any, pmds: Pmds) -> None:
    """Have them, and the queues that they poll, as its ports want it.  Raises OSError."""
    for _ in range(TRIES - 1):
        try:
            _follow(dpif, pmds)
        except DpifError as error:
            if error.errno not in OVERTAKEN:
                raise
        else:
            return
    _follow(dpif, pmds)


def _follow(dpif: Any, pmds: Pmds) -> None:
    workers = {each["core"]: each["id"] for each in dpif.stats()["workers"]}
    workers.pop(None, None)
    ports = [port for port in dpif.port_dump() if port.type in ALWAYS]
    wanted = pmds.usual_cores() if ports else {}
    new = sorted(wanted.keys() - workers.keys())
    if new:
        workers.update(zip(new, dpif.workers_add(new, pmds.pinned), strict=True))
    plan = assign(_queues(ports), wanted, ALGORITHMS[0], True)
    _move(dpif, ports, plan, workers)
    gone = [workers[core] for core in sorted(workers.keys() - wanted.keys())]
    if gone:
        dpif.workers_del(gone)


def _queues(ports: list[Any]) -> list[Queue]:
    return [
        Queue(
            port.name,
            port.port_no,
            queue,
            digits.number(port.options.get("numa_id", "0")) or 0,
            None,
        )
        for port in ports
        for queue in range(len(port.queues))
    ]


def _move(dpif: Any, ports: list[Any], plan: Plan, workers: dict[int, int]) -> None:
    moves = []
    for port in ports:
        for queue, (owner, _packets, _busy) in enumerate(port.queues):
            core = plan.cores.get((port.port_no, queue))
            worker = MAIN if core is None else workers[core]
            if owner != worker:
                moves.append((port.port_no, queue, worker))
    if moves:
        dpif.queues_move(moves)
