"""The commands of `pyvs-appctl -t pyvs-datapath`: what the datapath process knows of itself."""

from collections import namedtuple

from datapath import protocol, text
from datapath.engine import Engine
from pyvs import daemon

_Port = namedtuple("_Port", "port_no name type ifindex dead stats drops options")


def _flows(engine: Engine):
    cursor = None
    while True:
        data, cursor = engine.flow_dump(cursor)
        yield from protocol.flows(data)
        if cursor is None:
            return


def _ports(engine: Engine) -> list[_Port]:
    return [_Port(**row) for row in engine.port_dump()]


def _only(args: list[str], known: tuple[str, ...]) -> bool:
    """Whether an option of `known` is given; CommandError for anything else."""
    for arg in args:
        if arg not in (*known, text.DATAPATH, "pyvs"):
            raise daemon.CommandError(f"{arg}: unknown argument")
    return any(arg in known for arg in args)


def register(engine: Engine) -> None:
    """Register the commands, to be answered from `engine`."""

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
            owned = [port for port in engine.ports.values() if port.owner == worker.id]
            lines += [f"  port: {port.name}  queue-id: 0" for port in owned]
        return "\n".join(lines) + "\n"

    for name, usage, arguments, function in (
        ("dpctl/show", "[-s] [DP]", 2, show),
        ("dpctl/dump-flows", "[-m] [DP]", 2, dump_flows),
        ("drops/show", "", 0, lambda _args: text.format_drops(engine.stats())),
        ("worker/stats-show", "", 0, lambda _args: text.format_workers(engine.stats())),
        ("worker/rxq-show", "", 0, rxqs),
    ):
        daemon.command(name, usage, 0, arguments, function)
