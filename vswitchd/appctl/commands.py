"""vswitchd's commands on the control socket, as ovs-vswitchd(8) has them.

COMMANDS is the table of all; each function takes (switch, args) and gives the reply, or raises
CommandError.  A command that OVS has and pyvs does not is not registered, so that a script gets
a clear error.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pyvs.process import daemon
from pyvs.process.daemon import CommandError
from vswitchd.appctl import fdb, qos, trace, tunnels, underlay
from vswitchd.appctl.datapath import dpctl, dpif, dummy, features, implementations, pmd
from vswitchd.appctl.protocols import autoattach, bfd, bond, cfm, lacp, mdb, spanning
from vswitchd.bridge import Bridge
from vswitchd.switch import Switch


class Ending:
    """What `exit` was asked to do."""

    cleanup = False


class Command(NamedTuple):
    name: str
    usage: str
    min_args: int
    max_args: int
    function: Callable[[Switch, list[str]], str | Iterator[str | None] | None]


def find_bridge(switch: Switch, name: str) -> Bridge:
    if name not in switch.bridges:
        raise CommandError("Unknown bridge")
    return switch.bridges[name]


def dump_flows(switch: Switch, args: list[str]) -> Iterator[str | None]:
    """bridge/dump-flows: every flow, the hidden ones too."""
    options = [arg for arg in args if arg.startswith("-")]
    names = [arg for arg in args if not arg.startswith("-")]
    if len(names) != 1 or set(options) - {"--offload-stats"}:
        raise CommandError("usage: bridge/dump-flows [--offload-stats] BRIDGE")
    pieces = find_bridge(switch, names[0]).ofproto.dump_flows(hidden=True)
    return _counted(switch, map(_with_offloads, pieces) if options else pieces)


def _with_offloads(text: str) -> str:
    """With what hardware has counted of each flow: none has any."""
    return re.sub(r"(n_bytes=\d+, )", r"\1n_offload_packets=0, n_offload_bytes=0, ", text)


def _counted(switch: Switch, pieces: Iterator[str]) -> Iterator[str | None]:
    """What is to be told with all that the datapath has counted by now."""
    counted: list[bool] = []
    switch.backer.collect(lambda: counted.append(True), lambda: counted.append(False))
    while not counted:
        yield None
    yield from pieces


def reconnect(switch: Switch, args: list[str]) -> None:
    bridges = [find_bridge(switch, args[0])] if args else switch.bridges.values()
    for bridge in bridges:
        bridge.ofproto.reconnect_controllers()


def list_ofprotos(switch: Switch, _args: list[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(switch.bridges))


# Modules of commands
GROUPS = (
    autoattach,
    bfd,
    bond,
    cfm,
    dpctl,
    dpif,
    fdb,
    features,
    implementations,
    lacp,
    mdb,
    pmd,
    qos,
    spanning,
    trace,
    tunnels,
    underlay,
)
COMMANDS = [
    Command("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, dump_flows),
    Command("bridge/reconnect", "[bridge]", 0, 1, reconnect),
    Command("ofproto/list", "", 0, 0, list_ofprotos),
    *(Command(*row) for group in GROUPS for row in group.COMMANDS),
]


def register_exit(ending: Ending) -> None:
    """Has `exit --cleanup` noted in `ending`; before daemon.unixctl_server()."""

    def leave(args: list[str]) -> None:
        if args and args[0] != "--cleanup":
            raise CommandError(f"unknown option {args[0]}")
        ending.cleanup = bool(args)
        daemon.exit_now()

    daemon.command("exit", "[--cleanup]", 0, 1, leave)


def register(switch: Switch) -> None:
    """Make all COMMANDS available, for `switch`."""
    dummies = (Command(*row) for row in dummy.COMMANDS) if switch.dummies.enabled else ()
    for each in (*COMMANDS, *dummies):
        _register(switch, each)


def _register(switch: Switch, command: Command) -> None:
    def function(args: list[str]) -> str | Iterator[str | None] | None:
        return command.function(switch, args)

    daemon.command(command.name, command.usage, command.min_args, command.max_args, function)
