"""A network's rules in nftables: masquerading to the outside, published ports to the inside.

Each network has a table of its own, which is always written whole and in one transaction, from
what the database says: so it is right whatever was there.  `nft -j` reads libnftables-json(5).
"""

import ipaddress
import json
import subprocess
from typing import Any

from ..errors import Fault
from .published import place_of
from .state import GATEWAY_PREFIX, ID_CHARACTERS, Endpoint, Network

FAMILY = "inet"
# Priorities of chains, nft(8).
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100
# Seconds that nft may take.
PATIENCE = 20
LOOPBACK = "127.0.0.0/8"


def _run(commands: list[dict[str, Any]]) -> None:
    text = json.dumps({"nftables": commands})
    try:
        done = subprocess.run(
            ["nft", "-j", "-f", "-"], input=text, capture_output=True, text=True, timeout=PATIENCE
        )
    except FileNotFoundError:
        raise Fault("mode nat needs the program nft (package nftables)") from None
    except subprocess.TimeoutExpired:
        raise Fault(f"nft: no answer within {PATIENCE} seconds") from None
    if done.returncode:
        raise Fault(f"nft: {done.stderr.strip().splitlines()[0] if done.stderr else 'failed'}")


def _table(network: Network) -> str:
    return "pyvs-" + network.id[:ID_CHARACTERS]


def _chain(table: str, name: str, hook: str, priority: int, kind: str = "nat") -> dict[str, Any]:
    chain = {"family": FAMILY, "table": table, "name": name, "type": kind, "hook": hook}
    return {"add": {"chain": {**chain, "prio": priority, "policy": "accept"}}}


def _rule(table: str, chain: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    rule = {"family": FAMILY, "table": table, "chain": chain, "expr": list(expressions)}
    return {"add": {"rule": rule}}


def _match(left: Any, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def _field(protocol: str, name: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": name}}


def _prefix(text: str) -> dict[str, Any]:
    network = ipaddress.ip_network(text)
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _localhost(network: Network):
    """The host reaches published ports at 127.0.0.1, too: with the gateway's address, since that
    one is no container's to answer.  gateway.py lets such packets be routed to the containers'
    side, from where none may come to what listens on the host's loopback alone."""
    table, device = _table(network), network.gateway_device
    away = _match({"meta": {"key": "oifname"}}, device)
    source = _match(_field("ip", "saddr"), _prefix(LOOPBACK))
    yield _rule(table, "postrouting", away, source, {"masquerade": None})
    here = _match({"meta": {"key": "iifname"}}, device)
    target = _match(_field("ip", "daddr"), _prefix(LOOPBACK))
    yield _rule(table, "guard", here, target, {"drop": None})


def _apart(network: Network):
    """Networks reach each other by published ports alone, as Docker's own do; containers that are
    to talk are in one network, or one of them in both."""
    here = _match({"meta": {"key": "iifname"}}, network.gateway_device)
    another = _match({"meta": {"key": "oifname"}}, network.gateway_device, "!=")
    gateway = _match({"meta": {"key": "oifname"}}, GATEWAY_PREFIX + "*")
    answer = _match({"ct": {"key": "state"}}, ["established", "related"], "in")
    published = _match({"ct": {"key": "status"}}, "dnat", "in")
    for allowed in (answer, published):
        yield _rule(_table(network), "forward", here, another, gateway, allowed, {"accept": None})
    yield _rule(_table(network), "forward", here, another, gateway, {"drop": None})


def _masquerade(network: Network, subnet: str):
    """What leaves the network gets the host's address; so does what comes back into it by a
    published port, whose answer would else go to the asking neighbour directly."""
    protocol = "ip6" if ":" in subnet else "ip"
    source = _match(_field(protocol, "saddr"), _prefix(subnet))
    outside = _match({"meta": {"key": "oifname"}}, network.gateway_device, "!=")
    published = _match({"ct": {"key": "status"}}, "dnat", "in")
    for where in (outside, published):
        yield _rule(_table(network), "postrouting", source, where, {"masquerade": None})


def _publish(network: Network, endpoint: Endpoint, binding: dict[str, Any]):
    """The rules that lead a port of the host to one of the container's."""
    protocol, host, port = place_of(binding, binding["HostPort"])
    for text in endpoint.addresses:
        address = ipaddress.ip_interface(text).ip
        family = "ip" if address.version == 4 else "ip6"
        if host and ipaddress.ip_address(host).version != address.version:
            continue
        where = [_match({"meta": {"key": "nfproto"}}, "ipv4" if family == "ip" else "ipv6")]
        if host and not ipaddress.ip_address(host).is_unspecified:
            where.append(_match(_field(family, "daddr"), host))
        else:
            where.append(_match({"fib": {"result": "type", "flags": ["daddr"]}}, "local"))
        where.append(_match(_field(protocol, "dport"), port))
        target = {"addr": str(address), "port": binding["Port"], "family": family}
        for chain in ("prerouting", "output"):
            yield _rule(_table(network), chain, *where, {"dnat": target})


def write(network: Network, endpoints: list[Endpoint]) -> None:
    """Make the network's table as it is to be."""
    table = {"table": {"family": FAMILY, "name": _table(network)}}
    commands = [{"add": table}, {"delete": table}, {"add": table}]
    commands += [
        _chain(_table(network), "guard", "prerouting", RAW, "filter"),
        _chain(_table(network), "prerouting", "prerouting", DSTNAT),
        _chain(_table(network), "output", "output", DSTNAT),
        _chain(_table(network), "forward", "forward", FILTER, "filter"),
        _chain(_table(network), "postrouting", "postrouting", SRCNAT),
    ]
    commands += [*_localhost(network), *_apart(network)]
    for subnet in network.subnets:
        commands += _masquerade(network, subnet)
    for endpoint in endpoints:
        for binding in endpoint.port_map:
            commands += _publish(network, endpoint, binding)
    _run(commands)


def remove(network: Network) -> None:
    """Delete the table; nothing happens where there is none."""
    table = {"table": {"family": FAMILY, "name": _table(network)}}
    _run([{"add": table}, {"delete": table}])
