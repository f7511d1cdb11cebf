"""The calls of libnetwork's remote driver protocol: JSON objects in and out.

https://github.com/moby/moby/blob/master/libnetwork/docs/remote.md; a call that fails raises Fault,
which server.py sends as {"Err": …}.  Calls may come at once, and again after any of the daemons was
killed: each leaves things as asked, whatever it finds.
"""

import contextlib
import ipaddress
import threading
from collections.abc import Callable
from typing import Any

import ovs.vlog

from .. import endpoint as endpoints
from .. import rates, shapes
from ..database import Database, Port, from_map
from ..errors import Fault, NotThere
from ..rtnetlink import Rtnetlink, make_deaf
from ..shapes import Needed
from . import gateway, nat, published, state

vlog = ovs.vlog.Vlog("docker_driver")

OWNER = state.DOCKER
ENDPOINT_ID = "docker_endpoint"  # of an Interface's external_ids
Object = dict[str, Any]

# Rules of a network are written from what the database says: one at a time.
_rules = threading.Lock()
# A network's way to the outside is made and taken away by one at a time: a gateway that is just
# being deleted looks as if it came back.
_ways = threading.Lock()


def _device(endpoint_id: str) -> str:
    """The switch's end of an endpoint's pair."""
    return endpoints.device_name(endpoint_id, "host")


def _inner_device(endpoint_id: str) -> str:
    """The container's end, until Docker renames it."""
    return endpoints.device_name(endpoint_id, "container")


def activate(_database: Database, _asked: Object) -> Object:
    return {"Implements": ["NetworkDriver"]}


def capabilities(_database: Database, _asked: Object) -> Object:
    return {"Scope": "local", "ConnectivityScope": "local"}


def nothing(_database: Database, _asked: Object) -> Object:
    return {}


def create_network(database: Database, asked: Object) -> Object:
    network = state.network_of(asked)
    there = database.has_bridge(network.bridge)
    if not there and not network.owns_bridge:
        raise Fault(f"no bridge named {network.bridge}")
    with _ways:
        before = _before(database, network)
        try:
            if there:
                state.keep(database, network.bridge, network)
            else:  # both in one step, so that the bridge is known by what it is for
                database.add_bridge(network.bridge, {"owner": OWNER, **state.as_ids(network)})
            _ensure(database, network)
        except BaseException:
            _take_back(database, network, before, with_bridge=not there)
            raise
    return {}


def _before(database: Database, network: state.Network) -> state.Network | None:
    """The network as it is, where a call is said again; raises Fault where it is elsewhere."""
    with contextlib.suppress(NotThere):
        before = state.network(database, network.id)
        if before.bridge != network.bridge:
            raise Fault(f"the network is on bridge {before.bridge} already")
        return before
    return None


def _take_back(
    database: Database, network: state.Network, before: state.Network | None, with_bridge: bool
) -> None:
    """What a call has made that failed, and nothing of what was there, which may be in use."""
    with contextlib.suppress(Fault, OSError):  # what went wrong first is what is told
        if network.mode == "nat" and (before is None or before.mode != "nat"):
            gateway.remove(database, network)
            with contextlib.suppress(Fault, OSError):
                nat.remove(network)
        if before is not None:
            state.keep(database, network.bridge, before)
        elif with_bridge:
            database.delete_bridge(network.bridge)
        else:
            state.forget(database, network.bridge, network)


def _ensure(database: Database, network: state.Network) -> None:
    """The network's way to the outside."""
    if network.mode == "nat":
        gateway.ensure(database, network)
        _write_rules(database, network)
        gateway.route_loopback(network)


def _write_rules(database: Database, network: state.Network) -> None:
    with _rules:
        nat.write(network, state.endpoints(database, network.id))


def delete_network(database: Database, asked: Object) -> Object:
    try:
        with _ways:
            _delete_network(database, state.network(database, asked["NetworkID"]))
    except NotThere:
        vlog.info(f"network {asked['NetworkID']} is gone already")
    return {}


def _delete_network(database: Database, network: state.Network) -> None:
    if network.mode == "nat":
        nat.remove(network)
        gateway.remove(database, network)
    _forget(database, network, *state.endpoints(database, network.id))
    if network.owns_bridge:
        database.delete_bridge(network.bridge)
    else:
        state.forget(database, network.bridge, network)
        # And of a create_endpoint() that had seen the network (see there).
        _forget(database, network, *state.endpoints(database, network.id))


def _forget(database: Database, network: state.Network, *found: state.Endpoint) -> None:
    """Delete endpoints of a network.  Their rows go behind their ports: a call that is cut off can
    be said again.  Then the ports once more: of a join() that had seen the row (see there)."""
    if not found:
        return
    names = [_device(each.id) for each in found]
    endpoints.detach(database, *names)
    for each in found:
        state.forget(database, network.bridge, each)
    endpoints.detach(database, *names)


def _made_mac(address: str) -> str:
    """A local address that is made of an IPv4 address, as Docker's bridge does it."""
    packed = ipaddress.ip_interface(address).ip.packed[-4:]
    return bytes((0x02, 0x42, *packed)).hex(":")


def create_endpoint(database: Database, asked: Object) -> Object:
    network = state.network(database, asked["NetworkID"])
    given = asked.get("Interface") or {}
    addresses = [given[key] for key in ("Address", "AddressIPv6") if given.get(key)]
    mac = given.get("MacAddress") or ""
    endpoints.Interface(name="eth0", mac=mac or None, addresses=tuple(addresses)).check()
    if addresses and not mac:
        mac = _made_mac(addresses[0])
    made = state.Endpoint(asked["EndpointID"], network.id, addresses, mac)
    if state.endpoint_networks(database).get(made.id, network.id) != network.id:
        raise Fault("the endpoint is in another network already")
    state.keep(database, network.bridge, made)
    try:
        state.network(database, network.id)
    except NotThere:  # deleted meanwhile: who did may not have seen the endpoint
        state.forget(database, network.bridge, made)
        raise
    return {"Interface": {} if given.get("MacAddress") or not mac else {"MacAddress": mac}}


def delete_endpoint(database: Database, asked: Object) -> Object:
    forget_endpoint(database, asked["EndpointID"])
    return {}


def forget_endpoint(database: Database, identity: str) -> None:
    """Delete all there is of it, as _forget()."""
    try:
        found = state.endpoint(database, identity)
        network = state.network(database, found.network)
    except NotThere:
        endpoints.detach(database, _device(identity))
        state.forget_stray(database, identity)
        return
    _forget(database, network, found)
    if found.port_map:
        _write_rules(database, network)


def operational_info(database: Database, asked: Object) -> Object:
    found = state.endpoint(database, asked["EndpointID"])
    value = {"com.docker.network.endpoint.macaddress": found.mac}
    return {"Value": {**value, state.PORT_MAP: found.port_map}}


def join(database: Database, asked: Object) -> Object:
    network = state.network(database, asked["NetworkID"])
    found = state.endpoint(database, asked["EndpointID"])
    name = _device(found.id)
    port = Port(
        name=name,
        tag=network.vlan,
        rates=rates.both(network.rate),
        external_ids={"owner": OWNER, "docker_network": network.id},
        interface_ids={ENDPOINT_ID: found.id},
    )
    inner = endpoints.Interface(_inner_device(found.id), addresses=tuple(found.addresses))
    port = endpoints.with_addresses(port, inner, found.mac)
    endpoints.detach(database, name)  # what a call that was cut off left
    endpoints.check_taken(database, network.bridge, port, besides=ENDPOINT_ID)
    with endpoints.namespace("/proc/thread-self/ns/net") as own, Rtnetlink() as host:
        host.add_veth(name, inner.name, own, found.mac or None, network.mtu)
        try:
            make_deaf(name)
            host.set_link(_link(host, name), up=True)
            database.add_port(network.bridge, port)
        except BaseException:
            host.delete_link(name)
            raise
    try:
        state.endpoint(database, found.id)
    except NotThere:  # deleted meanwhile: who did may not have seen the port
        endpoints.detach(database, name)
        raise
    return {
        "InterfaceName": {"SrcName": inner.name, "DstPrefix": "eth"},
        "Gateway": network.gateway(4),
        "GatewayIPv6": network.gateway(6),
        "StaticRoutes": [],
        "DisableGatewayService": network.mode == "l2" or not network.gateways,
    }


def _link(host: Rtnetlink, name: str):
    link = host.link(name)
    if link is None:
        raise Fault(f"{name}: gone already")
    return link


def leave(database: Database, asked: Object) -> Object:
    endpoints.detach(database, _device(asked["EndpointID"]))
    return {}


def program_connectivity(database: Database, asked: Object) -> Object:
    network = state.network(database, asked["NetworkID"])
    bindings = (asked.get("Options") or {}).get(state.PORT_MAP) or []
    if network.mode != "nat":
        if bindings:
            raise Fault(f"ports are published in mode nat only; this network's is {network.mode}")
        return {}
    with _rules:
        found = state.endpoint(database, asked["EndpointID"])
        others = [each for each in state.endpoints(database, network.id) if each.id != found.id]
        found.port_map = published.with_host_ports(bindings, _published(database, found.id))
        nat.write(network, [*others, found])  # before it is kept: what nft refuses is of no use
        state.keep(database, network.bridge, found)
    return {}


def _published(database: Database, own: str) -> list[published.Place]:
    """The host's ports that lead to containers of any network, but those of the endpoint `own`."""
    others = [each for each in state.all_endpoints(database) if each.id != own]
    return [place for each in others for place in published.places(each.port_map)]


def revoke_connectivity(database: Database, asked: Object) -> Object:
    try:
        network = state.network(database, asked["NetworkID"])
        found = state.endpoint(database, asked["EndpointID"])
    except NotThere:
        return {}
    if found.port_map:
        found.port_map = []
        state.keep(database, network.bridge, found)
        _write_rules(database, network)
    return {}


# What is read of requests: see shapes.py.
_NETWORK, _ENDPOINT = {"NetworkID": Needed(str)}, {"EndpointID": Needed(str)}
_IN_NETWORK = {**_NETWORK, **_ENDPOINT}
_POOLS = [{"Pool": Needed(str), "Gateway": str}]
_BINDING = {
    "Port": Needed(int), "Proto": int, "HostIP": str, "HostPort": int, "HostPortEnd": int
}  # fmt: skip
SHAPES: dict[str, Any] = {
    "/NetworkDriver.CreateNetwork": {
        **_NETWORK,
        "Options": {state.GENERIC: dict.fromkeys(state.OPTIONS, str), state.INTERNAL: bool},
        "IPv4Data": _POOLS,
        "IPv6Data": _POOLS,
    },
    "/NetworkDriver.DeleteNetwork": _NETWORK,
    "/NetworkDriver.CreateEndpoint": {
        **_IN_NETWORK,
        "Interface": dict.fromkeys(("Address", "AddressIPv6", "MacAddress"), str),
    },
    "/NetworkDriver.DeleteEndpoint": _ENDPOINT,
    "/NetworkDriver.EndpointOperInfo": _ENDPOINT,
    "/NetworkDriver.Join": _IN_NETWORK,
    "/NetworkDriver.Leave": _ENDPOINT,
    "/NetworkDriver.ProgramExternalConnectivity": {
        **_IN_NETWORK,
        "Options": {state.PORT_MAP: [_BINDING]},
    },
    "/NetworkDriver.RevokeExternalConnectivity": _IN_NETWORK,
}


def answer(database: Database, path: str, asked: Any) -> Object:
    """What one of CALLS says; raises Fault."""
    shapes.check(asked, Needed(SHAPES.get(path, {})))
    return CALLS[path](database, asked)


# path of the request -> function
CALLS: dict[str, Callable[[Database, Object], Object]] = {
    "/Plugin.Activate": activate,
    "/NetworkDriver.GetCapabilities": capabilities,
    "/NetworkDriver.CreateNetwork": create_network,
    "/NetworkDriver.DeleteNetwork": delete_network,
    "/NetworkDriver.CreateEndpoint": create_endpoint,
    "/NetworkDriver.DeleteEndpoint": delete_endpoint,
    "/NetworkDriver.EndpointOperInfo": operational_info,
    "/NetworkDriver.Join": join,
    "/NetworkDriver.Leave": leave,
    "/NetworkDriver.DiscoverNew": nothing,
    "/NetworkDriver.DiscoverDelete": nothing,
    "/NetworkDriver.ProgramExternalConnectivity": program_connectivity,
    "/NetworkDriver.RevokeExternalConnectivity": revoke_connectivity,
}


def restore_networks(database: Database, device: str | None = None) -> None:
    """Make anew what a reboot or a kill has taken of the networks, or of that with the gateway
    `device`."""
    with _ways:
        for network in state.networks(database):
            if network.owner != OWNER or device not in (None, network.gateway_device):
                continue
            try:
                _ensure(database, network)
            except (Fault, OSError) as error:
                vlog.warn(f"network {network.id[: state.ID_CHARACTERS]}: {error}")


def restore(database: Database) -> None:
    """At the start: the networks, and no ports of the dead."""
    restore_networks(database)
    if stale := _stale_ports(database):
        vlog.info(f"ports of containers that are gone: {', '.join(stale)}")
        endpoints.detach(database, *stale)


def networks_of_ports(database: Database) -> dict[str, str | None]:
    """{endpoint's id: network's id} of all ports of endpoints."""
    networks = {
        row["name"]: from_map(row["external_ids"]).get("docker_network")
        for row in database.select("Port", [], ["name", "external_ids"])
    }
    return {identity: networks.get(name) for name, identity in _ports(database)}


def _stale_ports(database: Database) -> list[str]:
    """Ports whose container is gone, and its pair with it: join() makes a pair before its port."""
    with Rtnetlink() as host:
        return [name for name, _endpoint in _ports(database) if host.link(name) is None]


def put_back(database: Database) -> set[str]:
    """Endpoints whose pair is here as a whole: Docker has put the inner end back, or is about to
    take it; which of these, it knows alone."""
    with Rtnetlink() as host:
        return {each for _name, each in _ports(database) if host.link(_inner_device(each))}


def _ports(database: Database) -> list[tuple[str, str]]:
    """(name, endpoint's id) of all ports of endpoints."""
    rows = database.interfaces_with(ENDPOINT_ID)
    return [(name, ids[ENDPOINT_ID]) for name, ids in rows.items()]
