"""pyvs-netavark: podman's networks by a plug-in of netavark (plug-in API 1.0.0).

A network's driver is the name of the plug-in's file in a folder of netavark_plugin_dirs, so a link
`pyvs` to this program makes `podman network create -d pyvs -o bridge=br0 -o vlan=10 -o mode=nat
-o mtu=1400 -o rate=1gbit`.
Addresses are podman's own (ipam driver host-local): it sends them with each container.
"""

import ipaddress
import json
import sys
from collections.abc import Callable
from typing import Any

from pyvs import digits
from pyvs.version import VERSION

from . import endpoint, rates, routed, shapes
from .database import Database, Port
from .driver import state
from .driver.published import PORT_MOST, PROTOCOLS, Binding
from .errors import BadRequest, Fault

API_VERSION = "1.0.0"
OWNER = "pyvs-netavark"

# What is read of the input: see shapes.py.
OPTIONS = dict.fromkeys(("bridge", "vlan", "mode", "mtu", "rate"), str)
NETWORK = {
    "id": shapes.Needed(str),
    "options": OPTIONS,
    "network_interface": str,
    "internal": bool,
    "subnets": [{"subnet": shapes.Needed(str), "gateway": str}],
}
MINE = {"interface_name": shapes.Needed(str), "static_ips": [str], "static_mac": str}
MAPPING = {
    "container_port": shapes.Needed(int),
    "host_port": int,
    "host_ip": str,
    "protocol": str,
    "range": int,
}
ATTACHMENT = {
    "container_id": shapes.Needed(str),
    "port_mappings": [MAPPING],
    "network": shapes.Needed(NETWORK),
    "network_options": shapes.Needed(MINE),
}

# Ports that one container may publish: each has rules of its own.
MOST_PORTS = 4096
NUMBERS = {name: number for number, name in PROTOCOLS.items()}


def _options(network: dict[str, Any]) -> dict[str, str]:
    return network.get("options") or {}


def _bridge(network: dict[str, Any]) -> str:
    name = _options(network).get("bridge") or network.get("network_interface")
    if not name:
        raise BadRequest("option bridge is missing: podman network create -d pyvs -o bridge=NAME")
    return name


def _number(network: dict[str, Any], name: str) -> int | None:
    text = _options(network).get(name)
    number = None if text is None else digits.number(text)
    if text is not None and number is None:
        raise BadRequest(f"option {name}: {text} is not a number, or too large")
    return number


def _check_options(network: dict[str, Any]) -> None:
    if unknown := sorted(_options(network).keys() - OPTIONS.keys()):
        raise BadRequest(f"option {unknown[0]} is not supported")
    endpoint.check_name(_bridge(network))
    endpoint.check_vlan(_number(network, "vlan") or 0)
    endpoint.check_mtu(_number(network, "mtu"))
    rates.both(_options(network).get("rate"))
    _mode(network)


def _mode(network: dict[str, Any], publishes: bool = False) -> str:
    """As with Docker's networks; where none is asked for, the gateway is somebody's on the bridge,
    until a container publishes ports."""
    mode = _options(network).get("mode", "nat" if publishes else "flat")
    if mode not in state.MODES:
        raise BadRequest(f"option mode: {mode} is none of {', '.join(state.MODES)}")
    return "l2" if network.get("internal") else mode


def _routed(asked: dict[str, Any]) -> state.Network:
    """A container's network, as those in mode nat are kept."""
    network = asked["network"]
    made = state.Network(
        id=network["id"],
        bridge=_bridge(network),
        mode=_mode(network, bool(asked.get("port_mappings"))),
        vlan=_number(network, "vlan"),
        mtu=_number(network, "mtu"),
        driver=OWNER,
        owner=OWNER,
    )
    for subnet in network.get("subnets") or ():
        prefix = ipaddress.ip_network(subnet["subnet"])
        made.subnets.append(str(prefix))
        if gateway := subnet.get("gateway"):
            made.gateways.append(f"{ipaddress.ip_address(gateway)}/{prefix.prefixlen}")
    return made


def _bindings(mappings: list[dict[str, Any]]) -> list[Binding]:
    """The ports to be published, one by one; `range` counts ports, `protocol` may be a list."""
    found: list[Binding] = []
    for each in mappings:
        count = each.get("range") or 1
        names = (each.get("protocol") or "tcp").lower().split(",")
        if unknown := [name for name in names if name not in NUMBERS]:
            raise BadRequest(f"published port: protocol {unknown[0]} is not supported")
        if not 0 < count <= PORT_MOST or len(found) + count * len(names) > MOST_PORTS:
            raise BadRequest(f"a container may publish 1 to {MOST_PORTS} ports")
        for name in names:
            found += [_binding(each, NUMBERS[name], offset) for offset in range(count)]
    return found


def _binding(mapping: dict[str, Any], protocol: int, offset: int) -> Binding:
    inside, outside = mapping["container_port"], mapping.get("host_port") or 0
    return {
        "Proto": protocol,
        "HostIP": mapping.get("host_ip") or "",
        "HostPort": outside + offset if outside else 0,
        "Port": inside + offset,
    }


def run_create(network: dict[str, Any]) -> dict[str, Any]:
    """Checks a new network; the bridge is the switch's and must be there."""
    _check_options(network)
    with Database() as database:
        if not database.has_bridge(_bridge(network)):
            raise Fault(f"no bridge named {_bridge(network)}")
    return network


def _endpoint(netns: str, asked: dict[str, Any]) -> tuple[endpoint.Interface, Port]:
    network, mine = asked["network"], asked["network_options"]
    subnets = network.get("subnets") or ()
    chosen = [_with_subnet(address, subnets) for address in mine.get("static_ips") or ()]
    wanted = endpoint.Interface(
        name=mine["interface_name"],
        mac=mine.get("static_mac") or None,
        mtu=_number(network, "mtu"),
        addresses=tuple(address for address, _gateway in chosen),
        gateways=tuple(gateway for _address, gateway in chosen if gateway)
        if _mode(network) != "l2"
        else (),
    )
    container = asked["container_id"]
    port = Port(
        name=endpoint.device_name(container, f"{network['id']}/{wanted.name}"),
        tag=_number(network, "vlan"),
        rates=rates.both(_options(network).get("rate")),
        external_ids={"owner": OWNER, "contNetns": netns, "contIface": wanted.name},
        interface_ids={"container_id": container, "container_iface": wanted.name},
    )
    return wanted, port


def _with_subnet(address: str, subnets) -> tuple[str, str | None]:
    """(address with its prefix length, gateway) by the network's subnet that has it."""
    for subnet in subnets:
        prefix = ipaddress.ip_network(subnet["subnet"])
        if ipaddress.ip_address(address) in prefix:
            return f"{address}/{prefix.prefixlen}", subnet.get("gateway")
    raise BadRequest(f"{address}: in none of the network's subnets")


def run_setup(asked: dict[str, Any], netns: str) -> dict[str, Any]:
    """Connects a container; the answer is netavark's StatusBlock."""
    _check_options(asked["network"])
    wanted, port = _endpoint(netns, asked)
    wanted.check()
    network, bindings = _routed(asked), _bindings(asked.get("port_mappings") or [])
    if bindings and network.mode != "nat":
        raise BadRequest(f"ports are published in mode nat only; this network's is {network.mode}")
    with Database() as database:

        def check_new() -> None:
            endpoint.check_new(database, port.name, netns, wanted.name)

        def plug() -> str:
            return endpoint.attach(database, network.bridge, netns, wanted, port)

        if network.mode == "nat":
            kept = state.Endpoint(
                port.name, network.id, list(wanted.addresses), "", asked["container_id"]
            )
            mac = routed.attach(database, network, kept, bindings, check_new, plug)
        else:
            mac = plug()
    gateways = {(":" in gateway): gateway for gateway in wanted.gateways}
    subnets = []
    for address in wanted.addresses:
        gateway = gateways.get(":" in address)
        subnets.append({"ipnet": address, **({"gateway": gateway} if gateway else {})})
    answer = {"mac_address": mac, "subnets": subnets}
    return {"dns_search_domains": [], "dns_server_ips": [], "interfaces": {wanted.name: answer}}


def run_teardown(asked: dict[str, Any], netns: str) -> None:
    """Takes away what setup made; what is not there does not count."""
    name = endpoint.device_name(
        asked["container_id"],
        f"{asked['network']['id']}/{asked['network_options']['interface_name']}",
    )
    network = _routed(asked)
    with Database() as database:
        if network.mode == "nat":
            routed.detach(database, network, name)
        else:
            endpoint.detach(database, name)


def run_info() -> dict[str, Any]:
    """Versions of the plug-in and of the interface that it speaks."""
    return {"version": VERSION, "api_version": API_VERSION}


# command -> (function, number of words behind it, shape of what it reads from stdin)
COMMANDS: dict[str, tuple[Callable[..., Any], int, Any]] = {
    "create": (run_create, 0, NETWORK),
    "setup": (run_setup, 1, ATTACHMENT),
    "teardown": (run_teardown, 1, ATTACHMENT),
    "info": (run_info, 0, None),
}


def _execute(words: list[str]) -> Any:
    if not words or words[0] not in COMMANDS:
        raise BadRequest(f"usage: pyvs-netavark {'|'.join(COMMANDS)} [NETNS]")
    function, count, shape = COMMANDS[words[0]]
    if len(words) != count + 1:
        raise BadRequest(f"{words[0]}: takes {count} arguments")
    if shape is None:
        return function(*words[1:])
    asked = json.load(sys.stdin)
    shapes.check(asked, shapes.Needed(shape), words[0])
    return function(asked, *words[1:])


def _refuse(reason: str) -> int:
    print(json.dumps({"error": reason}))
    return 1


def main(argv: list[str] | None = None) -> int:
    """The plug-in; errors are an object on stdout, as netavark reads them."""
    try:
        answer = _execute(sys.argv[1:] if argv is None else argv)
    except OSError as error:
        return _refuse(endpoint.in_words(error))
    except (Fault, ValueError, RecursionError) as error:
        return _refuse(str(error))
    if answer is not None:
        print(json.dumps(answer))
    return 0
