"""Networks and endpoints, kept in the external_ids of their bridges.

Nothing is remembered in this process: a driver that is started anew knows what the one before it
knew, and what an administrator deletes with a bridge is gone here, too.
"""

import dataclasses
import ipaddress
import json
from typing import Any

import ovs.vlog

from pyvs import digits

from .. import rates, shapes
from ..database import Database, from_map
from ..endpoint import check_mtu, check_name, check_vlan
from ..errors import BadRequest, NotThere
from ..shapes import Needed
from . import published

vlog = ovs.vlog.Vlog("docker_driver")

NETWORK, ENDPOINT = "pyvs_docker_network:", "pyvs_docker_endpoint:"
MODES = ("nat", "flat", "l2")
# Options of `docker network create -o`, and where they are in the request.
OPTIONS = ("bridge", "vlan", "mode", "mtu", "rate")
GENERIC, PORT_MAP = "com.docker.network.generic", "com.docker.network.portmap"
INTERNAL = "com.docker.network.internal"
DRIVER = "Driver"  # of a request, as server.py has it: by which name Docker calls this driver
GATEWAY_PREFIX = "pg"
DOCKER = "pyvs-docker-driver"  # who makes networks; containers/routed.py makes podman's
ID_CHARACTERS = 12  # of a network's id, in names of devices


@dataclasses.dataclass
class Network:
    """A network of Docker's on a bridge."""

    id: str
    bridge: str
    mode: str
    vlan: int | None = None
    mtu: int | None = None
    rate: str | None = None  # of each container's port
    owns_bridge: bool = False  # made for this network, goes with it
    subnets: list[str] = dataclasses.field(default_factory=list)
    gateways: list[str] = dataclasses.field(default_factory=list)  # with prefix lengths
    driver: str = "pyvs"  # several can be on one switch, each for a Docker of its own
    owner: str = DOCKER  # external_ids:owner of its ports

    @property
    def gateway_device(self) -> str:
        """The internal port that has the gateways' addresses, in mode nat."""
        return GATEWAY_PREFIX + self.id[:ID_CHARACTERS]

    def gateway(self, version: int) -> str:
        """The gateway of an IP version, or ""."""
        for text in self.gateways if self.mode != "l2" else ():
            address = ipaddress.ip_interface(text)
            if address.version == version:
                return str(address.ip)
        return ""


@dataclasses.dataclass
class Endpoint:
    """A container's place in a network."""

    id: str
    network: str
    addresses: list[str]  # with prefix lengths
    mac: str
    container: str = ""  # whose it is, where the runtime tells
    port_map: list[dict[str, Any]] = dataclasses.field(default_factory=list)


# What is kept of them, as it has to be for everybody who reads it.
_TEXT = Needed(str)
KEPT: dict[type, dict[str, Any]] = {
    Network: {
        **dict.fromkeys(("id", "bridge", "mode"), _TEXT),
        **dict.fromkeys(("vlan", "mtu"), int),
        **dict.fromkeys(("rate", "driver", "owner"), str),
        "owns_bridge": bool,
        "subnets": [str],
        "gateways": [str],
    },
    Endpoint: {
        **dict.fromkeys(("id", "network", "mac"), _TEXT),
        "addresses": Needed([str]),
        "container": str,
        "port_map": [{"Port": Needed(int), "HostPort": Needed(int), "HostIP": str, "Proto": int}],
    },
}


def _number(options: dict[str, Any], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    number = digits.number(str(text))
    if number is None:
        raise BadRequest(f"option {name}: {text} is not a number, or too large")
    return number


def network_of(asked: dict[str, Any]) -> Network:
    """The network that a CreateNetwork wants; raises BadRequest."""
    every = asked.get("Options") or {}
    options = every.get(GENERIC) or {}
    own = "bridge" not in options
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise BadRequest(f"option {unknown[0]} is not supported")
    mode = options.get("mode", "nat")
    if mode not in MODES:
        raise BadRequest(f"option mode: {mode} is none of {', '.join(MODES)}")
    made = Network(
        id=asked["NetworkID"],
        bridge="pb" + asked["NetworkID"][:ID_CHARACTERS] if own else options["bridge"],
        mode="l2" if every.get(INTERNAL) else mode,
        vlan=_number(options, "vlan"),
        mtu=_number(options, "mtu"),
        rate=options.get("rate"),
        owns_bridge=own,
        driver=asked.get(DRIVER, "pyvs"),
    )
    rates.both(made.rate)
    check_name(made.bridge)
    check_vlan(made.vlan or 0)
    check_mtu(made.mtu)
    for data in (*(asked.get("IPv4Data") or ()), *(asked.get("IPv6Data") or ())):
        made.subnets.append(_as(ipaddress.ip_network, data["Pool"]))
        if data.get("Gateway"):
            made.gateways.append(_as(ipaddress.ip_interface, data["Gateway"]))
    return made


def _as(parse, text: str) -> str:
    """The same text; raises BadRequest where it cannot be parsed."""
    try:
        parse(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return text


def _kept(make: type, text: str, identity: str) -> Any:
    """A Network or Endpoint of what keep() wrote; raises ValueError, TypeError, BadRequest."""
    given = json.loads(text)
    shapes.check(given, Needed(KEPT[make]))
    if given["id"] != identity:  # whose ports would go with it?
        raise ValueError("the id of another")
    made = make(**{key: value for key, value in given.items() if value is not None})
    for parse, name in (
        (ipaddress.ip_network, "subnets"),
        (ipaddress.ip_interface, "gateways"),
        (ipaddress.ip_interface, "addresses"),
    ):
        for each in getattr(made, name, ()):
            parse(each)
    published.places(getattr(made, "port_map", []))
    return made


def _rows(database: Database, prefix: str, make: type) -> dict[str, Any]:
    """{id: Network or Endpoint} of all that the bridges' external_ids have under a prefix."""
    found = {}
    for row in database.select("Bridge", [], ["name", "external_ids"]):
        for key, text in from_map(row["external_ids"]).items():
            if key.startswith(prefix):
                try:
                    found[key.removeprefix(prefix)] = _kept(make, text, key.removeprefix(prefix))
                except (ValueError, TypeError, RecursionError, BadRequest) as error:
                    # Somebody else wrote it: what is right beside it counts all the same.
                    vlog.warn(f"bridge {row['name']}: external_ids:{key}: {error}")
    return found


def networks(database: Database) -> list[Network]:
    """All of them."""
    return [*_rows(database, NETWORK, Network).values()]


def network(database: Database, identity: str) -> Network:
    """One; raises NotThere."""
    found = _rows(database, NETWORK, Network).get(identity)
    if found is None:
        raise NotThere(f"network {identity[:ID_CHARACTERS]} is not known")
    return found


def all_endpoints(database: Database) -> list[Endpoint]:
    """Those of all networks."""
    return [*_rows(database, ENDPOINT, Endpoint).values()]


def endpoints(database: Database, network_id: str) -> list[Endpoint]:
    """Those of a network."""
    return [each for each in all_endpoints(database) if each.network == network_id]


def endpoint_networks(database: Database) -> dict[str, str]:
    """{id: its network's id} of those of all networks."""
    return {each.id: each.network for each in all_endpoints(database)}


def endpoint(database: Database, identity: str) -> Endpoint:
    """One; raises NotThere."""
    found = _rows(database, ENDPOINT, Endpoint).get(identity)
    if found is None:
        raise NotThere(f"endpoint {identity[:ID_CHARACTERS]} is not known")
    return found


def _key(item: Network | Endpoint) -> str:
    return (NETWORK if isinstance(item, Network) else ENDPOINT) + item.id


def as_ids(item: Network | Endpoint) -> dict[str, str]:
    """It as external_ids of its bridge."""
    return {_key(item): json.dumps(dataclasses.asdict(item), separators=(",", ":"))}


def keep(database: Database, bridge: str, item: Network | Endpoint) -> None:
    """Write it, new or changed."""
    database.change_external_ids("Bridge", bridge, add=as_ids(item))


def forget(database: Database, bridge: str, item: Network | Endpoint) -> None:
    """Delete it."""
    database.change_external_ids("Bridge", bridge, remove=(_key(item),))


def forget_stray(database: Database, identity: str) -> None:
    """Delete an endpoint whose network is not known, wherever it is, or that cannot be read."""
    key = ENDPOINT + identity
    for row in database.select("Bridge", [], ["name", "external_ids"]):
        if key in from_map(row["external_ids"]):
            database.change_external_ids("Bridge", row["name"], remove=(key,))
