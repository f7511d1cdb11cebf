"""dpif/*, dpctl/*, upcall/* and revalidator/*: the datapath as vswitchd sees it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datapath import text
from datapath.ipc.dpif import DpifStalled
from datapath.key import flow
from datapath.text import datapath, format_kernel_cache, format_queues, format_told
from pyvs import clock, digits, identity
from pyvs.process.control import Pieces
from pyvs.process.daemon import CommandError
from vswitchd.appctl.datapath.asking import asking, awaited, dpif, insist
from vswitchd.bridge import LOCAL

if TYPE_CHECKING:
    from vswitchd.switch import Switch

IN_PORT_OFFSET, IN_PORT_SIZE = flow.MEMBERS["in_port"]
NAMES = ("--names", "--no-names")


def split_options(args: list[str], known: tuple[str, ...]) -> tuple[set[str], list[str]]:
    """Options and other arguments, as many commands take them.  Raises CommandError."""
    options = {arg for arg in args if arg.startswith("-")}
    unknown = options - set(known)
    if unknown:
        raise CommandError(f"{min(unknown)}: unknown option")
    return options, [arg for arg in args if not arg.startswith("-")]


# --- flows


def _in_port(info: Any) -> int:
    return int.from_bytes(info.key[IN_PORT_OFFSET : IN_PORT_OFFSET + IN_PORT_SIZE], "big")


def _ports(switch: "Switch", bridge: str) -> Iterator[Any]:
    """The OfPorts of a bridge by name."""
    found = switch.bridges[bridge]
    ports = [found.ofproto.port_by_name(name) for name in found.ifaces]
    return iter(sorted((each for each in ports if each is not None), key=lambda port: port.name))


def _flow_lines(switch: "Switch", inside: set[int], options: set[str]) -> Iterator[str]:
    more = "-m" in options
    names = None
    if "--names" in options or (more and "--no-names" not in options):
        names = {number: port.name for number, port in switch.backer.ports.wanted.items()}
    for info in dpif(switch).flow_dump():
        is_wanted = _in_port(info) in inside
        seen = switch.backer.flows.with_seen_key(info)
        yield f"{_flow_line(seen, more, names)}\n" if is_wanted else ""


def _flow_line(info: Any, more: bool, names: dict[int, str] | None) -> str:
    """As text.format_flow(), in the layout that Open vSwitch has for this command."""
    parts = (
        text.format_match(info, names, more),
        text.format_counters(info, clock.msec()),
        f"actions:{text.format_actions(info, names)}",
    )
    return (f"ufid:{text.format_ufid(info.ufid)} " if more else "") + ", ".join(parts)


def bridge_flows(switch: "Switch", args: list[str]) -> Iterator[str]:
    """dpif/dump-flows: the datapath flows of packets that come in by the bridge's ports."""
    options, names = split_options(args, ("-m", *NAMES))
    if len(names) != 1:
        raise CommandError("usage: dpif/dump-flows [-m] [--names | --no-names] BRIDGE")
    if names[0] not in switch.bridges:
        raise CommandError("no such bridge")
    inside = {port.odp_port for port in _ports(switch, names[0])}
    return _flow_lines(switch, inside, options)


def is_datapath(names: list[str]) -> bool:
    """Whether each is the name of the one datapath."""
    known = {datapath(), *identity.datapaths()}
    return set(names) <= known | {each.partition("@")[2] for each in known}


# --- ports


def _shown_type(port: Any, infos: dict[int, Any]) -> str:
    """`infos`: what the datapath tells of its ports, by number."""
    info = infos.get(port.odp_port)
    if port.is_patch:
        return f"patch: peer={port.peer}"
    if port.tunnel is not None:
        told = ", ".join(f"{name}={text}" for name, text in port.tunnel.shown().items())
        return f"{port.type}: {told}"
    if port.type == "dummy-pmd":
        return f"{port.type}: {format_queues(len(info.queues) if info else 1)}"
    if info is not None:
        return ("tap" if port.type == "internal" else port.type) + format_told(info.told)
    return "tap" if port.type == "internal" else port.type


def show(switch: "Switch", _args: list[str]) -> str:
    """dpif/show: each bridge's ports with OpenFlow and datapath numbers."""
    counted = dpif(switch).stats()
    lines = [f"{datapath()}: hit:{counted['hits']} missed:{counted['misses']}"]
    if counted["kernel_cache"]["wanted"] and not identity.is_ovs():
        lines.append(f"  kernel cache: {format_kernel_cache(counted['kernel_cache'])}")
    infos = {each.port_no: each for each in dpif(switch).port_dump()}
    for name in sorted(switch.bridges):
        lines.append(f"  {name}:")
        for port in _ports(switch, name):
            odp_port = "none" if port.odp_port is None else port.odp_port
            number = 65534 if port.number == LOCAL else port.number
            lines.append(f"    {port.name} {number}/{odp_port}: ({_shown_type(port, infos)})")
    return "\n".join(lines) + "\n"


def dump_bridges(switch: "Switch", _args: list[str]) -> str:
    """dpif/dump-dps: the bridges, with the type of their datapath."""
    kind = datapath().partition("@")[0]
    return "".join(f"{kind}@{name}\n" for name in sorted(switch.bridges))


# --- upcalls


def upcall_show(switch: "Switch", _args: list[str]) -> str:
    counted = dpif(switch).stats()
    flows, rounds = switch.backer.flows, switch.backer.revalidator.stats()
    counts = (
        f"(current {counted['n_flows']}) (avg {rounds['avg_flows']})"
        f" (max {rounds['max_flows']}) (limit {flows.flow_limit})"
    )
    more = {**flows.stats(), **{f"revalidator_{name}": n for name, n in rounds.items()}}
    if identity.is_ovs():
        more = {}
    return (
        f"{datapath()}:\n"
        f"  flows         : {counts}\n"
        f"  dump duration : {rounds['round_ms']}ms\n"
        f"  ufid enabled : {str(Ufids.used()).lower()}\n\n"
        f"  0: (keys {len(flows.ukeys())})\n"
        + "".join(f"  {name}: {value}\n" for name, value in sorted(more.items()))
    )


def _synced(switch: "Switch") -> Pieces:
    """Steps, until all flows are checked and credited."""
    while True:
        yield from awaited(switch)
        try:
            for _ in switch.backer.revalidator.sync_pieces(clock.msec):
                yield ""
        except DpifStalled as error:
            switch.backer.take_error(error)
        else:
            return


def _flushed(switch: "Switch") -> Pieces:
    return insist(switch, switch.backer.flows.flush)


def set_exact(switch: "Switch", exact: bool) -> Pieces:
    """upcall/disable-megaflows: each packet with its own flow."""
    yield from awaited(switch)
    switch.backer.flows.exact = exact
    flushed = False
    try:
        yield from _synced(switch)  # what the flows have counted stays
        yield from _flushed(switch)
        flushed = True
    finally:
        if not flushed:  # who asked has left meanwhile
            switch.backer.attempt(switch.backer.flows.flush)
    yield f"megaflows {'disabled' if exact else 'enabled'}\n"


class Ufids:
    """Whether flows may be dumped by their ufid alone.  They always are here, whatever is said."""

    asked = True  # upcall/enable-ufid
    feature = True  # dpif/set-dp-features

    @classmethod
    def used(cls) -> bool:
        return cls.asked and cls.feature


def set_terse(_switch: "Switch", terse: bool) -> str:
    Ufids.asked = terse
    if terse:
        return "Datapath dumping tersely using UFID enabled for supported datapaths\n"
    return "Datapath dumping tersely using UFID disabled\n"


def set_flow_limit(switch: "Switch", args: list[str]) -> Pieces:
    limit = digits.number(args[0], (1 << 32) - 1)
    if not limit:
        raise CommandError(f"{args[0]}: not a number of flows")
    yield from awaited(switch)
    flows = switch.backer.flows
    flows.max_flows = flows.flow_limit = limit
    yield f"set flow_limit to {args[0]}\n"


def revalidator_wait(switch: "Switch", _args: list[str]) -> Pieces:
    return _synced(switch)


def set_paused(switch: "Switch", paused: bool) -> Pieces:
    """Datapath flows stay as they are meanwhile, whoever made them; upcalls go on."""
    yield from awaited(switch)
    switch.backer.revalidator.paused = paused


def revalidator_purge(switch: "Switch", _args: list[str]) -> Pieces:
    yield from _synced(switch)
    yield from _flushed(switch)


# name, usage, least and most arguments, function
COMMANDS = [
    ("dpif/dump-dps", "", 0, 0, dump_bridges),
    ("dpif/dump-flows", "[-m] [--names | --no-names] BRIDGE", 1, 4, asking(bridge_flows)),
    ("dpif/show", "", 0, 0, asking(show)),
    ("revalidator/pause", "", 0, 0, lambda switch, _args: set_paused(switch, True)),
    ("revalidator/purge", "", 0, 0, revalidator_purge),
    ("revalidator/resume", "", 0, 0, lambda switch, _args: set_paused(switch, False)),
    ("revalidator/wait", "", 0, 0, revalidator_wait),
    ("upcall/disable-megaflows", "", 0, 0, lambda switch, _args: set_exact(switch, True)),
    ("upcall/disable-ufid", "", 0, 0, lambda switch, _args: set_terse(switch, False)),
    ("upcall/enable-megaflows", "", 0, 0, lambda switch, _args: set_exact(switch, False)),
    ("upcall/enable-ufid", "", 0, 0, lambda switch, _args: set_terse(switch, True)),
    ("upcall/set-flow-limit", "flow-limit-number", 1, 1, set_flow_limit),
    ("upcall/show", "", 0, 0, asking(upcall_show)),
]
