"""The commands of `pyvs-appctl -t pyvs-datapath`: what the datapath process knows of itself."""

from datapath import text
from datapath.engine import Engine
from datapath.ipc import protocol
from datapath.ipc.port_requests import PortInfo
from pyvs import coverage
from pyvs.process import daemon


def _flows(engine: Engine):
    cursor = None
    while True:
        data, cursor = engine.flows.dump(cursor)
        yield from protocol.flows(data)
        if cursor is None:
            return


def _ports(engine: Engine) -> list[PortInfo]:
    return [PortInfo(**row) for row in engine.port_dump()]


def _only(args: list[str], known: tuple[str, ...]) -> bool:
    """Whether an option of `known` is given; CommandError for anything else."""
    for arg in args:
        if arg not in (*known, text.datapath(), "pyvs"):
            raise daemon.CommandError(f"{arg}: unknown argument")
    return any(arg in known for arg in args)


def _events(engine: Engine) -> dict[str, int]:
    """Reasons of discards and the workers' counters, for coverage/show."""
    stats = engine.stats()
    counts = {f"drop_{name}": count for name, count in stats["drops"].items()}
    for worker in stats["workers"]:
        for name, count in worker.items():
            if name not in ("id", "core", "cycles", "flows", "masks"):
                counts[f"worker_{name}"] = counts.get(f"worker_{name}", 0) + count
    return counts


def register(engine: Engine) -> None:
    """Register the commands, and the events of coverage/show."""
    coverage.event_reporter(lambda: _events(engine))

    def show(args):
        statistics = _only(args, ("-s", "--statistics"))
        return text.format_show(engine.stats(), _ports(engine), statistics)

    def dump_flows(args):
        more = _only(args, ("-m", "--more"))
        return "".join(f"{text.format_flow(info, more)}\n" for info in _flows(engine))

    def rxqs(_args):
        lines = []
        for worker in engine.workers:
            lines.append(f"worker {worker.id}:")
            lines += [
                f"  port: {port.name}  queue-id: {queue}"
                for port in engine.ports.values()
                for queue, (owner, _packets, _busy) in enumerate(port.queues())
                if owner == worker.id
            ]
        return "\n".join(lines) + "\n"

    def drops(_args):
        lines = [f"{text.datapath()}:\n", text.format_drops(engine.stats())]
        for port in _ports(engine):
            if port.drops:
                lines.append(f"port {port.port_no}: {port.name}\n")
                lines += [f"  {line}\n" for line in text.format_counts(port.drops)]
        return "".join(lines)

    def workers(_args):
        return text.format_workers(engine.stats())

    for name, usage, arguments, function in (
        ("dpctl/dump-dps", "", 0, lambda _args: f"{text.datapath()}\n"),
        ("dpctl/dump-flows", "[-m] [DP]", 2, dump_flows),
        ("dpctl/show", "[-s] [DP]", 2, show),
        ("drops/show", "", 0, drops),
        ("dpif-netdev/pmd-rxq-show", "", 0, rxqs),
        ("dpif-netdev/pmd-stats-show", "", 0, workers),
        ("worker/rxq-show", "", 0, rxqs),
        ("worker/stats-show", "", 0, workers),
    ):
        daemon.command(name, usage, 0, arguments, function)
