"""ovs/route/*, tnl/*: routes and neighbours of tunnels, and where these are received."""

import heapq
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ofproto.underlay import addresses
from ofproto.underlay.listening import Listener, listeners
from ofproto.underlay.neighbours import LONGEST_AGING
from ofproto.underlay.routes import MAX_USER_ROUTES, Route
from pyvs import clock, digits
from pyvs.process.daemon import CommandError

if TYPE_CHECKING:
    from vswitchd.switch import Switch

_MAC = re.compile("[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
LARGEST_PORT = 65535
SORTED_AT_ONCE = 2000  # routes


def _underlay(switch: "Switch") -> Any:
    """Of now."""
    switch.ways.begin(clock.msec())
    return switch.ways.underlay


# --- routes


def _address(text: str, error: str = "Invalid parameters") -> int:
    try:
        return addresses.from_text(text)
    except ValueError:
        raise CommandError(error) from None


def _network(text: str) -> tuple[int, int]:
    try:
        return addresses.network_from_text(text)
    except ValueError:
        raise CommandError("Invalid parameters") from None


def _mark(text: str, error: str = "Invalid pkt_mark") -> int:
    name, _, value = text.partition("=")
    try:
        mark = int(value, 0)
    except ValueError:
        mark = -1
    if name != "pkt_mark" or not 0 <= mark <= 0xFFFFFFFF:
        raise CommandError(error)
    return mark


def _options(words: list[str], is_v4: bool) -> tuple[int, int, int | None]:
    """(gateway, mark, source) of `[gw] [pkt_mark=MARK] [src=IP]`."""
    gateway, mark, source = 0, 0, None
    either = f"Invalid pkt_mark or {'' if is_v4 else 'IPv6 '}gateway"
    for number, word in enumerate(words):
        if word.startswith("src="):
            source = _address(word[4:], "Invalid src")
        elif number == 0 and "=" not in word:
            gateway = _address(word, either)
            if addresses.is_ipv4(gateway) != is_v4:
                raise CommandError(either)
        else:
            mark = _mark(word, "Invalid pkt_mark" if number else either)
    return gateway, mark, source


def _routes_changed(switch: "Switch") -> None:
    switch.ways.underlay.refresh()
    try:
        switch.ways.kept_routes.write()
    except OSError as error:
        raise CommandError(f"done, but it will not outlive this process: {error}") from None


def route_add(switch: "Switch", args: list[str]) -> str:
    network, bits = _network(args[0])
    gateway, mark, source = _options(args[2:], addresses.is_ipv4(network))
    underlay = _underlay(switch)
    routes = underlay.routes
    if routes.n_user >= MAX_USER_ROUTES and routes.user_route(network, bits, mark) is None:
        raise CommandError(f"there are {MAX_USER_ROUTES} users' routes, and may not be more")
    route = underlay.user_route(network, bits, mark, args[1], gateway, source)
    if route is None:
        raise CommandError("Error while inserting route.")
    routes.add(route)
    _routes_changed(switch)
    return "OK"


def route_del(switch: "Switch", args: list[str]) -> str:
    network, bits = _network(args[0])
    mark = _mark(args[1]) if len(args) > 1 else 0
    underlay = _underlay(switch)
    route = underlay.routes.user_route(network, bits, mark)
    if route is None:
        raise CommandError("Not found")
    underlay.routes.remove(route)
    _routes_changed(switch)
    return "OK"


def route_show(switch: "Switch", _args: list[str]) -> Iterator[str]:
    routes = list(_underlay(switch).routes)
    yield "Route Table:\n"
    runs = []
    for at in range(0, len(routes), SORTED_AT_ONCE):
        runs.append(sorted(routes[at : at + SORTED_AT_ONCE], key=_place))
        yield ""
    for route in heapq.merge(*runs, key=_place):
        yield f"{route}\n"


def _place(route: Route) -> tuple[int, int]:
    return -route.priority, route.network


def route_lookup(switch: "Switch", args: list[str]) -> str:
    destination = _address(args[0])
    mark = _mark(args[1]) if len(args) > 1 else 0
    route = _underlay(switch).routes.lookup(destination, mark)
    if route is None:
        raise CommandError("Not found")
    return (
        f"src {addresses.text(route.source)}\n"
        f"gateway {addresses.text(route.gateway)}\n"
        f"dev {route.device}\n"
    )


# --- neighbours


def _mac(text: str) -> bytes:
    """Any one: what is behind an underlay may be reached by a group's."""
    if not _MAC.fullmatch(text):
        raise CommandError("bad MAC address")
    return bytes(int(part, 16) for part in text.split(":"))


def neighbour_set(switch: "Switch", args: list[str]) -> str:
    bridge, ip, mac = args
    address = _address(ip, "bad IP address")
    switch.ways.underlay.neighbours.set(bridge, address, _mac(mac), clock.msec())
    return "OK"


def neighbour_del(switch: "Switch", args: list[str]) -> str:
    bridge, ip = args
    if not switch.ways.underlay.neighbours.remove(bridge, _address(ip, "bad IP address")):
        raise CommandError("Not found")
    return "OK"


def neighbour_show(switch: "Switch", _args: list[str]) -> str:
    switch.ways.underlay.neighbours.run(clock.msec())
    return str(switch.ways.underlay.neighbours)


def neighbour_flush(switch: "Switch", _args: list[str]) -> str:
    switch.ways.underlay.neighbours.flush()
    return "OK"


def neighbour_aging(switch: "Switch", args: list[str]) -> str:
    neighbours = switch.ways.underlay.neighbours
    if not args:
        return f"{neighbours.aging // 1000}\n"
    seconds = digits.number(args[0], LONGEST_AGING)
    if not seconds:
        raise CommandError("bad aging value")
    neighbours.set_aging(1000 * seconds, clock.msec())
    return "OK"


# --- where tunnels are received


def _listeners(switch: "Switch") -> list[Listener]:
    if switch.backer is None:
        return []
    return listeners(switch.backer.ports.vports.by_name.values())


def ports_show(switch: "Switch", args: list[str]) -> str:
    lines = ["Listening ports:"]
    for each in sorted(_listeners(switch), key=lambda each: each.name):
        if args[:1] != ["-v"]:
            lines.append(f"{each.name} ({each.port}) ref_cnt={each.users}")
            continue
        for device in _underlay(switch).listening.values():
            lines += [
                f"{each.name} ({each.port}) : {each.text(device.mac, address)}"
                for address, _ in device.networks
            ]
    return "\n".join(lines) + "\n"


def egress_port_range(switch: "Switch", args: list[str]) -> str:
    ways = switch.ways
    if len(args) < 2:
        first, last = ways.udp_ports
        return f"Tunnel UDP source port range: {first}-{last}\n"
    found = []
    for name, text in zip(("min", "max"), args, strict=True):
        port = digits.number(text, LARGEST_PORT)
        if not port:
            return f"Invalid {name}.\n"
        found.append(port)
    ways.udp_ports = min(found), max(found)
    if switch.backer is not None:
        switch.backer.set_tunnel_ports(*ways.udp_ports)
    return "OK"


_NEIGHBOURS = [
    ("show", "", 0, 0, neighbour_show),
    ("set", "BRIDGE IP MAC", 3, 3, neighbour_set),
    ("del", "BRIDGE IP", 2, 2, neighbour_del),
    ("flush", "", 0, 0, neighbour_flush),
    ("aging", "[SECS]", 0, 1, neighbour_aging),
]
# name, usage, least and most arguments, function
COMMANDS = [
    (
        "ovs/route/add",
        "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark] [src=ip_addr]",
        2,
        5,
        route_add,
    ),
    ("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", 1, 2, route_del),
    ("ovs/route/show", "", 0, 0, route_show),
    ("ovs/route/lookup", "ip_addr [pkt_mark=mark]", 1, 2, route_lookup),
    *((f"tnl/neigh/{name}", *rest) for name, *rest in _NEIGHBOURS),
    *((f"tnl/arp/{name}", *rest) for name, *rest in _NEIGHBOURS),
    ("tnl/ports/show", "-v", 0, 1, ports_show),
    ("tnl/egress_port_range", "min max", 0, 2, egress_port_range),
]
