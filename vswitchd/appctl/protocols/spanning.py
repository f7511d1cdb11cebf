"""stp/* and rstp/*: the bridges' spanning trees, as ovs-vswitchd(8) has them."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ofproto.protocols.rstp_port import ROLES
from ofproto.protocols.stp import DISABLED, STATES
from pyvs import clock
from pyvs.process.daemon import CommandError
from vswitchd.protocols.spanning import RSTP, STP, Kind, Spanning

if TYPE_CHECKING:
    from vswitchd.switch import Switch

NONE = {STP: "no such stp object", RSTP: "No such RSTP object"}


def _found(switch: "Switch", kind: Kind, args: list[str]) -> dict[str, Spanning]:
    """The trees of that kind by the names of their bridges."""
    trees = {
        name: bridge.protocols.by_name[Spanning.name] for name, bridge in switch.bridges.items()
    }
    trees = {
        name: tree
        for name, tree in sorted(trees.items())
        if tree.kind is kind and tree.tree is not None
    }
    if not args:
        return trees
    if args[0] not in trees:
        raise CommandError(NONE[kind])
    return {args[0]: trees[args[0]]}


def show(kind: Kind, switch: "Switch", args: list[str]) -> str:
    texts = {STP: _stp, RSTP: _rstp}
    return "".join(
        f"---- {name} ----\n{texts[kind](each)}\n\n"
        for name, each in _found(switch, kind, args).items()
    )


def tcn(kind: Kind, switch: "Switch", args: list[str]) -> str:
    for each in _found(switch, kind, args).values():
        each.detect_change(clock.msec())
    return "OK"


def _address(bridge: int) -> str:
    return (bridge & 0xFFFF_FFFF_FFFF).to_bytes(6, "big").hex(":")


def _identity(title: str, bridge: int, times: tuple[int, int, int], width: int) -> list[str]:
    """`times` in s: hello, maximum age, forward delay."""
    hello, max_age, delay = times
    rows = (
        ("stp-priority", bridge >> 48, width),
        ("stp-system-id", _address(bridge), 16),
        ("stp-hello-time", f"{hello}s", 16),
        ("stp-max-age", f"{max_age}s", 16),
        ("stp-fwd-delay", f"{delay}s", 16),
    )
    return [f"{title} ID:", *(f"  {key:{room}}{value}" for key, value, room in rows)]


def _way_to_root(is_root: bool, port: str, cost: int) -> list[str]:
    if is_root:
        return ["  This bridge is the root"]
    return [f"  {'root-port':16}{port}", f"  {'root-path-cost':16}{cost}"]


def _table(rows: list[tuple[Any, ...]], cost: int) -> list[str]:
    """Names, roles, states, costs (in so many columns), priorities, numbers."""
    lines = [
        f"  {'Interface':10} {'Role':10} {'State':10} {'Cost':{cost}} Pri.Nbr ",
        f"  {'-' * 10} {'-' * 10} {'-' * 10} {'-' * cost} {'-' * 7}",
    ]
    for name, role, state, value, settings in rows:
        port_id = f"{settings.priority}.{settings.number}"
        lines.append(f"  {name:10} {role:10} {state:10} {value:<{cost}} {port_id}")
    return lines


def _in_order(spanning: Spanning) -> list[Any]:
    return sorted(spanning.tree.ports.values(), key=lambda port: port.settings.number)


def _stp(spanning: Spanning) -> str:
    tree, names = spanning.tree, spanning.names
    own, root = tree.settings, tree.root_port
    ms = (tree.hello_time, tree.max_age, tree.forward_delay)
    times = tuple(each // 1000 for each in ms)
    root_name = names[root.key] if root is not None else ""
    lines = [
        *_identity("Root", tree.designated_root, times, 14),
        *_way_to_root(tree.is_root, root_name, tree.root_path_cost),
        "",
        *_identity("Bridge", tree.bridge_id, (own.hello_time, own.max_age, own.forward_delay), 14),
        "",
    ]
    rows = [
        (names[p.key], tree.role(p), STATES[p.state], p.settings.path_cost, p.settings)
        for p in _in_order(spanning)
        if p.state != DISABLED
    ]
    return "\n".join([*lines, *_table(rows, 5)])


def _rstp(spanning: Spanning) -> str:
    tree, names = spanning.tree, spanning.names
    root, own, times = tree.root_port, tree.own_times(), tree.root_times
    root_name = names[root.key] if root is not None else ""
    lines = [
        *_identity("Root", tree.root_priority.root, _shown(times), 16),
        *_way_to_root(tree.is_root, root_name, tree.root_priority.cost),
        "",
        *_identity("Bridge", tree.bridge_id, _shown(own), 16),
        "",
    ]
    rows = [
        (names[p.key], ROLES[p.role], p.state, p.settings.path_cost, p.settings)
        for p in _in_order(spanning)
    ]
    return "\n".join([*lines, *_table(rows, 8)])


def _shown(times: Any) -> tuple[int, int, int]:
    return times.hello_time, times.max_age, times.forward_delay


COMMANDS = [
    ("stp/show", "[bridge]", 0, 1, partial(show, STP)),
    ("stp/tcn", "[bridge]", 0, 1, partial(tcn, STP)),
    ("rstp/show", "[bridge]", 0, 1, partial(show, RSTP)),
    ("rstp/tcn", "[bridge]", 0, 1, partial(tcn, RSTP)),
]
