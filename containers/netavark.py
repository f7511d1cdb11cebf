"""pyvs-netavark: podman's networks by a plug-in of netavark (plug-in API 1.0.0).

A network's driver is the name of the plug-in's file in a folder of netavark_plugin_dirs, so a link
`pyvs` to this program makes `podman network create -d pyvs -o bridge=br0 -o vlan=10 -o mtu=1400
-o rate=1gbit`.
Addresses are podman's own (ipam driver host-local): it sends them with each container.
"""

import ipaddress
import json
import sys
from collections.abc import Callable
from typing import Any

from pyvs.version import VERSION

from . import endpoint, rates, shapes
from .database import Database, Port
from .errors import BadRequest, Fault

API_VERSION = "1.0.0"
OWNER = "pyvs-netavark"

# What is read of the input: see shapes.py.
OPTIONS = dict.fromkeys(("bridge", "vlan", "mtu", "rate"), str)
NETWORK = {
    "id": shapes.Needed(str),
    "options": OPTIONS,
    "network_interface": str,
    "internal": bool,
    "subnets": [{"subnet": shapes.Needed(str), "gateway": str}],
}
MINE = {"interface_name": shapes.Needed(str), "static_ips": [str], "static_mac": str}
ATTACHMENT = {
    "container_id": shapes.Needed(str),
    "port_mappings": [dict],
    "network": shapes.Needed(NETWORK),
    "network_options": shapes.Needed(MINE),
}


def _options(network: dict[str, Any]) -> dict[str, str]:
    return network.get("options") or {}


def _bridge(network: dict[str, Any]) -> str:
    name = _options(network).get("bridge") or network.get("network_interface")
    if not name:
        raise BadRequest("option bridge is missing: podman network create -d pyvs -o bridge=NAME")
    return name


def _number(network: dict[str, Any], name: str) -> int | None:
    text = _options(network).get(name)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise BadRequest(f"option {name}: {text} is not a number")
    return None if text is None else int(text)


def _check_options(network: dict[str, Any]) -> None:
    if unknown := sorted(_options(network).keys() - OPTIONS.keys()):
        raise BadRequest(f"option {unknown[0]} is not supported")
    endpoint.check_name(_bridge(network))
    endpoint.check_vlan(_number(network, "vlan") or 0)
    endpoint.check_mtu(_number(network, "mtu"))
    rates.both(_options(network).get("rate"))


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
        if not network.get("internal")
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
    if asked.get("port_mappings"):
        raise BadRequest("ports are not published by networks of this driver")
    wanted, port = _endpoint(netns, asked)
    with Database() as database:
        mac = endpoint.attach(database, _bridge(asked["network"]), netns, wanted, port)
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
    with Database() as database:
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


def main(argv: list[str] | None = None) -> int:
    """The plug-in; errors are an object on stdout, as netavark reads them."""
    try:
        answer = _execute(sys.argv[1:] if argv is None else argv)
    except (Fault, OSError, ValueError, RecursionError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0
